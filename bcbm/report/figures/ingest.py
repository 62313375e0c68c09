"""What a study looks like that was made from a scanner's files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bcbm.report.figures.cohort import OUTLINE
from bcbm.report.figures.saving import save_png

_SIDE = 2.2  # inches of a plane
_ROW, _MOST = 6, 12  # further lesions in a row, and at most
_LEFT = ("R", "R", "A")  # what is on the left of an axial, a coronal and a sagittal plane


def study_figure(
    image: sitk.Image, masks: Sequence[np.ndarray], path: Path, through: np.ndarray | None = None
) -> None:
    """Write the three planes through the largest mask, or the image's middle, then axial ones through others.

    All masks are outlined. The patient's right is on the left.

    Args:
        image: any orientation.
        masks: booleans (z, y, x) on its grid.
        path: the PNG to write.
        through: the mask that the planes go through, and no others; None: as said above.
    """
    turn = sitk.DICOMOrientImageFilter()
    turn.SetDesiredCoordinateOrientation("LPS")
    oriented = turn.Execute(image)
    shown, spacing = sitk.GetArrayViewFromImage(oriented), oriented.GetSpacing()[::-1]
    order = [2 - axis for axis in turn.GetPermuteOrder()[::-1]]
    flipped = tuple(axis for axis, flips in enumerate(turn.GetFlipAxes()[::-1]) if flips)

    def upright(mask: np.ndarray) -> np.ndarray:
        return np.flip(mask.transpose(order), flipped)  # no copy of a volume

    lesions = sorted(map(upright, masks), key=np.count_nonzero, reverse=True)
    outlined = np.zeros(shown.shape, bool)
    for lesion in lesions:
        outlined |= lesion
    low, high = np.percentile(shown[shown > 0], [1, 99.5]) if (shown > 0).any() else (0, 1)
    others = lesions[1 : 1 + _MOST] if through is None else []
    rows = -(-len(others) // _ROW)
    figure = Figure(figsize=(3 * _SIDE, _SIDE * (1 + rows / 2)), facecolor="black")
    grid = figure.add_gridspec(1 + rows, _ROW, height_ratios=[2] + [1] * rows, wspace=0, hspace=0)

    def draw(axes: Axes, axis: int, place: int) -> None:
        height, width = (size for other, size in enumerate(spacing) if other != axis)
        origin: Literal["lower", "upper"] = "lower" if axis else "upper"
        plane, outline = (np.take(values, place, axis=axis) for values in (shown, outlined))
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=height / width, origin=origin)
        if outline.any() and not outline.all():
            axes.contour(outline, levels=[0.5], colors=[OUTLINE], linewidths=0.8)
        axes.text(0.02, 0.5, _LEFT[axis], transform=axes.transAxes, color="white", fontsize=7, va="center")
        axes.axis("off")

    if through is not None:
        middle = _middle(upright(through))
    else:
        middle = _middle(lesions[0]) if lesions else np.array(shown.shape) // 2
    for axis in range(3):
        draw(figure.add_subplot(grid[0, 2 * axis : 2 * axis + 2]), axis, middle[axis])
    for number, lesion in enumerate(others):
        draw(figure.add_subplot(grid[1 + number // _ROW, number % _ROW]), 0, _middle(lesion)[0])
    figure.subplots_adjust(0, 0, 1, 1)
    save_png(figure, path, dpi=90)


def _middle(mask: np.ndarray) -> np.ndarray:
    """The median voxel of a mask, (3,)."""
    box = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    low = np.array([places[0] for places in box])
    inside = mask[tuple(slice(places[0], places[-1] + 1) for places in box)]
    return low + np.median(np.argwhere(inside), axis=0).astype(int)
