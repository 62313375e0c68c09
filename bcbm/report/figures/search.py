"""Figures of a search's course: values, training curves, the Pareto front and when what ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bcbm.report.figures.palette import ALARM, BEST, CHANCE, DEFAULT, FOLD, LESION, OKABE_ITO, PATIENT
from bcbm.report.figures.saving import save_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STATES = {"complete": (PATIENT, "finished"), "pruned": (CHANCE, "pruned"), "fail": (ALARM, "failed")}
IDLE = 60.0  # seconds without a trial that are left out of the timeline


def history_figure(trials: pd.DataFrame, objective: str, smaller: bool, path: Path) -> None:
    """Write a PNG, a panel a study: the value of every trial, and the best so far.

    Args:
        trials: one row a trial: study, trial, state, default, feasible, last_value and the objectives.
        objective: the one drawn; `smaller` says whether less of it is better.
        path: the file to write.
    """
    from matplotlib.ticker import MaxNLocator

    studies = list(trials["study"].unique())
    with panels(studies, path, "trial", objective) as grid:
        for study, axes in grid.items():
            rows = trials[trials["study"] == study]
            pruned, finished = (rows[rows["state"] == state] for state in ("pruned", "complete"))
            marks: dict[str, Any] = {"color": CHANCE, "markersize": 5, "label": "pruned, at its last value"}
            if len(pruned):
                axes.plot(pruned["trial"], pruned["last_value"], "x", **marks)
            axes.plot(
                finished["trial"],
                finished[objective],
                "o",
                color=PATIENT,
                alpha=0.7,
                ms=4.5,
                label="finished",
            )
            broken, feasible = (finished[finished["feasible"] == flag] for flag in (False, True))
            hollow: dict[str, Any] = {"color": "white", "markersize": 2.5, "label": "breaks a constraint"}
            if len(broken):
                axes.plot(broken["trial"], broken[objective], "o", **hollow)
            best = feasible[objective].cummin() if smaller else feasible[objective].cummax()
            axes.step(
                feasible["trial"],
                best,
                where="post",
                color=BEST,
                linewidth=1.8,
                label="best so far",
                zorder=1,
            )
            default = finished[finished["default"]]
            axes.plot(
                default["trial"], default[objective], "D", color=DEFAULT, label="the experiment as it is"
            )
            failed = rows.loc[rows["state"] == "fail", "trial"]
            for trial in failed:
                axes.axvline(trial, color=ALARM, linewidth=0.8, alpha=0.5, label="failed")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def compared_history_figure(trials: pd.DataFrame, objective: str, smaller: bool, path: Path) -> None:
    """Write a PNG, a panel a study: the best value so far of several searches over their trials.

    Args:
        trials: one row a trial: sweep, study, trial, state, feasible and the objective.
        objective: the one drawn; `smaller` says whether less of it is better.
        path: the file to write.
    """
    colors = dict(zip(trials["sweep"].unique(), cycle(OKABE_ITO)))
    with panels(list(trials["study"].unique()), path, "trials, pruned ones counted", objective) as grid:
        for (study, sweep), rows in trials.groupby(["study", "sweep"], sort=False):
            counted = rows[rows["state"].isin(["complete", "pruned"])].sort_values("trial")
            values = counted[objective].where(counted["feasible"])
            best = (values.cummin() if smaller else values.cummax()).ffill()
            style: dict[str, Any] = {"color": colors[sweep], "linewidth": 1.8, "label": sweep}
            grid[str(study)].step(range(1, len(best) + 1), best, where="post", **style)


def steps_figure(steps: pd.DataFrame, objective: str, path: Path) -> None:
    """Write a PNG, a panel a study: what every trial reported while it trained.

    Args:
        steps: columns study, trial, state, step and value.
        objective: what was reported.
        path: the file to write.
    """
    with panels(list(steps["study"].unique()), path, "epoch, inner folds in a row", objective) as grid:
        for study, axes in grid.items():
            for (_, state), rows in steps[steps["study"] == study].groupby(["trial", "state"]):
                color, label = STATES.get(str(state), (LESION, "running"))
                ends = rows.iloc[-1:]
                over = state == "complete"
                axes.plot(rows["step"], rows["value"], color=color, linewidth=1, alpha=0.6, zorder=2 + over)
                marks: dict[str, Any] = {"color": color, "markersize": 4, "label": label, "zorder": 2 + over}
                axes.plot(ends["step"], ends["value"], "o" if over else "x", **marks)


def front_figure(
    trials: pd.DataFrame, objectives: list[str], front: dict[str, list[int]], path: Path
) -> None:
    """Write a PNG, a panel a study and further objective, of that against the first.

    Args:
        trials: one row a trial.
        objectives: at least two.
        front: trials of each study that no other beats in every objective, the one taken first.
        path: the file to write.
    """
    names = {f"{study}, {other}": (study, other) for study in front for other in objectives[1:]}
    with panels(list(names), path, "", objectives[0]) as grid:
        for name, axes in grid.items():
            study, other = names[name]
            rows = trials[(trials["study"] == study) & (trials["state"] == "complete")].set_index("trial")
            best = rows.loc[front[study]].sort_values(other)
            axes.plot(rows[other], rows[objectives[0]], "o", color=FOLD, markersize=5, label="finished")
            axes.plot(
                best[other], best[objectives[0]], "o-", color=PATIENT, linewidth=1.2, label="Pareto front"
            )
            default, chosen = rows[rows["default"]], rows.loc[front[study][:1]]
            axes.plot(
                default[other], default[objectives[0]], "D", color=DEFAULT, label="the experiment as it is"
            )
            circle: dict[str, Any] = {"markersize": 12, "markerfacecolor": "none", "markeredgewidth": 1.6}
            axes.plot(chosen[other], chosen[objectives[0]], "o", color=BEST, label="taken", **circle)
            axes.set_xlabel(other, fontsize=9)


def timeline_figure(trials: pd.DataFrame, path: Path) -> None:
    """Write a PNG: a bar a trial from start to end, studies below each other, time without any left out."""
    from matplotlib.figure import Figure

    ran = trials[trials["started"].notna() & trials["ended"].notna()].sort_values("started")
    start, end = busy_minutes(ran["started"], ran["ended"])
    lane = pd.Series(0, ran.index)
    places, total = {}, 0
    for study in trials["study"].unique():
        rows = ran.index[ran["study"] == study]
        lane[rows] = total + lanes(start[rows], end[rows])
        height = int(lane[rows].max()) - total + 1 if len(rows) else 1
        places[study] = total + (height - 1) / 2
        total += height
    figure = Figure(figsize=(10, 1.4 + 0.34 * total), layout="constrained")
    axes = figure.subplots()
    for state, (color, label) in STATES.items():
        bars = ran.index[ran["state"] == state]
        style: dict[str, Any] = {"height": 0.72, "color": color, "edgecolor": "white", "linewidth": 0.5}
        if len(bars):
            axes.barh(lane[bars], end[bars] - start[bars], left=start[bars], label=label, **style)
    axes.set_yticks(list(places.values()), list(places))
    axes.set_ylim(total - 0.4, -0.6)
    axes.set_xlabel("minutes, those without a trial left out", fontsize=9)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=9, left=False)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8.5)
    save_png(figure, path)


def busy_minutes(started: pd.Series, ended: pd.Series) -> tuple[pd.Series, pd.Series]:
    """Starts, in order, and ends, in minutes of a clock that stands still while nothing runs."""
    latest = ended.cummax().shift().fillna(started)
    idle = (started - latest).dt.total_seconds()
    skipped = idle.where(idle > IDLE, 0.0).cumsum()
    start = (started - started.min()).dt.total_seconds() - skipped
    return start / 60, (start + (ended - started).dt.total_seconds()) / 60


def lanes(start: pd.Series, end: pd.Series) -> np.ndarray:
    """The lowest lane that is free for each of some intervals, given in order of their starts."""
    free: list[float] = []
    assigned = []
    for begins, ends in zip(start, end, strict=True):
        lane = next((lane for lane, since in enumerate(free) if since <= begins), len(free))
        free[lane : lane + 1] = [ends]
        assigned.append(lane)
    return np.array(assigned, dtype=int)


@contextmanager
def panels(names: list[str], path: Path, xlabel: str, ylabel: str) -> Iterator[dict[str, Axes]]:
    """Panels of one size under their names, three a row, one legend for all; written once they are drawn."""
    from matplotlib.figure import Figure

    columns = min(3, len(names))
    lines = -(-len(names) // columns)
    width = 10.0 if columns > 1 else 7.0
    figure = Figure(figsize=(width, 0.7 + 2.7 * lines), layout="constrained")
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes in grid[len(names) :]:
        axes.remove()
    for name, axes in zip(names, grid, strict=False):
        axes.set_title(name, loc="left", fontsize=10.5, fontweight="bold")
        quiet(axes)
        axes.set_xlabel(xlabel, fontsize=9)
    for axes in grid[: len(names) : columns]:
        axes.set_ylabel(ylabel, fontsize=9)
    yield dict(zip(names, grid, strict=False))
    legend: dict[str, Any] = {}
    for axes in grid[: len(names)]:
        handles, labels = axes.get_legend_handles_labels()
        legend |= dict(zip(labels, handles, strict=True))
    figure.legend(
        legend.values(), legend.keys(), loc="outside upper right", ncols=5, frameon=False, fontsize=8.5
    )
    save_png(figure, path)


def quiet(axes: Axes) -> None:
    """Thin axes with a pale grid."""
    axes.grid(color="#eceff3")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5, color=CHANCE)
