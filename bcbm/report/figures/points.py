"""The points that a run's curves are drawn through, of labelled patients of one target."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.labels import PRIMARY
from bcbm.statistics.calibration import reliability
from bcbm.statistics.curves import precision_recall_curve, roc_band
from bcbm.statistics.decision import net_benefit, net_benefit_interval, sensible_thresholds
from bcbm.system.files import write_whole

DRAWS = 1000  # of patients, for the bands of ROC and decision curves
GRID = np.linspace(0, 1, 201)  # of 1 - specificity
BINS = 8  # of the reliability plot
BAND = "whole curve, 95 %"  # what the band around a ROC curve holds


def roc_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean ROC curve of the folds with its simultaneous band; see `roc_band`."""
    sensitivity, low, high = roc_band(rows, GRID, DRAWS, seed=0)
    points = {"1 - specificity": GRID, "sensitivity": sensitivity, "low": low, "high": high}
    return pd.concat([pd.DataFrame([dict.fromkeys(points, 0.0)]), pd.DataFrame(points)], ignore_index=True)


def precision_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Precision over recall, the mean over repeats, and the share of positive patients."""
    recall, precision = precision_recall_curve(rows)
    share = rows.drop_duplicates("patient_id")["label"].mean()
    return pd.DataFrame({"recall": recall, "precision": precision, "share of positives": share})


def calibration_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Observed shares over predicted ones, of the patients of the first repeat in groups."""
    first = rows[rows["repeat"] == rows["repeat"].min()]
    return reliability(first["label"], first["probability"], BINS)


def decision_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Net benefit of the model with its band, of treating all and none, and of going by a known primary."""
    thresholds = sensible_thresholds(float(rows["label"].mean()))
    curve = net_benefit(rows["label"], rows["probability"], thresholds)
    low, high = net_benefit_interval(rows, thresholds, DRAWS, seed=0)
    curve = curve.assign(low=low, high=high)
    if rows["primary"].notna().any():
        curve["as the primary"] = net_benefit(rows["label"], rows["primary"] == 1, thresholds)["model"]
    return curve


def with_primary(predictions: pd.DataFrame, lesions: pd.DataFrame) -> pd.DataFrame:
    """Predictions with the status of the primary tumour as `primary`, where the lesion table has any.

    Without what no curve reads, as every curve takes the rows of every target.
    """
    names = [name for name in predictions["target"].unique() if PRIMARY + name in lesions]
    columns = {name: lesions.set_index("lesion_id")[PRIMARY + name] for name in names}
    if names:
        status = pd.concat(columns, names=["target"]).rename("primary")
        predictions = predictions.join(status, on=["target", "lesion_id"])
    return predictions.drop(columns=["lesion_id", "split_hash"])


def primary_status(rows: pd.DataFrame) -> pd.Series:
    """Status of the primary tumour by patient, of those of whom it is known, from rows of one target."""
    if "primary" not in rows:
        return pd.Series(dtype=float)
    return rows.groupby("patient_id")["primary"].first().dropna()


def write_points(points: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write points by target as CSV, a row each."""
    table = pd.concat(points, names=["target"]).reset_index("target")
    write_whole(path, table.to_csv(index=False, lineterminator="\r\n"))
