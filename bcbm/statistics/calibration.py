"""Do probabilities mean what they say?"""

import math

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq, minimize, root
from scipy.special import expit, logit
from scipy.stats import binomtest, rankdata

from bcbm.statistics.metrics import Floats, mean_or_nan
from bcbm.statistics.results import CalibrationBlock

EDGE = 1e-6  # probabilities are kept this far from 0 and 1, where the logit ends


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


def calibration_block(rows: pd.DataFrame) -> CalibrationBlock:
    """`calibration` of the columns label and probability, the mean over the column repeat."""
    fits = [calibration(repeat["label"], repeat["probability"]) for _, repeat in rows.groupby("repeat")]
    slopes, intercepts = [fit[0] for fit in fits], [fit[1] for fit in fits]
    return {"slope": mean_or_nan(slopes), "intercept": mean_or_nan(intercepts)}


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
        predicted=("probability", "mean"),
        observed=("label", "mean"),
        count=("label", "size"),
        positives=("label", "sum"),
    )
    counts = zip(grouped["positives"].astype(int), grouped["count"], strict=True)
    wilson = [binomtest(positives, count).proportion_ci(0.95, "wilson") for positives, count in counts]
    grouped = grouped.assign(low=[ends.low for ends in wilson], high=[ends.high for ends in wilson])
    return grouped[["predicted", "observed", "low", "high", "count"]].reset_index(drop=True)


def _slope(positive: npt.NDArray, x: Floats) -> float:
    """Slope of a logistic regression of (N,) on (N,); NaN where a threshold separates the classes."""
    if x[positive].min() >= x[~positive].max() or x[positive].max() <= x[~positive].min():
        return math.nan
    scale = x.std()
    design = np.stack([np.ones(len(x)), (x - x.mean()) / scale], axis=1)
    sign = np.where(positive, 1.0, -1.0)

    def loss(weights: Floats) -> float:
        return float(np.logaddexp(0, -sign * (design @ weights)).mean())

    def gradient(weights: Floats) -> Floats:
        return design.T @ (expit(design @ weights) - positive) / len(x)

    def hessian(weights: Floats) -> Floats:
        fitted = expit(design @ weights)
        return design.T @ (design * (fitted * (1 - fitted))[:, None]) / len(x)

    start = np.array([logit(positive.mean()), 0.0])
    near = minimize(loss, start, method="trust-exact", jac=gradient, hess=hessian).x
    return float(root(gradient, near, jac=hessian, tol=1e-14).x[1] / scale)  # past the rounding of the loss
