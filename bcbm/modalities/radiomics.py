"""Radiomics: the 107 features of PyRadiomics, those of shells, and what is fitted of them in training."""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from bcbm.cohort.acquisition import groups
from bcbm.cohort.near import signed_log
from bcbm.cohort.splits import patient_weight
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.features.harmonisation import apply_combat, fit_combat
from bcbm.features.radiomics import FEATURES
from bcbm.features.shells import shell_columns
from bcbm.modalities.base import LesionData, Modality
from bcbm.statistics.agreement import icc


def from_signed_log(logs: np.ndarray) -> np.ndarray:
    """The values that `signed_log` was taken of."""
    return np.sign(logs) * np.expm1(np.abs(logs))


def column_names(shells: Sequence[float]) -> list[str]:
    """The columns of a lesion: its 107 features, then those of each shell around it (features.shells)."""
    return [*FEATURES, *shell_columns(shells)]


def group_codes(names: Sequence[str]) -> list[float]:
    """A number for each group, which float32 holds exactly, so that a batch can carry it; 0 for none."""
    return [float(zlib.crc32(name.encode()) & 0xFFFFFF) if name else 0.0 for name in names]


def fit_radiomics(logs: np.ndarray, weight: np.ndarray) -> dict[str, list[float]]:
    """Weighted median, mean and standard deviation of the finite values a column of (N, F) signed logs."""
    result: dict[str, list[float]] = {"median": [], "mean": [], "scale": []}
    for column in logs.T:
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
    """Raw values of the lesion and, with features.shells, of the tissue around it, (N, F) together.

    The encoder takes their signed log, imputes and standardises.
    """

    needs = ("radiomics",)
    encoder = "bcbm.model.encoders.radiomics:build_radiomics"

    def absent(self, lesions: LesionData) -> pd.Series:
        """No feature of the lesion itself."""
        missing = np.isnan(lesions.values["radiomics"]).all(axis=1)
        return pd.Series(np.where(missing, "no radiomics", ""), index=lesions.table.index)

    def fit(self, lesions: LesionData, weight: np.ndarray) -> dict[str, Any]:
        """Median, mean and scale a column, see `fit_radiomics`, and what the configuration has beside them.

        With features.harmonise `combat`, see `Combat`, and among it `codes`, the numbers of its groups. With
        features.stable `icc`, of each of the lesion's own 107; the scale of those that do not reach it is 0,
        which leaves them out.

        Raises:
            InputError: no column reaches features.stable.
        """
        logs = signed_log(_measured(lesions))
        fitted: dict[str, Any] = {}
        if column := lesions.config.features.harmonise:
            group = groups(lesions.table[column])
            combat = fit_combat(logs, group, weight)
            logs = apply_combat(logs, group, combat)
            fitted["combat"] = {**combat, "codes": group_codes(combat["groups"])}
        fitted |= fit_radiomics(logs, weight)
        if least := lesions.config.features.stable:
            agreement = icc(signed_log(lesions.values["perturbed"]), weight)
            stable = agreement >= least
            if not stable.any():
                text = f"no feature reaches it among {len(logs)} training lesions, the best has "
                best = np.nanmax(agreement, initial=-1)
                raise InputError(Problem(f"features.stable={least:g}", f"{text}{best:.3f}", "lower it"))
            stays = np.append(stable, np.ones(logs.shape[1] - len(stable), bool))  # shells are not perturbed
            fitted["scale"] = np.where(stays, fitted["scale"], 0.0).tolist()
            fitted["icc"] = agreement.tolist()
        return fitted

    def tensor(self, lesions: LesionData) -> np.ndarray:
        """(N, F), or with features.harmonise (N, F + 1), the number of the lesion's group last."""
        values = _measured(lesions).astype(np.float32)
        if column := lesions.config.features.harmonise:
            codes = group_codes(groups(lesions.table[column]).tolist())
            values = np.column_stack([values, np.array(codes, np.float32)])
        return values

    def columns(self, lesions: LesionData) -> pd.DataFrame:
        """The features under PyRadiomics' names, those of shells under names that begin with the shell's."""
        shells = lesions.config.features.shells if "shells" in lesions.values else []
        return pd.DataFrame(_measured(lesions), columns=column_names(shells))

    def fit_columns(self, lesions: LesionData, train: np.ndarray) -> dict[str, Any]:
        """Which columns are stable and how groups are harmonised, see `fit`; empty where neither is on."""
        features = lesions.config.features
        if not features.harmonise and not features.stable:
            return {}
        fitted, columns = self.fold_fit(lesions, train), dict[str, Any]()
        if features.harmonise:
            columns["combat"] = fitted["combat"]
        if features.stable:
            columns["unstable"] = (~(np.array(fitted["icc"]) >= features.stable)).tolist()
        return columns

    def columns_as_fitted(self, lesions: LesionData, fitted: Mapping[str, Any]) -> pd.DataFrame:
        """Those that are stable, harmonised, on the scale that they came in."""
        columns = self.columns(lesions)
        if "combat" in fitted:
            group = groups(lesions.table[lesions.config.features.harmonise])
            logs = apply_combat(signed_log(columns.to_numpy()), group, fitted["combat"])
            columns = pd.DataFrame(from_signed_log(logs), columns=columns.columns)
        if "unstable" in fitted:
            columns = columns.drop(columns=columns.columns[: len(FEATURES)][fitted["unstable"]])
        return columns

    def fold_fit(self, lesions: LesionData, train: np.ndarray) -> dict[str, Any]:
        """`fit` on the lesions of the rows `train` that have radiomics."""
        inside = lesions.among(train[self.absent(lesions).to_numpy()[train] == ""])
        return self.fit(inside, patient_weight(inside.table["patient_id"]))

    def blocks(self, config: Config) -> dict[str, list[int]]:
        """Every column by its name, each class, and each shell: columns of one stand in for each other."""
        names = [name.removeprefix("original_") for name in column_names(config.features.shells)]
        blocks = {name: [place] for place, name in enumerate(names)}
        for place, name in enumerate(names):
            group = " ".join(name.split("_")[: 2 if name.startswith("shell_") else 1])
            blocks.setdefault(f"all {group}", []).append(place)
        return blocks


def _measured(lesions: LesionData) -> np.ndarray:
    """What was measured of each lesion and, as far as they were, of the shells around it, (N, F)."""
    return np.hstack([lesions.values[name] for name in ("radiomics", "shells") if name in lesions.values])


RADIOMICS = Radiomics()
