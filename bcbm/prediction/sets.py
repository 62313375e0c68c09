"""What its run said of patients that each fold had not seen, and what that says of a model's patients: their
conformal sets, and whether their lesions disagree more than those did."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcbm.runs.predictions import ensemble
from bcbm.statistics.conformal import conformal_p, label_sets
from bcbm.statistics.metrics import patient_level

CLASSES = {"positive": 1.0, "negative": 0.0}


def out_of_fold(predictions: pd.DataFrame, refitted: int | None = None) -> list[dict[str, Any]]:
    """The probabilities of each fold's test patients, by class; sorted, so that nothing joins two of them.

    Args:
        predictions: the prediction table of a run.
        refitted: the number of the training on all patients, whom a new patient is compared by; None: by the
            training of each fold.

    Returns:
        A block a fold and target: `fold`, the number of the training that new patients are compared by,
        `repeat`, `target`, and the probabilities under `positive` and `negative`.
    """
    patients = patient_level(predictions, by_fold=True)
    return [
        {
            "fold": int(str(fold)) if refitted is None else refitted,
            "repeat": int(rows["repeat"].iloc[0]),
            "target": str(target),
        }
        | {
            name: sorted(rows.loc[rows["label"] == label, "probability"].tolist())
            for name, label in CLASSES.items()
        }
        for (fold, target), rows in patients.groupby(["fold", "target"])
    ]


def apart(probability: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
    """How far the lesions of each patient are apart: the standard deviation of their probabilities.

    Args:
        probability: of lesions, (N, R), a column a target.
        patients: ids, (N,).

    Returns:
        A row a patient, by `patient_id`; NaN of one with a single lesion.
    """
    groups = probability.groupby(patients.to_numpy())
    several = groups.size() > 1
    return groups.std(ddof=0).where(several, axis=0).rename_axis("patient_id")


def apart_out_of_fold(predictions: pd.DataFrame) -> dict[str, list[float]]:
    """How far the lesions of patients with several were apart to the fold that had not seen them, by target;
    sorted; over repeats their mean.

    Args:
        predictions: the prediction table of a run.
    """
    lesions = predictions.pivot(
        index=["repeat", "lesion_id", "patient_id"], columns="target", values="probability"
    ).reset_index()
    tables = [
        apart(rows[predictions["target"].unique().tolist()], rows["patient_id"])
        for _, rows in lesions.groupby("repeat")
    ]
    means = pd.concat(tables).groupby(level=0).mean()
    return {str(target): sorted(means[target].dropna().tolist()) for target in means}


def less_apart(training: Sequence[float], values: pd.Series) -> np.ndarray:
    """The share of training patients whose lesions were less far apart, (N,); NaN where nothing is known."""
    shares = np.searchsorted(np.asarray(training), values.to_numpy()) / max(len(training), 1)
    return np.where(values.isna() | (len(training) == 0), np.nan, shares)


def patient_sets(
    blocks: Sequence[Mapping[str, Any]],
    folds: Sequence[int],
    members: Sequence[pd.DataFrame],
    coverage: float,
) -> pd.DataFrame:
    """The set of each patient and target, see `label_sets`; over repeats by the mean of their p.

    Args:
        blocks: as `out_of_fold` gives them.
        folds: of each network.
        members: what each network says of patients, a column a target.
        coverage: how often a set is to hold the true label.
    """
    by_fold = {
        fold: ensemble([table for table, own in zip(members, folds, strict=True) if own == fold])
        for fold in sorted(set(folds))
    }
    sets = pd.DataFrame(index=members[0].index)
    for target in members[0].columns:
        own = [block for block in blocks if block["target"] == target]
        positive, negative = (_usual(own, by_fold, target, name) for name in CLASSES)
        sets[target] = label_sets(positive, negative, coverage)
    return sets


def _usual(
    blocks: Sequence[Mapping[str, Any]], by_fold: Mapping[int, pd.DataFrame], target: str, name: str
) -> np.ndarray:
    """How usual patients would be in a class, the mean over repeats."""
    values = []
    for repeat in sorted({block["repeat"] for block in blocks}):
        own = [block for block in blocks if block["repeat"] == repeat]
        said = [by_fold[block["fold"]][target].to_numpy() for block in own]
        # How odd: the probability of the other class.
        odd = [np.abs(CLASSES[name] - np.asarray(block[name])) for block in own]
        values.append(conformal_p(odd, [np.abs(CLASSES[name] - probability) for probability in said]))
    return np.asarray(np.mean(values, axis=0))
