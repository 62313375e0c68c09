"""What a fast forest makes of labels, under a split that keeps lesions, studies or patients whole."""

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.metrics import auroc, mean_or_nan

TREES = 30


def split_aurocs(
    features: npt.ArrayLike,
    labels: npt.ArrayLike,
    units: npt.ArrayLike,
    patients: npt.ArrayLike,
    *,
    folds: int,
    seed: int,
) -> dict[str, float]:
    """AUROC of extremely randomised trees under a cross-validation that keeps `units` whole.

    Computed inside each fold and averaged: scores of different folds, pooled, rank a patient low for being
    positive, as its own label is missing from its training part (Parker, Gunter and Bedo, BMC Bioinformatics
    8:326, 2007). Folds with one class have none and are left out.

    Args:
        features: (N, F), no NaN.
        labels: 0 or 1, (N,), the same for all lesions of a patient.
        units: what a fold keeps whole: ids of lesions, studies or patients, (N,).
        patients: ids, (N,).
        folds: how many, stratified over the labels of the units.
        seed: of folds and trees.

    Returns:
        `lesion`: over lesions; `patient`: over patients, by the mean over their lesions in the fold. NaN
        where no fold has both classes.
    """
    features, labels, patients = np.asarray(features), np.asarray(labels), np.asarray(patients)
    fold = stratified_folds(units, labels, folds, np.random.default_rng(seed))
    aurocs: dict[str, list[float]] = {"lesion": [], "patient": []}
    for number in range(folds):
        out = fold == number
        if len(set(labels[out])) < 2 or len(set(labels[~out])) < 2:
            continue
        trees = ExtraTreesClassifier(TREES, random_state=seed).fit(features[~out], labels[~out])
        scores = trees.predict_proba(features[out])[:, 1]
        by_patient = pd.DataFrame({"label": labels[out], "score": scores}).groupby(patients[out]).mean()
        aurocs["lesion"].append(auroc(labels[out], scores))
        aurocs["patient"].append(auroc(by_patient["label"], by_patient["score"]))
    return {level: mean_or_nan(values) for level, values in aurocs.items()}
