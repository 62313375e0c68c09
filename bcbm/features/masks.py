"""What of a mask's file is a lesion: voxels of one label value, and of these a part that touches no other."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import center_of_mass, label

from bcbm.features.geometry import Form, Grid, require_same_grid
from bcbm.features.volumes import Volume, bounding_box, open_volume, point_of

STRAY_VOXELS, STRAY_SHARE = 3, 0.01  # a part with fewer voxels, or with less of the mask, is no lesion
_TOUCHING = np.ones((3, 3, 3))  # voxels touch that share a corner


class MaskPart(NamedTuple):
    """What of a mask's file is a lesion.

    Attributes:
        value: the label value of its voxels; 0: whatever is above 0.5.
        number: which of the parts that do not touch, the largest is 1; 0: all of them.
    """

    value: int = 0
    number: int = 0


def open_mask(path: Path, part: MaskPart | None = None, form: Form = "agree") -> Volume:
    """A mask whose voxels above 0.5 are the lesion's: the file as it is stored, or a part of it as 0 and 1.

    Raises:
        ValueError: as `open_volume`.
    """
    volume = open_volume(path, form)
    if not part or not any(part) or (box := bounding_box(volume.values)) is None:
        return volume
    region = foreground(volume.values[box], part.value)
    if part.number:
        start = np.array([span.start for span in box])
        region = separate(region, start, volume.grid)[0] == part.number
    values = np.zeros(volume.values.shape, np.uint8)
    values[box] = region
    return Volume(values, volume.grid)


def read_mask(
    path: Path, image: sitk.Image, part: MaskPart | None = None, form: Form = "agree"
) -> sitk.Image:
    """Read a mask on the grid of its image (LPS), as 0 and 1.

    Raises:
        ValueError: unreadable, empty, or on another grid.
    """
    volume = open_mask(path, part, form)
    mask = sitk.DICOMOrient(volume.part([0, 0, 0], list(volume.grid.GetSize())), "LPS")
    require_same_grid(image, mask, path.name)
    if bounding_box(volume.values) is None:
        raise ValueError(f"{path.name} is empty")
    return mask > 0.5


def foreground(values: np.ndarray, value: int = 0) -> np.ndarray:
    """Where a mask is drawn, booleans: above 0.5, or within 0.5 of a label value."""
    return (values > value - 0.5) & (values <= value + 0.5) if value else values > 0.5


def label_values(values: np.ndarray) -> list[tuple[float, int]]:
    """The label values of a mask, whole numbers, and how many voxels have each; the background has none."""
    inside = np.ceil(values[values > 0.5] - 0.5)
    if inside.size and inside.min() == inside.max():  # nearly always, and much faster than sorting
        return [(float(inside[0]), inside.size)]
    numbers, counts = np.unique(inside, return_counts=True)
    return list(zip(numbers.tolist(), counts.tolist(), strict=True))


def separate(mask: np.ndarray, start: np.ndarray, grid: Grid) -> tuple[np.ndarray, int, int]:
    """Number the parts of a mask that do not touch: the largest is 1, of equal ones the one further right.

    A part with fewer than 3 voxels or less than 1 % of the mask is stray, unless there is no other. The
    numbers do not depend on how the file is stored.

    Args:
        mask: booleans (z, y, x), some true: a box of the volume.
        start: of the box, z, y, x.
        grid: of the volume.

    Returns:
        The number of each voxel's part, 0 for stray ones; how many parts there are; how many stray voxels.
    """
    numbers, count = label(mask, structure=_TOUCHING)
    if count == 1:
        return numbers, 1, 0
    sizes = np.bincount(numbers.ravel(), minlength=count + 1)[1:]
    centres = np.array(center_of_mass(mask, numbers, np.arange(1, count + 1)))
    x, y, z = np.array([point_of(grid, centre + start) for centre in centres]).round(3).T
    order = np.lexsort((z, y, x, -sizes))  # LPS: x is small on the right
    parts = order[sizes[order] >= max(STRAY_VOXELS, STRAY_SHARE * sizes.sum())]
    parts = parts if len(parts) else order[:1]
    renumbered = np.zeros(count + 1, numbers.dtype)
    renumbered[parts + 1] = np.arange(1, len(parts) + 1)
    return renumbered[numbers], len(parts), int(sizes.sum() - sizes[parts].sum())
