"""From what the model of a fold says to a probability: class weights undone, then recalibrated."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit, logit

from bcbm.statistics.metrics import Floats

FITTED = ("logistic", "isotonic")  # kinds of calibration that ask validation patients
SHRINKAGE = 0.5  # standard deviation of slope and intercept around no change, before a patient is seen
LEAST_SLOPE = 1e-3  # of logistic recalibration, which never turns the order of patients round
EDGE = 1e-12  # where the logit of a probability is taken, it is kept this far from 0 and 1


@dataclass(frozen=True)
class Calibrator:
    """A map from the scores of one model and target to probabilities; it keeps their order.

    Its attributes are plain numbers, so that it travels in a checkpoint or a JSON file.

    Attributes:
        kind: a value of `calibration`.
        weight: how much more than a negative a positive weighed in training; see `unweighted`.
        gamma: that of the focal loss.
        slope: of the logistic curve that recalibrates the logit, and `intercept`, its height.
        scores: corners of the isotonic curve, from low to high, and `shares`, its heights; empty: none.

    Example:
        Trained with positives that weigh threefold, a model says 0.75 where one in two is positive.

        >>> Calibrator("prior", weight=3)([0.75, 0.5]).round(3).tolist()
        [0.5, 0.25]
    """

    kind: str = "none"
    weight: float = 1.0
    gamma: float = 0.0
    slope: float = 1.0
    intercept: float = 0.0
    scores: tuple[float, ...] = ()
    shares: tuple[float, ...] = ()

    def __call__(self, probability: npt.ArrayLike) -> Floats:
        """Probabilities (N,) of what the model says (N,)."""
        values = unweighted(probability, self.weight, self.gamma)
        if self.scores:
            return np.interp(values, self.scores, self.shares)
        if (self.slope, self.intercept) == (1.0, 0.0):
            return values
        return np.asarray(expit(self.slope * _logit(values) + self.intercept), dtype=np.float64)

    def behind(self, weight: float, gamma: float | None = None) -> "Calibrator":
        """The same map behind a model that was trained with another weight of positives, or another gamma."""
        if self.kind == "none":
            return self
        return replace(self, weight=weight, gamma=self.gamma if gamma is None else gamma)


def unweighted(probability: npt.ArrayLike, weight: float, gamma: float = 0.0) -> Floats:
    """What a model would say, had its loss not been weighed.

    A loss that weighs positives `weight` times leads to the odds of a population with so many more of them:
    divided by the weight they are those of the training patients (Elkan, IJCAI 2001, theorem 2; Saerens,
    Latinne and Decaestecker, Neural Comput 14:21, 2002). The focal loss, which is not proper, leads to
    another number, of which the probability is an increasing function (Charoenphakdee et al., CVPR 2021,
    theorem 11): with phi(p) = (1 - p)^gamma (1/p - gamma log(p) / (1 - p)), the slope of the loss of a
    positive, the odds are phi(1 - p) / phi(p).

    Args:
        probability: what the model says, (N,).
        weight: of a positive over that of a negative.
        gamma: of the focal loss; 0: cross-entropy.

    Returns:
        Shape (N,), in the same order; the numbers themselves where nothing was weighed.
    """
    values = np.asarray(probability, dtype=np.float64)
    if gamma:
        p = np.clip(values, EDGE, 1 - EDGE)
        log_odds = _log_phi(1 - p, gamma) - _log_phi(p, gamma)
        return np.asarray(expit(log_odds - np.log(weight)), dtype=np.float64)
    return values / (values + weight * (1 - values)) if weight != 1 else values


def fit_calibrator(
    kind: str, labels: npt.ArrayLike, probability: npt.ArrayLike, weight: float, gamma: float = 0.0
) -> Calibrator:
    """The map of a fold and target, fitted on its validation patients.

    Args:
        kind: `none` leaves all as it is; `prior` undoes the class weights; `logistic` fits slope and
            intercept on the logit behind that (Cox, Biometrika 45:562, 1958), pulled towards 1 and 0, as the
            few validation patients of a fold cannot carry them alone, the slope not below 0.001; `isotonic`
            fits the nearest increasing curve.
        labels: 1, 0 or NaN, (N,).
        probability: what the model says of the same patients, (N,).
        weight: as of `unweighted`, and `gamma`.

    Returns:
        The map; that of `prior` where the patients have not both labels.
    """
    if kind == "none":
        return Calibrator()
    labels = np.asarray(labels, dtype=np.float64)
    known = ~np.isnan(labels)
    y, p = labels[known], unweighted(np.asarray(probability)[known], weight, gamma)
    if kind not in FITTED or len(np.unique(y)) < 2:
        return Calibrator("prior", weight, gamma)
    if kind == "isotonic":
        scores, row = np.unique(p, return_inverse=True)
        counts = np.bincount(row).astype(np.float64)
        shares = isotonic_regression(np.bincount(row, y) / counts, weights=counts).x
        return Calibrator(kind, weight, gamma, scores=tuple(scores.tolist()), shares=tuple(shares.tolist()))
    slope, intercept = _line(_logit(p), y)
    return Calibrator(kind, weight, gamma, slope, intercept)


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Slope and intercept of the most likely logistic curve of (N,) labels on (N,) logits, shrunken."""
    design = np.stack([x, np.ones(len(x))], axis=1)
    unchanged = np.array([1.0, 0.0])

    def loss(line: Floats) -> float:
        logits = design @ line
        away = (line - unchanged) / SHRINKAGE
        return float((np.logaddexp(0, logits) - y * logits).sum() + away @ away / 2)

    def gradient(line: Floats) -> Floats:
        return design.T @ (expit(design @ line) - y) + (line - unchanged) / SHRINKAGE**2

    bounds = [(LEAST_SLOPE, None), (None, None)]
    fit = minimize(loss, unchanged, jac=gradient, method="L-BFGS-B", bounds=bounds, tol=1e-12)
    return float(fit.x[0]), float(fit.x[1])


def _log_phi(p: Floats, gamma: float) -> Floats:
    return np.asarray(gamma * np.log1p(-p) + np.log(1 / p - gamma * np.log(p) / (1 - p)), dtype=np.float64)


def _logit(probability: Floats) -> Floats:
    return np.asarray(logit(np.clip(probability, EDGE, 1 - EDGE)), dtype=np.float64)
