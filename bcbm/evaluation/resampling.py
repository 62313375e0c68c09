"""Intervals by drawing patients again, not lesions: lesions of one patient are not independent."""

import numpy as np
import numpy.typing as npt

from bcbm.evaluation.metrics import weighted_aurocs

CHUNK = 1_000_000  # elements of the largest array, 8 MB; about eight such arrays live at once


def resampled_counts(rng: np.random.Generator, groups: int, resamples: int) -> npt.NDArray[np.int64]:
    """How often each group is drawn when `groups` are drawn with replacement, shape (resamples, groups)."""
    return rng.multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def bootstrap_auroc(
    labels: npt.ArrayLike,
    scores: npt.ArrayLike,
    groups: npt.ArrayLike,
    resamples: int,
    seed: int,
    repeats: npt.ArrayLike | None = None,
) -> tuple[float, float]:
    """Percentile 95 % interval of the AUROC over resampled groups (Efron and Tibshirani, 1993, chapter 13).

    A group drawn k times gives its rows the weight k, which is exactly the AUROC of the repeated rows.
    Resamples in which a class is missing have no AUROC and are left out.

    Args:
        labels: 0 or 1, shape (N,).
        scores: shape (N,).
        groups: what is drawn, the patient of each row, shape (N,).
        resamples: number of draws.
        seed: the same seed gives the same interval.
        repeats: repeat of each row, shape (N,); the statistic is then the mean of the repeats' AUROCs, all
            from the same drawn groups.

    Returns:
        (low, high); NaN when the AUROC itself is undefined.
    """
    labels, scores = np.asarray(labels), np.asarray(scores)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    repeats = np.zeros(len(labels)) if repeats is None else np.asarray(repeats)
    members = [np.flatnonzero(repeats == repeat) for repeat in np.unique(repeats)]
    if not members:
        return float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK // len(labels))
    means = []
    for start in range(0, resamples, step):
        counts = resampled_counts(rng, len(names), min(step, resamples - start))
        aurocs = [weighted_aurocs(labels[rows], scores[rows], counts[:, group[rows]]) for rows in members]
        means.append(np.mean(aurocs, axis=0))
    statistic = np.concatenate(means)
    statistic = statistic[~np.isnan(statistic)]
    if not len(statistic):
        return float("nan"), float("nan")
    low, high = np.percentile(statistic, [2.5, 97.5])
    return float(low), float(high)
