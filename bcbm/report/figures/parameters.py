"""Figures of what a search has varied: which parameters count, and what their values give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.report.figures.palette import BEST, CHANCE, LESION, OKABE_ITO, PATIENT
from bcbm.report.figures.saving import save_png
from bcbm.report.figures.search import DEFAULT, panels, quiet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 0.16  # of an axis: how far a trial speaks for its surroundings in the map
BELOW = -0.12  # of an axis: where a trial without a value passes it
LEAST = 0.35  # trials' worth of weight below which the map stays blank


def importance_figure(importances: pd.DataFrame, path: Path) -> None:
    """Write a PNG, a line a parameter, the most important above: a dot a study.

    Args:
        importances: columns study, parameter and share, of the importance of all of a study's parameters, low
            and high, the ends of the final study's spread.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    order = ranked(importances)
    figure = Figure(figsize=(10, 1.3 + 0.36 * len(order)), layout="constrained")
    axes = figure.subplots()
    line = importances["parameter"].map({name: place for place, name in enumerate(order)})
    folds = importances["study"] != "final"
    means = importances.groupby("parameter")["share"].mean()[order]
    axes.barh(range(len(order)), means, height=0.62, color=LESION, alpha=0.35, label="mean of the studies")
    if folds.any():
        axes.plot(
            importances.loc[folds, "share"], line[folds], "o", color=PATIENT, alpha=0.55, label="a fold"
        )
    if not folds.all():
        final = importances[~folds]
        spread = [final["share"] - final["low"], final["high"] - final["share"]]
        style: dict[str, Any] = {
            "fmt": "D",
            "color": BEST,
            "elinewidth": 1.4,
            "label": "final, and its spread",
        }
        axes.errorbar(final["share"], line[~folds], xerr=np.clip(spread, 0, None), **style)
    _save_shares(figure, axes, order, path)


def compared_importances_figure(importances: pd.DataFrame, path: Path) -> None:
    """Write a PNG, a line a parameter, a mark a search: its final study, or the mean of its folds.

    Args:
        importances: as of `importance_figure`, with the search in the column sweep.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    finals = importances[importances["study"] == "final"]
    others = importances[~importances["sweep"].isin(finals["sweep"])]
    shown = pd.concat([finals, others]).groupby(["sweep", "parameter"], sort=False)
    shares = shown[["share", "low", "high"]].mean().reset_index()
    order = list(shares.groupby("parameter")["share"].mean().sort_values(ascending=False).index)
    sweeps = list(importances["sweep"].unique())
    height = 0.7 / len(sweeps)
    figure = Figure(figsize=(10, 1.3 + (0.2 + 0.18 * len(sweeps)) * len(order)), layout="constrained")
    axes = figure.subplots()
    for place, (sweep, color) in enumerate(zip(sweeps, cycle(OKABE_ITO))):
        rows = shares[shares["sweep"] == sweep]
        lines = rows["parameter"].map(order.index) + (place - (len(sweeps) - 1) / 2) * height
        spread = [rows["share"] - rows["low"], rows["high"] - rows["share"]]
        axes.errorbar(rows["share"], lines, xerr=np.clip(spread, 0, None), fmt="D", color=color, label=sweep)
    _save_shares(figure, axes, order, path)


def _save_shares(figure: Figure, axes: Axes, order: Sequence[str], path: Path) -> None:
    """Write a figure of importances whose lines are these parameters, from above."""
    axes.set_yticks(range(len(order)), order)
    axes.set_ylim(len(order) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("share of importance (PED-ANOVA)", fontsize=9)
    quiet(axes)
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8.5)
    save_png(figure, path)


def coordinates_figure(
    trials: pd.DataFrame, objective: str, space: Mapping[str, Any], names: list[str], path: Path
) -> None:
    """Write a PNG of parallel coordinates: a line a finished trial across its values, coloured by its own.

    A parameter that does not count in a trial is passed below its axis, where it says so. Arguments as of
    `slice_figure`.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    finished = trials[trials["state"] == "complete"].sort_values(objective, ascending=False)
    values = finished[objective].to_numpy(float)
    places = {name: _shares_of_axis(Scale(space[name]), finished[name]) for name in names}
    colors = ScalarMappable(Normalize(values.min(), max(values.max(), values.min() + 1e-9)), "viridis")
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    axes = figure.subplots()
    lines = np.column_stack(list(places.values()))  # (trials, parameters)
    for line, color in zip(lines[::-1], colors.to_rgba(values[::-1]), strict=True):
        axes.plot(range(len(names)), line, color=color, alpha=0.7, linewidth=1.2)
    behind = {"facecolor": "white", "alpha": 0.75, "linewidth": 0, "pad": 0.8}  # words lie over lines
    style: dict[str, Any] = {"fontsize": 7.5, "va": "center", "bbox": behind}
    for place, name in enumerate(names):
        axes.axvline(place, color=CHANCE, linewidth=0.8)
        scale = Scale(space[name])
        for at, word in zip(*scale.marks(), strict=True):
            height = at / max(len(scale.choices) - 1, 1) if scale.choices else at
            axes.annotate(word, (place, height), (3, 0), "data", "offset points", **style)
        if finished[name].isna().any():
            axes.annotate("not used", (place, BELOW), (3, 0), "data", "offset points", **style)
    axes.set_xticks(range(len(names)), names, rotation=15, ha="right", fontsize=8.5)
    axes.set_yticks([])
    axes.set_xlim(-0.1, len(names) - 0.6)
    axes.spines[:].set_visible(False)
    figure.colorbar(colors, ax=axes, label=objective, shrink=0.85)
    save_png(figure, path)


