"""The check that no part of a fold knows another's lesions, and the count of what parts share."""

from collections.abc import Mapping
from itertools import combinations
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from bcbm.cohort.splits import Split

PARTS = ("train", "validation", "test")


class LeakFold(TypedDict):
    """A fold: patients of its parts, and how many patients and lesion contents stand in two parts."""

    fold: int
    name: str
    repeat: int
    train: int
    validation: int
    test: int
    patients: int
    content: int


def count_leaks(lesions: pd.DataFrame, split: "Split") -> list[LeakFold]:
    """Count, fold by fold, what the parts of a split share of the lesions that enter.

    Args:
        lesions: the lesion table, excluded rows too.
        split: its folds.
    """
    entering = lesions[~lesions["excluded"].astype(bool)]
    owner, content_of = entering["patient_id"].to_numpy(object), entering["content"].to_numpy(object)
    known = entering["content"].notna().to_numpy()
    folds: list[LeakFold] = []
    for number, fold in enumerate(split.folds):
        parts = split.rows(entering, number)
        patients = {part: set(owner[rows]) for part, rows in parts.items()}
        content = {part: set(content_of[rows[known[rows]]]) for part, rows in parts.items()}
        folds.append(
            {
                "fold": number,
                "name": fold.name,
                "repeat": fold.repeat + 1,
                "train": len(patients["train"]),
                "validation": len(patients["validation"]),
                "test": len(patients["test"]),
                "patients": len(_in_two(patients)),
                "content": len(_in_two(content)),
            }
        )
    return folds


def _in_two(parts: Mapping[str, set]) -> set:
    return set().union(*(a & b for a, b in combinations(parts.values(), 2)))


class LeakError(ValueError):
    """Training, validation and test share what they must not share; the message names it."""


def check_leak(lesions: pd.DataFrame, parts: Mapping[str, np.ndarray], leaky: bool) -> None:
    """Stop if two parts share a lesion's content or, unless the run is LEAKY on purpose, a patient.

    Raises:
        LeakError: naming the patients, or the lesions of the same content.
    """
    for i, part in enumerate(PARTS):
        for other in PARTS[i + 1 :]:
            a, b = lesions.iloc[parts[part]], lesions.iloc[parts[other]]
            patients = sorted(set(a["patient_id"]) & set(b["patient_id"]))
            if patients and not leaky:
                shared = "patient" if len(patients) == 1 else f"{len(patients)} patients, such as"
                raise LeakError(f"{part} and {other} share {shared} {', '.join(map(str, patients[:5]))}")
            content = set(a["content"].dropna()) & set(b["content"].dropna())
            if content:
                same = pd.concat([a, b]).query("content in @content")["lesion_id"].astype(str)
                raise LeakError(
                    f"{part} and {other} hold the same image content: lesions {', '.join(same[:6])}; "
                    "remove all but one, or give them the same patient id"
                )
