"""ROC curves of a prediction table, drawn without a display."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bcbm.evaluation.metrics import Floats, labelled, patient_level
from bcbm.evaluation.summary import with_interval, with_spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PATIENT, LESION, FOLD, CHANCE, ALARM = "#1f4e79", "#7fb2d9", "#b8bec6", "#8a8f96", "#c8102e"
PANEL, LEFT, BOTTOM, TOP, GAP = 3.6, 0.6, 1.45, 0.75, 0.3  # inches; room for the legends at the bottom


def roc_figure(predictions: pd.DataFrame, results: dict[str, Any], path: Path) -> None:
    """Write a PNG, one panel a receptor: out-of-fold ROC curves of patients, of each fold, and of lesions.

    Where there are repeats, a curve is the vertical mean of theirs, so that its area is the reported AUROC.

    Args:
        predictions: the prediction table.
        results: what `summarise` made of it.
        path: the file to write.
    """
    from matplotlib.figure import Figure

    receptors = results["receptors"]
    width = LEFT + len(receptors) * (PANEL + GAP)
    height = BOTTOM + PANEL + TOP
    figure = Figure(figsize=(width, height))
    panels = figure.subplots(1, len(receptors), sharey=True, squeeze=False)[0]
    figure.subplots_adjust(LEFT / width, BOTTOM / height, 1 - GAP / width, 1 - TOP / height, GAP / PANEL)
    for axes, (receptor, block) in zip(panels, receptors.items(), strict=True):
        _panel(axes, predictions[predictions["receptor"] == receptor], block)
        axes.set_title(receptor, loc="left", fontsize=13, fontweight="bold")
        patient = block["patient"]
        counts = f"{patient['positives']} positive, {patient['negatives']} negative patients"
        axes.set_title(counts, loc="right", fontsize=8.5, color="#555555")
    panels[0].set_ylabel("sensitivity")
    if results["leaky"]:
        figure.suptitle(f"LEAKY: split by {results['split']['unit']}", color=ALARM, fontweight="bold")
        size = 45 * len(receptors)
        stamp = figure.text(
            0.5,
            (BOTTOM + PANEL / 2) / height,
            "LEAKY",
            color=ALARM,
            alpha=0.2,
            fontsize=size,
            fontweight="bold",
        )
        stamp.set(ha="center", va="center", rotation=10)
    figure.savefig(path, dpi=150, format="png")


def _panel(axes: Axes, rows: pd.DataFrame, block: dict[str, Any]) -> None:
    """Draw the curves of one receptor; the legend stands under the panel, where no curve can run into it."""
    axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=0.9, linestyle=":")
    for _, fold in rows.groupby("fold"):
        axes.plot(*_curve(patient_level(fold)), color=FOLD, linewidth=0.8)
    axes.plot([], [], color=FOLD, linewidth=0.8, label=f"folds  {with_spread(block['folds'])}")
    label = f"lesions  {with_interval(block['lesion'])}, not independent"
    axes.plot(*_curve(labelled(rows)), color=LESION, linewidth=1.4, linestyle=(0, (4, 2)), label=label)
    label = f"patients  {with_interval(block['patient'])}"
    axes.plot(*_curve(patient_level(rows)), color=PATIENT, linewidth=2.4, label=label)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xlabel="1 - specificity")
    axes.set(xticks=np.linspace(0, 1, 6), yticks=np.linspace(0, 1, 6))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5, color=CHANCE)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        frameon=False,
        fontsize=8.5,
        reverse=True,
        title="AUROC [95 % interval]",
        title_fontsize=8.5,
    )


def _curve(rows: pd.DataFrame) -> tuple[Floats, Floats]:
    """1 - specificity and sensitivity, the vertical mean over repeats; empty for one class."""
    if rows["label"].nunique() < 2:
        return np.empty(0), np.empty(0)
    repeats = rows.groupby("repeat")
    curves = [_roc(of["label"].to_numpy(), of["probability"].to_numpy()) for _, of in repeats]
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    foot = np.mean([np.interp(-grid, -x[::-1], y[::-1]) for x, y in curves], axis=0)
    head = np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)
    return np.repeat(grid, 2), np.stack([foot, head], axis=1).ravel()


def _roc(labels: Floats, scores: Floats) -> tuple[Floats, Floats]:
    """Corners of one empirical ROC curve from (0, 0) to (1, 1); tied scores make one slanted step."""
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    positives = np.append(0, np.cumsum(labels[order])[last_of_tie])
    negatives = np.append(0, np.cumsum(1 - labels[order])[last_of_tie])
    return negatives / negatives[-1], positives / positives[-1]
