"""How much hangs on single patients: each is left out of the evaluation, and nothing is fitted again."""

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

from bcbm.statistics.area import cross_validated_area, placements
from bcbm.statistics.metrics import labelled, patient_level
from bcbm.statistics.results import InfluenceBlock, TargetResults

LARGEST = 2  # patients with the most lesions whose share is told


def leave_one_out(rows: pd.DataFrame) -> pd.Series:
    """The AUROC, mean over folds, less each patient in turn, less that of all patients.

    The models stay as they are, and so do their predictions of the others. A patient's rows, one or several
    lesions, take their pairs with the other class along: O(N log N) a fold.

    Args:
        rows: labelled predictions of one target; columns fold (counted through the repeats), patient_id,
            probability and label.

    Returns:
        Change of the AUROC, indexed by patient_id in order; NaN where no fold has both classes, also without
        the patient.
    """
    owner, patients = pd.factorize(rows["patient_id"], sort=True)
    positive, scores = rows["label"].to_numpy() == 1, rows["probability"].to_numpy(np.float64)
    aurocs, moved, lost = [], np.zeros(len(patients)), np.zeros(len(patients))
    for part in rows.groupby("fold").indices.values():
        here, owners = positive[part], owner[part]
        if here.all() or not here.any():
            continue
        positives, negatives = (
            np.bincount(owners[members], minlength=len(patients)) for members in (here, ~here)
        )
        pairs = placements(here, scores[part]) * np.where(here, negatives.sum(), positives.sum())
        in_order = pairs[here].sum() - np.bincount(owners, pairs, len(patients))
        for number in np.flatnonzero((positives > 0) & (negatives > 0)):  # its own pairs went twice
            rows_of = owners == number
            own = placements(here[rows_of], scores[part][rows_of])[here[rows_of]]
            in_order[number] += own.sum() * negatives[number]
        possible = (positives.sum() - positives) * (negatives.sum() - negatives)
        aurocs.append(float(pairs[here].sum() / (positives.sum() * negatives.sum())))
        # A fold that loses a class without the patient leaves the mean: its AUROC is taken off.
        moved += np.divide(in_order, possible, out=np.zeros(len(patients)), where=possible > 0) - aurocs[-1]
        lost += possible == 0
    if not aurocs:
        return pd.Series(math.nan, patients)
    folds = np.where(lost < len(aurocs), len(aurocs) - lost, math.nan)
    return pd.Series((sum(aurocs) + moved) / folds - sum(aurocs) / len(aurocs), patients)


def influence(predictions: pd.DataFrame, blocks: Mapping[str, TargetResults]) -> InfluenceBlock:
    """How far the AUROCs move without single patients, and without the two that have the most lesions.

    Args:
        predictions: the prediction table.
        blocks: the figures of all patients, by target.
    """
    owners = predictions.drop_duplicates("lesion_id")["patient_id"].value_counts()
    largest = list(owners.index[:LARGEST])
    patients, lesions = patient_level(predictions, by_fold=True), labelled(predictions)
    lesions = lesions[~lesions["patient_id"].isin(largest)]
    content: InfluenceBlock = {
        "largest": {"patients": len(largest), "lesions_share": float(owners[largest].sum() / owners.sum())},
        "receptors": {},
    }
    for target, block in blocks.items():
        changes = leave_one_out(patients[patients["target"] == target])
        content["receptors"][target] = {
            "auroc_least": block["patient"]["auroc"] + float(changes.min()),
            "auroc_most": block["patient"]["auroc"] + float(changes.max()),
            "lesion_auroc": block["lesion"]["auroc"],
            "lesion_auroc_without_largest": cross_validated_area(lesions[lesions["target"] == target]).auroc,
        }
    return content
