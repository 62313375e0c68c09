"""How far the inputs of one cohort lie from those of another, before any label is looked at."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bcbm.statistics.metrics import Floats


def standardised_differences(
    mean: npt.ArrayLike, variance: npt.ArrayLike, other_mean: npt.ArrayLike, other_variance: npt.ArrayLike
) -> Floats:
    """The other mean less the first, in units of both spreads: the root of the mean of the two variances.

    Austin, Stat Med 28:3083, 2009, where 0.1 counts as balanced; 0.2, 0.5 and 0.8 are Cohen's small, middle
    and large.

    Args:
        mean: of each column of one cohort, (F,), and the next three alike.

    Returns:
        (F,); 0 where neither mean nor anything else differs, NaN where two constants do.
    """
    apart = np.asarray(other_mean, dtype=np.float64) - np.asarray(mean, dtype=np.float64)
    spread = np.sqrt((np.asarray(variance, np.float64) + np.asarray(other_variance, np.float64)) / 2)
    ratio = np.divide(apart, spread, out=np.full(apart.shape, np.nan), where=spread > 0)
    return np.where((spread == 0) & (apart == 0), 0.0, ratio)


def outside_range(values: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> Floats:
    """Share of the rows of (N, F) below the low or above the high end of each column, (F,)."""
    table = np.asarray(values, dtype=np.float64)
    return np.asarray(((table < np.asarray(low)) | (table > np.asarray(high))).mean(axis=0), np.float64)


def kinds_apart(counts: Mapping[str, int], others: Mapping[str, int]) -> float:
    """Share of one sample that would have to be of another kind to be as the other is, 0 alike to 1 disjoint.

    The total variation distance of two counts by kind; NaN where one counts nobody.
    """
    totals = sum(counts.values()), sum(others.values())
    if not min(totals):
        return float("nan")
    kinds = {*counts, *others}
    gaps = (abs(counts.get(kind, 0) / totals[0] - others.get(kind, 0) / totals[1]) for kind in kinds)
    return sum(gaps) / 2
