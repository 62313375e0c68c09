"""The prediction table in figures: `results.json` and the table on the screen."""

import math
from collections.abc import Callable

import pandas as pd

from bcbm.cohort.patient_labels import both_labels
from bcbm.statistics.area import Area, cross_validated_area
from bcbm.statistics.blocks import mean_block, patient_block, ranking_block, status_block
from bcbm.statistics.leakage import is_leaky
from bcbm.statistics.leave_one_out import influence
from bcbm.statistics.metrics import auroc, labelled, mean_or_nan, patient_level
from bcbm.statistics.paired import benjamini_hochberg
from bcbm.statistics.probabilities import training_labels, with_prevalence
from bcbm.statistics.results import (
    BothBlock,
    FoldsBlock,
    PatientBlock,
    RepeatsBlock,
    Results,
    SplitBlock,
    TargetResults,
)
from bcbm.statistics.subgroups import patient_levels, subgroup_tests
from bcbm.statistics.subtype import NEEDED, derived, subtype_figures

STEPS = 2  # of a target, that resample: its patients, its lesions
SURE = 0.05  # false discovery rate under which a target counts as predicted


def summarise(
    predictions: pd.DataFrame,
    *,
    split: SplitBlock,
    targets: list[str],
    resamples: int,
    seed: int,
    best: dict[str, float] | None = None,
    permuted: pd.DataFrame | None = None,
    lesions: pd.DataFrame | None = None,
    training: pd.DataFrame | None = None,
    progress: Callable[[int], None] | None = None,
) -> Results:
    """Every figure of a run, in the shape of `results.json`.

    The headline is `receptors.<R>.patient.auroc`: the mean over folds of the AUROC of each fold's patients,
    predicted out of fold (`area.py`); the figures beside it are of all folds of a repeat together, and the
    mean over repeats. Rows without a label are ignored. `derived` is there where ER, PR and HER2 are.

    Args:
        predictions: the prediction table, a row a lesion, target and repeat.
        split: `unit` (patient, or lesion or study: leaky), `hash`, and what the parts of folds share.
        targets: those to report, in order.
        resamples: bootstrap draws of patients, for what stands beside the AUROC.
        seed: of those.
        best: the AUROC a perfect model would reach, by target; known for a synthetic cohort only.
        permuted: AUROCs of the whole pipeline with permuted labels, columns target and auroc.
        lesions: the rows of the lesion table that enter; with them, `subgroups` and `influence` are there.
        training: labels of the patients that each fold was trained on; None: see `training_labels`.
        progress: called with 1 behind each of the STEPS of a target.

    Returns:
        Plain dictionaries; undefined figures are NaN.

    Raises:
        ValueError: the table is of another split, or a value is not a probability.
    """
    _check(predictions, split["hash"])
    training = training_labels(predictions) if training is None else training
    patients = with_prevalence(patient_level(predictions), training)
    inside_folds = patient_level(predictions, by_fold=True)
    labelled_lesions = labelled(predictions)
    folds = sorted(predictions["fold"].unique())
    blocks: dict[str, TargetResults] = {}
    areas: list[Area] = []
    for target in targets:
        lesion_rows, patient_rows, fold_rows = (
            table[table["target"] == target] for table in (labelled_lesions, patients, inside_folds)
        )
        areas.append(cross_validated_area(fold_rows))
        patient = patient_block(patient_rows, areas[-1], len(targets), resamples, seed)
        if progress:
            progress(1)
        lesion = ranking_block(lesion_rows, cross_validated_area(lesion_rows), "lesion", resamples, seed)
        if progress:
            progress(1)
        blocks[target] = {
            "patient": {**patient, "q": math.nan, **_both(lesion_rows)},
            "lesion": {**lesion, "independent": False},
            "folds": _folds(fold_rows, folds),
            "repeats": _repeats(fold_rows),
        }
        if permuted is not None:
            drawn = permuted.loc[permuted["target"] == target, "auroc"].dropna()
            as_high = int((drawn >= patient["auroc"]).sum())
            blocks[target]["patient"]["pipeline_p"] = (1 + as_high) / (1 + len(drawn))
    q = benjamini_hochberg([block["patient"]["p"] for block in blocks.values()])
    for block, value in zip(blocks.values(), q, strict=True):
        block["patient"]["q"] = float(value)
    results: Results = {
        "receptors": blocks,
        "mean": mean_block(areas),
        "split": split,
        "leaky": is_leaky(split),
    }
    if set(targets) >= set(NEEDED):
        table = derived(predictions, training)
        hr_rows = table[table["label"].notna()]
        hr_area = cross_validated_area(hr_rows)
        results["derived"] = {
            "HR": {"patient": status_block(hr_rows, hr_area, resamples, seed)},
            "subtype": subtype_figures(table),
        }
    if lesions is not None:
        results["subgroups"] = subgroup_tests(inside_folds, patient_levels(lesions), targets)
        results["influence"] = influence(predictions, blocks)
    best = best or {}
    known = {target: block for target, block in blocks.items() if target in best}
    for target, block in known.items():
        block["best"] = float(best[target])
    if known:
        results["reached"] = mean_or_nan(
            [_reached(block["patient"]["auroc"], block["best"]) for block in known.values()]
        )
    return results


