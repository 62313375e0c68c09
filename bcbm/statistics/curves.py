"""Curves over thresholds; over repeats their vertical mean, whose area is the reported figure."""

import numpy as np
import pandas as pd

from bcbm.statistics.metrics import Floats
from bcbm.statistics.resampling import resampled_counts


def roc_curve(rows: pd.DataFrame, over: str = "repeat") -> tuple[Floats, Floats]:
    """1 - specificity and sensitivity, the vertical mean over repeats or folds; empty for one class.

    Args:
        rows: labelled rows of one target with repeat, fold, label and probability.
        over: repeat or fold: rows of which are ranked together; those of one class are left out.
    """
    return _vertical_mean(_corners(rows, over))


def roc_curves(rows: pd.DataFrame, over: str) -> list[tuple[Floats, Floats]]:
    """The curve of each repeat or fold of both classes, in order, as `roc_curve` of its rows alone."""
    return [_vertical_mean([curve]) for curve in _corners(rows, over)]


def _corners(rows: pd.DataFrame, over: str) -> list[tuple[Floats, Floats]]:
    """Corners of the ROC curve of each repeat or fold that has both classes."""
    labels, scores = rows["label"].to_numpy(float), rows["probability"].to_numpy()
    parts = rows.groupby(over).indices.values()
    return [_roc(*_by_score(labels[part], scores[part])) for part in parts if len(set(labels[part])) == 2]


def _vertical_mean(curves: list[tuple[Floats, Floats]]) -> tuple[Floats, Floats]:
    """The mean height of curves at every 1 - specificity that one of them has; empty for none."""
    if not curves:
        return np.empty(0), np.empty(0)
    grid = np.unique(np.concatenate([x for x, _ in curves]))
    foot = np.mean([np.interp(-grid, -x[::-1], y[::-1]) for x, y in curves], axis=0)
    head = np.mean([np.interp(grid, x, y) for x, y in curves], axis=0)
    return np.repeat(grid, 2), np.stack([foot, head], axis=1).ravel()


def roc_band(rows: pd.DataFrame, grid: Floats, resamples: int, seed: int) -> tuple[Floats, Floats, Floats]:
    """The mean ROC curve of the folds over a grid of 1 - specificity, with a simultaneous 95 % band.

    The band has one width (Campbell, Statistics in Medicine 13:499-508, 1994): the curve, moved along the
    falling diagonal to either side as far as the curves of 95 % of draws of patients lie from it at most.
    Patients are drawn with replacement, and each fold's curve is that of its drawn patients; a fold of which
    a draw has one class only is no part of that draw. The fitted models stand still: then the whole curve of
    the population lies in the band in 88 to 99 % of cohorts (tests/benchmarks/roc_band.py).

    Args:
        rows: labelled rows of one target with fold, patient_id, label and probability.
        grid: values of 1 - specificity from 0 to 1, (G,).
        resamples: draws of patients, B.
        seed: of those; the same seed gives the same band.

    Returns:
        Sensitivity, low and high, (G,) each, at a jump the upper end; NaN where no fold has both classes.
    """
    names, patient = np.unique(rows["patient_id"].to_numpy(), return_inverse=True)
    drawn = resampled_counts(np.random.default_rng(seed), len(names), resamples)
    weights = np.vstack([np.ones((1, len(names))), drawn])
    labels, scores = rows["label"].to_numpy() == 1, rows["probability"].to_numpy(np.float64)
    total, folds = np.zeros((len(weights), len(grid))), np.zeros((len(weights), 1))
    for part in rows.groupby("fold").indices.values():
        positive, negative = part[labels[part]], part[~labels[part]]
        own, other = weights[:, patient[positive]], weights[:, patient[negative]]
        both = (own.sum(axis=1) > 0) & (other.sum(axis=1) > 0)
        own, other = (side[both] / side[both].sum(axis=1, keepdims=True) for side in (own, other))
        above, equal = (
            (scores[negative, None] > scores[positive]),
            (scores[negative, None] == scores[positive]),
        )
        total[both] += _heights(own, other @ above, other @ equal, equal.any(axis=0), grid)
        folds[both] += 1
    means = np.divide(total, folds, out=np.full(total.shape, np.nan), where=folds > 0)
    if not folds[0, 0]:
        return means[0], means[0], means[0]
    curve, *drawn_curves = (_over_diagonal(grid, heights) for heights in means[~np.isnan(means[:, 0])])
    farthest = np.abs(np.array(drawn_curves) - curve).max(axis=1)
    shift = float(np.quantile(farthest, 0.95)) / 2  # to the side, and as much up or down
    low = np.interp(grid - shift, grid, means[0], left=0) - shift
    high = np.interp(grid + shift, grid, means[0], right=1) + shift
    return means[0], low.clip(0, 1), high.clip(0, 1)


