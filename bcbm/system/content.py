"""What stands for the content of a file."""

import hashlib
import math
import struct
import zlib
from pathlib import Path

_HEADER = 348  # bytes of a NIfTI-1 header


def file_key(path: Path) -> bytes:
    """What stands for a file's content, without unpacking it.

    Of a NIfTI file that gzip wrote as one member that is its size and its last 8 bytes, the CRC-32 and the
    length of what is packed (RFC 1952). Where the file's own header tells another length, the member is one
    of several, as mgzip, bgzip and `cat` write them, and says nothing of the others: of such a file, and of
    any other, it is a hash of the whole. A plain NIfTI file that goes on behind what its header describes,
    which no one reads, stands for its size and that. b"" if there is no file.
    """
    if not path.is_file():
        return b""
    with path.open("rb") as file:
        start, size = file.read(1 << 12), file.seek(0, 2)
        if path.suffix == ".gz" and (length := _length(_unpacked(start))):
            file.seek(size - 8)
            trailer = file.read()
            if int.from_bytes(trailer[4:], "little") == length:
                return size.to_bytes(8) + trailer
        file.seek(0)
        if path.suffix == ".nii" and 0 < (length := _length(start)) < size:
            return size.to_bytes(8) + hashlib.sha256(file.read(length)).digest()
        return hashlib.file_digest(file, "sha256").digest()


def file_sum(path: Path) -> str:
    """The SHA-256 of all bytes of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpacked(start: bytes) -> bytes:
    """The header in the first bytes of a packed file; b"" if there is none."""
    try:
        return zlib.decompressobj(wbits=31).decompress(start, _HEADER)
    except zlib.error:
        return b""


def _length(header: bytes) -> int:
    """How many bytes a NIfTI-1 file holds by its header; 0 if it is none."""
    if len(header) < _HEADER or header[344:_HEADER] != b"n+1\0":
        return 0
    order = "<" if struct.unpack_from("<i", header)[0] == _HEADER else ">"
    dimensions, *sizes = struct.unpack_from(f"{order}8h", header, 40)
    bits = struct.unpack_from(f"{order}h", header, 72)[0]
    offset = struct.unpack_from(f"{order}f", header, 108)[0]
    voxels = math.prod(sizes[:dimensions]) if 1 <= dimensions <= len(sizes) else 0
    return int(offset) + voxels * bits // 8 if math.isfinite(offset) else 0
