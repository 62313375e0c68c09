"""Colours of all figures, and the mark of a leaky run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PATIENT, LESION, FOLD, CHANCE, ALARM = "#1f4e79", "#7fb2d9", "#b8bec6", "#8a8f96", "#c8102e"
BEST = "#2f9e5f"
# Blue, vermilion, bluish green, reddish purple, orange, sky blue and black: told apart with any colour
# vision (Okabe and Ito, Color Universal Design, 2008).
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
DEFAULT = "#e0861a"


def stamp(figure: Figure, unit: str, size: float, middle: float = 0.5) -> None:
    """Write LEAKY over a figure, and by what was split above it."""
    figure.suptitle(f"LEAKY: split by {unit}", color=ALARM, fontweight="bold")
    mark = figure.text(0.5, middle, "LEAKY", color=ALARM, alpha=0.2, fontsize=size, fontweight="bold")
    mark.set(ha="center", va="center", rotation=10)
