"""What recalibration on a cohort would mend, judged on patients that it has not seen."""

from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from bcbm.cohort.splits import stratified_folds
from bcbm.statistics.calibration import EDGE, calibration
from bcbm.statistics.frozen import accelerated_interval, mean_under, squares
from bcbm.statistics.metrics import Floats, brier
from bcbm.statistics.probabilities import log_loss
from bcbm.statistics.recalibration import fit_calibrator

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


def recalibrated(
    labels: np.ndarray, probability: np.ndarray, kind: str
) -> tuple[Floats | None, tuple[float, float]]:
    """The line, slope and intercept on the logit, that patients give, and their probabilities by it.

    The intercept alone is the most likely one with slope 1; with the slope, both are pulled towards no
    change, as few patients cannot carry them (`recalibration.fit_calibrator`). Steyerberg, Stat Med 23:2567,
    2004, calls these the first two ways to update a model.

    Returns:
        Probabilities (N,) and the line; None where one class has no patient, and a line of no change.
    """
    if len(np.unique(labels)) < 2:
        return None, (1.0, 0.0)
    if kind == "intercept":
        line = 1.0, calibration(labels, probability)[1]
    else:
        fitted = fit_calibrator("logistic", labels, probability, 1.0)
        line = fitted.slope, fitted.intercept
    return moved(probability, line), line


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
            values[out] = moved(p[out], recalibrated(labels[inside], p[inside], kind)[1])
        blocks[kind] = _block(rows, values, recalibrated(labels, p, kind)[1], resamples, seed)
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
