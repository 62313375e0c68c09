"""Volumes and masks from disk: read whole or refused, on one grid."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from bcbm.features.geometry import Form, Grid, VolumeError, placed, require_same_grid, stored_grid

_HEADER = 352  # bytes before the voxels of a NIfTI file without extensions
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
        UnreadableError: missing, truncated or damaged.
        VolumeError: not three-dimensional, not one number a voxel, not packed though named so, or its header
            does not say where its voxels lie.
    """
    try:
        _require_packed(path)
        affine = stored_grid(path, form)
        if path.suffix == ".gz":
            with gzip.open(path) as file:  # ITK takes a truncated file for one that ends in zeros
                while file.read(1 << 20):
                    pass
        image = sitk.ReadImage(str(path), pixel)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise UnreadableError(f"{path.name} cannot be read ({last_line(error)})") from None
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        text = f"{path.name} holds {image.GetPixelIDTypeAsString()} voxels, not one number each"
        raise VolumeError(text, "save it with one grey value a voxel")
    if image.GetDimension() != 3:
        text = f"{path.name} has {image.GetDimension()} dimensions, not 3"
        raise VolumeError(text, "save the one volume that counts")
    return image if affine is None else placed(image, affine)


def _require_packed(path: Path) -> None:
    """VolumeError for a plain NIfTI file whose name says that it is packed."""
    if path.suffix == ".gz" and path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start in (b"\x5c\x01\0\0", b"\0\0\x01\x5c"):  # 348, how long a header is, by either end first
            text = f"{path.name} is a plain NIfTI file, not packed as its name says"
            raise VolumeError(text, "pack it with gzip, or correct its name")


class Volume(NamedTuple):
    """Values as they are stored (z, y, x), and the image, or its reader, that knows their grid."""

    values: np.ndarray
    grid: Grid

    def part(self, start: list[int], size: list[int]) -> sitk.Image:
        """The box of `size` voxels from `start`, x, y, z."""
        box = tuple(slice(a, a + count) for a, count in zip(start[::-1], size[::-1], strict=True))
        part = sitk.GetImageFromArray(self.values[box])
        axes = np.reshape(self.grid.GetDirection(), (3, 3))
        part.SetSpacing(self.grid.GetSpacing())
        part.SetDirection(self.grid.GetDirection())
        part.SetOrigin((self.grid.GetOrigin() + axes @ np.multiply(start, self.grid.GetSpacing())).tolist())
        return part


def open_volume(path: Path, form: Form = "agree") -> Volume:
    """The same volume as `read_stored`, same errors; a usual .nii.gz is unpacked once, into one array.

    ITK unpacks into an array of its own and then copies it. The grid is ITK's in any case.
    """
    if path.suffix == ".gz":
        from nibabel import Nifti1Header
        from nibabel.wrapstruct import WrapStructError

        try:
            _require_packed(path)
            overruled = stored_grid(path, form) is not None
            with gzip.open(path) as file:
                head = file.read(_HEADER)
                header = Nifti1Header(head[:-4], check=False)
                slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
                unscaled = (slope in (0, 1) and intercept == 0) or slope != slope  # NaN: the collection's
                single = header["magic"] == b"n+1" and header["vox_offset"] == _HEADER and not any(head[-4:])
                usual = header.endianness == "<" and header["sizeof_hdr"] == len(head) - 4
                if usual and single and unscaled and not overruled and int(header["datatype"]) in _PLAIN:
                    reader = sitk.ImageFileReader()
                    reader.SetFileName(str(path))
                    reader.ReadImageInformation()
                    if reader.GetDimension() == 3 and reader.GetNumberOfComponents() == 1:
                        return Volume(_fill(file, reader.GetSize()[::-1], header.get_data_dtype()), reader)
        except (RuntimeError, OSError, EOFError, zlib.error, WrapStructError) as error:
            raise UnreadableError(f"{path.name} cannot be read ({last_line(error)})") from None
    image = read_stored(path, form=form)
    return Volume(sitk.GetArrayViewFromImage(image), image)


def _fill(file: gzip.GzipFile, shape: tuple[int, ...], kind: np.dtype) -> np.ndarray:
    """The values that follow in `file`, read on to its end, where its checksum is; EOFError if too few."""
    values = np.empty(shape, kind)
    room = values.data.cast("B")
    while chunk := file.read(1 << 20):
        room[: len(chunk)], room = chunk[: len(room)], room[len(chunk) :]
    if len(room):
        raise EOFError("holds fewer voxels than its header says")
    return values


def read_volume(path: Path, form: Form = "agree") -> sitk.Image:
    """Read a volume as float32 in LPS orientation; VolumeError as `read_stored`."""
    return sitk.DICOMOrient(read_stored(path, sitk.sitkFloat32, form), "LPS")


def read_mask(path: Path, image: sitk.Image, form: Form = "agree") -> sitk.Image:
    """Read a mask on the grid of its image (LPS), as 0 and 1.

    Raises:
        ValueError: unreadable, empty, or on another grid.
    """
    mask = sitk.DICOMOrient(read_stored(path, form=form), "LPS")
    require_same_grid(image, mask, path.name)
    if bounding_box(sitk.GetArrayViewFromImage(mask)) is None:
        raise ValueError(f"{path.name} is empty")
    return mask > 0.5


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


def last_line(error: Exception) -> str:
    """The last line of an error: ITK puts its source location before the reason."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
