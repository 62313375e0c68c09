"""What of a mask's file is a lesion: voxels of one label value, and of these a part that touches no other."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk

from bcbm.features.geometry import Form, Grid, require_same_grid
from bcbm.features.volumes import Box, Volume, bounding_box, open_box, placed_box, point_of

STRAY_VOXELS, STRAY_SHARE = 3, 0.01  # a part with fewer voxels, or with less of the mask, is no lesion
_SOLID, _FLAT = 27, 3.0  # voxels from which on a mask has a shape; times the height of a slice
_BOX = 125  # voxels from which on no lesion is a box; of 820 real masks the largest box has 24
_AT_EDGE = 0.5  # part of the largest slice beyond which one at the edge of the image is not the last
_TALL, _CUT_OFF = 8, 0.8  # slices, and part of the largest one beyond which the last ends no lesion
_TOUCHING = np.ones((3, 3, 3))  # voxels touch that share a corner


class MaskPart(NamedTuple):
    """What of a mask's file is a lesion.

    Attributes:
        value: the label value of its voxels; 0: whatever is above 0.5.
        number: which of the parts that do not touch, the largest is 1; 0: all of them.
    """

    value: int = 0
    number: int = 0


class Region(NamedTuple):
    """The voxels of a lesion: booleans in their box (z, y, x), none where it is empty, where the box starts
    (z, y, x), and what knows the volume's grid."""

    inside: np.ndarray
    start: np.ndarray
    grid: Grid

    @property
    def stop(self) -> np.ndarray:
        """Where the box ends, z, y, x."""
        return self.start + self.inside.shape

    def meets(self, low: np.ndarray, high: np.ndarray) -> bool:
        """Whether its box and that from `low` to `high`, z, y, x, have a voxel in common."""
        return bool((np.maximum(self.start, low) < np.minimum(self.stop, high)).all())

    def within(self, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """Booleans (z, y, x): the lesion's voxels in the volume's box from `low` to `high`, z, y, x."""
        inside = np.zeros(np.subtract(high, low), bool)
        if self.meets(low, high):
            first, last = np.maximum(self.start, low), np.minimum(self.stop, high)
            inside[spans(first - low, last - low)] = self.inside[spans(first - self.start, last - self.start)]
        return inside

    def image(self, low: np.ndarray, high: np.ndarray) -> sitk.Image:
        """The same as an image of 0 and 1, uint8, where it lies in space."""
        return placed_box(self.within(low, high).astype(np.uint8), low[::-1].tolist(), self.grid)

    def shared(self, other: "Region") -> int:
        """How many voxels it has in common with another on its grid."""
        if not self.meets(other.start, other.stop):
            return 0
        return int((self.inside & other.within(self.start, self.stop)).sum())


def spans(low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    """The box from `low` to `high` of an array."""
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def lesion_region(box: Box, part: MaskPart | None = None) -> Region:
    """What of a mask's file is the lesion: all that is drawn, or a part of it."""
    value, number = part or MaskPart()
    region = foreground(box.values, value)
    if number and region.any():
        region = separate(region, box.start, box.grid)[0] == number
    if not (value or number):
        return Region(region, box.start, box.grid)
    inner = region_in(Volume(region, box.grid))
    return inner._replace(start=inner.start + box.start)


def region_in(volume: Volume) -> Region:
    """Where a mask, whole in memory, is above 0.5."""
    if not volume.values.size or (box := bounding_box(volume.values)) is None:
        return Region(np.empty((0, 0, 0), bool), np.zeros(3, int), volume.grid)
    return Region(volume.values[box] > 0.5, np.array([span.start for span in box]), volume.grid)


def read_mask(
    path: Path, image: sitk.Image, part: MaskPart | None = None, form: Form = "agree"
) -> sitk.Image:
    """Read a mask on the grid of its image (LPS), as 0 and 1.

    Raises:
        ValueError: unreadable, empty, or on another grid.
    """
    region = lesion_region(open_box(path, form), part)
    mask = sitk.DICOMOrient(region.image(np.zeros(3, int), np.array(region.grid.GetSize()[::-1])), "LPS")
    require_same_grid(image, mask, path.name)
    if not region.inside.size:
        raise ValueError(f"{path.name} is empty")
    return mask


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
    from scipy.ndimage import center_of_mass, label  # slow to import, and radiomics alone need none of it

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


def no_lesion(region: Region) -> str:
    """What the shape of a mask is where no lesion has it: a slice, a box, cut off, an outline; else "".

    Args:
        region: some of it true.
    """
    from scipy.ndimage import binary_erosion, binary_fill_holes, find_objects

    mask, grid = region.inside, region.grid
    if np.count_nonzero(mask) < _SOLID:
        return ""
    place = find_objects(mask.astype(np.uint8))[0]
    mask = mask[place]
    flat = int(np.argmin(mask.shape))
    edges = np.array(mask.shape) * grid.GetSpacing()[::-1]
    high, wide = edges[flat], np.delete(edges, flat).min()
    if mask.shape[flat] == 1 and wide > _FLAT * high:
        return f"drawn on a single slice, {wide:.3g} mm wide and {high:.3g} mm high"
    if mask.all() and mask.size >= _BOX:
        return f"a box of {' x '.join(map(str, mask.shape[::-1]))} voxels, all of them drawn"
    for axis in range(3):
        areas = mask.sum(axis=tuple({0, 1, 2} - {axis}))
        start, stop = region.start[axis] + place[axis].start, region.start[axis] + place[axis].stop
        ends = (start == 0) * areas[0], (stop == grid.GetSize()[::-1][axis]) * areas[-1]
        if max(ends) > _AT_EDGE * areas.max():
            return "cut off by the edge of its image"
        share = max(areas[0], areas[-1]) / areas.max()
        if len(areas) >= _TALL and share > _CUT_OFF:  # of 820 real masks one is so
            return f"cut off: its last slice has {share:.0%} of the voxels of its largest"
    if binary_erosion(np.pad(mask, 1)).any():
        return ""
    slices = (plane for axis in range(3) for plane in np.moveaxis(mask, axis, 0))
    filled = any((binary_fill_holes(plane) & ~plane).any() for plane in slices)
    return "an outline: no voxel lies inside it, and slices of it have holes" if filled else ""
