"""Volumes and masks from disk: read whole or refused, on one grid."""

import gzip
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import SimpleITK as sitk
from isal import igzip
from isal.isal_zlib import IsalError

from bcbm.features.geometry import Form, Grid, VolumeError, nifti_header, placed, require_scale, stored_grid
from bcbm.system.memory import available_memory

if TYPE_CHECKING:
    from nibabel import Nifti1Header

Opened = TypeVar("Opened")
MOST = 2**30  # voxels that a volume may have: 1024 cubed; a head at 0.25 mm has fewer
_BEYOND = 2**20  # bytes that may follow the voxels of a packed file that is no NIfTI
_PACKED = 1032  # times that deflate packs at most (zlib.net/zlib_tech.html)
_COPIES = 3  # of a volume in memory, as float32 or wider, while it is oriented and rescaled
_UNKNOWN = "it has no format that ITK knows"
_FEWER = "it holds fewer voxels than its header says"
_MORE = "it goes on behind the voxels that its header describes"
_PLAIN = {2, 4, 8, 16, 64, 256, 512, 768}  # codes of the types that ITK keeps as they are stored


class UnreadableError(VolumeError):
    """A file that cannot be read, now: the same file may be whole after another download."""


def read_stored(path: Path, pixel: int = sitk.sitkUnknown, form: Form = "agree") -> sitk.Image:
    """Read a volume in the orientation it is stored in.

    Args:
        path: any format of ITK.
        pixel: SimpleITK's pixel type; as stored where not given.
        form: which form of a NIfTI header to believe where its two disagree.

    Raises:
        UnreadableError: missing, no regular file, truncated, damaged, or more than there is room for.
        VolumeError: not three-dimensional, not one number a voxel, not packed though named so, or its header
            does not say where its voxels lie.
    """
    volume = open_volume(path, form)
    image = volume.grid
    if not isinstance(image, sitk.Image):
        image = volume.part([0, 0, 0], list(image.GetSize()))
    return image if pixel == sitk.sitkUnknown else sitk.Cast(image, pixel)


def _require_file(path: Path) -> None:
    """Refuse what is no file that could be what its name says.

    Raises:
        OSError: not a regular file, such as a pipe, which would be waited for.
        VolumeError: a plain NIfTI file whose name says that it is packed.
    """
    if path.exists() and not path.is_file():
        raise OSError("it is not a regular file")
    if path.suffix == ".gz" and path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):  # 348, how long a header is, by either end first
            text = f"{path.name} is a plain NIfTI file, not packed as its name says"
            raise VolumeError(text, "pack it with gzip, or correct its name")


