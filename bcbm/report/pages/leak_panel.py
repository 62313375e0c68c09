"""What a finished run's files say about a leak: who stands in two parts of a fold, counted again."""

from itertools import combinations
from typing import Any

import pandas as pd

from bcbm.cohort.splits import unit_ids
from bcbm.runs.finished import FinishedRun

PARTS = ("train", "validation", "test")


def leak_panel(run: FinishedRun) -> dict[str, Any]:
    """Count, from split.json and lesions.parquet, what the parts of every fold share.

    Returns:
        unit and hash of the split; rows of the prediction table, and how many carry that hash; folds, each
        {fold, repeat, train, validation, test (patients), patients, content (shared by two parts)}; and the
        sums of the last two as shared_patients and shared_content.
    """
    entering, unit = run.entering, run.split["unit"]
    units = unit_ids(entering, unit)
    folds = []
    for number, fold in enumerate(run.split["folds"]):
        parts = {part: entering[units.isin(fold[part])] for part in PARTS}
        patients = {part: set(rows["patient_id"]) for part, rows in parts.items()}
        content = {part: set(rows["content"].dropna()) for part, rows in parts.items()}
        folds.append(
            {
                "fold": number,
                "repeat": fold["repeat"] + 1,
                **{part: len(names) for part, names in patients.items()},
                "patients": len(_in_two(patients)),
                "content": len(_in_two(content)),
            }
        )
    carrying = run.predictions["split_hash"] == run.split["hash"]
    counts = pd.DataFrame(folds)[["patients", "content"]].sum()
    return {
        "unit": unit,
        "hash": run.split["hash"],
        "rows": len(run.predictions),
        "carrying": int(carrying.sum()),
        "folds": folds,
        "shared_patients": int(counts["patients"]),
        "shared_content": int(counts["content"]),
    }


def _in_two(parts: dict[str, set]) -> set:
    return set().union(*(a & b for a, b in combinations(parts.values(), 2)))
