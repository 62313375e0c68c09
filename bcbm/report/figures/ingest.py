"""What a study looks like that was made from a scanner's files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from matplotlib.figure import Figure

from bcbm.report.figures.cohort import OUTLINE
from bcbm.report.figures.saving import save_png

_SIDE = 2.2  # inches of a plane


def study_figure(image: sitk.Image, masks: Sequence[np.ndarray], path: Path) -> None:
    """Write the three planes through the middle of the largest mask, or of the image, masks outlined.

    Args:
        image: any orientation.
        masks: booleans (z, y, x) on its grid.
        path: the PNG to write.
    """
    drawn = np.zeros(image.GetSize()[::-1], np.uint8)
    for mask in masks:
        drawn |= mask.astype(np.uint8)
    largest = max(masks, key=np.sum).astype(np.uint8) if masks else drawn
    volumes = []
    for values in (None, drawn, largest):
        part = image if values is None else sitk.GetImageFromArray(values)
        part.CopyInformation(image) if values is not None else None
        volumes.append(sitk.GetArrayFromImage(sitk.DICOMOrient(part, "LPS")))
    shown, outlined, target = volumes
    spacing = sitk.DICOMOrient(image, "LPS").GetSpacing()[::-1]
    places = np.argwhere(target)
    middle = np.median(places, axis=0).astype(int) if len(places) else np.array(shown.shape) // 2
    low, high = np.percentile(shown[shown > 0], [1, 99.5]) if (shown > 0).any() else (0, 1)
    figure = Figure(figsize=(3 * _SIDE, _SIDE), facecolor="black")
    for number, axes in enumerate(figure.subplots(1, 3)):
        plane = np.take(shown, middle[number], axis=number)
        outline = np.take(outlined, middle[number], axis=number)
        rows, columns = (size for axis, size in enumerate(spacing) if axis != number)
        origin = "upper" if number == 0 else "lower"
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, aspect=rows / columns, origin=origin)
        if outline.any() and not outline.all():
            axes.contour(outline, levels=[0.5], colors=[OUTLINE], linewidths=0.8)
        axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1, 0, 0)
    save_png(figure, path, dpi=90)
