"""Figures of a run, a panel a target, drawn without a display; a leaky run's carry its mark."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bcbm.report.figures.palette import BEST, CHANCE, FOLD, LESION, PATIENT, stamp
from bcbm.report.figures.points import (
    BAND,
    calibration_points,
    decision_points,
    precision_points,
    primary_status,
    roc_points,
    write_points,
)
from bcbm.report.figures.saving import save_png
from bcbm.report.words import figure as in_words
from bcbm.report.words import interval, with_spread
from bcbm.statistics.curves import precision_recall_curve, roc_curve, roc_curves
from bcbm.statistics.metrics import labelled, patient_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bcbm.statistics.results import Results

PANEL, LEFT, BOTTOM, TOP, GAP = 3.6, 0.6, 1.45, 0.75, 0.3  # inches; room for the legends at the bottom


def roc_figure(predictions: pd.DataFrame, results: Results, path: Path) -> None:
    """Write a PNG, one panel a target: out-of-fold ROC curves of patients, of each fold, and of lesions.

    The curve of patients, and of lesions, is the vertical mean of the folds' with both classes, so that its
    area is the reported AUROC. That of patients lies in its simultaneous band, see `roc_band`; the points of
    both are written as CSV beside the PNG.

    Args:
        predictions: the prediction table.
        results: what `summarise` made of it; undefined figures are NaN.
        path: the file to write.
    """
    from matplotlib.collections import LineCollection

    all_patients = patient_level(predictions, by_fold=True)
    with _panels(results, path, "sensitivity") as (panels, points):
        for target, axes in panels.items():
            rows, block = _target_rows(predictions, target), results["receptors"][target]
            axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=0.9, linestyle=":")
            patients = _target_rows(all_patients, target)
            curves = [np.column_stack(curve) for curve in roc_curves(patients, "fold")]
            axes.add_collection(LineCollection(curves, colors=FOLD, linewidths=0.8))
            axes.plot([], [], color=FOLD, linewidth=0.8, label=f"folds  {with_spread(block['folds'])}")
            label = f"lesions  {interval(block['lesion'])}, not independent"
            axes.plot(*roc_curve(labelled(rows), "fold"), **_dashed(LESION), label=label)
            points[target] = band = roc_points(patients)
            x, low, high = (band[name] for name in ("1 - specificity", "low", "high"))
            axes.fill_between(x, low, high, color=PATIENT, alpha=0.1, linewidth=0, label=BAND)
            label = f"patients  {interval(block['patient'])}"
            axes.plot(*roc_curve(patients, "fold"), color=PATIENT, linewidth=2.4, label=label)
            _legend(axes, "1 - specificity", "AUROC [95 % interval]")


def precision_recall_figure(predictions: pd.DataFrame, results: Results, path: Path) -> None:
    """Write the precision-recall curves of patients and of lesions; arguments as of `roc_figure`."""
    all_patients = patient_level(predictions)
    with _panels(results, path, "precision") as (panels, points):
        for target, axes in panels.items():
            rows, block = _target_rows(predictions, target), results["receptors"][target]
            patient = block["patient"]
            prevalence = patient["positives"] / max(1, patient["positives"] + patient["negatives"])
            label = f"share of positive patients  {prevalence:.2f}"
            axes.axhline(prevalence, color=CHANCE, linewidth=0.9, linestyle=":", label=label)
            label = f"lesions  {interval(block['lesion'], 'auprc')}, not independent"
            axes.plot(*precision_recall_curve(labelled(rows)), **_dashed(LESION), label=label)
            label = f"patients  {interval(patient, 'auprc')}"
            points[target] = curve = precision_points(_target_rows(all_patients, target))
            axes.plot(curve["recall"], curve["precision"], color=PATIENT, linewidth=2.4, label=label)
            _legend(axes, "recall", "average precision [95 % interval]")


def reliability_figure(predictions: pd.DataFrame, results: Results, path: Path) -> None:
    """Write observed against predicted shares of positives, patients of the first repeat; numbers below."""
    all_patients = patient_level(predictions)
    with _panels(results, path, "observed share of positives") as (panels, points):
        for target, axes in panels.items():
            patients = _target_rows(all_patients, target)
            patients = patients[patients["repeat"] == patients["repeat"].min()]  # independent rows
            axes.plot([0, 1], [0, 1], color=CHANCE, linewidth=0.9, linestyle=":")
            counts, edges = np.histogram(patients["probability"], bins=20, range=(0, 1))
            heights = 0.2 * counts / max(1, counts.max())
            label = f"patients (highest bar: {counts.max()})"
            axes.bar(edges[:-1], heights, 0.05, align="edge", color=FOLD, edgecolor="white", label=label)
            points[target] = bins = calibration_points(patients)
            fit = results["receptors"][target]["patient"]["calibration"]
            words = f"slope {in_words(fit['slope'])}, intercept {in_words(fit['intercept'])}"
            axes.vlines(bins["predicted"], bins["low"], bins["high"], color=PATIENT, alpha=0.45)
            axes.plot(bins["predicted"], bins["observed"], "o-", color=PATIENT, linewidth=1.6, label=words)
            if means := results["receptors"][target]["patient"].get("probabilities"):
                label = f"prevalence model: {in_words(means['prevalence'])} for all"
                axes.plot(
                    means["prevalence"], means["observed"], "D", color=LESION, markersize=6, label=label
                )
            _legend(axes, "predicted probability", "calibration of patients (ideal: slope 1, intercept 0)")


def decision_figure(predictions: pd.DataFrame, results: Results, path: Path) -> None:
    """Write the decision curve of patients: net benefit of the model, of treating all and of treating none.

    Where predictions have a column `primary` (status of the primary tumour, NaN: not known), that of going by
    it is shown too; a patient of unknown primary is then not treated.

    Net benefit counts true positives minus false positives at the threshold's odds, a patient (Vickers and
    Elkin, Medical Decision Making 26:565, 2006); over thresholds around the share of positives, with the
    pointwise interval of the bootstrap of patients.
    """
    all_patients = patient_level(predictions)
    with _panels(results, path, "net benefit", square=False) as (panels, points):
        top = 0.05
        for target, axes in panels.items():
            rows, patients = _target_rows(predictions, target), _target_rows(all_patients, target)
            status = primary_status(rows)
            points[target] = curve = decision_points(
                patients.assign(primary=patients["patient_id"].map(status))
            )
            thresholds = curve["threshold"].to_numpy()
            if len(thresholds):
                low, high = curve["low"], curve["high"]
                label = "95 % interval, models as fitted"
                axes.fill_between(thresholds, low, high, color=PATIENT, alpha=0.15, linewidth=0, label=label)
                axes.plot(thresholds, curve["none"], color=CHANCE, linewidth=1.2, label="treat none")
                axes.plot(thresholds, curve["all"], **_dashed(LESION), label="treat all")
                if "as the primary" in curve:
                    count = int(patients.drop_duplicates("patient_id")["patient_id"].isin(status.index).sum())
                    label = f"as the primary ({count} known)"
                    axes.plot(thresholds, curve["as the primary"], color=BEST, linewidth=1.6, label=label)
                axes.plot(thresholds, curve["model"], color=PATIENT, linewidth=2.4, label="model")
                top = max(top, float(curve["all"].max()), float(high.max()))
                axes.set(xlim=(thresholds[0], thresholds[-1]), xticks=thresholds[5::17])
                axes.xaxis.set_major_formatter("{x:.2f}")
            else:
                axes.plot([], [], " ", label="one class: no threshold is worth a look")
            _legend(axes, "threshold probability", "policy", ncols=2)
        for axes in panels.values():
            axes.set(ylim=(-0.25 * top, 1.08 * top))


def spread_figure(predictions: pd.DataFrame, results: Results, path: Path) -> None:
    """Write the AUROC of every fold as a dot, a repeat a column, with mean and standard deviation."""
    repeat_of = predictions.groupby("fold")["repeat"].first().sort_index()
    repeats = sorted(repeat_of.unique())
    with _panels(results, path, "patient AUROC of a fold", square=False) as (panels, _):
        for target, axes in panels.items():
            folds = results["receptors"][target]["folds"]
            aurocs = np.array(folds["auroc"], dtype=float)
            axes.axhline(0.5, color=CHANCE, linewidth=0.9, linestyle=":", label="chance")
            if not np.isnan(folds["mean"]):
                spread = np.nan_to_num(folds["std"])
                low, high = folds["mean"] - spread, min(1, folds["mean"] + spread)
                axes.axhspan(low, high, color=LESION, alpha=0.25, linewidth=0)
                label = f"mean of folds ± std  {with_spread(folds)}"
                axes.axhline(folds["mean"], color=PATIENT, linewidth=1.6, label=label)
            places = []
            for column, repeat in enumerate(repeats):
                count = int((repeat_of == repeat).sum())
                places.append(column + (np.linspace(-0.18, 0.18, count) if count > 1 else np.zeros(1)))
            ordered = np.argsort(repeat_of.to_numpy(), kind="stable")
            axes.plot(np.concatenate(places), aurocs[ordered], "o", color=PATIENT, alpha=0.75, markersize=6)
            if folds["undefined"]:
                axes.plot([], [], " ", label=f"{folds['undefined']} of {len(aurocs)} folds: one class")
            _legend(axes, "repeat of the cross-validation", "folds share patients: no interval")
            axes.set(xlim=(-0.6, len(repeats) - 0.4), xticks=range(len(repeats)), ylim=(-0.02, 1.02))
            axes.set_xticklabels([str(repeat + 1) for repeat in repeats])


@contextmanager
def _panels(
    results: Results, path: Path, ylabel: str, square: bool = True
) -> Iterator[tuple[dict[str, Axes], dict[str, pd.DataFrame]]]:
    """A panel a target with its counts; written to `path`, with the LEAKY mark, once they are drawn.

    The second takes the points by target, for the CSV beside it.
    """
    from matplotlib.figure import Figure

    targets = results["receptors"]
    width = LEFT + len(targets) * (PANEL + GAP) + (0 if square else 0.15)
    top = TOP if results["leaky"] else TOP / 2
    height = BOTTOM + PANEL + top
    figure = Figure(figsize=(width, height))
    grid = figure.subplots(1, len(targets), sharey=True, squeeze=False)[0]
    left = LEFT + (0 if square else 0.15)
    figure.subplots_adjust(left / width, BOTTOM / height, 1 - GAP / width, 1 - top / height, GAP / PANEL)
    for axes, (target, block) in zip(grid, targets.items(), strict=True):
        axes.set_title(target, loc="left", fontsize=13, fontweight="bold")
        patient = block["patient"]
        counts = f"{patient['positives']} positive, {patient['negatives']} negative patients"
        axes.set_title(counts, loc="right", fontsize=8.5, color="#555555")
        axes.set(xlim=(-0.02, 1.02), xticks=np.linspace(0, 1, 6))
        if square:
            axes.set(ylim=(-0.02, 1.02), yticks=np.linspace(0, 1, 6), aspect="equal")
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8.5, color=CHANCE)
    grid[0].set_ylabel(ylabel)
    points: dict[str, pd.DataFrame] = {}
    yield dict(zip(targets, grid, strict=True)), points
    if points:
        write_points(points, path.with_suffix(".csv"))
    if results["leaky"]:
        stamp(figure, results["split"]["unit"], 45 * len(targets), (BOTTOM + PANEL / 2) / height)
    save_png(figure, path)


def _target_rows(table: pd.DataFrame, target: str) -> pd.DataFrame:
    return table[table["target"] == target]


def _dashed(color: str) -> dict[str, Any]:
    return {"color": color, "linewidth": 1.4, "linestyle": (0, (4, 2))}


def _legend(axes: Axes, xlabel: str, title: str, ncols: int = 1) -> None:
    """Name the axis and put the legend under the panel, where no curve can run into it."""
    axes.set_xlabel(xlabel)
    axes.legend(
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        frameon=False,
        fontsize=8.5,
        reverse=True,
        title=title,
        title_fontsize=8.5,
        ncols=ncols,
    )
