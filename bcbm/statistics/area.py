"""The AUROC of a cross-validation, with an interval and a p that hold when models are fitted again.

What is estimated is the mean AUROC, on new patients of the same population, of the models that the folds have
fitted; the estimate is the mean over folds of the AUROC of each fold's own test patients, who are compared
with one another and never with those of another model.

The interval holds every value that a test at 5 % does not refuse (a score interval). Under a value, the
AUROC of m positive and n negative patients has the variance of Hanley and McNeil (Radiology 143:29, 1982) as
Newcombe simplified it (Stat Med 25:559, 2006, method 5): at 0.5 it is exactly that of a rank sum, and at an
AUROC of 1 the interval still has a width. To it belongs what the folds owe to each other. A patient is
tested once and trained on in every other fold; without signal the pairs of patients then count twice, once
in each role, and the variance of the mean grows by 1 + g, where g is the share of pairs that stand in
different folds (the degenerate part of a U statistic; Nadeau and Bengio, Mach Learn 52:239, 2003, meet the
same dependence by n_test / n_train). With signal that part shrinks as the variance of a pair in order does,
4 A (1 - A), and repeats average it over partitions. In a sum of several areas every pair counts twice, the
most there can be: how the areas covary is estimated, and with a variance that is itself estimated a normal
test refuses too often. `tests/benchmarks/intervals.py` measures what all this covers.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm

from bcbm.statistics.metrics import Floats

TWO_SIDED = float(norm.ppf(0.975))


@dataclass(frozen=True)
class Area:
    """The mean AUROC of folds; NaN where no fold has both classes.

    Args:
        auroc: the mean over the folds that have both classes.
        positives: of each of those folds, shape (J,); `negatives` alike.
        repeats: of the cross-validation.
        shared: share of the pairs of patients that stand in different folds, 0.8 for five of one size.
        influence: by patient, how far he moves the mean from where it is.
        design: variance over that of independent rows: 1 with a row a patient.
        refitted: whether the variance is that of other patients and the models fitted on them, or of these
            very models on other patients.
    """

    auroc: float
    positives: Floats
    negatives: Floats
    repeats: int
    shared: float
    influence: pd.Series
    design: float = 1.0
    refitted: bool = True

    def variance(self, auroc: float, *, summed: bool = False, compared: bool = False) -> float:
        """Of the estimate, were this its true value.

        Args:
            auroc: the true value.
            summed: as one of several areas, where every pair counts twice.
            compared: as one side of a difference. What both sides have in common cancels there, and what is
                left counts as degenerate throughout.
        """
        by_fold = newcombe_variance(auroc, self.positives, self.negatives)
        one_repeat = self.design * self.repeats * by_fold.sum() / len(by_fold) ** 2
        if not self.refitted:
            return float(one_repeat)
        degenerate = 1.0 if compared else 4 * auroc * (1 - auroc)
        again = 1.0 if summed else self.shared
        over_partitions = self.shared + (1 - self.shared) / self.repeats
        return float(one_repeat * (1 - degenerate + degenerate * (1 + again) * over_partitions))


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of areas with its 95 % interval; p is below 0.05 where that shuts out the null."""

    estimate: float
    low: float
    high: float
    p: float


