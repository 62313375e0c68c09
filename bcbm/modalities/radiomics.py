"""Radiomics: the 107 features of PyRadiomics, and what is fitted of them on the training patients."""

import numpy as np
import pandas as pd

from bcbm.features.radiomics import FEATURES
from bcbm.modalities.base import LesionData, Modality


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


class Radiomics(Modality):
    """Raw values; the encoder takes their signed log, imputes and standardises."""

    needs = ("radiomics",)
    encoder = "bcbm.model.encoders.radiomics:build_radiomics"

    def absent(self, lesions: LesionData) -> pd.Series:
        """No feature at all."""
        missing = np.isnan(lesions.values["radiomics"]).all(axis=1)
        return pd.Series(np.where(missing, "no radiomics", ""), index=lesions.table.index)

    def fit(self, lesions: LesionData, weight: np.ndarray) -> dict[str, list[float]]:
        """Median, mean and scale a column, see `fit_radiomics`."""
        return fit_radiomics(lesions.values["radiomics"], weight)

    def tensor(self, lesions: LesionData) -> np.ndarray:
        """(N, 107)."""
        values: np.ndarray = lesions.values["radiomics"].astype(np.float32)
        return values

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """The features under PyRadiomics' names."""
        return pd.DataFrame(lesions.values["radiomics"], columns=list(FEATURES))

    def blocks(self) -> dict[str, list[int]]:
        """Every column by its name, and each class: columns of a class stand in for each other."""
        names = [feature.removeprefix("original_") for feature in FEATURES]
        blocks = {name: [place] for place, name in enumerate(names)}
        for place, name in enumerate(names):
            blocks.setdefault(f"all {name.split('_')[0]}", []).append(place)
        return blocks


RADIOMICS = Radiomics()
