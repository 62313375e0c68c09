"""How much hangs on single patients: each is left out of the evaluation, and nothing is fitted again."""

import math

import numpy as np
import pandas as pd

from bcbm.statistics.area import cross_validated_area, placements
from bcbm.statistics.metrics import labelled, patient_level
from bcbm.statistics.results import InfluenceBlock

LARGEST = 2  # patients with the most lesions whose share is told


def leave_one_out(rows: pd.DataFrame) -> pd.Series:
    """The AUROC, mean over folds, less each patient in turn, less that of all patients.

    The models stay as they are, and so do their predictions of the others. A patient's rows, one or several
    lesions, are of one class and take their pairs with the other class along: O(N log N) for all patients.

    Args:
        rows: labelled predictions of one target; columns fold (counted through the repeats), patient_id,
            probability and label.

    Returns:
        Change of the AUROC, indexed by patient_id in order; NaN where no fold has both classes, also without
        the patient.
    """
    parts = [part for _, part in rows.groupby("fold") if part["label"].nunique() == 2]
    patients = sorted(rows["patient_id"].unique())
    if not parts:
        return pd.Series(math.nan, patients)
    tables = [_without_each(part) for part in parts]
    moved = pd.concat(tables).groupby(level=0).sum().reindex(patients, fill_value=0.0)
    total = sum(table["auroc"].iloc[0] for table in tables)
    folds = len(parts) - moved["lost"]
    without = (total - moved["auroc"] + moved["without"]) / folds.where(folds > 0)
    return without - total / len(parts)


def influence(predictions: pd.DataFrame, targets: list[str]) -> InfluenceBlock:
    """How far the AUROCs move without single patients, and without the two that have the most lesions.

    Args:
        predictions: the prediction table.
        targets: those to tell.
    """
    owners = predictions.drop_duplicates("lesion_id")["patient_id"].value_counts()
    largest = list(owners.index[:LARGEST])
    patients, lesions = patient_level(predictions, by_fold=True), labelled(predictions)
    block: InfluenceBlock = {
        "largest": {"patients": len(largest), "lesions_share": float(owners[largest].sum() / owners.sum())},
        "receptors": {},
    }
    for target in targets:
        rows, of_target = (table[table["target"] == target] for table in (patients, lesions))
        left = of_target[~of_target["patient_id"].isin(largest)]
        area, changes = cross_validated_area(rows).auroc, leave_one_out(rows)
        block["receptors"][target] = {
            "auroc_least": area + float(changes.min()),
            "auroc_most": area + float(changes.max()),
            "lesion_auroc": cross_validated_area(of_target).auroc,
            "lesion_auroc_without_largest": cross_validated_area(left).auroc,
        }
    return block


def _without_each(fold: pd.DataFrame) -> pd.DataFrame:
    """Of each patient of a fold: its AUROC, that without the patient (0 if lost), and whether it is lost."""
    positive = fold["label"].to_numpy() == 1
    counts = np.array([(~positive).sum(), positive.sum()])
    pairs = placements(fold["label"], fold["probability"]) * np.where(positive, counts[0], counts[1])
    table = pd.DataFrame({"pairs": pairs, "positives": positive, "negatives": ~positive})
    patients = table.groupby(fold["patient_id"].to_numpy()).sum()
    in_order = pairs[positive].sum()
    possible = (counts[1] - patients["positives"]) * (counts[0] - patients["negatives"])
    without = (in_order - patients["pairs"]) / possible.where(possible > 0)
    auroc = in_order / counts.prod()
    return pd.DataFrame({"auroc": auroc, "without": without.fillna(0.0), "lost": without.isna()})
