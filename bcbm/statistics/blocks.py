"""The figures of one target, of lesions and of patients, and of all targets together."""

import math
from collections.abc import Sequence
from typing import cast

import pandas as pd

from bcbm.statistics import Level, beside_auroc
from bcbm.statistics.area import Area, contrast
from bcbm.statistics.calibration import calibration_block
from bcbm.statistics.coverage import measured_coverage
from bcbm.statistics.metrics import mean_or_nan
from bcbm.statistics.operating import FIGURES, operating_intervals, operating_point, wilson_intervals
from bcbm.statistics.power import smallest_auroc
from bcbm.statistics.probabilities import probability_block
from bcbm.statistics.results import (
    DerivedPatientBlock,
    FittedBlock,
    MeanBlock,
    OperatingBlock,
    RankingBlock,
)
from bcbm.system.lazy import imported


def ranking_block(rows: pd.DataFrame, area: Area, level: Level, resamples: int, seed: int) -> RankingBlock:
    """AUROC, the mean over folds, with its interval and p; every statistic of the level, mean over repeats.

    Args:
        rows: labelled predictions of one target; columns repeat, patient_id, probability and label.
        area: of the same rows, fold by fold.
        level: whether patients are counted, or lesions.
        resamples: bootstrap draws of patients, for the statistics beside the AUROC.
        seed: of the bootstrap.
    """
    repeats = [repeat for _, repeat in rows.groupby("repeat")]
    tested = contrast([area], [1.0], 0.5)
    block: dict[str, float] = {
        "auroc": tested.estimate,
        "auroc_low": tested.low,
        "auroc_high": tested.high,
        "p": tested.p,
    }
    for name, statistic in beside_auroc(level).items():
        function = statistic.function
        function = imported(function) if isinstance(function, str) else function
        block[name] = mean_or_nan([function(repeat) for repeat in repeats])
        if statistic.interval:
            interval = imported(statistic.interval)
            block[f"{name}_low"], block[f"{name}_high"] = interval(rows, resamples, seed)
    units = rows.drop_duplicates(f"{level}_id")
    block["positives"] = int((units["label"] == 1).sum())
    block["negatives"] = int((units["label"] == 0).sum())
    return cast(RankingBlock, block)


def patient_block(patients: pd.DataFrame, area: Area, tests: int, resamples: int, seed: int) -> FittedBlock:
    """Every patient-level figure of one target but q, which needs the other targets.

    Args:
        patients: rows of one target of `patient_level`.
        area: of the same, fold by fold.
        tests: targets that p is corrected over.
        resamples: bootstrap draws.
        seed: of those.
    """
    block = ranking_block(patients, area, "patient", resamples, seed)
    return {
        **cast(FittedBlock, block),
        "smallest_auroc": smallest_auroc(area, tests) if len(area.positives) else math.nan,
        "coverage": measured_coverage(block["positives"], block["negatives"], block["auroc"], area.repeats),
        "calibration": calibration_block(patients),
        "probabilities": probability_block(patients),
        "operating": operating_block(patients, resamples, seed),
    }


def status_block(patients: pd.DataFrame, area: Area, resamples: int, seed: int) -> DerivedPatientBlock:
    """What is said of a status that follows from several targets; arguments as of `patient_block`."""
    block = ranking_block(patients, area, "patient", resamples, seed)
    fit = {"calibration": calibration_block(patients), "probabilities": probability_block(patients)}
    return cast(DerivedPatientBlock, {**block, **fit})


def mean_block(areas: Sequence[Area]) -> MeanBlock:
    """Mean over targets of the patient-level AUROC, with interval and p; NaN if one target has no AUROC."""
    mean = contrast(areas, [1 / len(areas)] * len(areas), 0.5)
    return {"auroc": mean.estimate, "auroc_low": mean.low, "auroc_high": mean.high, "p": mean.p}


def operating_block(patients: pd.DataFrame, resamples: int, seed: int) -> OperatingBlock:
    """Decisions at each fold's own threshold, mean over repeats; a fold without one is left out.

    Args:
        patients: rows of one target of `patient_level`.
        resamples: bootstrap draws of patients, for F1.
        seed: of those.
    """
    rows = patients[patients["threshold"].notna()]
    called = rows["probability"] >= rows["threshold"]
    points = [
        operating_point(repeat["label"], called.loc[repeat.index]) for _, repeat in rows.groupby("repeat")
    ]
    drawn = operating_intervals(rows["label"], called, rows["patient_id"], resamples, seed, rows["repeat"])
    intervals = {"f1": drawn["f1"], **wilson_intervals(rows["label"], called, rows["repeat"])}
    block: dict[str, float] = {}
    for name in FIGURES:
        block[name] = mean_or_nan([point[name] for point in points])
        block[f"{name}_low"], block[f"{name}_high"] = intervals[name]
    return cast(OperatingBlock, block)