def _shares_of_axis(scale: Scale, values: pd.Series) -> npt.NDArray:
    """Where values lie on an axis from 0 to 1; below it where there is none."""
    places = np.full(len(values), BELOW)
    known = values.notna().to_numpy()
    places[known] = scale.places(values[known]) / max(len(scale.choices) - 1, 1)
    return places


def ranked(importances: pd.DataFrame) -> list[str]:
    """Parameters, the most important in the mean of the studies first: one study alone errs widely."""
    shares = importances.groupby("parameter")["share"].mean()
    return [str(name) for name in shares.sort_values(ascending=False, kind="stable").index]


def slice_figure(
    trials: pd.DataFrame, objective: str, space: Mapping[str, Any], names: list[str], path: Path
) -> None:
    """Write a PNG, a panel a parameter: the objective of every finished trial over its value.

    Args:
        trials: one row a trial, a column a parameter.
        objective: the one drawn.
        space: the sweep file's words of each parameter.
        names: the parameters, in order.
        path: the file to write.
    """
    finished = trials[trials["state"] == "complete"]
    final = finished["study"] == "final"
    kinds: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
        "a fold": (finished[~final], {"marker": "o", "color": LESION, "s": 14, "alpha": 0.7}),
        "final": (finished[final], {"marker": "o", "color": PATIENT, "s": 20, "alpha": 0.8}),
        "the experiment as it is": (
            finished[finished["default"]],
            {"marker": "D", "color": DEFAULT, "s": 26},
        ),
    }
    with panels(names, path, "", objective) as grid:
        for name, axes in grid.items():
            scale = Scale(space[name])
            for label, (rows, style) in kinds.items():
                rows = rows[rows[name].notna()]
                if len(rows):
                    x = scale.spread(scale.places(rows[name]))
                    axes.scatter(x, rows[objective], label=label, linewidths=0, **style)
            scale.label(axes, "x")


