"""How far the best of many trials flatters itself: its figure beside what it gives on unseen patients."""

import math
from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np
from scipy.stats import t as student


class OptimismBlock(TypedDict):
    """What choosing promised, fold by fold, and what it gave.

    Attributes:
        folds: by name of the outer fold: `inner`, the figure by which its settings were chosen, `outer`, the
            same figure of its test patients, and `gap`, how much better the inner one looks.
        gap: the mean of the gaps, with the ends of its 95 % interval, `low` and `high`; NaN of one fold.
    """

    folds: dict[str, dict[str, float]]
    gap: dict[str, float]


def optimism(inner: Mapping[str, float], outer: Mapping[str, float], *, smaller: bool) -> OptimismBlock:
    """The gap between both figures of every fold, and its mean.

    Its interval is that of the corrected resampled t test (Nadeau and Bengio, Machine Learning 52:239, 2003):
    folds share most of their training patients, so that their gaps differ less than those of new cohorts.

    Args:
        inner: the figure of the choice over inner folds, by outer fold.
        outer: that of the fold's test patients, for the same folds.
        smaller: whether less is better.
    """
    sign = -1.0 if smaller else 1.0
    folds = {
        name: {"inner": inner[name], "outer": outer[name], "gap": sign * (inner[name] - outer[name])}
        for name in inner
    }
    low, mean, high = corrected_interval([row["gap"] for row in folds.values()])
    return {"folds": folds, "gap": {"mean": mean, "low": low, "high": high}}


def corrected_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Mean of a figure over the K folds of one cross-validation, between the ends of its 95 % interval.

    The variance of the mean is s^2 (1/K + 1/(K - 1)), where 1/(K - 1) is the share of test to training
    patients.
    """
    count = len(values)
    mean = float(np.mean(values))
    if count < 2:
        return math.nan, mean, math.nan
    error = float(np.std(values, ddof=1)) * math.sqrt(1 / count + 1 / (count - 1))
    half = float(student.ppf(0.975, count - 1)) * error
    return mean - half, mean, mean + half
