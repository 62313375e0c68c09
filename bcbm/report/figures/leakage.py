"""What each way of splitting gives to random and to real labels, in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bcbm.cohort.targets import colors
from bcbm.report.figures.palette import ALARM, CHANCE, FOLD
from bcbm.report.figures.saving import save_png
from bcbm.statistics.leakage import RANDOM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEVELS = {"lesion": "counted over lesions", "patient": "counted over patients"}


def leakage_figure(content: dict[str, Any], path: Path) -> None:
    """Write a PNG: AUROC by what the split keeps whole, of random labels (all draws) and of each target, and
    the learning curve of each target.

    Args:
        content: what leakcheck.json holds; of it `aurocs`, `learning`, `entering` and `verdict`.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6), layout="constrained")
    *panels, curve = figure.subplots(1, 3, width_ratios=[1, 1, 0.7])
    panels[1].sharex(panels[0])
    panels[1].sharey(panels[0])
    for axes, (level, title) in zip(panels, LEVELS.items(), strict=True):
        _panel(axes, content["aurocs"], level)
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    panels[0].set_ylabel("what the split keeps whole")
    panels[1].tick_params(labelleft=False)
    _learning(curve, content["learning"])
    counts = f"{content['entering']['lesions']:,} lesions of {content['entering']['patients']:,} patients"
    figure.suptitle(
        f"{content['verdict'].split(':')[0]}   {counts}",
        x=0.01,
        ha="left",
        color=ALARM if content["leak"] else CHANCE,
        fontweight="bold",
    )
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False, fontsize=9
    )
    save_png(figure, path)


def _panel(axes: Axes, aurocs: dict[str, Any], level: str) -> None:
    """One line of dots a label and split unit; a bar is one standard deviation to each side."""
    axes.axvline(0.5, color=CHANCE, linewidth=0.9, linestyle=":", label="chance")
    names = list(next(iter(aurocs.values())))
    color_of = {RANDOM: ALARM} | colors(name for name in names if name != RANDOM)
    offsets = np.linspace(-0.27, 0.27, len(names))
    for place, labels in enumerate(aurocs.values()):
        for offset, (name, levels) in zip(offsets, labels.items(), strict=True):
            summary, y = levels[level], place + offset
            color = color_of[name]
            axes.scatter(
                summary["values"], np.full(summary["draws"], y), s=9, color=FOLD, linewidths=0, zorder=2
            )
            label = ("labels at random" if name == RANDOM else name) if place == 0 else None
            bar = axes.errorbar(summary["mean"], y, xerr=summary["spread"], fmt="o", color=color, zorder=3)
            bar.set_label(label)
            if np.isfinite(summary["mean"]):
                right = max(summary["mean"] + summary["spread"], *summary["values"])
                text = axes.annotate(f"{summary['mean']:.2f}", (right, y), (5, 0), textcoords="offset points")
                text.set(va="center", fontsize=8, color=color)
    axes.set_yticks(range(len(aurocs)), [*aurocs])
    axes.set(ylim=(len(aurocs) - 0.5, -0.5), xlim=(min(0.3, axes.get_xlim()[0]), 1.05), xlabel="AUROC")
    axes.set_xticks(np.linspace(0.3, 1, 8))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, color=CHANCE)


def _learning(axes: Axes, learning: dict[str, dict[str, Any]]) -> None:
    """A line a target: patient-level AUROC over the share of the training patients."""
    axes.axhline(0.5, color=CHANCE, linewidth=0.9, linestyle=":")
    color_of = colors(learning)
    for target, levels in learning.items():
        shares = [100 * float(share) for share in levels]
        means, spreads = ([level[name] for level in levels.values()] for name in ("mean", "spread"))
        axes.errorbar(shares, means, yerr=spreads, fmt="o-", markersize=4, color=color_of[target])
    axes.set(xlabel="training patients, %", ylabel="AUROC", xticks=[20, 40, 60, 80, 100])
    axes.set_title("learning curve", loc="left", fontsize=11, fontweight="bold")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9, color=CHANCE)
