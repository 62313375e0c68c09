"""A frozen model on the patients of another cohort: every figure of a run with an interval, none refitted."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import numpy as np
import pandas as pd

from bcbm.statistics.area import Area, contrast, cross_validated_area, holding_models_fixed
from bcbm.statistics.blocks import mean_block, operating_block, ranking_block
from bcbm.statistics.calibration import calibration_block
from bcbm.statistics.frozen import (
    accelerated_interval,
    delong_difference,
    intercept_interval,
    mean_under,
    ratio_under,
    slope_interval,
    squares,
    surprises,
)
from bcbm.statistics.metrics import labelled, patient_level, weighted_aurocs
from bcbm.statistics.operating import proportion_interval
from bcbm.statistics.paired import benjamini_hochberg
from bcbm.statistics.power import smallest_auroc
from bcbm.statistics.probabilities import probability_block
from bcbm.statistics.resampling import percentile_interval, resampled_auprcs, resampled_counts
from bcbm.statistics.results import (
    AurocBlock,
    CalibrationBlock,
    MeanBlock,
    OperatingBlock,
    ProbabilityBlock,
    RankingBlock,
    SubgroupTest,
    SubtypeBlock,
)
from bcbm.statistics.subgroups import patient_levels, subgroup_tests
from bcbm.statistics.subtype import derived, subtype_figures


class FrozenCalibration(CalibrationBlock):
    """With the ends of both intervals."""

    slope_low: float
    slope_high: float
    intercept_low: float
    intercept_high: float


class FrozenStatus(RankingBlock):
    """Of patients; also `scaled_brier` and `log_loss`, and of these and `brier` the ends of intervals."""

    prevalence: float
    prevalence_low: float
    prevalence_high: float
    probabilities: ProbabilityBlock
    calibration: FrozenCalibration


class FrozenBlock(FrozenStatus):
    """Of a target."""

    smallest_auroc: float
    operating: OperatingBlock
    threshold: float
    q: float


class ExternalTarget(TypedDict):
    """One target: figures of patients and of lesions, or in their place the reason why there are none."""

    positives: int
    negatives: int
    unlabelled: int
    predicted: float
    reason: NotRequired[str]
    patient: NotRequired[FrozenBlock]
    lesion: NotRequired[RankingBlock]


class ExternalHr(TypedDict):
    """HR status: figures of patients, or in their place the reason why there are none."""

    patient: NotRequired[FrozenStatus]
    reason: NotRequired[str]


class ExternalDerived(TypedDict):
    """What follows from ER, PR and HER2 together."""

    HR: ExternalHr
    subtype: SubtypeBlock


class ExternalResults(TypedDict):
    """Of one cohort: every target by its name, the mean over those that have figures, subgroups."""

    receptors: dict[str, ExternalTarget]
    derived: NotRequired[ExternalDerived]
    mean: NotRequired[MeanBlock]
    subgroups: list[SubgroupTest]


def external_results(
    predictions: pd.DataFrame,
    shares: Mapping[str, float],
    lesions: pd.DataFrame,
    training: pd.DataFrame | None = None,
    *,
    resamples: int,
    seed: int,
) -> ExternalResults:
    """Every figure of a frozen model on a cohort.

    A target without a label, or whose patients are all of one class, has counts, the mean probability and the
    reason, and no figure.

    Args:
        predictions: the prediction table of one fold and repeat, a row a lesion and target.
        shares: of positives among the training patients, by target, in order.
        lesions: the rows of the lesion table that enter.
        training: ER, PR and HER2 of the training patients, a row each, by which HR and subtype are derived;
            None: they are not.
        resamples: bootstrap draws of patients.
        seed: of those.
    """
    targets = list(shares)
    patients, lesion_rows = patient_level(predictions), labelled(predictions)
    blocks: dict[str, ExternalTarget] = {}
    areas: list[Area] = []
    for target in targets:
        rows = patients[patients["target"] == target].assign(prevalence=shares[target])
        everybody = predictions[predictions["target"] == target].drop_duplicates("patient_id")
        counts = _counts(rows)
        block = cast(
            ExternalTarget,
            {
                **counts,
                "unlabelled": len(everybody) - len(rows),
                "predicted": float(everybody["patient_probability"].mean()),
            },
        )
        blocks[target] = block
        if reason := _reason(target, **counts):
            block["reason"] = reason
            continue
        areas.append(holding_models_fixed(cross_validated_area(rows)))
        block["patient"] = frozen_block(rows, areas[-1], len(targets), resamples, seed)
        own = lesion_rows[lesion_rows["target"] == target]
        area = holding_models_fixed(cross_validated_area(own))
        block["lesion"] = ranking_block(own, area, "lesion", resamples, seed)
    tested = [block["patient"] for block in blocks.values() if "patient" in block]
    for patient, q in zip(tested, benjamini_hochberg([patient["p"] for patient in tested]), strict=True):
        patient["q"] = float(q)
    known = [target for target in targets if "patient" in blocks[target]]
    results: ExternalResults = {
        "receptors": blocks,
        "subgroups": subgroup_tests(patients, patient_levels(lesions), known),
    }
    if areas:
        results["mean"] = mean_block(areas)
    if training is not None:
        fold = predictions["fold"].iloc[0]
        table = derived(predictions, training.assign(fold=fold))
        results["derived"] = {"HR": _hr(table, resamples, seed), "subtype": subtype_figures(table)}
    return results


def _hr(table: pd.DataFrame, resamples: int, seed: int) -> ExternalHr:
    rows = table[table["label"].notna()]
    if reason := _reason("HR", **_counts(rows)):
        return {"reason": reason}
    area = holding_models_fixed(cross_validated_area(rows))
    return {"patient": frozen_status(rows, area, resamples, seed)}


def frozen_block(rows: pd.DataFrame, area: Area, tests: int, resamples: int, seed: int) -> FrozenBlock:
    """Every figure of patients of one target, both classes present, with its interval.

    Args:
        rows: of `patient_level`, with the column prevalence, the share of positives in training.
        area: of the same, its models held fixed.
        tests: targets that the smallest AUROC is corrected for.
        resamples: bootstrap draws of patients.
        seed: of those.
    """
    return {
        **frozen_status(rows, area, resamples, seed),
        "smallest_auroc": smallest_auroc(area, tests),
        "operating": operating_block(rows, resamples, seed),
        "threshold": float(rows["threshold"].iloc[0]),
        "q": float("nan"),
    }


def frozen_status(rows: pd.DataFrame, area: Area, resamples: int, seed: int) -> FrozenStatus:
    """What of `frozen_block` needs no threshold; arguments as there."""
    labels, probability, count = rows["label"], rows["probability"], len(rows)
    block = cast(FrozenStatus, ranking_block(rows, area, "patient", resamples, seed))
    values = probability.to_numpy(np.float64)
    ends = {
        "auprc": lambda weights: resampled_auprcs(
            labels.to_numpy(), values, np.arange(count), weights, np.zeros(count)
        ),
        "brier": mean_under(squares(rows)),
        "scaled_brier": ratio_under(squares(rows), squares(rows, "prevalence")),
        "log_loss": mean_under(surprises(rows)),
    }
    figures = cast(dict[str, float], block)
    for name, statistic in ends.items():
        figures[f"{name}_low"], figures[f"{name}_high"] = accelerated_interval(
            statistic, count, resamples, seed
        )
    slope, intercept = slope_interval(labels, probability), intercept_interval(labels, probability)
    share = float(labels.mean())
    low, high = proportion_interval(share, count)
    return {
        **block,
        "prevalence": share,
        "prevalence_low": low,
        "prevalence_high": high,
        "probabilities": probability_block(rows),
        "calibration": {
            **calibration_block(rows),
            "slope_low": slope[0],
            "slope_high": slope[1],
            "intercept_low": intercept[0],
            "intercept_high": intercept[1],
        },
    }


class SetShares(TypedDict):
    """Patients of a class, and the share whose conformal set holds it, with the ends of its interval."""

    patients: int
    held: float
    held_low: float
    held_high: float


def held_shares(labels: pd.Series, sets: pd.Series) -> dict[str, SetShares]:
    """How often the sets of patients hold their status, by class; a class without a patient is left out.

    Args:
        labels: 1, 0 or NaN, (N,).
        sets: as of `conformal.label_sets`, on the same index.
    """
    shares: dict[str, SetShares] = {}
    for name, value in {"positive": 1, "negative": 0}.items():
        own = sets[labels == value]
        if len(own):
            held = float(own.isin([name, "undecided"]).mean())
            low, high = proportion_interval(held, len(own))
            shares[name] = {"patients": len(own), "held": held, "held_low": low, "held_high": high}
    return shares


class Conversion(TypedDict):
    """Patients whose primary tumour's status is known: the AUROC of the model and of going by the primary."""

    patients: int
    converted: int
    model: AurocBlock
    primary: AurocBlock
    difference: dict[str, float]