def above_chance(block: PatientBlock) -> bool:
    """Whether a target counts as predicted: its AUROC lies above 0.5 beyond a false discovery rate of 5 %."""
    return block["auroc"] > 0.5 and block["q"] < SURE


def _check(predictions: pd.DataFrame, split_hash: str) -> None:
    """Refuse a table that belongs to another split or holds something other than probabilities."""
    foreign = sorted(set(predictions["split_hash"]) - {split_hash})
    if foreign:
        raise ValueError(
            f"the prediction table carries split hash {', '.join(map(str, foreign))}, the run {split_hash}: "
            "evaluate it with the split it was made with"
        )
    for column in ("probability", "patient_probability"):
        invalid = predictions[~predictions[column].between(0, 1)]
        if len(invalid):
            first = invalid.iloc[0]
            raise ValueError(
                f"{len(invalid)} of {len(predictions)} values of {column} are not probabilities, "
                f"the first is {first[column]} for lesion {first['lesion_id']}: the "
                "model diverged, or logits were written"
            )


def _both(lesions: pd.DataFrame) -> BothBlock:
    """How many patients of one target hold both labels, where any does."""
    count = int(both_labels(lesions["label"], lesions["patient_id"]).sum())
    return {"both": count} if count else {}


def _folds(patients: pd.DataFrame, folds: list[int]) -> FoldsBlock:
    """Patient-level AUROC inside each fold of one target; folds of one class are counted, not averaged."""
    inside = [patients[patients["fold"] == fold] for fold in folds]
    aurocs = [auroc(fold["label"], fold["probability"]) for fold in inside]
    defined = pd.Series([value for value in aurocs if not math.isnan(value)], dtype=float)
    return {
        "mean": float(defined.mean()),
        "std": float(defined.std(ddof=1)),
        "undefined": len(folds) - len(defined),
        "auroc": aurocs,
        "positives": [int((fold["label"] == 1).sum()) for fold in inside],
        "negatives": [int((fold["label"] == 0).sum()) for fold in inside],
    }


def _repeats(patients: pd.DataFrame) -> RepeatsBlock:
    """Mean AUROC over the folds of each repeat of one target, and their spread; one repeat has none."""
    aurocs = [cross_validated_area(repeat).auroc for _, repeat in patients.groupby("repeat")]
    return {"mean": mean_or_nan(aurocs), "std": float(pd.Series(aurocs).std(ddof=1)), "auroc": aurocs}


def _reached(auroc: float, best: float) -> float:
    """Share of the way from chance to the best possible AUROC; NaN where chance is the best."""
    return (auroc - 0.5) / (best - 0.5) if best != 0.5 else math.nan
