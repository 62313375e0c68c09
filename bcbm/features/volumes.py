"""Volumes and masks from disk: read whole or refused, on one grid."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

_HEADER = 352  # bytes before the voxels of a NIfTI file without extensions
_PLAIN = {2, 4, 8, 16, 64, 256, 512, 768}  # codes of the types that ITK keeps as they are stored

Grid = sitk.Image | sitk.ImageFileReader  # whatever knows size, spacing, origin and direction


class UnreadableError(ValueError):
    """A file that cannot be read, now: the same file may be whole after another download."""


def read_stored(path: Path, pixel: int = sitk.sitkUnknown) -> sitk.Image:
    """Read a volume in the orientation it is stored in.

    Args:
        path: any format of ITK.
        pixel: SimpleITK's pixel type; as stored where not given.

    Raises:
        UnreadableError: missing, truncated or damaged.
        ValueError: not three-dimensional.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:  # ITK takes a truncated file for one that ends in zeros
                while file.read(1 << 20):
                    pass
        image = sitk.ReadImage(str(path), pixel)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise UnreadableError(f"{path.name} cannot be read ({last_line(error)})") from None
    if image.GetNumberOfComponentsPerPixel() != 1 or "complex" in image.GetPixelIDTypeAsString():
        raise ValueError(f"{path.name} holds {image.GetPixelIDTypeAsString()} voxels, not one number each")
    if image.GetDimension() != 3:
        raise ValueError(f"{path.name} has {image.GetDimension()} dimensions, not 3")
    return image


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


def open_volume(path: Path) -> Volume:
    """The same volume as `read_stored`, same errors; a usual .nii.gz is unpacked once, into one array.

    ITK unpacks into an array of its own and then copies it. The grid is ITK's in any case.
    """
    if path.suffix == ".gz":
        from nibabel import Nifti1Header
        from nibabel.wrapstruct import WrapStructError

        try:
            with gzip.open(path) as file:
                head = file.read(_HEADER)
                header = Nifti1Header(head[:-4], check=False)
                slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
                unscaled = (slope in (0, 1) and intercept == 0) or slope != slope  # NaN: the collection's
                single = header["magic"] == b"n+1" and header["vox_offset"] == _HEADER and not any(head[-4:])
                usual = header.endianness == "<" and header["sizeof_hdr"] == len(head) - 4
                if usual and single and unscaled and int(header["datatype"]) in _PLAIN:
                    reader = sitk.ImageFileReader()
                    reader.SetFileName(str(path))
                    reader.ReadImageInformation()
                    if reader.GetDimension() == 3 and reader.GetNumberOfComponents() == 1:
                        return Volume(_fill(file, reader.GetSize()[::-1], header.get_data_dtype()), reader)
        except (RuntimeError, OSError, EOFError, zlib.error, WrapStructError) as error:
            raise UnreadableError(f"{path.name} cannot be read ({last_line(error)})") from None
    image = read_stored(path)
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


def read_volume(path: Path) -> sitk.Image:
    """Read a volume as float32 in LPS orientation; ValueError as `read_stored`."""
    return sitk.DICOMOrient(read_stored(path, sitk.sitkFloat32), "LPS")


def read_mask(path: Path, image: sitk.Image) -> sitk.Image:
    """Read a mask on the grid of its image (LPS), as 0 and 1.

    Raises:
        ValueError: unreadable, empty, or on another grid.
    """
    mask = sitk.DICOMOrient(read_stored(path), "LPS")
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


def require_same_grid(image: Grid, mask: Grid, name: str = "the mask") -> None:
    """ValueError unless the grids agree to 1e-3 (mm, cosines): headers are rounded to float32 on disk."""
    mask_grid, image_grid = (
        [*volume.GetSpacing(), *volume.GetOrigin(), *volume.GetDirection()] for volume in (mask, image)
    )
    if mask.GetSize() != image.GetSize() or not np.allclose(mask_grid, image_grid, rtol=0, atol=1e-3):
        raise ValueError(
            f"{name} is on another grid than its image (size {mask.GetSize()} and {image.GetSize()}, "
            f"spacing {mask.GetSpacing()} and {image.GetSpacing()}, "
            f"origin {mask.GetOrigin()} and {image.GetOrigin()})"
        )


def last_line(error: Exception) -> str:
    """The last line of an error: ITK puts its source location before the reason."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