def _described(path: Path, header: "Nifti1Header | None", affine: np.ndarray | None) -> sitk.ImageFileReader:
    """The header of a volume, believed as far as its file and this machine can hold what it says.

    Args:
        path: of the file.
        header: nibabel's, where it is NIfTI.
        affine: where its voxels lie (4, 4), if ITK does not know.

    Raises:
        UnreadableError: more voxels than MOST, than the file can hold, or than there is memory for.
        VolumeError: not three-dimensional, not one number a voxel, or voxels of a size that no scanner makes.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    reader.ReadImageInformation()
    size, voxels = " x ".join(map(str, reader.GetSize())), math.prod(reader.GetSize())
    width = max(4, sitk.Image([1, 1, 1], reader.GetPixelIDValue()).GetSizeOfPixelComponent())
    if voxels > MOST:
        raise UnreadableError(f"{path.name} claims {size} voxels; no head has more than 1024 cubed")
    if _bytes(reader, 1) > path.stat().st_size * (1 if path.suffix == ".nii" else _PACKED):
        raise UnreadableError(f"{path.name} claims {size} voxels, which its file is too small to hold")
    needed, free = _COPIES * width * voxels * reader.GetNumberOfComponents(), available_memory()
    if needed > free:
        room = f"{needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free"
        raise UnreadableError(f"{path.name} has {size} voxels, which need {room}", "free memory")
    kind = sitk.Image([1, 1, 1], reader.GetPixelIDValue()).GetPixelIDTypeAsString()
    if reader.GetNumberOfComponents() != 1 or "complex" in kind:
        text = f"{path.name} holds {kind} voxels, not one number each"
        raise VolumeError(text, "save it with one grey value a voxel")
    if reader.GetDimension() != 3:
        text = f"{path.name} has {reader.GetDimension()} dimensions, not 3"
        raise VolumeError(text, "save the one volume that counts")
    spacing = np.array(reader.GetSpacing())
    spacing = spacing if affine is None else np.linalg.norm(affine[:3, :3], axis=0)
    require_scale(path.name, spacing, header)
    return reader


def _bytes(reader: sitk.ImageFileReader, width: int) -> int:
    """What a file holds by its header, bytes: all before the voxels, and the voxels at `width` bytes each."""
    key = "vox_offset"
    before = int(float(reader.GetMetaData(key))) if reader.HasMetaDataKey(key) else 0
    return before + math.prod(reader.GetSize()) * reader.GetNumberOfComponents() * width


def _read_to_end(file: gzip.GzipFile, least: int, most: int) -> None:
    """Read what is left of a packed file, at whose end its checksum is, unless that is too much.

    Raises:
        EOFError: it ends before the `least` bytes, or goes on behind the `most`.
    """
    count = 0
    while chunk := file.read(2**20):
        if (count := count + len(chunk)) > most:
            raise EOFError(_MORE)
    if count < least:
        raise EOFError(_FEWER)


def _padding(header: "Nifti1Header") -> int:
    """Bytes that may follow the voxels of a NIfTI file: fewer than its smallest slice, which would be lost.

    The format has none, but programs fill up to a whole block.
    """
    shape = header.get_data_shape()[:3]
    return math.prod(shape) // max(shape, default=1) * header.get_data_dtype().itemsize - 1


class Volume(NamedTuple):
    """Values as they are stored (z, y, x), and the image, or its reader, that knows their grid."""

    values: np.ndarray
    grid: Grid

    def part(self, start: list[int], size: list[int]) -> sitk.Image:
        """The box of `size` voxels from `start`, x, y, z."""
        box = tuple(slice(a, a + count) for a, count in zip(start[::-1], size[::-1], strict=True))
        return placed_box(self.values[box], start, self.grid)

    def whole(self) -> sitk.Image:
        """All of it, in LPS orientation."""
        return sitk.DICOMOrient(self.part([0, 0, 0], list(self.grid.GetSize())), "LPS")


class _Memory:
    """The voxels of an image as numpy asks for them, so that an array made of it keeps the image alive.

    SimpleITK's own views do not: what they show is whatever takes the memory next.
    """

    def __init__(self, image: sitk.Image) -> None:
        self.image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


class Box(NamedTuple):
    """What of a volume is above 0.5: the values in its box (z, y, x), none where nothing is, where the box
    starts (z, y, x), what knows the volume's grid, and how many voxels of the whole are `below` 0, but for
    rounding, or `wild`, not finite."""

    values: np.ndarray
    start: np.ndarray
    grid: Grid
    below: int
    wild: int


def placed_box(values: np.ndarray, start: list[int], grid: Grid) -> sitk.Image:
    """A box of values (z, y, x) that starts at a voxel, x, y, z, of a grid, where it lies in space."""
    part = sitk.GetImageFromArray(values)
    axes = np.reshape(grid.GetDirection(), (3, 3))
    part.SetSpacing(grid.GetSpacing())
    part.SetDirection(grid.GetDirection())
    part.SetOrigin((grid.GetOrigin() + axes @ np.multiply(start, grid.GetSpacing())).tolist())
    return part


def open_volume(path: Path, form: Form = "agree") -> Volume:
    """The same volume as `read_stored`, same errors; a usual .nii.gz is unpacked once, into one array.

    ITK unpacks into an array of its own and then copies it. The grid is ITK's in any case.
    """
    return _opened(path, form, _values, lambda volume: volume)


def open_box(path: Path, form: Form = "agree") -> Box:
    """The box of what is above 0.5 in a volume, same errors; of a usual .nii.gz no more is ever in memory."""
    return _opened(
        path, form, _box, lambda volume: Box(*_boxed(volume.values), volume.grid, *_odd(volume.values))
    )


def _opened(
    path: Path,
    form: Form,
    unpacked: Callable[[gzip.GzipFile, sitk.ImageFileReader, "Nifti1Header"], Opened],
    read: Callable[[Volume], Opened],
) -> Opened:
    """A volume, or what is needed of it: of a usual file as it is unpacked, of any other once it is read."""
    try:
        _require_file(path)
        header = nifti_header(path)
        affine = stored_grid(path.name, header, form)
        reader = _described(path, header, affine)
        if header is None or affine is not None or not _usual(path, header):
            image = _read_by_itk(path, header, reader)
            image = image if affine is None else placed(image, affine)
            return read(Volume(np.asarray(_Memory(image)), image))
        with igzip.open(path) as file:
            file.seek(int(header["vox_offset"]))
            return unpacked(file, reader, header)
    except (RuntimeError, OSError, EOFError, IsalError) as error:  # type: ignore[misc]  # an instance in its stub
        text = last_line(error)
        other = text == _UNKNOWN and ".nii" not in path.name.lower()
        remedy = "convert it to .nii.gz" if other else "download it again"
        raise UnreadableError(f"{path.name} cannot be read ({text})", remedy) from None


def _usual(path: Path, header: "Nifti1Header") -> bool:
    """Whether the values of a file are those that it stores, packed, one behind the other."""
    slope, intercept = _scaling(header)
    stored = header.endianness == "<" and header["magic"] == b"n+1" and int(header["datatype"]) in _PLAIN
    return path.suffix == ".gz" and stored and (slope, intercept) == (1, 0)


def _scaling(header: "Nifti1Header") -> tuple[float, float]:
    """Slope and intercept of a file's values: 1 and 0 where the slope is 0 or no number, as NIfTI-1 says."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not slope or not math.isfinite(slope):
        return 1.0, 0.0
    return slope, intercept if math.isfinite(intercept) else 0.0


