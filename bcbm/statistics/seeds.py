"""How far the seed of training moves the headline."""

import math
from collections.abc import Sequence

import pandas as pd

from bcbm.statistics.area import cross_validated_area
from bcbm.statistics.metrics import mean_or_nan, patient_level
from bcbm.statistics.results import SeedBlock, SeedsBlock


def seeds_block(alone: pd.DataFrame, targets: Sequence[str]) -> SeedsBlock:
    """Patient AUROC of each seed alone, estimated as the headline is, and its standard deviation.

    The deviation is that of a single training. It stands beside an interval and not in it: the interval is of
    the seeds' mean, which moves less (Bouthillier et al., Accounting for variance in machine learning
    benchmarks, MLSys 2021).

    Args:
        alone: the prediction tables of the seeds, one below the other, with a column `seed`.
        targets: those to report, in order.
    """
    aurocs: dict[str, list[float]] = {target: [] for target in targets}
    for _, rows in alone.groupby("seed"):
        patients = patient_level(rows, by_fold=True)
        for target in targets:
            aurocs[target].append(cross_validated_area(patients[patients["target"] == target]).auroc)
    means = [mean_or_nan(values) for values in zip(*aurocs.values(), strict=True)]
    return {
        "receptors": {target: _block(values) for target, values in aurocs.items()},
        "mean": _block(means),
    }


def _block(aurocs: list[float]) -> SeedBlock:
    std = math.nan if any(map(math.isnan, aurocs)) else float(pd.Series(aurocs).std(ddof=1))
    return {"auroc": aurocs, "std": std}