def map_figure(
    trials: pd.DataFrame, objective: str, space: Mapping[str, Any], pair: tuple[str, str], path: Path
) -> None:
    """Write a PNG: the objective over two parameters, as finished trials near by have it.

    The surface is a mean of trials weighted by their distance, within a choice of a categorical parameter
    only; where no trial is near it is blank. Arguments as of `slice_figure`.
    """
    from matplotlib.figure import Figure

    finished = trials[(trials["state"] == "complete") & trials[list(pair)].notna().all(axis=1)]
    values = finished[objective].to_numpy(float)
    scales = [Scale(space[name]) for name in pair]
    points = [scale.places(finished[name]) for scale, name in zip(scales, pair, strict=True)]
    lines = [scale.line() for scale in scales]
    near_x, near_y = (scale.near(line, at) for scale, line, at in zip(scales, lines, points, strict=True))
    weights = near_y[:, None, :] * near_x[None, :, :]  # (Y, X, trials)
    total = weights.sum(axis=2)
    surface = np.divide(weights @ values, total, out=np.full(total.shape, np.nan), where=total > LEAST)
    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.subplots()
    colors: dict[str, Any] = {
        "cmap": "YlGnBu",
        "vmin": values.min(),
        "vmax": max(values.max(), values.min() + 1e-9),
    }
    axes.pcolormesh(*lines, surface, shading="nearest", alpha=0.75, **colors)
    x, y = (scale.spread(at) for scale, at in zip(scales, points, strict=True))
    dots = axes.scatter(x, y, c=values, s=34, edgecolor="white", linewidth=0.9, **colors)
    figure.colorbar(dots, ax=axes, label=objective, shrink=0.85)
    for scale, name, side in zip(scales, pair, "xy", strict=True):
        scale.label(axes, side)
        axes.set(**{f"{side}label": name})
        getattr(axes, f"{side}axis").label.set_fontsize(9)
    quiet(axes)
    axes.grid(False)
    save_png(figure, path)


class Scale:
    """Where the values of a parameter lie on an axis: 0 to 1, or 0, 1, 2, ... for choices.

    Args:
        words: of the sweep file, such as `{"float": [0.001, 0.1], "log": True}`.
    """

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.choices = [str(choice) for choice in words.get("categorical", [])]
        if not self.choices:
            self.log = bool(words.get("log"))
            ends = np.array(words.get("float") or words["int"], dtype=float)
            self.low, self.high = np.log(ends) if self.log else ends
            step = words.get("step") or ("int" in words and not self.log)
            count = round((self.high - self.low) / step) if step else 4
            stride = next(n for n in range(1, count + 2) if n * 5 > count) if step else 1
            self.ticks = np.arange(0, count + 1, stride) / max(count, 1)

    def places(self, values: pd.Series) -> npt.NDArray:
        """Of values."""
        if self.choices:
            return values.map(lambda value: self.choices.index(str(value))).to_numpy(float)
        numbers = values.to_numpy(float)
        return ((np.log(numbers) if self.log else numbers) - self.low) / max(self.high - self.low, 1e-12)

    def spread(self, places: npt.NDArray) -> npt.NDArray:
        """The same, with trials of one value moved beside each other."""
        width = 0.16 if self.choices else 0.012
        return places + np.random.default_rng(0).uniform(-width, width, len(places))

    def line(self) -> npt.NDArray:
        """Places to draw a surface at."""
        return np.arange(len(self.choices)).astype(float) if self.choices else np.linspace(0, 1, 80)

    def near(self, line: npt.NDArray, places: npt.NDArray) -> npt.NDArray:
        """How near every trial (T,) is to every place of a line (L,): (L, T)."""
        away = np.abs(line[:, None] - places[None, :])
        return (away == 0).astype(float) if self.choices else np.exp(-((away / REACH) ** 2) / 2)

    def marks(self) -> tuple[list[float], list[str]]:
        """Places on the axis, and the value at each in words."""
        if self.choices:
            return [float(place) for place in range(len(self.choices))], self.choices
        at = self.low + self.ticks * (self.high - self.low)
        return list(self.ticks), [f"{value:.3g}" for value in (np.exp(at) if self.log else at)]

    def label(self, axes: Axes, side: str) -> None:
        """Write values beside an axis."""
        ticks, words = self.marks()
        margin = 0.5 if self.choices else 0.04
        axes.set(**{f"{side}lim": (-margin, (len(self.choices) - 1 if self.choices else 1) + margin)})
        axes.set(**{f"{side}ticks": ticks, f"{side}ticklabels": words})
        crowded = side == "x" and sum(map(len, words)) > 34
        if crowded:
            axes.tick_params(axis="x", labelrotation=30)
