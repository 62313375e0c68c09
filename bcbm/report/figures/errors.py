"""Where a model errs: by size and place of a lesion, and its most confident answers, right and wrong."""

from __future__ import annotations

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from bcbm.cohort.targets import colors
from bcbm.report.figures.palette import CHANCE, stamp
from bcbm.report.figures.saving import save_png
from bcbm.statistics.metrics import brier, labelled
from bcbm.system.words import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bcbm.statistics.results import Results

FEWEST = 5  # lesions below which a group's score is noise and not drawn


def with_lesions(predictions: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Labelled predictions, the mean over repeats, with place and volume of their lesion."""
    rows = labelled(predictions)
    means = rows.groupby(["lesion_id", "patient_id", "target"], as_index=False, sort=False)
    columns = ["lesion_id", "volume", "category", "hemisphere", "region"]
    table = means.agg(probability=("probability", "mean"), label=("label", "first"))
    return table.merge(lesions[columns], on="lesion_id", how="left", validate="many_to_one")


def by_volume(rows: pd.DataFrame) -> pd.DataFrame:
    """Brier score by quartile of volume; see `_scores`."""
    volumes = rows.drop_duplicates("lesion_id")["volume"].dropna()
    edges = np.unique(np.quantile(volumes, [0, 0.25, 0.5, 0.75, 1])) if len(volumes) else np.empty(0)
    if len(edges) < 2:
        return _scores(rows, pd.Series("volume unknown", rows.index), ["volume unknown"])
    names = [f"{low:,.0f} to {high:,.0f} mm³" for low, high in pairwise(edges)]
    quartile = np.clip(np.searchsorted(edges, rows["volume"], side="left") - 1, 0, len(names) - 1)
    group = pd.Series(np.array(names, dtype=object)[quartile], rows.index)
    group[rows["volume"].isna()] = "volume unknown"
    return _scores(rows, group, [*names, "volume unknown"])


def by_region(rows: pd.DataFrame) -> pd.DataFrame:
    """Brier score by region, the one with most lesions first; see `_scores`."""
    order = rows.drop_duplicates("lesion_id")["region"].value_counts().index
    return _scores(rows, rows["region"], [name for name in order if name != "unknown"] + ["unknown"])


def most_confident(rows: pd.DataFrame, patients: dict[str, str], count: int = 3) -> list[dict[str, Any]]:
    """The lesions a target is surest of and right, then surest of and wrong; one a patient.

    Args:
        rows: of `with_lesions`.
        patients: pseudonyms by patient id.
        count: of each kind and target.
    """
    examples = []
    for target, lesions in rows.groupby("target", sort=False):
        sure = lesions.assign(right=(lesions["probability"] >= 0.5) == (lesions["label"] == 1))
        sure["sureness"] = (sure["probability"] - 0.5).abs()
        sure = sure.sort_values(["sureness", "lesion_id"], ascending=[False, True])
        sure = sure.drop_duplicates(["right", "patient_id"])
        for right in (True, False):
            for row in sure[sure["right"] == right].head(count).to_dict("records"):
                example = {str(key): value for key, value in row.items()}
                examples.append({**example, "target": target, "patient": patients[row["patient_id"]]})
    return examples


def pseudonyms(patient_ids: pd.Series, salt: str) -> dict[str, str]:
    """P1, P2, ... for patients, in the order of a hash of their ids and the cohort's content."""
    distinct = {str(patient) for patient in patient_ids}
    order = sorted(distinct, key=lambda patient: hashlib.sha256(f"{salt} {patient}".encode()).hexdigest())
    return {patient: f"P{number}" for number, patient in enumerate(order, 1)}


def errors_figure(rows: pd.DataFrame, results: Results, path: Path) -> None:
    """Write the Brier score of lesions by volume and by region, with counts.

    Args:
        rows: of `with_lesions`.
        results: of the run, for its targets and its LEAKY mark.
        path: the PNG to write.
    """
    from matplotlib.figure import Figure

    tables = {"by volume, quartiles": by_volume(rows), "by region": by_region(rows)}
    longest = max(table["group"].nunique() for table in tables.values())
    height = 2.1 + 0.42 * longest
    figure = Figure(figsize=(11.4, height), layout="constrained")
    grid = figure.subplots(1, 2, sharex=True)
    for axes, (title, table) in zip(grid, tables.items(), strict=True):
        _dots(axes, table, list(results["receptors"]))
        axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        axes.set_xlabel("Brier score of lesions (smaller is better; not independent)")
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if results["leaky"]:
        stamp(figure, results["split"]["unit"], 90)
    save_png(figure, path, dpi=130)


def _scores(rows: pd.DataFrame, group: pd.Series, order: list[str]) -> pd.DataFrame:
    """Columns group, target, lesions, patients, brier, and constant: that of the share of positives."""
    records = []
    for name in order:
        inside = rows[group == name]
        for target, lesions in inside.groupby("target", sort=False):
            share = float(lesions["label"].mean())
            score = brier(lesions["label"], lesions["probability"])
            owners = lesions["patient_id"].nunique()
            records.append((name, target, len(lesions), owners, score, share * (1 - share)))
    columns = ["group", "target", "lesions", "patients", "brier", "constant"]
    return pd.DataFrame(records, columns=columns)


def _dots(axes: Axes, table: pd.DataFrame, targets: list[str]) -> None:
    """A line a group, a dot a target; an open ring is what the group's share of positives would score."""
    groups, color_of = list(table["group"].unique()), colors(targets)
    for number, target in enumerate(targets):
        rows = table[(table["target"] == target) & (table["lesions"] >= FEWEST)]
        place = rows["group"].map(groups.index).astype(float) + 0.22 * (number - (len(targets) - 1) / 2)
        color = color_of[target]
        axes.plot(rows["constant"], place, "o", markerfacecolor="none", color=color, alpha=0.5, markersize=6)
        axes.plot(rows["brier"], place, "o", color=color, label=target, markersize=6.5)
    label = "the group's share of positives, always"
    axes.plot([], [], "o", markerfacecolor="none", color=CHANCE, label=label)
    counts = table.groupby("group", sort=False)[["lesions", "patients"]].max()
    labels = [
        f"{group}\n{counted(int(lesions), 'lesion')}, {counted(int(patients), 'patient')}"
        for group, lesions, patients in counts.itertuples()
    ]
    axes.set_yticks(range(len(groups)), labels, fontsize=8.5)
    axes.set(ylim=(len(groups) - 0.4, -0.6))
    axes.grid(axis="x", color="#e6e9ee")
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(labelsize=8.5, color=CHANCE)
