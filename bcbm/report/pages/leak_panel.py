"""What a finished run's files say about a leak: who stands in two parts of a fold, counted again."""

from itertools import combinations
from typing import TypedDict

from bcbm.cohort.splits import unit_ids
from bcbm.runs.finished import FinishedRun

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


class LeakPanel(TypedDict):
    """Split, rows of the prediction table and how many carry its hash, folds, and the sums over folds."""

    unit: str
    hash: str
    rows: int
    carrying: int
    folds: list[LeakFold]
    shared_patients: int
    shared_content: int


def leak_panel(run: FinishedRun) -> LeakPanel:
    """Count, from split.json and lesions.parquet, what the parts of every fold share."""
    entering, unit = run.entering, run.split["unit"]
    units = unit_ids(entering, unit)
    folds: list[LeakFold] = []
    for number, fold in enumerate(run.split["folds"]):
        parts = {part: entering[units.isin(fold[part])] for part in PARTS}
        patients = {part: set(rows["patient_id"]) for part, rows in parts.items()}
        content = {part: set(rows["content"].dropna()) for part, rows in parts.items()}
        folds.append(
            {
                "fold": number,
                "name": fold.get("name", ""),
                "repeat": fold["repeat"] + 1,
                "train": len(patients["train"]),
                "validation": len(patients["validation"]),
                "test": len(patients["test"]),
                "patients": len(_in_two(patients)),
                "content": len(_in_two(content)),
            }
        )
    carrying = run.predictions["split_hash"] == run.split["hash"]
    return {
        "unit": unit,
        "hash": run.split["hash"],
        "rows": len(run.predictions),
        "carrying": int(carrying.sum()),
        "folds": folds,
        "shared_patients": sum(fold["patients"] for fold in folds),
        "shared_content": sum(fold["content"] for fold in folds),
    }


def _in_two(parts: dict[str, set]) -> set:
    return set().union(*(a & b for a, b in combinations(parts.values(), 2)))
