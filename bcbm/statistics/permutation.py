"""Could the predictions of one target be chance?"""

import math

import numpy as np
import pandas as pd


def label_permutation_p(patients: pd.DataFrame, permutations: int, seed: int) -> float:
    """Share of random orders of the patients' labels whose AUROC is at least the observed one.

    The fitted predictions stay; labels move between patients, and a patient keeps one label in all repeats.
    The AUROC, mean over repeats, grows with the sum of the positive patients' ranks (Mann and Whitney, Ann
    Math Stat 18:50, 1947), which is linear in the labels. One-sided: a model that is worse than chance has a
    p near 1. The observed order counts as one, so that p is never 0 (Phipson and Smyth, Stat Appl Genet Mol
    Biol 9:39, 2010).

    Args:
        patients: patient-level predictions of one target, each patient once in every repeat;
            columns repeat, patient_id, probability and label.
        permutations: random orders.
        seed: of the orders.

    Returns:
        p; NaN for one class.
    """
    labels = patients.groupby("patient_id")["label"].first()
    if labels.nunique() < 2:
        return math.nan
    ranks = patients.groupby("repeat")["probability"].rank().groupby(patients["patient_id"]).sum()
    orders = np.tile(labels.to_numpy(np.float64), (permutations, 1))
    orders = np.random.default_rng(seed).permuted(orders, axis=1)
    as_high = orders @ ranks.to_numpy() >= labels.to_numpy() @ ranks.to_numpy()
    return float((1 + as_high.sum()) / (1 + permutations))
