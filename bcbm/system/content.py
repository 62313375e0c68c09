"""What stands for the content of a file."""

import hashlib
from pathlib import Path


def file_key(path: Path) -> bytes:
    """What stands for a file's content, without unpacking it.

    Of a gzip file that is its size and its last 8 bytes, the CRC-32 and the length of what is packed (RFC
    1952); where they are empty, as bgzip ends its files, and of any other file, a hash of the whole. b"" if
    there is no file.
    """
    if not path.is_file():
        return b""
    trailer = gzip_trailer(path)
    if path.suffix == ".gz" and any(trailer):
        return path.stat().st_size.to_bytes(8) + trailer
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def gzip_trailer(path: Path) -> bytes:
    """The last 8 bytes of a file: of a gzip file, the checksum and length of its content."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        return file.read()
