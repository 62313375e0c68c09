"""The figures of several cohorts as one, and how far they differ beyond chance."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import chi2
from scipy.stats import t as student

EDGE = 0.005  # an AUROC is kept this far from 0 and 1, where the logit ends


class Pooled(TypedDict):
    """The mean AUROC over cohorts with its interval, that of a new cohort, and heterogeneity.

    `tau` is the standard deviation between cohorts on the logit, `i2` its share of all variation, `q_p` the p
    of Cochran's Q. The ends of the prediction interval are NaN with two cohorts.
    """

    cohorts: int
    auroc: float
    auroc_low: float
    auroc_high: float
    new_low: float
    new_high: float
    tau: float
    i2: float
    q_p: float


def random_effects(aurocs: Sequence[float], variances: Sequence[float]) -> Pooled:
    """AUROCs of two or more cohorts as a random sample of cohorts.

    On the logit (Snell, Ensor, Debray, Moons and Riley, Stat Methods Med Res 27:3505, 2018); the variance
    between cohorts by Paule and Mandel (J Res Natl Bur Stand 87:377, 1982), which DerSimonian and Kacker
    (Contemp Clin Trials 28:105, 2007) put in the place of their own moment; the interval by Hartung and Knapp
    (Stat Med 20:3875, 2001), not narrower than that without their factor; I2 by Higgins and Thompson (Stat
    Med 21:1539, 2002); the interval of a new cohort by Higgins, Thompson and Spiegelhalter (J R Stat Soc A
    172:137, 2009).

    Args:
        aurocs: of each cohort, (K,).
        variances: of each AUROC, (K,), above 0.

    Raises:
        ValueError: fewer than two cohorts.
    """
    inside = np.clip(np.asarray(aurocs, dtype=np.float64), EDGE, 1 - EDGE)
    if len(inside) < 2:
        raise ValueError(f"{len(inside)} cohorts cannot be pooled: it takes two")
    values = logit(inside)
    own = np.asarray(variances, dtype=np.float64) / (inside * (1 - inside)) ** 2
    freedom = len(values) - 1

    def spread(between: float) -> float:
        weights = 1 / (own + between)
        return float((weights * (values - np.average(values, weights=weights)) ** 2).sum())

    q = spread(0.0)
    between = 0.0
    if q > freedom:
        most = float(own.max() + np.ptp(values) ** 2)
        while spread(most) > freedom:
            most *= 2
        between = float(brentq(lambda value: spread(value) - freedom, 0.0, most))
    weights = 1 / (own + between)
    mean = float(np.average(values, weights=weights))
    error = math.sqrt(max(1.0, spread(between) / freedom) / weights.sum())
    half = student.ppf(0.975, freedom) * error
    new = math.nan
    if freedom > 1:
        new = student.ppf(0.975, freedom - 1) * math.sqrt(between + error**2)
    return {
        "cohorts": len(values),
        "auroc": float(expit(mean)),
        "auroc_low": float(expit(mean - half)),
        "auroc_high": float(expit(mean + half)),
        "new_low": float(expit(mean - new)),
        "new_high": float(expit(mean + new)),
        "tau": math.sqrt(between),
        "i2": max(0.0, (q - freedom) / q) if q > 0 else 0.0,
        "q_p": float(chi2.sf(q, freedom)),
    }
