"""What a lesion is described by, as numbers, and the check that no part of a fold knows another's lesions."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from bcbm.cohort.names import HEMISPHERES, REGIONS

PARTS = ("train", "validation", "test")
LEFT, RIGHT = HEMISPHERES.index("left"), HEMISPHERES.index("right")  # where a position is one-hot


class LeakError(ValueError):
    """Training, validation and test share what they must not share; the message names it."""


def position_onehot(hemisphere: Sequence[str], region: Sequence[str]) -> np.ndarray:
    """Hemisphere, then region, as (N, 12) float32 of 0 and 1.

    Raises:
        ValueError: a word outside HEMISPHERES or REGIONS.
    """
    blocks = []
    for column, given, known in (("hemisphere", hemisphere, HEMISPHERES), ("region", region, REGIONS)):
        codes = pd.Index(known).get_indexer(pd.Index(given, dtype=object))
        if (codes < 0).any():
            word = list(given)[int(np.argmin(codes))]
            raise ValueError(f"{column} '{word}' is not known; write one of {', '.join(known)}")
        blocks.append(np.eye(len(known), dtype=np.float32)[codes])
    return np.concatenate(blocks, axis=1)


def position_coordinates(lesions: pd.DataFrame) -> np.ndarray:
    """Distance from the midline, place forward and upward in MNI space (decimetres), known or not.

    (N, 4) float32, 0 where a lesion has no coordinates. The side is left to the one-hot hemisphere, so that a
    left-right flip changes nothing here.
    """
    points = lesions[["mni_x", "mni_y", "mni_z"]].to_numpy(np.float32) / 100
    points[:, 0] = np.abs(points[:, 0])
    known = np.isfinite(points).all(axis=1, keepdims=True)
    return np.hstack([np.where(known, points, 0), known]).astype(np.float32)


def patient_weight(patients: pd.Series) -> np.ndarray:
    """1 / lesions of the patient, (N,): every patient weighs the same in sum."""
    _, codes, counts = np.unique(patients.to_numpy(object), return_inverse=True, return_counts=True)
    return 1.0 / counts[codes]


def signed_log(values: np.ndarray) -> np.ndarray:
    """sign(x) log(1 + |x|): radiomics span twelve decades and both signs."""
    return np.sign(values) * np.log1p(np.abs(values))


def check_leak(lesions: pd.DataFrame, parts: Mapping[str, np.ndarray], leaky: bool) -> None:
    """Stop if two parts share a lesion's content or, unless the run is LEAKY on purpose, a patient.

    Raises:
        LeakError: naming the patients, or the lesions of the same content.
    """
    for i, one in enumerate(PARTS):
        for other in PARTS[i + 1 :]:
            a, b = lesions.iloc[parts[one]], lesions.iloc[parts[other]]
            patients = sorted(set(a["patient_id"]) & set(b["patient_id"]))
            if patients and not leaky:
                raise LeakError(f"{one} and {other} share patient {', '.join(map(str, patients[:5]))}")
            content = set(a["content"].dropna()) & set(b["content"].dropna())
            if content:
                same = pd.concat([a, b]).query("content in @content")["lesion_id"].astype(str)
                raise LeakError(
                    f"{one} and {other} hold the same image content: lesions {', '.join(same[:6])}; "
                    "keep one of them, or keep them in one patient"
                )
