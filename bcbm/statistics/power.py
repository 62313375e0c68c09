"""What a cohort of a given size could show at all."""

import math

from scipy.optimize import brentq
from scipy.stats import norm


def smallest_auroc(positives: int, negatives: int, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest AUROC above 0.5 that a test on so many patients would show with that power.

    The test is two-sided against 0.5. An AUROC A is shown if A - 0.5 is z(1 - alpha/2) standard errors at 0.5
    and z(power) standard errors at A, as of Hanley and McNeil (Radiology 143:29, 1982); at 0.5 theirs is that
    of a rank sum.

    Args:
        positives: patients with the target.
        negatives: patients without it.
        power: chance to show it.
        alpha: chance of a false alarm.

    Returns:
        The AUROC; NaN for one class and where even an AUROC of 1 would not be shown.
    """
    if min(positives, negatives) == 0:
        return math.nan
    by_chance = norm.ppf(1 - alpha / 2) * standard_error(0.5, positives, negatives)

    def beyond(area: float) -> float:
        return area - 0.5 - by_chance - norm.ppf(power) * standard_error(area, positives, negatives)

    return float(brentq(beyond, 0.5, 1)) if beyond(1) > 0 else math.nan


def standard_error(area: float, positives: int, negatives: int) -> float:
    """Standard error of an AUROC whose scores are exponential in both classes (Hanley and McNeil, 1982)."""
    two_positives = area / (2 - area) - area**2
    two_negatives = 2 * area**2 / (1 + area) - area**2
    variance = area * (1 - area) + (positives - 1) * two_positives + (negatives - 1) * two_negatives
    return math.sqrt(max(0.0, variance) / (positives * negatives))
