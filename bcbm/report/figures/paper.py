"""A run's figures at journals' sizes, as PNG and SVG, with the data of each as CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from bcbm.report.figures.cohort import draw_flow
from bcbm.report.figures.palette import CHANCE, OKABE_ITO, stamp
from bcbm.report.figures.points import (
    BAND,
    calibration_points,
    decision_points,
    precision_points,
    primary_status,
    roc_points,
    with_primary,
    write_points,
)
from bcbm.report.figures.saving import save_png, save_svg
from bcbm.report.words import interval, number
from bcbm.statistics.metrics import patient_level
from bcbm.system.files import write_whole
from bcbm.system.spreadsheet import spreadsheet_csv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bcbm.runs.finished import FinishedRun
    from bcbm.statistics.results import PatientBlock

WIDTHS = (84, 174)  # mm, one column and two
INCH = 25.4  # mm
FOLDER = "paper"  # in `figures/` of a run
ROW = 3  # panels of a row of two columns
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (5, 1.5, 1, 1.5)), (0, (1, 1)))
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 8,
    **dict.fromkeys(("axes.titlesize", "axes.labelsize"), 8),
    **dict.fromkeys(("xtick.labelsize", "ytick.labelsize", "legend.fontsize"), 7),
    "axes.linewidth": 0.6,
    **dict.fromkeys(("xtick.major.width", "ytick.major.width"), 0.6),
    "legend.frameon": False,
    "svg.fonttype": "none",  # words stay words, to be searched and set in the journal's letters
    "svg.hashsalt": "bcbm",
}


@dataclass(frozen=True)
class Curves:
    """A figure, a curve a target.

    Attributes:
        data: of labelled patients of one target, its points, a row each, the first two columns x and y.
        draw: draws the points of a target, under its name and in its line.
        axes: what the axes say.
        together: whether one panel can hold all targets; else each has its own.
        square: whether both axes go from 0 to 1 and a diagonal is drawn.
        by_fold: whether patients are those of each fold.
        band: what a band around the curves holds, for the legend.
    """

    data: Callable[[pd.DataFrame], pd.DataFrame]
    draw: Callable[[Axes, pd.DataFrame, dict[str, Any], str, PatientBlock], None]
    axes: tuple[str, str]
    together: bool = True
    square: bool = True
    by_fold: bool = False
    band: str = ""


def write_paper_figures(run: FinishedRun, steps: list[dict[str, Any]], statuses: list[list[str]]) -> None:
    """Write `figures/paper/<name>-<width>mm.{png,svg}` and `<name>.csv` of every figure of a run.

    Args:
        run: whose they are.
        steps: of `draw_flow`, and `statuses` alike.
    """
    from matplotlib import rc_context

    folder = run.folder / "figures" / FOLDER
    predictions = with_primary(run.predictions, run.lesions)
    levels = {by_fold: patient_level(predictions, by_fold=by_fold) for by_fold in (False, True)}
    status = {target: primary_status(rows) for target, rows in predictions.groupby("target")}
    with rc_context(STYLE):
        for name, curves in FIGURES.items():
            parts = {}
            for target, rows in levels[curves.by_fold].groupby("target"):
                rows = rows.assign(primary=rows["patient_id"].map(status[target]))
                parts[str(target)] = curves.data(rows)
            parts = {target: parts[target] for target in run.results["receptors"] if target in parts}
            write_points(parts, folder / f"{name}.csv")
            for width in WIDTHS:
                _write(_drawn(curves, parts, run, width), folder / f"{name}-{width}mm", run)
        write_whole(folder / "flow.csv", spreadsheet_csv(pd.DataFrame(steps)))
        for width in WIDTHS:
            _write(draw_flow(steps, statuses, width / INCH, 8), folder / f"flow-{width}mm", run)


def _draw_roc(axes: Axes, points: pd.DataFrame, line: dict[str, Any], name: str, block: PatientBlock) -> None:
    x, y, low, high = (points[column] for column in points)
    axes.fill_between(x, low, high, color=line["color"], alpha=0.13, linewidth=0)
    axes.plot(x, y, **line, label=f"{name} {interval(block)}")


def _draw_precision(
    axes: Axes, points: pd.DataFrame, line: dict[str, Any], name: str, block: PatientBlock
) -> None:
    axes.plot(points["recall"], points["precision"], **line, label=f"{name} {interval(block, 'auprc')}")
    for share in points["share of positives"].head(1):
        axes.axhline(share, color=line["color"], linewidth=0.6, linestyle=":")


def _draw_calibration(
    axes: Axes, points: pd.DataFrame, line: dict[str, Any], name: str, block: PatientBlock
) -> None:
    axes.vlines(points["predicted"], points["low"], points["high"], color=line["color"], linewidth=0.6)
    label = f"{name} slope {number(block['calibration']['slope'])}"
    axes.plot(points["predicted"], points["observed"], **line, marker="o", markersize=2.5, label=label)


def _draw_decision(
    axes: Axes, points: pd.DataFrame, line: dict[str, Any], name: str, block: PatientBlock
) -> None:
    if points.empty:
        return
    x = points["threshold"]
    axes.fill_between(x, points["low"], points["high"], color=line["color"], alpha=0.13, linewidth=0)
    axes.plot(x, points["model"], **line, label="model, 95 % band")
    axes.plot(x, points["all"], color=CHANCE, linewidth=0.8, linestyle=DASHES[1], label="treat all")
    axes.plot(x, points["none"], color="black", linewidth=0.8, linestyle=DASHES[3], label="treat none")
    if "as the primary" in points:
        axes.plot(x, points["as the primary"], color=OKABE_ITO[-3], linewidth=1, label="as the primary")
    top = max(points["high"].max(), points["all"].max(), 0.05)
    axes.set(ylim=(-0.25 * top, 1.08 * top), xlim=(x.iloc[0], x.iloc[-1]))


FIGURES = {
    "roc": Curves(roc_points, _draw_roc, ("1 - specificity", "sensitivity"), by_fold=True, band=BAND),
    "precision_recall": Curves(precision_points, _draw_precision, ("recall", "precision"), square=False),
    "calibration": Curves(calibration_points, _draw_calibration, ("predicted probability", "observed share")),
    "decision": Curves(
        decision_points,
        _draw_decision,
        ("threshold probability", "net benefit"),
        together=False,
        square=False,
    ),
}


def _drawn(curves: Curves, parts: dict[str, pd.DataFrame], run: FinishedRun, width: int) -> Figure:
    """A figure of so many mm: of one column a panel for all targets or one below the other; else rows."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    panels = 1 if curves.together and width == WIDTHS[0] else len(parts)
    columns = 1 if width == WIDTHS[0] else min(panels, ROW)
    rows = -(-panels // columns)
    height = width / columns * (1 if curves.together or columns > 1 else 0.6)
    entries = len(parts) if panels == 1 else not curves.together
    legend = 4 * entries + 8 * bool(curves.band)  # mm
    figure = Figure(figsize=(width / INCH, (rows * height + legend) / INCH), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for place, (target, points) in enumerate(parts.items()):
        axes, block = grid[place if panels > 1 else 0], run.results["receptors"][target]["patient"]
        color = OKABE_ITO[place % len(OKABE_ITO) if curves.together else 0]
        style = DASHES[place % len(DASHES)] if panels == 1 else DASHES[0]
        curves.draw(axes, points, {"color": color, "linewidth": 1.2, "linestyle": style}, target, block)
        if panels > 1:
            title = axes.get_lines()[0].get_label() if curves.together else target
            axes.set_title(title, loc="left")
    for axes in grid[:panels]:
        if curves.square:
            axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=0.6, linestyle=":", zorder=0)
        if curves.together:
            axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        axes.set(xlabel=curves.axes[0], ylabel=curves.axes[1])
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[panels:]:
        axes.axis("off")
    if legend:
        lines, labels = grid[0].get_legend_handles_labels() if entries else ([], [])
        if curves.band:
            lines, labels = [*lines, Patch(color=CHANCE, alpha=0.3, linewidth=0)], [*labels, curves.band]
        columns = 1 if panels == 1 else len(lines)
        figure.legend(lines, labels, loc="outside lower center", ncols=columns, handlelength=2.4)
    return figure


def _write(figure: Figure, path: Path, run: FinishedRun) -> None:
    """A figure as PNG and SVG, with its mark where the run is LEAKY."""
    if run.results["leaky"]:
        stamp(figure, run.results["split"]["unit"], 40)
    save_png(figure, path.with_suffix(".png"), dpi=300)
    save_svg(figure, path.with_suffix(".svg"))
