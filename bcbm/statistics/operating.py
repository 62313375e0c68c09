"""From probability to decision: a threshold, and what it does to patients."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from bcbm.statistics.metrics import Floats
from bcbm.statistics.resampling import percentile_interval, resampled_counts

# What each figure is, from the counts of true and false positives and negatives: (part, total).
FIGURES: dict[str, Callable[[Floats, Floats, Floats, Floats], tuple[Floats, Floats]]] = {
    "sensitivity": lambda tp, fp, tn, fn: (tp, tp + fn),
    "specificity": lambda tp, fp, tn, fn: (tn, tn + fp),
    "f1": lambda tp, fp, tn, fn: (2 * tp, 2 * tp + fp + fn),
    "ppv": lambda tp, fp, tn, fn: (tp, tp + fp),
    "npv": lambda tp, fp, tn, fn: (tn, tn + fn),
}

SHARES = ("sensitivity", "specificity", "ppv", "npv")  # a part of the patients; F1 is none


def youden_threshold(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> float:
    """The threshold of the highest sensitivity + specificity (Youden, Cancer 3:32, 1950).

    Thresholds lie midway between neighbouring scores; of several equally good ones the middle one is taken.

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: shape (N,); a row is called positive from the threshold on.

    Returns:
        The threshold; the score itself where all are equal, so that all rows are called positive; NaN for one
        class.
    """
    positive = np.asarray(labels) == 1
    if positive.all() or not positive.any():
        return math.nan
    levels, level = np.unique(np.asarray(probabilities, dtype=np.float64), return_inverse=True)
    if len(levels) == 1:
        return float(levels[0])
    missed = np.cumsum(np.bincount(level[positive], minlength=len(levels)))[:-1]
    spared = np.cumsum(np.bincount(level[~positive], minlength=len(levels)))[:-1]
    # Whole numbers, so that equal ones are equal: (spared / negatives - missed / positives) times both.
    gain = spared * positive.sum() - missed * (~positive).sum()
    best = np.flatnonzero(gain == gain.max())
    below = best[(len(best) - 1) // 2]
    middle = (levels[below] + levels[below + 1]) / 2
    return float(middle if middle > levels[below] else levels[below + 1])  # neighbours in floating point


def operating_point(labels: npt.ArrayLike, decisions: npt.ArrayLike) -> dict[str, float]:
    """Sensitivity, specificity, F1, PPV and NPV of decisions, each NaN where there is nothing to divide by.

    Args:
        labels: 0 or 1, shape (N,).
        decisions: true for called positive, shape (N,).
    """
    counts = _outcomes(np.asarray(labels) == 1, np.asarray(decisions, dtype=bool)).sum(axis=0)
    return {name: float(value[0]) for name, value in _figures(counts[None]).items()}


def operating_intervals(
    labels: npt.ArrayLike,
    decisions: npt.ArrayLike,
    groups: npt.ArrayLike,
    resamples: int,
    seed: int,
    repeats: npt.ArrayLike,
) -> dict[str, tuple[float, float]]:
    """Percentile 95 % intervals of `operating_point`'s figures, mean over repeats, over resampled groups.

    Args:
        labels: 0 or 1, shape (N,).
        decisions: true for called positive, shape (N,).
        groups: what is drawn, the patient of each row, shape (N,).
        resamples: number of draws.
        seed: the same seed gives the same intervals.
        repeats: repeat of each row, shape (N,).

    Returns:
        (low, high) a figure; resamples where it is undefined in a repeat are left out, NaN if all are.
    """
    outcomes = _outcomes(np.asarray(labels) == 1, np.asarray(decisions, dtype=bool))
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if not len(names):
        return dict.fromkeys(FIGURES, (math.nan, math.nan))
    drawn = resampled_counts(np.random.default_rng(seed), len(names), resamples).astype(np.float64)
    repeats = np.asarray(repeats)
    by_repeat = []
    for repeat in np.unique(repeats):
        group_counts = np.zeros((len(names), 4))
        np.add.at(group_counts, group[repeats == repeat], outcomes[repeats == repeat])
        by_repeat.append(_figures(drawn @ group_counts))
    return {
        name: percentile_interval(np.mean([figures[name] for figures in by_repeat], axis=0))
        for name in FIGURES
    }


def wilson_intervals(
    labels: npt.ArrayLike, decisions: npt.ArrayLike, repeats: npt.ArrayLike
) -> dict[str, tuple[float, float]]:
    """95 % intervals of the shares among `operating_point`'s figures, of rows of independent patients.

    Wilson's (J Am Stat Assoc 22:209, 1927), of the mean over repeats as of the rows of one: repeats test the
    same patients again. Refitting adds nothing that it would not cover: `tests/benchmarks/intervals.py`.

    Args:
        labels: 0 or 1, shape (N,).
        decisions: true for called positive, shape (N,).
        repeats: repeat of each row, shape (N,).

    Returns:
        (low, high) of sensitivity, specificity, ppv and npv; NaN where one is undefined in a repeat.
    """
    outcomes = _outcomes(np.asarray(labels) == 1, np.asarray(decisions, dtype=bool))
    repeats = np.asarray(repeats)
    counts = np.array([outcomes[repeats == repeat].sum(axis=0) for repeat in np.unique(repeats)]).reshape(
        -1, 4
    )
    result = {}
    for name in SHARES:
        part, total = FIGURES[name](*counts.T)
        if not len(total) or not (total > 0).all():
            result[name] = (math.nan, math.nan)
            continue
        rows = total.mean()
        ends = proportion_interval((part / total).mean(), rows)
        result[name] = ends
    return result


def proportion_interval(share: float, rows: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of so many rows."""
    square = float(norm.ppf(0.975)) ** 2
    centre = (share + square / (2 * rows)) / (1 + square / rows)
    half = math.sqrt(square * (share * (1 - share) + square / (4 * rows)) / rows) / (1 + square / rows)
    return max(0.0, centre - half), min(1.0, centre + half)


def _outcomes(positive: npt.NDArray, called: npt.NDArray) -> Floats:
    """Which rows are true positives, false positives, true negatives and false negatives, shape (N, 4)."""
    cells = [positive & called, ~positive & called, ~positive & ~called, positive & ~called]
    return np.stack(cells, axis=1).astype(np.float64)


def _figures(counts: Floats) -> dict[str, Floats]:
    """The figures of B tables of four counts (B, 4), each (B,)."""
    shares = {name: figure(*counts.T) for name, figure in FIGURES.items()}
    return {
        name: np.divide(part, total, out=np.full(len(counts), np.nan), where=total > 0)
        for name, (part, total) in shares.items()
    }
