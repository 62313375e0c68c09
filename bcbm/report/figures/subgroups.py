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

    from bcbm.statistics.results import Results

LINE, PANEL = 0.21, 2.3  # inches of a level and of a target's panel


def forest_figure(results: Results, path: Path) -> None:
    """Write the AUROC of every level of every subgroup with its interval, a panel a target.

    Args:
        results: of the run, with its `subgroups`.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    tests, targets = results["subgroups"], list(results["receptors"])
    labels = [
        (test["subgroup"], level["level"])
        for test in tests
        if test["target"] == targets[0]
        for level in test["levels"]
    ]
    first = [number for number, (name, _) in enumerate(labels) if number and labels[number - 1][0] != name]
    height = 0.85 + LINE * len(labels) + (0.4 if results["leaky"] else 0)
    figure = Figure(figsize=(1.9 + PANEL * len(targets), height), layout="constrained")
    grid = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(grid, targets, strict=True):
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
        _tidy(axes, target)
    grid[0].set_yticks(range(len(labels)), [level for _, level in labels], fontsize=8)
    figure.supxlabel("patient AUROC [95 % interval]; pale line: of all patients", fontsize=8.5)
    if results["leaky"]:
        stamp(figure, results["split"]["unit"], 60)
    save_png(figure, path, dpi=120)


def influence_figure(changes: pd.DataFrame, results: Results, path: Path) -> None:
    """Write how far the AUROC moves without each patient, over the number of the patient's lesions.

    Args:
        changes: of all targets, a row a target and patient; columns target, lesions, patient and lesion, the
            changes of the patient and of the lesion AUROC.
        results: of the run, for its targets and its LEAKY mark.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    targets = list(results["receptors"])
    height = 2.5 + (0.4 if results["leaky"] else 0)
    figure = Figure(figsize=(1.1 + PANEL * 1.15 * len(targets), height), layout="constrained")
    grid = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    for axes, target in zip(grid, targets, strict=True):
        rows = changes[changes["target"] == target]
        axes.axhline(0, color=CHANCE, linewidth=0.8, linestyle=":")
        axes.plot(rows["lesions"], rows["lesion"], "o", color=LESION, markersize=4, label="lesion AUROC")
        axes.plot(rows["lesions"], rows["patient"], "o", color=PATIENT, markersize=3, label="patient AUROC")
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
        _tidy(axes, target)
    grid[0].set_ylabel("change without the patient", fontsize=8.5)
    grid[0].legend(frameon=False, fontsize=8, handletextpad=0.1)
    figure.supxlabel("lesions of the patient", fontsize=8.5)
    if results["leaky"]:
        stamp(figure, results["split"]["unit"], 60)
    save_png(figure, path, dpi=120)


def _tidy(axes: Axes, target: str) -> None:
    axes.set_title(target, loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8, color=CHANCE)
