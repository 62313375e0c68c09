"""Intervals of a model that stands still: other patients are drawn, and nothing is fitted again.

Each method is the one of several that held 95 % best in `tests/benchmarks/frozen.py`
(docs/explanation/coverage-frozen.md). The AUROC has its score
interval (`area.py`), of which nothing is owed to folds; shares have Wilson's (`operating.py`).
"""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from bcbm.statistics.area import TWO_SIDED, placements
from bcbm.statistics.calibration import EDGE, calibration
from bcbm.statistics.metrics import Floats
from bcbm.statistics.resampling import resampled_counts

Ends = tuple[float, float]
Weighted = Callable[[Floats], Floats]  # a statistic of one sample under weights of its rows, (B, N) -> (B,)
NOWHERE: Ends = (math.nan, math.nan)


def squares(rows: pd.DataFrame, column: str = "probability") -> Floats:
    """Squared distances of a column and the label, (N,)."""
    return np.asarray((rows[column] - rows["label"]) ** 2, dtype=np.float64)


def surprises(rows: pd.DataFrame) -> Floats:
    """Negative log-likelihood of each label, (N,); see `probabilities.log_loss`."""
    p = rows["probability"].clip(EDGE, 1 - EDGE)
    return -np.log(np.where(rows["label"] == 1, p, 1 - p))


def mean_under(values: Floats) -> Weighted:
    """The mean of values (N,)."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def ratio_under(part: Floats, total: Floats) -> Weighted:
    """One less the ratio of two sums of (N,); NaN where the lower one is 0."""

    def statistic(weights: Floats) -> Floats:
        below = weights @ total
        return 1 - np.divide(weights @ part, below, out=np.full(len(weights), np.nan), where=below > 0)

    return statistic


def accelerated_interval(statistic: Weighted, count: int, resamples: int, seed: int) -> Ends:
    """The bias-corrected, accelerated bootstrap of independent rows, 95 % (Efron, JASA 82:171, 1987).

    Args:
        statistic: of weights of the rows.
        count: rows.
        resamples: draws.
        seed: the same seed gives the same interval.

    Returns:
        Low and high; NaN where the statistic is undefined or does not vary.
    """
    if count < 2:
        return NOWHERE
    value = float(statistic(np.ones((1, count)))[0])
    drawn = statistic(resampled_counts(np.random.default_rng(seed), count, resamples).astype(np.float64))
    drawn = np.sort(drawn[np.isfinite(drawn)])
    jackknife = statistic(1 - np.eye(count))
    if math.isnan(value) or not len(drawn) or not np.isfinite(jackknife).all():
        return NOWHERE
    moves = jackknife.mean() - jackknife
    spread = float((moves**2).sum())
    if spread < 1e-24:
        return value, value
    acceleration = float((moves**3).sum()) / (6 * spread**1.5)
    below = (np.sum(drawn < value) + np.sum(drawn == value) / 2) / len(drawn)
    bias = float(norm.ppf(np.clip(below, 1 / len(drawn), 1 - 1 / len(drawn))))
    ends = bias + np.array([-TWO_SIDED, TWO_SIDED])
    low, high = np.quantile(drawn, norm.cdf(bias + ends / (1 - acceleration * ends)))
    return float(low), float(high)


def intercept_interval(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Ends:
    """Calibration in the large with slope 1: the shifts of the logit that a score test does not refuse.

    Args:
        labels: 0 or 1, (N,).
        probabilities: (N,).

    Returns:
        Low and high of the 95 % interval; NaN for one class.
    """
    positive, x = _design(labels, probabilities)
    _, centre = calibration(labels, probabilities)
    if math.isnan(centre):
        return NOWHERE

    def outside(shift: float) -> float:
        p = expit(x + shift)
        return float((positive.sum() - p.sum()) ** 2 - TWO_SIDED**2 * (p * (1 - p)).sum())

    return _end(outside, centre, -1.0), _end(outside, centre, 1.0)


def slope_interval(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> Ends:
    """Calibration slope: the slopes that a likelihood ratio test does not refuse; arguments as above.

    Returns:
        Low and high of the 95 % interval, infinite where none ends it; NaN where there is no slope.
    """
    positive, x = _design(labels, probabilities)
    centre, _ = calibration(labels, probabilities)
    if math.isnan(centre):
        return NOWHERE
    x = x - x.mean()

    def likelihood(slope: float) -> float:
        linear = slope * x
        at = logit(positive.mean())
        shift = brentq(
            lambda move: expit(linear + move).sum() - positive.sum(),
            at - linear.max() - 1,
            at - linear.min() + 1,
        )
        return float(-np.logaddexp(0, np.where(positive, -1, 1) * (linear + shift)).sum())

    best = likelihood(centre)

    def outside(slope: float) -> float:
        return 2 * (best - likelihood(slope)) - TWO_SIDED**2

    step = 1 / x.std()
    return _end(outside, centre, -step), _end(outside, centre, step)


def delong_difference(labels: npt.ArrayLike, first: npt.ArrayLike, second: npt.ArrayLike) -> dict[str, float]:
    """AUROC of one score less that of another on the same patients, with interval and p.

    DeLong, DeLong and Clarke-Pearson, Biometrics 44:837, 1988.

    Args:
        labels: 0 or 1, (N,).
        first: scores, (N,), and `second`.

    Returns:
        difference, low, high, p; NaN with fewer than two patients of a class; p is 1 where the scores rank
        all alike.
    """
    positive = np.asarray(labels) == 1
    if min(positive.sum(), (~positive).sum()) < 2:
        return dict.fromkeys(("difference", "low", "high", "p"), math.nan)
    apart = placements(labels, first) - placements(labels, second)
    difference = float(apart[positive].mean())
    parts = [apart[rows].var(ddof=1) / rows.sum() for rows in (positive, ~positive)]
    error = math.sqrt(sum(parts))
    p = 2 * float(norm.sf(abs(difference) / error)) if error > 1e-12 else float(abs(difference) < 1e-12)
    return {
        "difference": difference,
        "low": difference - TWO_SIDED * error,
        "high": difference + TWO_SIDED * error,
        "p": p,
    }


def _design(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], Floats]:
    x = logit(np.clip(np.asarray(probabilities, dtype=np.float64), EDGE, 1 - EDGE))
    return np.asarray(labels) == 1, np.asarray(x)


def _end(outside: Callable[[float], float], centre: float, step: float) -> float:
    """Where a test begins to refuse, from the estimate on in steps that double."""
    edge = centre
    for _ in range(40):
        edge += step
        if outside(edge) > 0:
            return float(brentq(outside, centre, edge))
        step *= 2
    return math.copysign(math.inf, step)
