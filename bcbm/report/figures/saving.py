"""Pictures on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.system.files import writing_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as an SVG, the same bytes for the same figure, whole or not at all."""
    with writing_whole(path) as file:
        figure.savefig(file, format="svg", metadata={"Date": None})


def save_png(figure: Figure, path: Path, dpi: int = 150) -> None:
    """Write a figure as a PNG, whole or not at all; its folder is made."""
    with writing_whole(path) as file:
        figure.savefig(file, dpi=dpi, format="png")
