"""What a finished run's files say about a leak: who stands in two parts of a fold, counted again."""

from typing import TypedDict

from bcbm.cohort.leaks import LeakFold
from bcbm.runs.finished import FinishedRun


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
    """What the parts of every fold share, from split.json and lesions.parquet, and who carries the hash."""
    split = run.results["split"]
    carrying = run.predictions["split_hash"] == split["hash"]
    return {
        "unit": split["unit"],
        "hash": split["hash"],
        "rows": len(run.predictions),
        "carrying": int(carrying.sum()),
        "folds": run.leaks,
        "shared_patients": split["shared_patients"],
        "shared_content": split["shared_content"],
    }
