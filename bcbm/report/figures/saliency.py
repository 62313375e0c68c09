"""A crop, and over it where a network looks."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bcbm.report.figures.saving import save_png


def saliency_figure(image: np.ndarray, mask: np.ndarray, maps: Mapping[str, np.ndarray], path: Path) -> None:
    """Write a PNG: the slice through the middle of the crop with the lesion's outline, then each map over it.

    Args:
        image: (D, H, W), any scale.
        mask: of the lesion, (D, H, W).
        maps: by title, (D, H, W); red speaks for a positive target, blue against it.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    middle = image.shape[0] // 2
    figure = Figure(figsize=(2.2 * (1 + len(maps)), 2.5), layout="constrained")
    panels = figure.subplots(1, 1 + len(maps))
    for axes, (title, values) in zip(panels, {"crop": None, **maps}.items(), strict=True):
        axes.imshow(image[middle], cmap="gray")
        if values is not None:
            reach = float(np.abs(values).max()) or 1.0
            shown = axes.imshow(values[middle], cmap="RdBu_r", vmin=-reach, vmax=reach, alpha=0.55)
            figure.colorbar(shown, ax=axes, shrink=0.7, ticks=[-reach, 0, reach], format="%.1g")
        if mask[middle].any():
            axes.contour(mask[middle], [0.5], colors="#ffd54a", linewidths=0.9)
        axes.set_title(title, fontsize=9)
        axes.set_axis_off()
    save_png(figure, path, dpi=110)
