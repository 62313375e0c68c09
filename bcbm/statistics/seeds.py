"""How far the seed of training moves the headline."""

import math

import pandas as pd

from bcbm.statistics.metrics import auroc, mean_or_nan, patient_level
from bcbm.statistics.results import SeedBlock, SeedsBlock


def seeds_block(alone: pd.DataFrame, targets: list[str]) -> SeedsBlock:
    """Patient AUROC of each seed alone, over all folds, and its standard deviation; NaN as the headline.

    The deviation is that of a single training. It stands beside an interval and not in it: the interval is of
    the seeds' mean, which moves less (Bouthillier et al., Accounting for variance in machine learning
    benchmarks, MLSys 2021).

    Args:
        alone: the prediction tables of the seeds, one below the other, with a column `seed`.
        targets: those to report, in order.
    """
    aurocs = {
        target: [_headline(rows) for _, rows in alone[alone["target"] == target].groupby("seed", sort=True)]
        for target in targets
    }
    means = [mean_or_nan(values) for values in zip(*aurocs.values(), strict=True)]
    return {
        "receptors": {target: _block(values) for target, values in aurocs.items()},
        "mean": _block(means),
    }


def _headline(rows: pd.DataFrame) -> float:
    repeats = patient_level(rows).groupby("repeat")
    return mean_or_nan([auroc(repeat["label"], repeat["probability"]) for _, repeat in repeats])


def _block(aurocs: list[float]) -> SeedBlock:
    std = math.nan if any(map(math.isnan, aurocs)) else float(pd.Series(aurocs).std(ddof=1))
    return {"auroc": aurocs, "std": std}