def precision_recall_curve(rows: pd.DataFrame) -> tuple[Floats, Floats]:
    """Recall and precision as steps, the vertical mean over repeats; empty for one class.

    A step has the precision of its right end, so that the area is the average precision, which does not
    interpolate (Davis and Goadrich, ICML 2006).

    Args:
        rows: as of `roc_curve`.
    """
    if rows["label"].nunique() < 2:
        return np.empty(0), np.empty(0)
    curves = []
    for _, repeat in rows.groupby("repeat"):
        labels, last_of_tie = _by_score(repeat["label"].to_numpy(float), repeat["probability"].to_numpy())
        true_positives = np.cumsum(labels)[last_of_tie]
        new = np.diff(true_positives, prepend=0) > 0  # a threshold that finds nobody adds no area
        curves.append((true_positives[new] / true_positives[-1], (true_positives / (last_of_tie + 1))[new]))
    grid = np.unique(np.concatenate([recall for recall, _ in curves]))
    heights = [precision[np.searchsorted(recall, grid)] for recall, precision in curves]
    return np.append(0, np.repeat(grid, 2)[:-1]), np.repeat(np.mean(heights, axis=0), 2)


def _over_diagonal(grid: Floats, heights: Floats) -> Floats:
    """How far a curve from (0, 0) on lies above the rising diagonal, x = y, at places along it."""
    x, y = np.append(0, grid), np.append(0, heights)
    return np.interp(np.linspace(0, 2, len(x)), x + y, y - x)


def _heights(own: Floats, above: Floats, equal: Floats, tied: np.ndarray, grid: Floats) -> Floats:
    """Sensitivity over a grid of 1 - specificity, (B, G).

    Args:
        own: weight of each positive row, all of a draw together 1, (B, P).
        above: weight of the negative rows that lie above it, and `equal`, of those of its score, (B, P).
        tied: which positive rows have such, (P,).
        grid: (G,).
    """
    draws, size = len(own), len(grid) + 1
    first = np.searchsorted(grid, above[:, ~tied] - 1e-12) + size * np.arange(draws)[:, None]
    steps: Floats = np.bincount(first.ravel(), own[:, ~tied].ravel(), draws * size).astype(np.float64)
    heights: Floats = np.cumsum(steps.reshape(draws, size), axis=1)[:, :-1]
    for place in np.flatnonzero(tied):  # equal scores make one slanted step
        beyond, slant = grid - above[:, [place]] + 1e-12, equal[:, [place]]
        share = np.divide(beyond, slant, out=(beyond >= 0).astype(np.float64), where=slant > 0)
        heights += own[:, [place]] * np.clip(share, 0, 1)
    return heights


def _by_score(labels: Floats, scores: Floats) -> tuple[Floats, np.ndarray]:
    """Labels from the highest score down, and the last place of each run of equal scores."""
    order = np.argsort(-scores, kind="stable")
    return labels[order], np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


def _roc(labels: Floats, last_of_tie: np.ndarray) -> tuple[Floats, Floats]:
    """Corners of one empirical ROC curve from (0, 0) to (1, 1); tied scores make one slanted step."""
    positives = np.append(0, np.cumsum(labels)[last_of_tie])
    negatives = np.append(0, np.cumsum(1 - labels)[last_of_tie])
    return negatives / negatives[-1], positives / positives[-1]
