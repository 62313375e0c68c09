"""Do probabilities mean what they say?"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import rankdata

from bcbm.statistics.metrics import Floats

EDGE = 1e-6  # probabilities are kept this far from 0 and 1, where the logit ends
Z = 1.959963984540054  # 95 % of a normal


def calibration(labels: npt.ArrayLike, probabilities: npt.ArrayLike) -> tuple[float, float]:
    """Recalibration on the logit (Cox, Biometrika 45:562, 1958): slope, and calibration in the large.

    The slope is that of a logistic regression of the label on the logit: 1 is ideal, below 1 too extreme, 0
    no information. The intercept is that of the regression with the slope held at 1: 0 is ideal, above 0 too
    low in the mean. Probabilities are kept within [1e-6, 1 - 1e-6].

    Args:
        labels: 0 or 1, shape (N,).
        probabilities: shape (N,).

    Returns:
        (slope, intercept); both NaN for one class. The slope is also NaN where a threshold separates the
        classes or all probabilities are equal: no finite slope, or every slope, fits best.
    """
    positive = np.asarray(labels) == 1
    if positive.all() or not positive.any():
        return math.nan, math.nan
    x = logit(np.clip(np.asarray(probabilities, dtype=np.float64), EDGE, 1 - EDGE))
    centre = logit(positive.mean())
    # Shifted by so much, all logits lie below the logit of the positive share, or all above it.
    bracket = centre - x.max() - 1, centre - x.min() + 1
    intercept = brentq(lambda shift: expit(x + shift).sum() - positive.sum(), *bracket)
    return _slope(positive, x), float(intercept)


def reliability(labels: npt.ArrayLike, probabilities: npt.ArrayLike, bins: int = 10) -> pd.DataFrame:
    """Observed share against mean probability, in bins of about equally many rows; equal ones share a bin.

    Args:
        labels: 0 or 1, independent rows, shape (N,).
        probabilities: shape (N,).
        bins: at most so many.

    Returns:
        Columns predicted, observed, low, high (Wilson, J Am Stat Assoc 22:209, 1927; 95 %) and count, a row
        a bin that holds rows, from low to high probability.
    """
    table = pd.DataFrame({"label": np.asarray(labels), "probability": np.asarray(probabilities)})
    rank = rankdata(table["probability"])
    table["bin"] = np.floor((rank - 0.5) * bins / max(1, len(table))).astype(int)
    grouped = table.groupby("bin").agg(
        predicted=("probability", "mean"), observed=("label", "mean"), count=("label", "size")
    )
    share, count = grouped["observed"].to_numpy(np.float64), grouped["count"].to_numpy(np.float64)
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z / (1 + Z**2 / count) * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    grouped = grouped.assign(low=(middle - half).clip(0, 1), high=(middle + half).clip(0, 1))
    return grouped[["predicted", "observed", "low", "high", "count"]].reset_index(drop=True)


def _slope(positive: npt.NDArray, x: Floats) -> float:
    """Slope of a logistic regression of (N,) on (N,) by Newton's steps, halved until the likelihood grows."""
    if x[positive].min() >= x[~positive].max() or x[positive].max() <= x[~positive].min():
        return math.nan
    scale = x.std()
    design = np.stack([np.ones(len(x)), (x - x.mean()) / scale], axis=1)
    sign = np.where(positive, 1.0, -1.0)

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0, -sign * (design @ weights)).sum())

    weights = np.array([logit(positive.mean()), 0.0])
    for _ in range(100):
        fitted = expit(design @ weights)
        gradient = design.T @ (positive - fitted)
        hessian = design.T @ (design * (fitted * (1 - fitted))[:, None])
        step = np.linalg.solve(hessian, gradient)
        if np.abs(step).max() < 1e-10 * (1 + np.abs(weights).max()):
            break
        while loss(weights + step) > loss(weights) + 1e-12 * len(x):
            step /= 2
        weights = weights + step
    return float(weights[1] / scale)
