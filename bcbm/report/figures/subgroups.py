"""Subgroups of patients, and single patients: how far the AUROC holds without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from bcbm.report.figures.palette import CHANCE, LESION, PATIENT, stamp
from bcbm.report.figures.saving import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bcbm.statistics.results import Results

LINE, PANEL, GAP = 0.21, 2.4, 0.3  # inches of a level, of a target's panel and between two


def forest_figure(results: Results, path: Path) -> None:
    """Write the AUROC of every level of every subgroup with its interval, a panel a target.

    Args:
        results: of the run, with its `subgroups`.
        path: the PNG to write.
    """
    tests, targets = results["subgroups"], list(results["receptors"])
    labels = [
        (test["subgroup"], level["level"])
        for test in tests
        if test["target"] == targets[0]
        for level in test["levels"]
    ]
    first = [number for number, (name, _) in enumerate(labels) if number and labels[number - 1][0] != name]
    figure, panels = _panels(results, LINE * len(labels), left=1.45)
    for target, axes in panels.items():
        levels = [level for test in tests if test["target"] == target for level in test["levels"]]
        areas, low, high = (
            np.array([level[name] for level in levels]) for name in ("auroc", "auroc_low", "auroc_high")
        )
        place = np.arange(len(levels))
        axes.axvline(results["receptors"][target]["patient"]["auroc"], color=LESION, linewidth=1.2)
        axes.hlines(place, low, high, color=PATIENT, linewidth=1.4)
        axes.plot(areas, place, "o", color=PATIENT, markersize=4.5)
        axes.hlines(np.array(first) - 0.5, 0, 1, color="#e6e9ee", linewidth=0.8)
        axes.set(xlim=(0, 1), ylim=(len(levels) - 0.4, -0.6), xticks=[0, 0.25, 0.5, 0.75, 1])
        axes.set_xlabel("patient AUROC [95 % interval]", fontsize=8.5)
    panels[targets[0]].set_yticks(range(len(labels)), [level for _, level in labels], fontsize=8)
    save_png(figure, path, dpi=120)


def influence_figure(changes: pd.DataFrame, results: Results, path: Path) -> None:
    """Write how far the AUROC moves without each patient, over the number of the patient's lesions.

    Args:
        changes: of all targets, a row a target and patient; columns target, lesions, patient and lesion, the
            changes of the patient and of the lesion AUROC.
        results: of the run, for its targets and its LEAKY mark.
        path: the PNG to write.
    """
    figure, panels = _panels(results, 2.0, left=0.75)
    for target, axes in panels.items():
        rows = changes[changes["target"] == target]
        axes.axhline(0, color=CHANCE, linewidth=0.8, linestyle=":")
        axes.plot(rows["lesions"], rows["lesion"], "o", color=LESION, markersize=4, label="lesion AUROC")
        axes.plot(rows["lesions"], rows["patient"], "o", color=PATIENT, markersize=3, label="patient AUROC")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
        axes.set_xlabel("lesions of the patient", fontsize=8.5)
    first = next(iter(panels.values()))
    first.set_ylabel("change without the patient", fontsize=8.5)
    first.legend(frameon=False, fontsize=8, handletextpad=0.1)
    save_png(figure, path, dpi=120)


def _panels(results: Results, height: float, left: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with a panel a target, `height` inches high, and the LEAKY mark of a leaky run."""
    from matplotlib.figure import Figure

    targets = list(results["receptors"])
    bottom, top = 0.5, 0.7 if results["leaky"] else 0.35
    width, total = left + len(targets) * (PANEL + GAP), bottom + height + top
    figure = Figure(figsize=(width, total))
    grid = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(left / width, bottom / total, 1 - GAP / width, 1 - top / total, GAP / PANEL)
    for axes, target in zip(grid, targets, strict=True):
        axes.set_title(target, loc="left", fontsize=11, fontweight="bold")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8, color=CHANCE)
    if results["leaky"]:
        stamp(figure, results["split"]["unit"], 60)
    return figure, dict(zip(targets, grid, strict=True))
