"""What a cohort of a given size could show at all, and what size a model asks for."""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit, xlogy
from scipy.stats import norm

from bcbm.statistics.area import Area

SHRINKAGE, OPTIMISM, MARGIN = 0.9, 0.05, 0.05  # Riley's criteria: at least, at most, at most


def planned_area(positives: int, negatives: int, folds: int, repeats: int = 1) -> Area:
    """The cross-validation of so many patients, before anything is trained."""
    positive, negative = (np.full(folds * repeats, count / folds) for count in (positives, negatives))
    return Area(math.nan, positive, negative, repeats, 1 - 1 / folds, pd.Series(dtype=float))


def given_area(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Area:
    """The same of folds that are given, by how many patients of each class each tests, (J,)."""
    positive, negative = np.asarray(positives, np.float64), np.asarray(negatives, np.float64)
    share = (positive + negative) / (positive + negative).sum()
    both = (positive > 0) & (negative > 0)
    shared = float(1 - (share**2).sum())
    return Area(math.nan, positive[both], negative[both], 1, shared, pd.Series(dtype=float))


def chance_to_show(area: Area, auroc: float, tests: int = 1, alpha: float = 0.05) -> float:
    """Chance that the run's own test calls models better than 0.5, over cohorts that are not drawn yet.

    What the test needs is the spread of its estimate at 0.5. Around a true value above 0.5 the estimate of
    another cohort spreads further than around that of its own models, which themselves turn out better or
    worse by their cohort: every pair of patients counts twice, the most there can be.
    `tests/benchmarks/intervals.py` measures it.

    Args:
        area: of the run, or `planned_area`.
        auroc: the true value, above 0.5; the mean over cohorts of that of their models.
        tests: targets that are corrected for: the test that stands alone has to reach alpha / tests.
        alpha: share of false alarms.
    """
    needed = norm.ppf(1 - alpha / tests / 2) * math.sqrt(area.variance(0.5))
    spread = math.sqrt(area.variance(auroc, summed=True, compared=True))
    beyond = auroc - 0.5 - needed
    return float(norm.cdf(beyond / spread)) if spread > 0 else float(beyond > 0)


def smallest_auroc(area: Area, tests: int = 1, power: float = 0.8) -> float:
    """The least true AUROC that the run's own test shows with that power; arguments as `chance_to_show`.

    Returns:
        The AUROC; NaN where even an AUROC of 1 would not be shown.
    """
    if not chance_to_show(area, 1.0, tests) >= power:
        return math.nan
    return float(brentq(lambda auroc: chance_to_show(area, auroc, tests) - power, 0.5, 1.0))


def sample_size(prevalence: float, parameters: int, auroc: float) -> int:
    """Patients that a new model asks for: the largest of three criteria of Riley (BMJ 368:m441, 2020).

    Overall risk to within 0.05; predictions shrunk by at most a tenth; optimism of Nagelkerke's R2 at most
    0.05. The R2 of Cox and Snell is that of scores normal in both classes that reach the AUROC.

    Args:
        prevalence: share of positive patients, inside (0, 1).
        parameters: candidate columns.
        auroc: that is hoped for, above 0.5.
    """
    explained = cox_snell(prevalence, auroc)
    most = 1 - (prevalence**prevalence * (1 - prevalence) ** (1 - prevalence)) ** 2
    by_optimism = explained / (explained + OPTIMISM * most)
    sizes = [(1.96 / MARGIN) ** 2 * prevalence * (1 - prevalence)]
    for shrinkage in (SHRINKAGE, by_optimism):
        sizes.append(parameters / ((shrinkage - 1) * math.log(1 - explained / shrinkage)))
    return math.ceil(max(sizes))


def cox_snell(prevalence: float, auroc: float) -> float:
    """R2 of Cox and Snell of a score that is normal in both classes with equal spread."""
    distance = math.sqrt(2) * norm.ppf(auroc)
    place, weight = np.polynomial.hermite_e.hermegauss(80)
    weight = weight / weight.sum()
    gain = -(xlogy(prevalence, prevalence) + xlogy(1 - prevalence, 1 - prevalence))
    for share, centre, sign in ((prevalence, distance / 2, 1), (1 - prevalence, -distance / 2, -1)):
        linear = logit(prevalence) + distance * (centre + place)
        gain += share * float(weight @ np.log(expit(sign * linear)))
    return float(1 - math.exp(-2 * gain))
