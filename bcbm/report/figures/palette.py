"""Colours of all figures, and the mark of a leaky run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PATIENT, LESION, FOLD, CHANCE, ALARM = "#1f4e79", "#7fb2d9", "#b8bec6", "#8a8f96", "#c8102e"
BEST = "#2f9e5f"
DEFAULT = "#e0861a"


def stamp(figure: Figure, unit: str, size: float, middle: float = 0.5) -> None:
    """Write LEAKY over a figure, and by what was split above it."""
    figure.suptitle(f"LEAKY: split by {unit}", color=ALARM, fontweight="bold")
    mark = figure.text(0.5, middle, "LEAKY", color=ALARM, alpha=0.2, fontsize=size, fontweight="bold")
    mark.set(ha="center", va="center", rotation=10)
