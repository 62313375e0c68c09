"""What recalibration on a cohort would mend, judged on patients that it has not seen."""

import math
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.calibration import EDGE, calibration
from bcbm.statistics.frozen import accelerated_interval, mean_under, squares
from bcbm.statistics.metrics import Floats, brier
from bcbm.statistics.probabilities import log_loss
from bcbm.statistics.recalibration import LEAST_SLOPE, fit_calibrator

FOLDS = 10
KINDS = ("intercept", "intercept and slope")


class Updated(TypedDict):
    """Figures of probabilities; of recalibrated ones with the line that all patients give.

    `gain` is how much less the Brier score is than that of the frozen model, with its interval.
    """

    brier: float
    log_loss: float
    slope: float
    intercept: float
    gain: float
    gain_low: float
    gain_high: float
    line: tuple[float, float]


def recalibration_line(labels: np.ndarray, probability: np.ndarray, kind: str) -> tuple[float, float]:
    """The line on the logit, slope and intercept, that patients give.

    The most likely line, with slope 1 for the intercept alone (Steyerberg et al., Stat Med 23:2567, 2004,
    methods 2 and 3). It never turns the order round; where a threshold separates the classes, and no line is
    the most likely one, it is pulled towards no change (`recalibration.fit_calibrator`).

    Args:
        labels: 0 or 1, (N,); with one class nothing changes.
        probability: (N,).
        kind: of KINDS.
    """
    slope = 1.0 if kind == "intercept" else calibration(labels, probability)[0]
    if math.isnan(slope):
        fitted = fit_calibrator("logistic", labels, probability, 1.0)
        return fitted.slope, fitted.intercept
    slope = max(slope, LEAST_SLOPE)
    intercept = calibration(labels, moved(probability, (slope, 0.0)))[1]
    return slope, 0.0 if math.isnan(intercept) else intercept


def moved(probability: np.ndarray, line: tuple[float, float]) -> Floats:
    """Probabilities (N,) after a line on their logit, slope and intercept."""
    x = logit(np.clip(probability, EDGE, 1 - EDGE))
    return np.asarray(expit(line[0] * x + line[1]), dtype=np.float64)


def cross_validated_update(rows: pd.DataFrame, resamples: int, seed: int) -> dict[str, Updated]:
    """Figures of the frozen model (`frozen`), and of each of KINDS cross-validated inside the cohort.

    Args:
        rows: labelled patients of one target, both classes present; columns label and probability.
        resamples: bootstrap draws of patients, for the interval of the gain. It holds the lines of the folds
            fixed.
        seed: of the folds and draws.
    """
    labels, p = rows["label"].to_numpy(np.float64), rows["probability"].to_numpy(np.float64)
    smaller = int(min(labels.sum(), (1 - labels).sum()))
    count = max(2, min(FOLDS, smaller))
    fold = stratified_folds(np.arange(len(labels)), labels, count, np.random.default_rng(seed))
    blocks = {"frozen": _block(rows, p, (1.0, 0.0), resamples, seed)}
    for kind in KINDS:
        values = p.copy()
        for number in range(count):
            inside, out = fold != number, fold == number
            values[out] = moved(p[out], recalibration_line(labels[inside], p[inside], kind))
        blocks[kind] = _block(rows, values, recalibration_line(labels, p, kind), resamples, seed)
    return blocks


def _block(
    rows: pd.DataFrame, values: Floats, line: tuple[float, float], resamples: int, seed: int
) -> Updated:
    slope, intercept = calibration(rows["label"], values)
    gains = squares(rows) - squares(rows.assign(probability=values))
    low, high = accelerated_interval(mean_under(gains), len(rows), resamples, seed)
    return {
        "brier": brier(rows["label"], values),
        "log_loss": log_loss(rows["label"], values),
        "slope": slope,
        "intercept": intercept,
        "gain": float(gains.mean()),
        "gain_low": low,
        "gain_high": high,
        "line": line,
    }
