"""What intervals were measured to cover, on simulated cohorts like the one at hand."""

import math
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.statistics.results import CoverageBlock


def measured_coverage(positives: int, negatives: int, auroc: float, repeats: int) -> CoverageBlock:
    """The nearest of the simulated cells of the AUROC's interval (`tests/benchmarks/intervals.py`).

    Near is measured on the logarithm of patients and of repeats, and on prevalence and AUROC in tenths.

    Args:
        positives: patients with the target, and `negatives`, without it.
        auroc: as estimated; NaN counts as 0.5.
        repeats: of the cross-validation.
    """
    cells = _cells()
    patients = max(1, positives + negatives)
    share, area = positives / patients, 0.5 if math.isnan(auroc) else auroc
    distance = (
        np.log2(cells["patients"] / patients).abs()
        + 10 * (cells["prevalence"] - min(share, 1 - share)).abs()
        + 10 * (cells["about"] - area).abs()
        + np.log2(cells["repeats"] / repeats).abs()
    )
    cell = cells.loc[distance.idxmin()]
    return {
        "covered": float(cell["covered"]),
        "patients": int(cell["patients"]),
        "prevalence": float(cell["prevalence"]),
        "auroc": float(cell["about"]),
        "repeats": int(cell["repeats"]),
        "cohorts": int(cell["cohorts"]),
    }


@cache
def _cells() -> pd.DataFrame:
    table = pd.read_csv(Path(__file__).with_name("coverage.csv"))
    return table[(table["figure"] == "AUROC") & (table["method"] == "score")].reset_index(drop=True)
