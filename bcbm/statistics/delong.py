"""AUROC with an interval that needs no drawing, for independent rows: one row a patient.

DeLong, DeLong and Clarke-Pearson (Biometrics 44:837, 1988) by midranks, as Sun and Xu (IEEE Signal Process
Lett 21:1389, 2014). The arrays do not say whose the rows are: several rows of one patient give intervals that
are too narrow, and nothing here can notice.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, rankdata

from bcbm.statistics.metrics import Floats


def delong_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """AUROC with its normal interval, cut at 0 and 1.

    Args:
        labels: 0 or 1, independent rows, shape (N,).
        scores: shape (N,).
        level: share of such intervals that hold the true value.

    Returns:
        (auroc, low, high); all NaN for one class, and the interval for less than two rows of a class. Where
        the classes do not overlap the estimated variance, and so the interval, has no width.
    """
    areas, covariance = _areas(labels, [scores])
    half = norm.ppf((1 + level) / 2) * math.sqrt(covariance[0, 0])
    low, high = np.clip([areas[0] - half, areas[0] + half], 0, 1)
    return float(areas[0]), float(low), float(high)


def delong_test(labels: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[float, float]:
    """Do two scores of the same rows have the same AUROC?

    Args:
        labels: 0 or 1, independent rows, shape (N,).
        a: one score, shape (N,).
        b: the other, shape (N,).

    Returns:
        AUROC(a) - AUROC(b) and its two-sided p: 1 where both order every pair alike, NaN where their
        difference is not 0 but has no variance, for one class, and for less than two rows of a class.
    """
    areas, covariance = _areas(labels, [a, b])
    difference = float(areas[0] - areas[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    if variance < 1e-15:
        return difference, 1.0 if abs(difference) < 1e-12 else math.nan
    return difference, float(2 * norm.sf(abs(difference) / math.sqrt(variance)))


def _areas(labels: npt.ArrayLike, scores: list[npt.ArrayLike]) -> tuple[Floats, Floats]:
    """AUROCs of S scores (S,) and their covariance (S, S).

    The part of a row in an AUROC is the share of the other class that it stands on the right side of: its
    midrank among all less its midrank among its own class.
    """
    positive = np.asarray(labels) == 1
    counts = int(positive.sum()), int((~positive).sum())
    size = len(scores)
    if min(counts) == 0:
        return np.full(size, np.nan), np.full((size, size), np.nan)
    parts: list[list[Floats]] = [[], []]
    for score in scores:
        score = np.asarray(score, dtype=np.float64)
        ranks = rankdata(score)
        parts[0].append((ranks[positive] - rankdata(score[positive])) / counts[1])
        parts[1].append(1 - (ranks[~positive] - rankdata(score[~positive])) / counts[0])
    areas = np.mean(parts[0], axis=1)
    if min(counts) < 2:
        return areas, np.full((size, size), np.nan)
    positive_part, negative_part = (np.atleast_2d(np.cov(part)) for part in parts)
    return areas, positive_part / counts[0] + negative_part / counts[1]
