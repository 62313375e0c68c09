"""Columns that tell a target alone: a proxy of the label among the features shows there first."""

from typing import TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from bcbm.cohort.patient_labels import patient_labels

TELLS = 0.85  # AUROC over patients, in either direction, that no single column of an honest table reaches
CHANCE = 0.01  # the largest p, over all columns at once, that counts as beyond chance
PERMUTATIONS = 999


class TellingColumn(TypedDict):
    """A column's AUROC over patients (below 0.5: lower in positive ones) and its p over all columns."""

    column: str
    auroc: float
    p: float


class Telling(TypedDict):
    """Of a target: patients and columns looked at, the strongest column, and those that tell it alone."""

    target: str
    patients: int
    columns: int
    strongest: TellingColumn
    telling: list[TellingColumn]


def telling_columns(
    columns: pd.DataFrame,
    patients: npt.ArrayLike,
    labels: pd.DataFrame,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> list[Telling]:
    """How well each column alone tells each target, a patient at a time.

    A patient counts with the mean over its lesions; every kind of a column of kinds is a column of its own,
    and so is that a number is missing. A column tells a target alone if its AUROC, in either direction, is at
    least TELLS and its p at most CHANCE. p is that of the maximum over all columns of the standardised rank
    sum under permutations of the patients' labels (Westfall and Young, Resampling-Based Multiple Testing,
    1993), so that neither many columns nor a column known of few patients raises an alarm by chance.

    Args:
        columns: N lesions; numbers, NaN where missing, or kinds.
        patients: ids, (N,).
        labels: a column a target, 1, 0 or NaN, N rows.
        permutations: of the labels.
        seed: of those.

    Returns:
        One a target; none for a target with one class, or where no column varies.
    """
    absent = columns.select_dtypes("number").isna().astype(np.float64).add_suffix(" missing")
    numbers = pd.concat([pd.get_dummies(columns, dtype=np.float64), absent], axis=1)
    owners = np.asarray(patients)
    values = numbers.groupby(owners).mean()
    varying = values.columns[values.nunique() > 1]
    by_patient = patient_labels(labels, owners)
    results: list[Telling] = []
    for target in by_patient.columns:
        label = by_patient[target].dropna()
        if label.nunique() < 2 or varying.empty:
            continue
        rng = np.random.default_rng([seed, len(results)])
        orders = [label.to_numpy(), *(rng.permutation(label.to_numpy()) for _ in range(permutations))]
        auroc, distance = _rank_sums(values.loc[label.index, varying].to_numpy(), np.stack(orders))
        as_far = distance[1:].max(axis=1) >= distance[0][:, None] * (1 - 1e-9)
        p = (1 + as_far.sum(axis=1)) / (1 + permutations)
        rows = [
            TellingColumn(column=str(name), auroc=float(value), p=float(chance))
            for name, value, chance in zip(varying, auroc, p, strict=True)
            if np.isfinite(value)
        ]
        rows.sort(key=lambda row: -abs(row["auroc"] - 0.5))
        if rows:
            telling = [r for r in rows if abs(r["auroc"] - 0.5) >= TELLS - 0.5 and r["p"] <= CHANCE]
            results.append(
                Telling(
                    target=str(target),
                    patients=len(label),
                    columns=len(rows),
                    strongest=rows[0],
                    telling=telling,
                )
            )
    return results


def _rank_sums(values: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AUROC of every column under the first labels (C,), NaN where a class has no value, and the distance of
    its rank sum from chance in standard deviations, under all labels (1 + permutations, C)."""
    known = np.isfinite(values)
    count = known.sum(axis=0)
    ranks = np.nan_to_num(rankdata(np.where(known, values, np.nan), axis=0, nan_policy="omit"))
    spread = (((ranks - (count + 1) / 2) ** 2) * known).sum(axis=0)
    positives = labels @ known
    sums = labels @ ranks
    pairs = positives * (count - positives)
    variance = pairs * spread / np.maximum(count * (count - 1), 1)
    off = np.abs(sums - positives * (count + 1) / 2)
    distance = np.divide(off, np.sqrt(variance), out=np.zeros_like(off), where=variance > 1e-9)
    wins = sums[0] - positives[0] * (positives[0] + 1) / 2
    return np.divide(wins, pairs[0], out=np.full(len(wins), np.nan), where=pairs[0] > 0), distance
