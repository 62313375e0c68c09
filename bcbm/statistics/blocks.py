"""The figures of one target, of lesions and of patients, and of all targets together."""

from typing import cast

import numpy as np
import pandas as pd

from bcbm.statistics import Level, beside_auroc
from bcbm.statistics.calibration import calibration
from bcbm.statistics.delong import delong_interval
from bcbm.statistics.metrics import Floats, auroc, mean_or_nan
from bcbm.statistics.operating import FIGURES, operating_intervals, operating_point
from bcbm.statistics.permutation import label_permutation_p
from bcbm.statistics.power import smallest_auroc
from bcbm.statistics.resampling import (
    bootstrap_auroc,
    percentile_interval,
    resampled_aurocs,
    resampled_counts,
)
from bcbm.statistics.results import AurocBlock, FittedBlock, OperatingBlock, RankingBlock
from bcbm.system.lazy import imported

WITH_INTERVAL = ["sensitivity", "specificity", "f1"]  # of the figures of an operating point


def ranking_block(rows: pd.DataFrame, level: Level, resamples: int, seed: int) -> RankingBlock:
    """AUROC with its interval over patients, and every statistic of the level, each the mean over repeats.

    Args:
        rows: labelled predictions of one target; columns repeat, patient_id, probability and label.
        level: whether patients are counted, or lesions.
        resamples: bootstrap draws of patients.
        seed: of the bootstrap.
    """
    repeats = [repeat for _, repeat in rows.groupby("repeat")]
    columns = rows["label"], rows["probability"], rows["patient_id"]
    low, high = bootstrap_auroc(*columns, resamples, seed, rows["repeat"])
    mean = mean_or_nan([auroc(repeat["label"], repeat["probability"]) for repeat in repeats])
    block: dict[str, float] = {"auroc": mean, "auroc_low": low, "auroc_high": high}
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


def patient_block(patients: pd.DataFrame, resamples: int, seed: int) -> FittedBlock:
    """Every patient-level figure of one target but p and q, which need its folds and the other targets.

    Args:
        patients: rows of one target of `patient_level`.
        resamples: bootstrap draws, and permutations.
        seed: of both.
    """
    block = ranking_block(patients, "patient", resamples, seed)
    once = patients.groupby("patient_id").agg(label=("label", "first"), probability=("probability", "mean"))
    fits = [calibration(repeat["label"], repeat["probability"]) for _, repeat in patients.groupby("repeat")]
    slopes, intercepts = [fit[0] for fit in fits], [fit[1] for fit in fits]
    area, low, high = delong_interval(once["label"], once["probability"])
    return {
        **block,
        "delong": {"auroc": area, "low": low, "high": high},
        "permutation_p": label_permutation_p(patients, resamples, seed),
        "smallest_auroc": smallest_auroc(block["positives"], block["negatives"]),
        "calibration": {"slope": mean_or_nan(slopes), "intercept": mean_or_nan(intercepts)},
        "operating": _operating(patients, resamples, seed),
    }


def mean_block(patients: pd.DataFrame, targets: list[str], resamples: int, seed: int) -> AurocBlock:
    """Mean over targets of the patient-level AUROC; a drawn patient is drawn for all targets at once.

    Args:
        patients: of `patient_level`, all targets.
        targets: those to average; the mean is NaN if one of them has one class.
        resamples: bootstrap draws of patients.
        seed: of the bootstrap.
    """
    means = mean_aurocs(patients, targets, resamples, seed)
    low, high = percentile_interval(means[1:])
    return {"auroc": float(means[0]), "auroc_low": low, "auroc_high": high}


def mean_aurocs(patients: pd.DataFrame, targets: list[str], resamples: int, seed: int) -> Floats:
    """The mean of `mean_block` and that of every resample, shape (1 + resamples,).

    Tables of the same patients are drawn alike, so that two results can be subtracted.
    """
    patients = patients[patients["target"].isin(targets)]
    names, group = np.unique(patients["patient_id"].to_numpy(), return_inverse=True)
    drawn = resampled_counts(np.random.default_rng(seed), len(names), resamples)
    counts = np.concatenate([np.ones((1, len(names))), drawn])  # the first is the observed one
    aurocs = []
    for target in targets:
        rows = (patients["target"] == target).to_numpy()
        columns = (patients.loc[rows, name].to_numpy() for name in ("label", "probability", "repeat"))
        labels, scores, repeats = columns
        aurocs.append(resampled_aurocs(labels, scores, group[rows], counts, repeats))
    means: Floats = np.mean(aurocs, axis=0)
    return means


def _operating(patients: pd.DataFrame, resamples: int, seed: int) -> OperatingBlock:
    """Decisions at each fold's own threshold, mean over repeats; a fold without one is left out."""
    rows = patients[patients["threshold"].notna()]
    called = rows["probability"] >= rows["threshold"]
    points = [
        operating_point(repeat["label"], called.loc[repeat.index]) for _, repeat in rows.groupby("repeat")
    ]
    intervals = operating_intervals(
        rows["label"], called, rows["patient_id"], resamples, seed, rows["repeat"]
    )
    block: dict[str, float] = {}
    for name in FIGURES:
        block[name] = mean_or_nan([point[name] for point in points])
        if name in WITH_INTERVAL:
            block[f"{name}_low"], block[f"{name}_high"] = intervals[name]
    return cast(OperatingBlock, block)
