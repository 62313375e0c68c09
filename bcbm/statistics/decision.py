"""Is it worth acting on a model?"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.statistics.metrics import Floats
from bcbm.statistics.resampling import resampled_counts

FACTOR = 3  # between the odds of a threshold worth a look and those of the prevalence, up or down


def net_benefit(
    labels: npt.ArrayLike, probabilities: npt.ArrayLike, thresholds: npt.ArrayLike
) -> pd.DataFrame:
    """Decision curve: true positives less false ones at their price (Vickers and Elkin, 2006).

    Who acts from a probability t on says that one false positive costs t / (1 - t) of a true one, so the net
    benefit is TP/N - FP/N t / (1 - t). Source: Med Decis Making 26:565.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: shape (N,).
        thresholds: at or above 0 and below 1, shape (T,).

    Returns:
        Columns threshold, model, all (everybody is called positive) and none (nobody), T rows; NaN without
        rows to count.

    Raises:
        ValueError: a threshold is outside [0, 1).
    """
    positive = np.asarray(labels) == 1
    thresholds = np.asarray(thresholds, dtype=np.float64)
    if not ((thresholds >= 0) & (thresholds < 1)).all():
        raise ValueError(f"thresholds of a decision curve lie in [0, 1), found {thresholds}")
    price = thresholds / (1 - thresholds)
    rows = len(positive) or np.nan
    called = np.asarray(probabilities)[:, None] >= thresholds
    model = (called[positive].sum(axis=0) - called[~positive].sum(axis=0) * price) / rows
    everybody = (positive.sum() - (~positive).sum() * price) / rows
    return pd.DataFrame({"threshold": thresholds, "model": model, "all": everybody, "none": 0.0})


def sensible_thresholds(prevalence: float, count: int = 61) -> Floats:
    """Thresholds around a prevalence, (T,): their odds lie within a factor of 3 of its odds.

    At the prevalence, treating all and treating none are worth the same; where a false positive costs three
    times more or less of a true one than there, one of the two is hard to beat, whatever a model knows.
    Empty where the prevalence is 0, 1 or not known.

    Example:
        >>> sensible_thresholds(0.5, count=3).tolist()
        [0.25, 0.5, 0.75]
    """
    if math.isnan(prevalence) or not 0 < prevalence < 1:
        return np.empty(0)
    odds = prevalence / (1 - prevalence)
    low, high = odds / FACTOR, odds * FACTOR
    return np.linspace(low / (1 + low), high / (1 + high), count)


def net_benefit_interval(
    rows: pd.DataFrame, thresholds: npt.ArrayLike, resamples: int, seed: int
) -> tuple[Floats, Floats]:
    """Pointwise percentile 95 % interval of the model's net benefit, mean over repeats, over drawn patients.

    The fitted models stand still (Vickers et al., BMC Med Inform Decis Mak 8:53, 2008).

    Args:
        rows: columns repeat, patient_id, label and probability; not empty.
        thresholds: as of `net_benefit`.
        resamples: draws of patients.
        seed: the same seed gives the same interval.

    Returns:
        Low and high, (T,) each.
    """
    thresholds = np.asarray(thresholds, dtype=np.float64)
    price = thresholds / (1 - thresholds)
    names, patient = np.unique(rows["patient_id"].to_numpy(), return_inverse=True)
    drawn = resampled_counts(np.random.default_rng(seed), len(names), resamples).astype(np.float64)
    positive, probability = rows["label"].to_numpy() == 1, rows["probability"].to_numpy()
    means = []
    for repeat in rows["repeat"].unique():
        inside = (rows["repeat"] == repeat).to_numpy()
        worth = np.where(positive[inside, None], 1.0, -price) * (probability[inside, None] >= thresholds)
        by_patient = np.zeros((len(names), len(thresholds)))
        np.add.at(by_patient, patient[inside], worth)
        total = drawn @ np.bincount(patient[inside], minlength=len(names))
        means.append(drawn @ by_patient / np.maximum(total, 1)[:, None])
    low, high = np.percentile(np.mean(means, axis=0), [2.5, 97.5], axis=0)
    return low, high
