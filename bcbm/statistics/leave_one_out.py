"""How much hangs on single patients: each is left out of the evaluation, and nothing is fitted again."""

import math

import numpy as np
import pandas as pd

from bcbm.statistics.delong import placements
from bcbm.statistics.metrics import auroc, labelled, mean_or_nan, patient_level
from bcbm.statistics.results import InfluenceBlock

LARGEST = 2  # patients with the most lesions whose share is told


def leave_one_out(rows: pd.DataFrame) -> pd.Series:
    """The AUROC, mean over repeats, less each patient in turn, less that of all patients.

    The models stay as they are, and so do their predictions of the others. A patient's rows, one or several
    lesions, are of one class and take their pairs with the other class along: no AUROC is computed twice,
    O(N log N) a repeat.

    Args:
        rows: labelled predictions of one target, a row a patient or a lesion and repeat; columns repeat,
            patient_id, probability and label.

    Returns:
        Change of the AUROC, indexed by patient_id in order; NaN where a class is gone, also without the
        patient.
    """
    changes = []
    for _, repeat in rows.groupby("repeat"):
        labels = repeat["label"].to_numpy()
        counts = np.array([(labels == 0).sum(), (labels == 1).sum()])
        if not counts.all():
            return pd.Series(math.nan, sorted(rows["patient_id"].unique()))
        pairs = placements(labels, repeat["probability"]) * counts[(labels == 0).astype(int)]
        table = pd.DataFrame({"pairs": pairs, "positives": labels == 1, "negatives": labels == 0})
        patients = table.groupby(repeat["patient_id"].to_numpy()).sum()
        in_order = pairs[labels == 1].sum()
        possible = (counts[1] - patients["positives"]) * (counts[0] - patients["negatives"])
        without = (in_order - patients["pairs"]) / possible.where(possible > 0)
        changes.append(without - in_order / counts.prod())
    return pd.concat(changes, axis=1).mean(axis=1, skipna=False) if changes else pd.Series(dtype=float)


def influence(predictions: pd.DataFrame, targets: list[str]) -> InfluenceBlock:
    """How far the AUROCs move without single patients, and without the two that have the most lesions.

    Args:
        predictions: the prediction table.
        targets: those to tell.
    """
    owners = predictions.drop_duplicates("lesion_id")["patient_id"].value_counts()
    largest = list(owners.index[:LARGEST])
    patients, lesions = patient_level(predictions), labelled(predictions)
    block: InfluenceBlock = {
        "largest": {"patients": len(largest), "lesions_share": float(owners[largest].sum() / owners.sum())},
        "receptors": {},
    }
    for target in targets:
        rows = patients[patients["target"] == target]
        of_target = lesions[lesions["target"] == target]
        left = of_target[~of_target["patient_id"].isin(largest)]
        changes = leave_one_out(rows)
        block["receptors"][target] = {
            "auroc_least": _mean_auroc(rows) + float(changes.min()),
            "auroc_most": _mean_auroc(rows) + float(changes.max()),
            "lesion_auroc": _mean_auroc(of_target),
            "lesion_auroc_without_largest": _mean_auroc(left),
        }
    return block


def _mean_auroc(rows: pd.DataFrame) -> float:
    repeats = [repeat for _, repeat in rows.groupby("repeat")]
    return mean_or_nan([auroc(repeat["label"], repeat["probability"]) for repeat in repeats])
