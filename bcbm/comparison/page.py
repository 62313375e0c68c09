"""A comparison as a picture and as a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bcbm.comparison.differences import Row
from bcbm.report.figures.palette import ALARM, BEST, CHANCE, PATIENT
from bcbm.report.figures.saving import save_png
from bcbm.report.pages.leak_panel import leak_panel
from bcbm.report.pages.page import embedded, write_html
from bcbm.report.words import ACROSS, ACROSS_WORDS
from bcbm.statistics import beside_auroc
from bcbm.statistics.results import Comparison

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SURE = 0.05  # false discovery rate of the marked differences


def comparison_figure(comparison: Comparison, path: Path) -> None:
    """Write a PNG, experiments down and targets across: patient AUROC with its interval.

    The reference is a diamond with a line through all; LEAKY experiments are red.
    """
    from matplotlib.figure import Figure

    columns = [*comparison["receptors"], *(["mean"] if len(comparison["receptors"]) > 1 else [])]
    rows = comparison["rows"]
    names = [row["label"] + (" LEAKY" if row["leaky"] else "") for row in rows]
    size = 1.6 + 0.085 * max(map(len, names)) + 2.5 * len(columns), 1.5 + 0.42 * len(rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(columns), sharey=True, sharex=True, squeeze=False)[0]
    for axes, column in zip(panels, columns, strict=True):
        axes.set_title(column, loc="left", fontsize=12, fontweight="bold")
        _column(axes, comparison, column)
    panels[0].set_yticks(range(len(rows)), names)
    for tick, row in zip(panels[0].get_yticklabels(), rows, strict=True):
        tick.set_color(ALARM if row["leaky"] else "black")
        tick.set_fontweight("bold" if row["label"] == comparison["reference"] else "normal")
    panels[0].set_ylim(len(rows) - 0.5, -0.5)
    figure.supxlabel("patient AUROC of out-of-fold predictions, 95 % interval", fontsize=9.5)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=4, frameon=False, fontsize=8.5)
    if comparison["across"]:
        figure.suptitle("ACROSS COHORTS", x=0.01, ha="left", color=ALARM, fontweight="bold")
    save_png(figure, path)


def write_comparison(
    comparison: Comparison,
    rows: Sequence[Row],
    name: str,
    folder: Path,
    root: Path,
    left_out: Sequence[dict[str, str]] = (),
) -> Path:
    """Write `comparison.png` and `report.html` into a folder; returns the page.

    Args:
        comparison: of `compare_runs`.
        rows: the same experiments.
        name: of the comparison.
        folder: to write into.
        root: folder of all runs, see `place`.
        left_out: name and reason of each experiment that could not be run on this cohort.
    """
    folder.mkdir(parents=True, exist_ok=True)
    picture, page = folder / "comparison.png", folder / "report.html"
    comparison_figure(comparison, picture)
    write_html(
        "comparison.html.j2",
        page,
        name=name,
        comparison=comparison,
        beside=beside_auroc("patient"),
        picture=embedded(folder, picture.name),
        leaks={row.label: leak_panel(row.run) for row in rows},
        links={row.label: _link(row.run.folder, folder, root) for row in rows},
        left_out=left_out,
        sure=SURE,
        across=ACROSS if comparison["across"] else "",
        across_words=ACROSS_WORDS,
    )
    return page


def portable(comparison: Comparison, folder: Path, root: Path) -> Comparison:
    """The same, as it is written into a folder that may be passed on: with the place of each run."""
    rows = comparison["rows"]
    return {
        **comparison,
        "rows": [{**row, "folder": place(Path(row["folder"]), folder, root)} for row in rows],
    }


def place(run: Path, folder: Path, root: Path) -> str:
    """Where a run lies, seen from a folder; of one outside the folder of all runs its name alone."""
    run, folder, root = (path.resolve() for path in (run, folder, root))
    return os.path.relpath(run, folder) if run.is_relative_to(root) else run.name


def _column(axes: Axes, comparison: Comparison, column: str) -> None:
    """The dots of one target, or of the mean; an experiment without it stays empty."""
    axes.axvline(0.5, color=CHANCE, linewidth=1, linestyle=":", label="chance")
    best = [row["best"][column] for row in comparison["rows"] if column in row["best"]]
    label = "best possible" if any(row["best"] for row in comparison["rows"]) else None
    if best:
        axes.axvline(max(best), color=BEST, linewidth=1.2, linestyle=(0, (4, 2)), label=label)
    for line, row in enumerate(comparison["rows"]):
        block = row["mean"] if column == "mean" else row["receptors"].get(column)
        if block is None or np.isnan(block["auroc"]):
            continue
        reference = row["label"] == comparison["reference"]
        color = ALARM if row["leaky"] else PATIENT
        axes.hlines(line, block["auroc_low"], block["auroc_high"], color=color, linewidth=2, alpha=0.55)
        marker = "D" if reference else "o"
        label = f"reference: {row['label']}" if reference else None
        axes.plot(block["auroc"], line, marker, color=color, markersize=7, linestyle="", label=label)
        if reference:
            axes.axvline(block["auroc"], color=color, linewidth=0.9, alpha=0.5)
    axes.grid(axis="x", color="#eceff3")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=9, left=False)


def _link(run: Path, folder: Path, root: Path) -> dict[str, str | None]:
    """The place of a run, and its own report where there is one that the page can lead to."""
    name = place(run, folder, root)
    there = (folder / name / "report.html").is_file()
    return {"folder": name, "report": f"{name}/report.html" if there else None}
