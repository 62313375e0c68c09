"""Intervals by drawing patients again, not lesions: lesions of one patient are not independent."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.statistics.metrics import Floats

Ints = npt.NDArray[np.int64]
CHUNK = 200_000  # elements of the largest array, 0.8 MB: what a core keeps at hand


def resampled_counts(rng: np.random.Generator, groups: int, resamples: int) -> Ints:
    """How often each group is drawn when `groups` are drawn with replacement, shape (resamples, groups)."""
    if not groups:
        return np.zeros((resamples, 0), dtype=np.int64)
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def resampled_auprcs(
    labels: npt.NDArray, scores: npt.NDArray, group: Ints, counts: npt.NDArray, repeats: npt.NDArray
) -> Floats:
    """The average precision, mean over repeats, of every resample of groups; NaN where a class is not drawn.

    A group drawn k times gives its rows the weight k. True positives and rows called positive at a threshold
    are linear in the counts; recall only steps at the thresholds where a positive row lies.

    Args:
        labels: 0 or 1, shape (N,).
        scores: shape (N,).
        group: column of `counts` that each row belongs to, shape (N,).
        counts: how often each group is drawn, shape (B, G).
        repeats: repeat of each row, shape (N,).

    Returns:
        Shape (B,).

    Example:
        Positive, negative and positive patient, from the surest down. Precision is 1 at the first positive
        and 2/3 at the second: (1 + 2/3) / 2. With the negative drawn twice it is 2/4 there; without the first
        one, 1/2 at the only positive.

        >>> labels, scores = np.array([1, 0, 1]), np.array([0.9, 0.6, 0.3])
        >>> counts = np.array([[1, 1, 1], [1, 2, 1], [0, 1, 1]])
        >>> resampled_auprcs(labels, scores, np.arange(3), counts, np.zeros(3)).round(3).tolist()
        [0.833, 0.75, 0.5]
    """
    drawn = np.asarray(counts, dtype=np.float32)  # whole numbers, exact below 2 ** 24 rows, in half the time
    by_group = np.ascontiguousarray(drawn.T)
    means = np.full(len(drawn), 0.0 if len(labels) else np.nan)
    members = [repeats == repeat for repeat in np.unique(repeats)]
    for rows in members:
        level = np.unique(-scores[rows], return_inverse=True)[1]
        order = np.argsort(level, kind="stable")
        level, owner, is_positive = level[order], group[rows][order], labels[rows][order] == 1
        steps = np.unique(level[is_positive])
        last_called = np.searchsorted(level, steps, side="right") - 1
        last_true = np.searchsorted(level[is_positive], steps, side="right") - 1
        positives = drawn @ np.bincount(owner, is_positive, drawn.shape[1])
        negatives = drawn @ np.bincount(owner, ~is_positive, drawn.shape[1])
        area = np.empty(len(drawn))
        chunk = max(1, CHUNK // max(1, len(owner)))
        for start in range(0, len(drawn), chunk):
            part = slice(start, start + chunk)
            weights = by_group[:, part][owner]
            called = np.cumsum(weights, axis=0)[last_called]
            true_positives = np.cumsum(weights[is_positive], axis=0)[last_true].astype(np.float64)
            precision = true_positives / np.maximum(called, 1)
            area[part] = np.einsum("tb,tb->b", true_positives, precision)
            area[part] -= np.einsum("tb,tb->b", true_positives[:-1], precision[1:])
        both = (positives > 0) & (negatives > 0)
        means += np.divide(area, positives, out=np.full(len(area), np.nan), where=both) / len(members)
    return means


def percentile_interval(statistics: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled statistics (B,), undefined ones left out; NaN where none is defined."""
    defined = statistics[~np.isnan(statistics)]
    if not len(defined):
        return math.nan, math.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def average_precision_interval(rows: pd.DataFrame, resamples: int, seed: int) -> tuple[float, float]:
    """Percentile 95 % interval of the average precision (Efron and Tibshirani, 1993, chapter 13).

    Resamples in which a class is missing have no average precision and are left out.

    Args:
        rows: labelled; columns label, probability, patient_id and repeat.
        resamples: number of draws.
        seed: the same seed gives the same interval.

    Returns:
        (low, high) of the mean over repeats, all from the same draws; NaN where it is undefined itself.
    """
    names, group = np.unique(rows["patient_id"].to_numpy(), return_inverse=True)
    counts = resampled_counts(np.random.default_rng(seed), len(names), resamples)
    columns = rows["label"].to_numpy(), rows["probability"].to_numpy(), group, counts
    return percentile_interval(resampled_auprcs(*columns, rows["repeat"].to_numpy()))
