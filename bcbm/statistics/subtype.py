"""Answers derived from the receptors: hormone-receptor status and molecular subtype, a patient at a time."""

import math

import numpy as np
import pandas as pd

from bcbm.statistics.metrics import auroc, mean_or_nan
from bcbm.statistics.results import SubtypeBlock

NEEDED = {"ER", "PR", "HER2"}
SUBTYPES = ["HR+/HER2-", "HR+/HER2+", "HR-/HER2+", "triple negative"]


def derived(predictions: pd.DataFrame) -> pd.DataFrame:
    """Status and probability of HR and of each subtype, one row a repeat and patient, with or without labels.

    HR is positive if ER or PR is, so its label is known if either is positive or both are known. Its
    probability is 1 - (1 - p_ER)(1 - p_PR), and a subtype's the product of those of HR and HER2, or of their
    complements: targets are taken as independent given the image, and lean on one another in truth.

    Args:
        predictions: the prediction table, with ER, PR and HER2.

    Returns:
        Columns repeat, patient_id, fold (the first, of a leaky split), label and probability (of HR), subtype
        (text, missing where unknown), and the probability of each of SUBTYPES under its name.
    """
    patients = predictions.groupby(["repeat", "patient_id", "target"])
    fold = predictions.groupby(["repeat", "patient_id"])["fold"].min()
    p = patients["patient_probability"].mean().unstack("target").reindex(columns=list(NEEDED))
    label = patients["label"].first().unstack("target").reindex(columns=list(NEEDED))
    either = label[["ER", "PR"]].max(axis=1)
    hr = either.where((either == 1) | label[["ER", "PR"]].notna().all(axis=1))
    p_hr = 1 - (1 - p["ER"]) * (1 - p["PR"])
    p_her2, her2 = p["HER2"], label["HER2"]
    truth = np.select(
        [(hr == 1) & (her2 == 0), (hr == 1) & (her2 == 1), (hr == 0) & (her2 == 1), (hr == 0) & (her2 == 0)],
        SUBTYPES,
        default="",
    )
    probabilities = [p_hr * (1 - p_her2), p_hr * p_her2, (1 - p_hr) * p_her2, (1 - p_hr) * (1 - p_her2)]
    columns = {"fold": fold, "label": hr, "probability": p_hr, "subtype": truth}
    table = pd.DataFrame(columns, index=p.index)
    table["subtype"] = table["subtype"].where(table["subtype"] != "", None)
    return table.assign(**dict(zip(SUBTYPES, probabilities, strict=True))).reset_index()


def subtype_figures(table: pd.DataFrame) -> SubtypeBlock:
    """How well the likeliest subtype is the true one, each figure the mean over repeats.

    Args:
        table: what `derived` made; rows of unknown subtype are ignored.

    Returns:
        classes, their names; auroc, of each class against the rest (NaN where it, or the rest, is absent),
        and mean_auroc, the mean of those defined; accuracy; balanced_accuracy, the mean over the true classes
        of the share that is called right; confusion, patients by true class (rows) and likeliest class;
        counts, patients of each true class.
    """
    table = table[table["subtype"].notna()]
    truth = table["subtype"].map(SUBTYPES.index).to_numpy(int)
    chosen = table[SUBTYPES].to_numpy().argmax(axis=1)
    confusion = np.zeros((len(SUBTYPES), len(SUBTYPES)))
    np.add.at(confusion, (truth, chosen), 1)
    confusion /= max(1, table["repeat"].nunique())
    patients = confusion.sum(axis=1)
    present = patients > 0
    aurocs = {
        name: mean_or_nan(
            [auroc(repeat["subtype"] == name, repeat[name]) for _, repeat in table.groupby("repeat")]
        )
        for name in SUBTYPES
    }
    correct = np.diag(confusion)
    return {
        "classes": SUBTYPES,
        "auroc": aurocs,
        "mean_auroc": mean_or_nan([area for area in aurocs.values() if not math.isnan(area)]),
        "accuracy": float(correct.sum() / patients.sum()) if len(table) else math.nan,
        "balanced_accuracy": mean_or_nan(list(correct[present] / patients[present])),
        "confusion": confusion.tolist(),
        "counts": dict(zip(SUBTYPES, patients.round().astype(int).tolist(), strict=True)),
    }
