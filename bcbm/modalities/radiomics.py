"""Radiomics: what is fitted on the training patients."""

import numpy as np


def signed_log(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|): radiomics span twelve decades and both signs."""
    return np.sign(values) * np.log1p(np.abs(values))


def fit_radiomics(values: np.ndarray, weight: np.ndarray) -> dict[str, list[float]]:
    """Weighted median, mean and standard deviation of the finite signed logs a column of (N, F) values."""
    result: dict[str, list[float]] = {"median": [], "mean": [], "scale": []}
    for column in signed_log(values).T:
        finite = np.isfinite(column)
        known, share = column[finite], weight[finite]
        median = mean = scale = 0.0
        if len(known):
            order = np.argsort(known)
            below = np.cumsum(share[order])
            median = float(known[order][np.searchsorted(below, below[-1] / 2)])
            mean = float(np.average(known, weights=share))
            scale = float(np.sqrt(np.average((known - mean) ** 2, weights=share)))
            if scale < 1e-6 * (1 + abs(mean)):  # constant up to rounding
                scale = 0.0
        for name, value in (("median", median), ("mean", mean), ("scale", scale)):
            result[name].append(value)
    return result
