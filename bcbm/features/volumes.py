"""Volumes and masks from disk: read whole or refused, on one grid."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import SimpleITK as sitk


def read_stored(path: Path, pixel: int = sitk.sitkUnknown) -> sitk.Image:
    """Read a volume in the orientation it is stored in.

    Arguments:
        path: any format of ITK.
        pixel: SimpleITK's pixel type; as stored where not given.

    Raises:
        ValueError: unreadable or truncated, or not three-dimensional.
    """
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:  # ITK takes a truncated file for one that ends in zeros
                while file.read(1 << 24):
                    pass
        image = sitk.ReadImage(str(path), pixel)
    except (RuntimeError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read ({last_line(error)})") from None
    if image.GetDimension() != 3:
        raise ValueError(f"{path.name} has {image.GetDimension()} dimensions, not 3")
    return image


def read_volume(path: Path) -> sitk.Image:
    """Read a volume as float32 in LPS orientation; ValueError as `read_stored`."""
    return sitk.DICOMOrient(read_stored(path, sitk.sitkFloat32), "LPS")


def read_mask(path: Path, image: sitk.Image) -> sitk.Image:
    """Read a mask on the grid of its image (LPS), as 0 and 1.

    Raises:
        ValueError: unreadable, empty, or on another grid.
    """
    mask = read_volume(path)
    require_same_grid(image, mask, path.name)
    binary = mask > 0.5
    if not sitk.GetArrayViewFromImage(binary).any():
        raise ValueError(f"{path.name} is empty")
    return binary


def require_same_grid(image: sitk.Image, mask: sitk.Image, name: str = "the mask") -> None:
    """ValueError unless the grids agree to 1e-3 (mm, cosines): headers are rounded to float32 on disk."""
    one, other = ([*of.GetSpacing(), *of.GetOrigin(), *of.GetDirection()] for of in (mask, image))
    if mask.GetSize() != image.GetSize() or not np.allclose(one, other, rtol=0, atol=1e-3):
        raise ValueError(
            f"{name} is on another grid than its image (size {mask.GetSize()} and {image.GetSize()}, "
            f"spacing {mask.GetSpacing()} and {image.GetSpacing()}, "
            f"origin {mask.GetOrigin()} and {image.GetOrigin()})"
        )


def last_line(error: Exception) -> str:
    """The last line of an error: ITK puts its source location before the reason."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1]
