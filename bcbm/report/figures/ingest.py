"""What a study looks like that was made from a scanner's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcbm.features.volumes import bounding_box
from bcbm.report.figures.cohort import OUTLINE
from bcbm.report.figures.saving import save_png

_SIDE = 2.2  # inches of a plane
_ROW, _MOST = 6, 12  # further lesions in a row, and at most
_LEFT = ("R", "R", "A")  # what is on the left of an axial, a coronal and a sagittal plane


def study_figure(
    image: sitk.Image,
    masks: Sequence[np.ndarray],
    path: Path,
    through: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> None:
    """Write the three planes through the largest mask, or the image's middle, then axial ones through others.

    All masks are outlined, in colour the one that a plane goes through; of the planes as much is shown as is
    above 0. The patient's right is on the left.

    Args:
        image: any orientation.
        masks: booleans (z, y, x) on its grid.
        path: the PNG to write.
        through: the mask that the planes go through, and no others; None: as said above.
        names: of the masks, for the planes through them.
    """
    turn = sitk.DICOMOrientImageFilter()
    turn.SetDesiredCoordinateOrientation("LPS")
    oriented = turn.Execute(image)
    shown, spacing = sitk.GetArrayViewFromImage(oriented), oriented.GetSpacing()[::-1]
    order = [2 - axis for axis in turn.GetPermuteOrder()[::-1]]
    flipped = tuple(axis for axis, flips in enumerate(turn.GetFlipAxes()[::-1]) if flips)

    def upright(mask: np.ndarray) -> np.ndarray:
        return np.flip(mask.transpose(order), flipped)  # no copy of a volume

    named = zip(map(upright, masks), names or [""] * len(masks), strict=True)
    lesions = sorted(named, key=lambda item: -np.count_nonzero(item[0]))
    outlined = np.zeros(shown.shape, bool)
    for lesion, _ in lesions:
        outlined |= lesion
    head = bounding_box(((shown > 0) | outlined).view(np.uint8)) or (slice(None),) * 3
    low, high = np.percentile(shown[shown > 0], [1, 99.5]) if (shown > 0).any() else (0, 1)
    others = lesions[1 : 1 + _MOST] if through is None else []
    rows = -(-len(others) // _ROW)
    figure = Figure(figsize=(3 * _SIDE, _SIDE * (1 + rows / 2)), facecolor="black")
    grid = figure.add_gridspec(1 + rows, _ROW, height_ratios=[2] + [1] * rows, wspace=0, hspace=0)

    def draw(axes: Axes, axis: int, place: int, own: np.ndarray, name: str) -> None:
        height, width = (size for other, size in enumerate(spacing) if other != axis)
        origin: Literal["lower", "upper"] = "lower" if axis else "upper"
        box = tuple(place if other == axis else span for other, span in enumerate(head))
        axes.imshow(shown[box], cmap="gray", vmin=low, vmax=high, aspect=height / width, origin=origin)
        for outline, colour in ((outlined[box] & ~own[box], "white"), (own[box], OUTLINE)):
            if outline.any() and not outline.all():
                axes.contour(outline, levels=[0.5], colors=[colour], linewidths=0.8)
        axes.text(0.02, 0.5, _LEFT[axis], transform=axes.transAxes, color="white", fontsize=7, va="center")
        axes.text(0.02, 0.98, name, transform=axes.transAxes, color="white", fontsize=6, va="top")
        axes.axis("off")

    first, name = lesions[0] if lesions else (outlined, "")
    if through is not None:
        first, name = upright(through), ""
    middle = _middle(first) if first.any() else np.array(shown.shape) // 2
    for axis in range(3):
        axes = figure.add_subplot(grid[0, 2 * axis : 2 * axis + 2])
        draw(axes, axis, middle[axis], first, name if axis == 0 else "")
    for number, (lesion, name) in enumerate(others):
        axes = figure.add_subplot(grid[1 + number // _ROW, number % _ROW])
        draw(axes, 0, _middle(lesion)[0], lesion, name)
    figure.subplots_adjust(0, 0, 1, 1)
    save_png(figure, path, dpi=90)


def _middle(mask: np.ndarray) -> np.ndarray:
    """The median voxel of a mask, (3,)."""
    box = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = np.array([places[0] for places in box])
    inside = mask[tuple(slice(places[0], places[-1] + 1) for places in box)]
    return low + np.median(np.argwhere(inside), axis=0).astype(int)