def _read_by_itk(path: Path, header: "Nifti1Header | None", reader: sitk.ImageFileReader) -> sitk.Image:
    """The volume as ITK reads it; EOFError where it holds fewer or more voxels than its header says.

    ITK takes what is missing for zeros, and adds an intercept whose slope says that there is no scaling.
    """
    width = sitk.Image([1, 1, 1], reader.GetPixelIDValue()).GetSizeOfPixelComponent()
    if header is None:
        least, most = 0, _bytes(reader, width) + _BEYOND
    else:
        voxels = math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
        least = int(header["vox_offset"]) + voxels
        most = least + _padding(header)
    if path.suffix == ".gz":
        with igzip.open(path) as file:
            _read_to_end(file, least, most)
    elif header is not None and not least <= (size := path.stat().st_size) <= most:
        raise EOFError(_FEWER if size < least else _MORE)
    image = reader.Execute()
    added = float(header["scl_inter"]) if header is not None else 0.0
    if header is not None and math.isfinite(added) and added != _scaling(header)[1]:
        image = image - added
    return image


def _values(file: gzip.GzipFile, reader: sitk.ImageFileReader, header: "Nifti1Header") -> Volume:
    """The values that follow in `file`, read on to its end, where its checksum is; EOFError as there."""
    values = np.empty(reader.GetSize()[::-1], header.get_data_dtype())
    _fill(file, values)
    _read_to_end(file, 0, _padding(header))
    return Volume(values, reader)


def _box(file: gzip.GzipFile, reader: sitk.ImageFileReader, header: "Nifti1Header") -> Box:
    """The box of what follows in `file`; only slices in which something is drawn are kept meanwhile."""
    width, height, depth = reader.GetSize()
    empty, drawn = np.empty((height, width), header.get_data_dtype()), dict[int, np.ndarray]()
    odd = np.zeros(2, int)
    for place in range(depth):
        values = np.empty_like(empty)
        _fill(file, values)
        if not values.any():  # as nearly all of a mask's
            continue
        odd += _odd(values)
        if np.fmax.reduce(values, axis=None) > 0.5:
            drawn[place] = values
    _read_to_end(file, 0, _padding(header))
    first, last = min(drawn, default=0), max(drawn, default=-1)
    slices = [drawn.get(place, np.zeros_like(empty)) for place in range(first, last + 1)]
    values, start = _boxed(np.stack(slices) if slices else np.empty((0, height, width), empty.dtype))
    return Box(values, start + np.array([first, 0, 0]), reader, *odd.tolist())


