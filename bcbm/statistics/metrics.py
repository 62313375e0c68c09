"""Figures of one set of predictions, in float64, and the step from lesions to patients."""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.patient_labels import patient_labels

Floats = npt.NDArray[np.float64]


def weighted_aurocs(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike) -> Floats:
    """Area under the ROC curve for many weightings of the same rows; NaN where a class has no weight.

    The Mann-Whitney form: the share of (positive, negative) pairs in the right order, a tie counting half
    (Hanley and McNeil, Radiology 143:29, 1982). Whole-number weights equal repeating the rows.

    Args:
        labels: 0 or 1, shape (N,).
        scores: any real number, higher for positive, shape (N,).
        weights: non-negative, shape (B, N).

    Returns:
        Shape (B,).
    """
    scores = np.asarray(scores, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    _, tie_starts = np.unique(scores[order], return_index=True)
    weights = np.asarray(weights, dtype=np.float64)[:, order]
    is_positive = np.asarray(labels, dtype=np.float64)[order]
    positive = np.add.reduceat(weights * is_positive, tie_starts, axis=1)
    negative = np.add.reduceat(weights, tie_starts, axis=1) - positive
    below = np.cumsum(negative, axis=1) - negative / 2
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    return np.divide((positive * below).sum(axis=1), pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike, weights: npt.ArrayLike | None = None) -> float:
    """Area under the ROC curve of labels and scores, both (N,), ties counting half; NaN for one class."""
    weights = np.ones(len(np.asarray(labels))) if weights is None else np.asarray(weights)
    return float(weighted_aurocs(labels, scores, weights[None])[0])


def auprc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Average precision: precision times the step in recall, summed over thresholds, no interpolation.

    Interpolation would flatter (Davis and Goadrich, ICML 2006).
    Labels (0 or 1) and scores are (N,); equal scores share one threshold; NaN without both classes.
    """
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if not 0 < labels.sum() < len(labels):
        return math.nan
    order = np.argsort(-scores, kind="stable")
    last_of_tie = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    true_positives = np.cumsum(labels[order])[last_of_tie]
    return float(
        np.sum(np.diff(true_positives, prepend=0) * true_positives / (last_of_tie + 1)) / true_positives[-1]
    )


def brier(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """Mean squared distance of probability and label, both (N,); NaN without rows (Brier, 1950)."""
    labels, probabilities = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    return float(np.mean((probabilities - labels) ** 2)) if len(labels) else math.nan


def average_precision(rows: pd.DataFrame) -> float:
    """`auprc` of the columns label and probability."""
    return auprc(rows["label"], rows["probability"])


def brier_score(rows: pd.DataFrame) -> float:
    """`brier` of the columns label and probability."""
    return brier(rows["label"], rows["probability"])


def mean_or_nan(values: Sequence[float]) -> float:
    """Mean; NaN without values and wherever one of them is NaN."""
    return math.fsum(values) / len(values) if values else math.nan


def labelled(predictions: pd.DataFrame) -> pd.DataFrame:
    """The rows of a prediction table whose label is known."""
    return predictions[predictions["label"].notna()]


def patient_level(predictions: pd.DataFrame, *, by_fold: bool = False) -> pd.DataFrame:
    """One row a repeat, target and labelled patient: its probability, and the threshold of its fold.

    A leaky split can spread a patient over several folds of a repeat; probability and threshold are then the
    means over the labelled lesions of all of them and `fold` is the first. The threshold is NaN where no fold
    has one. The label is that of `patient_labels`, over all lesions of the patient.

    Args:
        predictions: the prediction table.
        by_fold: give such a patient a row in each of its folds instead.

    Returns:
        Columns repeat, target, patient_id, fold, probability, label, threshold.
    """
    rows = labelled(predictions)
    texts = {name: pd.factorize(rows[name], sort=True) for name in ("target", "patient_id")}
    rows = rows.assign(**{name: codes for name, (codes, _) in texts.items()})  # they are grouped quicker
    label = patient_labels(rows["label"], [rows["target"], rows["patient_id"]])
    key = ["repeat", *(["fold"] if by_fold else []), "target", "patient_id"]
    columns = {} if by_fold else {"fold": ("fold", "min")}
    patients = rows.groupby(key, as_index=False).agg(
        **columns,
        probability=("patient_probability", "mean"),
        threshold=("threshold", "mean"),
        least=("patient_probability", "min"),
        most=("patient_probability", "max"),
    )
    # A mean of equal numbers is that number, to the last bit: else patients of one probability would not tie.
    patients["probability"] = patients["probability"].clip(patients.pop("least"), patients.pop("most"))
    owners = pd.MultiIndex.from_frame(patients[["target", "patient_id"]])
    patients.insert(len(patients.columns) - 1, "label", label.reindex(owners).to_numpy())
    names = {name: known.take(patients[name].to_numpy()) for name, (_, known) in texts.items()}
    return patients.assign(**names)