def against_primary(rows: pd.DataFrame, status: pd.Series) -> Conversion | None:
    """The model beside the baseline of no conversion, on the patients whose primary is known.

    Args:
        rows: of one target, of `patient_level`.
        status: of the primary tumour, 1 or 0, by patient.

    Returns:
        None where fewer than two patients of a class have a known primary.
    """
    rows = rows[rows["patient_id"].isin(status.index)]
    primary = rows["patient_id"].map(status).to_numpy(np.float64)
    if min((rows["label"] == 1).sum(), (rows["label"] == 0).sum()) < 2:
        return None
    sides = [rows, rows.assign(probability=primary)]
    model, baseline = (contrast([cross_validated_area(side)], [1.0], 0.5) for side in sides)
    return {
        "patients": len(rows),
        "converted": int((rows["label"] != primary).sum()),
        "model": {"auroc": model.estimate, "auroc_low": model.low, "auroc_high": model.high},
        "primary": {"auroc": baseline.estimate, "auroc_low": baseline.low, "auroc_high": baseline.high},
        "difference": delong_difference(rows["label"], rows["probability"], primary),
    }


def bootstrap_difference(
    labels: np.ndarray, first: np.ndarray, second: np.ndarray, resamples: int, seed: int
) -> tuple[float, float]:
    """The percentile bootstrap interval of the difference of two AUROCs on the same patients, (N,) each."""
    drawn = resampled_counts(np.random.default_rng(seed), len(labels), resamples)
    return percentile_interval(weighted_aurocs(labels, first, drawn) - weighted_aurocs(labels, second, drawn))


_CLASSES = {"positives": 1, "negatives": 0}


def _counts(rows: pd.DataFrame) -> dict[str, int]:
    return {name: int((rows["label"] == value).sum()) for name, value in _CLASSES.items()}


def _reason(target: str, positives: int, negatives: int) -> str:
    """Why a target has no figure; empty where it has."""
    if not positives + negatives:
        return f"no patient has a label of {target}"
    if not positives or not negatives:
        return f"all {positives + negatives} labelled patients are {'positive' if positives else 'negative'}"
    return ""