def _odd(values: np.ndarray) -> np.ndarray:
    """How many values are below 0, but for rounding, and how many are not finite."""
    below = int((values < -0.5).sum()) if values.dtype.kind != "u" else 0
    return np.array([below, int((~np.isfinite(values)).sum()) if values.dtype.kind == "f" else 0])


def _boxed(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A copy of the box of what is above 0.5, which may outlive the memory of ITK, and its start."""
    if not values.size or (box := bounding_box(values)) is None:
        return np.empty((0, 0, 0), values.dtype), np.zeros(3, int)
    return np.array(values[box]), np.array([span.start for span in box])


def _fill(file: gzip.GzipFile, values: np.ndarray) -> None:
    """Read what follows in `file` into an array; EOFError where that is too little."""
    room = values.data.cast("B")
    while len(room):
        if not (chunk := file.read(min(len(room), 2**20))):
            raise EOFError(_FEWER)
        room[: len(chunk)], room = chunk, room[len(chunk) :]


def shrunk(image: sitk.Image, factors: list[int], *, share: bool = False) -> sitk.Image:
    """The means of blocks of voxels, float32, to the last bit as `BinShrink` gives them of the whole.

    Only the box that is not 0 is worked on, so that a head in a large field of view costs what a head does.

    Args:
        factors: edges of a block, x, y, z, voxels.
        share: the part of each block that is above 0 in place of the mean.
    """
    counts = np.array(image.GetSize()) // factors
    means = np.zeros(counts[::-1], np.float32)
    if (box := bounding_box(sitk.GetArrayViewFromImage(image) != 0)) is not None:
        spans = list(zip(reversed(box), factors, counts.tolist(), strict=True))
        low = [span.start // factor for span, factor, _ in spans]
        high = [min(-(-span.stop // factor), count) for span, factor, count in spans]
        if all(a < b for a, b in zip(low, high, strict=True)):
            size, start = np.multiply(np.subtract(high, low), factors), np.multiply(low, factors)
            part = sitk.RegionOfInterest(image, size.tolist(), start.tolist())
            blocks = sitk.BinShrink(sitk.Cast(part > 0 if share else part, sitk.sitkFloat32), factors)
            inside = tuple(slice(a, b) for a, b in zip(low[::-1], high[::-1], strict=True))
            means[inside] = sitk.GetArrayViewFromImage(blocks)  # named above: a view keeps no image alive
    first = sitk.BinShrink(sitk.RegionOfInterest(image, factors, [0, 0, 0]), factors)
    result = sitk.GetImageFromArray(means)
    result.SetSpacing(first.GetSpacing())
    result.SetOrigin(first.GetOrigin())
    result.SetDirection(first.GetDirection())
    return result


def read_volume(path: Path, form: Form = "agree") -> sitk.Image:
    """Read a volume as float32 in LPS orientation; VolumeError as `read_stored`."""
    return sitk.DICOMOrient(read_stored(path, sitk.sitkFloat32, form), "LPS")


def bounding_box(values: np.ndarray) -> tuple[slice, slice, slice] | None:
    """The box, z, y, x, of what is above 0.5; None where nothing is. Reads the values once, copies none."""
    box = [slice(None)] * 3
    for axis in range(3):
        others = tuple({0, 1, 2} - {axis})
        planes = np.flatnonzero(np.fmax.reduce(values[tuple(box)], axis=others) > 0.5)
        if not planes.size:
            return None
        box[axis] = slice(int(planes[0]), int(planes[-1]) + 1)
    return box[0], box[1], box[2]


def point_of(grid: Grid, index: np.ndarray) -> list[float]:
    """The place of a voxel, z, y, x, or of a point between voxels: x, y, z, LPS mm."""
    axes = np.reshape(grid.GetDirection(), (3, 3))
    point: list[float] = (grid.GetOrigin() + axes @ (index[::-1] * grid.GetSpacing())).tolist()
    return point


def last_line(error: Exception) -> str:
    """The last line of an error: ITK puts its source location before the reason, and the path into it."""
    text = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    if "Unable to determine ImageIO reader" in text:
        return _UNKNOWN
    return re.sub(r"^ITK ERROR: (\w+\(0x[0-9a-f]+\): )?", "", text)  # a place in memory, another each time
