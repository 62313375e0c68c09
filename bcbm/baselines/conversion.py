"""The baseline of no conversion: a metastasis has the receptors of its primary tumour."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bcbm.cohort.patient_labels import patient_labels


def unconverted(
    primary: npt.ArrayLike, labels: npt.ArrayLike, patients: pd.Series, rows: np.ndarray
) -> dict[str, Any]:
    """Positive where the primary was, with the chance that training patients kept, or gained, the receptor.

    The share of n patients, k of them positive, is (k + 1) / (n + 2) (Laplace's rule), so that it is never
    certain. Where positive primaries have no greater share than negative ones, both have that of all, so that
    the order is never turned round. An unknown primary gives the mean of both shares, by their patients.

    Args:
        primary: status of the primary, 1, 0 or NaN, of all N lesions.
        labels: of the metastasis, 1, 0 or NaN, (N,); read of `rows` only.
        patients: of each lesion, (N,).
        rows: to fit on, labelled.

    Returns:
        What was fitted, as `from_primary` reads it, and the `patients` behind it.
    """
    status = np.asarray(primary, np.float64)
    known = pd.DataFrame({"primary": status[rows], "label": np.asarray(labels, np.float64)[rows]})
    known = patient_labels(known, patients.iloc[rows].to_numpy()).dropna()
    counts = known.groupby("primary")["label"].agg(["sum", "size"]).reindex([0.0, 1.0], fill_value=0)
    share = ((counts["sum"] + 1) / (counts["size"] + 2)).to_numpy()
    if share[1] < share[0]:
        share = np.full(2, (counts["sum"].sum() + 1) / (counts["size"].sum() + 2))
    weight = counts["size"].to_numpy() + 2
    unknown = float(share @ weight / weight.sum())
    shares = {"positive_primary": float(share[1]), "negative_primary": float(share[0]), "unknown": unknown}
    return {"patients": len(known), **shares}


def from_primary(primary: npt.ArrayLike, shares: Mapping[str, float]) -> np.ndarray:
    """Probabilities (N,) by the status of the primary, 1, 0 or NaN, from what `unconverted` has fitted."""
    status = np.asarray(primary, np.float64)
    known = np.where(status == 1, shares["positive_primary"], shares["negative_primary"])
    return np.where(np.isnan(status), shares["unknown"], known)