def newcombe_variance(auroc: float, positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Floats:
    """Variance of an AUROC of so many rows of each class, shape as theirs (Newcombe, 2006, method 5)."""
    positives, negatives = np.asarray(positives, dtype=np.float64), np.asarray(negatives, dtype=np.float64)
    more = (positives + negatives) / 2 - 1
    share = 1 + more * (1 - auroc) / (2 - auroc) + more * auroc / (1 + auroc)
    variance: Floats = auroc * (1 - auroc) * share / (positives * negatives)
    return variance


def placements(labels: npt.ArrayLike, scores: npt.ArrayLike) -> Floats:
    """Share of the other class that each row stands on the right side of, a tie counting half, shape (N,).

    The placements of DeLong, DeLong and Clarke-Pearson (Biometrics 44:837, 1988), in O(N log N); the mean
    over either class is the AUROC.

    Args:
        labels: 0 or 1, both present, shape (N,).
        scores: shape (N,).
    """
    positive, scores = np.asarray(labels) == 1, np.asarray(scores, dtype=np.float64)
    share = np.empty(len(scores))
    share[positive] = _below(scores[~positive], scores[positive])
    share[~positive] = 1 - _below(scores[positive], scores[~positive])
    return share


def cross_validated_area(rows: pd.DataFrame) -> Area:
    """The area of one target's rows, patients or lesions.

    Args:
        rows: labelled; columns repeat, fold (counted through the repeats), patient_id, label, probability.
    """
    owner, patients = pd.factorize(rows["patient_id"], sort=True)
    labels, scores = rows["label"].to_numpy(np.float64), rows["probability"].to_numpy(np.float64)
    _, fold = np.unique(rows["fold"].to_numpy(), return_inverse=True)
    order = np.argsort(fold, kind="stable")
    parts = [part for part in np.split(order, np.cumsum(np.bincount(fold))[:-1]) if len(part)]
    parts = [part for part in parts if 0 < labels[part].sum() < len(part)]
    counts = np.array([(labels[part].sum(), (1 - labels[part]).sum()) for part in parts]).reshape(-1, 2)
    repeats = max(1, rows["repeat"].nunique())
    shared = float(np.mean([_shared(repeat["fold"]) for _, repeat in rows.groupby("repeat")] or [0.0]))
    influence, rowwise = np.zeros(len(patients)), 0.0
    placed = [placements(labels[part], scores[part]) for part in parts]
    aurocs = [place[labels[part] == 1].mean() for part, place in zip(parts, placed, strict=True)]
    auroc = float(np.mean(aurocs)) if aurocs else math.nan
    for part, place, (positives, negatives) in zip(parts, placed, counts, strict=True):
        moves = (place - auroc) / np.where(labels[part] == 1, positives, negatives) / len(parts)
        np.add.at(influence, owner[part], moves)
        rowwise += float(repeats * (moves**2).sum())
    design = 1.0
    if rows.duplicated(["repeat", "patient_id"]).any() and rowwise > 0:
        design = max(1.0, float((influence**2).sum()) / rowwise)
    return Area(auroc, counts[:, 0], counts[:, 1], repeats, shared, pd.Series(influence, patients), design)


def contrast(areas: Sequence[Area], weights: Sequence[float], null: float) -> Contrast:
    """A weighted sum of areas, with its score interval and the p of its being `null`.

    One area against 0.5, the mean of several, the difference of two experiments: where the sum is set to a
    value, the areas are moved to it by the least squares, and covary as their patients' influences correlate.

    Args:
        areas: of the same patients, or of some of them, (S,).
        weights: of each, (S,).
        null: the value that p is of.

    Returns:
        NaN throughout where an area is undefined; p is 1 where the sum has no variance and is the null.
    """
    weight, centre = np.asarray(weights, dtype=np.float64), np.array([area.auroc for area in areas])
    if np.isnan(centre).any():
        return Contrast(*[math.nan] * 4)
    estimate, correlation = float(weight @ centre), _correlation([area.influence for area in areas])
    summed, compared = len(areas) > 1, bool(weight.min() < 0 < weight.max())

    def variance(value: float) -> float:
        moved = np.clip(centre + (value - estimate) * weight / (weight @ weight), 0, 1)
        pairs = zip(areas, moved, strict=True)
        variances = np.array([area.variance(at, summed=summed, compared=compared) for area, at in pairs])
        if compared:  # one spread for all, so that equal experiments differ by nothing at any value
            variances[:] = variances.mean()
        deviation = weight * np.sqrt(variances)
        return max(0.0, float(deviation @ correlation @ deviation))

    def outside(value: float) -> float:
        return (estimate - value) ** 2 - TWO_SIDED**2 * variance(value)

    least, most = float(np.minimum(weight, 0).sum()), float(np.maximum(weight, 0).sum())
    spread = variance(null)
    if spread < 1e-15:
        p = 1.0 if abs(estimate - null) < 1e-12 else 0.0
    else:
        p = float(2 * norm.sf(abs(estimate - null) / math.sqrt(spread)))
    return Contrast(estimate, _end(outside, estimate, least), _end(outside, estimate, most), p)


def holding_models_fixed(area: Area) -> Area:
    """The same area, its variance that of these very models on other patients."""
    return replace(area, refitted=False)


def _end(outside: Callable[[float], float], estimate: float, edge: float) -> float:
    """Where the interval ends between the estimate and the edge of what can be."""
    if abs(estimate - edge) < 1e-12 or outside(edge) <= 0:
        return edge
    beside = estimate + 1e-6 * (edge - estimate)  # at an AUROC of 1 itself there is no variance
    if outside(beside) >= 0:
        return estimate
    return float(brentq(outside, beside, edge))


def _correlation(influences: Sequence[pd.Series]) -> Floats:
    """Of the areas, from how their patients move them, shape (S, S); 0 where an area is moved by nobody."""
    table = np.nan_to_num(pd.concat(list(influences), axis=1).to_numpy())
    product = table.T @ table
    size = np.sqrt(np.diag(product))
    scale = np.outer(size, size)
    correlation = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    np.fill_diagonal(correlation, 1.0)
    return np.clip(correlation, -1, 1)


def _below(others: Floats, scores: Floats) -> Floats:
    """Share of the others (M,) that lie below each score (N,), an equal one counting half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores) + np.searchsorted(ordered, scores, "right")) / (2 * len(others))


def _shared(folds: pd.Series) -> float:
    """Share of pairs of rows in different folds."""
    share = folds.value_counts(normalize=True).to_numpy()
    return float(1 - (share**2).sum())
