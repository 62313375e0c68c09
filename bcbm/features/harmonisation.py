"""ComBat: shifts and scales of measured features by how they were measured, taken away.

Parametric empirical Bayes of Johnson, Li and Rabinovic (Biostatistics 8:118, 2007), as Fortin et al. use it
on images (NeuroImage 161:149, 2017); without covariates, as labels are not known of those to be predicted.
"""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

ENOUGH = 2  # patients of a group, and columns that vary, below which there is no spread to learn from
TOLERANCE = 1e-9  # of the empirical Bayes estimates, in standard deviations
STEPS = 1000


class Combat(TypedDict):
    """What was fitted: a value v of a group becomes factor * v + shift, by group and column."""

    groups: list[str]
    factor: list[list[float]]
    shift: list[list[float]]


def fit_combat(values: npt.ArrayLike, groups: npt.ArrayLike, weight: npt.ArrayLike) -> Combat:
    """Fit ComBat to training lesions.

    A group of fewer than two patients is not fitted: its own level cannot be told from that patient's. Where
    fewer than two groups are left, or fewer than two columns vary in each of them, nothing is. A column that
    does not vary in some group stays as it is.

    Args:
        values: (N, F), NaN where missing, on a scale where differences between scanners add up, such as logs.
        groups: what each lesion was measured with, (N,), "" where that is not known.
        weight: of each lesion, (N,); those of a patient sum to 1, so that a sum counts patients. With one
            lesion a patient this is the published method.
    """
    values, groups, weight = np.asarray(values, np.float64), np.asarray(groups, str), np.asarray(weight)
    shares = np.where(np.isfinite(values), weight[:, None], 0.0)
    values = np.where(np.isfinite(values), values, 0.0)
    enough = ENOUGH - 1e-9
    names = [str(name) for name in np.unique(groups) if name and weight[groups == name].sum() >= enough]
    identity: Combat = {
        "groups": names,
        "factor": np.ones((len(names), values.shape[1])).tolist(),
        "shift": np.zeros((len(names), values.shape[1])).tolist(),
    }
    if len(names) < 2:
        return {"groups": [], "factor": [], "shift": []}
    inside = [groups == name for name in names]
    counts = np.array([shares[rows].sum(axis=0) for rows in inside])  # (G, F), patients
    sums = np.array([(shares * values)[rows].sum(axis=0) for rows in inside])
    means = sums / np.maximum(counts, 1e-300)
    squares = [
        (shares[rows] * (values[rows] - mean) ** 2).sum(axis=0)
        for rows, mean in zip(inside, means, strict=True)
    ]
    spread = np.array(squares) / np.maximum(counts, 1e-300)
    varies = (counts >= enough).all(axis=0) & (spread > 1e-12 * (1 + means**2)).all(axis=0)
    if varies.sum() < ENOUGH:
        return identity
    shares, values, counts, means = shares[:, varies], values[:, varies], counts[:, varies], means[:, varies]
    grand = (counts * means).sum(axis=0) / counts.sum(axis=0)
    scale = np.sqrt((counts * spread[:, varies]).sum(axis=0) / counts.sum(axis=0))
    standard = (values - grand) / scale
    factor, shift = np.array(identity["factor"]), np.array(identity["shift"])
    for place, rows in enumerate(inside):
        level, variance = _shrunken(standard[rows], shares[rows], counts[place])
        factor[place, varies] = 1 / np.sqrt(variance)
        shift[place, varies] = grand - (grand + scale * level) / np.sqrt(variance)
    return {"groups": names, "factor": factor.tolist(), "shift": shift.tolist()}


def apply_combat(values: npt.ArrayLike, groups: npt.ArrayLike, fitted: Combat) -> npt.NDArray[np.float64]:
    """Harmonised values (N, F); those of a group that was not fitted pass through as they are."""
    result, groups = np.array(values, np.float64), np.asarray(groups, str)
    for name, factor, shift in zip(fitted["groups"], fitted["factor"], fitted["shift"], strict=True):
        rows = groups == name
        result[rows] = result[rows] * factor + shift
    return result


def _shrunken(
    standard: np.ndarray, shares: np.ndarray, counts: np.ndarray
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Empirical Bayes estimates (F,) of a group's level and variance: columns lend each other strength.

    Args:
        standard: the group's standardised values, (N, F).
        shares: their weights, 0 where missing.
        counts: patients by column, (F,).
    """
    level = (shares * standard).sum(axis=0) / counts
    variance = (shares * (standard - level) ** 2).sum(axis=0) / (counts - 1)
    prior_level, prior_spread = level.mean(), level.var(ddof=1)
    mean, spread = variance.mean(), max(float(variance.var(ddof=1)), 1e-12)
    shape, rate = 2 + mean**2 / spread, mean + mean**3 / spread  # of an inverse gamma, by its moments
    new_level, new_variance = level, variance
    for _ in range(STEPS):
        before = new_level, new_variance
        evidence = counts * prior_spread
        new_level = (evidence * level + new_variance * prior_level) / (evidence + new_variance)
        squares = (shares * (standard - new_level) ** 2).sum(axis=0)
        new_variance = (rate + squares / 2) / (counts / 2 + shape - 1)
        if max(np.abs(new_level - before[0]).max(), np.abs(new_variance - before[1]).max()) < TOLERANCE:
            break
    return new_level, new_variance
