"""The prediction table in figures: `results.json` and the table on the screen."""

import math

import numpy as np
import pandas as pd

from bcbm.statistics.blocks import mean_block, patient_block, ranking_block
from bcbm.statistics.metrics import auroc, labelled, mean_or_nan, patient_level
from bcbm.statistics.paired import benjamini_hochberg, nadeau_bengio
from bcbm.statistics.results import (
    ChanceBlock,
    FittedBlock,
    FoldsBlock,
    RepeatsBlock,
    Results,
    SplitBlock,
    TargetResults,
)
from bcbm.statistics.subtype import NEEDED, derived, subtype_figures


def summarise(
    predictions: pd.DataFrame,
    *,
    split: SplitBlock,
    targets: list[str],
    resamples: int,
    seed: int,
    best: dict[str, float] | None = None,
    permuted: pd.DataFrame | None = None,
) -> Results:
    """Every figure of a run, in the shape of `results.json`.

    The headline is `receptors.<R>.patient.auroc`: patients' out-of-fold predictions, all folds of a repeat
    together, and the mean over repeats. Rows without a label are ignored. `derived` is there where ER, PR and
    HER2 are.

    Args:
        predictions: the prediction table, a row a lesion, target and repeat.
        split: `unit` (patient, or lesion or study: leaky) and `hash`.
        targets: those to report, in order.
        resamples: bootstrap draws of patients, and permutations of their labels.
        seed: of both.
        best: the AUROC a perfect model would reach, by target; known for a synthetic cohort only.
        permuted: AUROCs of the whole pipeline with permuted labels, columns target and auroc.

    Returns:
        Plain dictionaries; undefined figures are NaN.

    Raises:
        ValueError: the table is of another split, a value is not a probability, or a patient has two labels.
    """
    _check(predictions, split["hash"])
    patients = patient_level(predictions)
    lesions = labelled(predictions)
    folds = sorted(predictions["fold"].unique())
    parts = len(folds) // max(1, predictions["repeat"].nunique())
    blocks: dict[str, TargetResults] = {}
    for target in targets:
        lesion_rows = lesions[lesions["target"] == target]
        patient_rows = patients[patients["target"] == target]
        patient, by_fold = patient_block(patient_rows, resamples, seed), _folds(lesion_rows, folds)
        drawn = None if permuted is None else permuted.loc[permuted["target"] == target, "auroc"]
        blocks[target] = {
            "patient": {**patient, **_against_chance(patient, by_fold, parts, drawn), "q": math.nan},
            "lesion": {**ranking_block(lesion_rows, "lesion", resamples, seed), "independent": False},
            "folds": by_fold,
            "repeats": _repeats(patient_rows),
        }
    q = benjamini_hochberg([block["patient"]["p"] for block in blocks.values()])
    for block, value in zip(blocks.values(), q, strict=True):
        block["patient"]["q"] = float(value)
    results: Results = {
        "receptors": blocks,
        "mean": mean_block(patients, targets, resamples, seed),
        "split": {"unit": split["unit"], "hash": split["hash"]},
        "leaky": split["unit"] != "patient",
    }
    if set(targets) >= NEEDED:
        table = derived(predictions)
        hr_rows = table[table["label"].notna()]
        results["derived"] = {
            "HR": {"patient": ranking_block(hr_rows, "patient", resamples, seed)},
            "subtype": subtype_figures(table),
        }
    best = best or {}
    known = {target: block for target, block in blocks.items() if target in best}
    for target, block in known.items():
        block["best"] = float(best[target])
    if known:
        results["reached"] = mean_or_nan(
            [_reached(block["patient"]["auroc"], block["best"]) for block in known.values()]
        )
    return results


def _against_chance(
    patient: FittedBlock, folds: FoldsBlock, parts: int, permuted: pd.Series | None
) -> ChanceBlock:
    """`p` of an AUROC above 0.5, and what it is made of.

    Permuting labels under fitted predictions says too little: without signal, the predictions of a
    cross-validation are not exchangeable scores, and 5 % of such p become 8 to 11 % (measured with logistic
    regression on noise). `p` is therefore the larger of that and of the corrected t test of the folds'
    AUROCs (Nadeau and Bengio, 2003, one-sided), which came to 4 to 9 %; and where the whole pipeline was
    refitted under permuted labels, the share of those, which is exact.
    """
    above = np.array(folds["auroc"]) - 0.5
    t, two_sided = nadeau_bengio(above, 1 / max(1, parts - 1))
    corrected = two_sided / 2 if t > 0 else 1 - two_sided / 2
    block: ChanceBlock = {
        "corrected_p": corrected,
        "p": float(np.fmax(patient["permutation_p"], corrected)),
    }
    if permuted is not None:
        drawn = permuted.dropna()
        block["p"] = block["pipeline_p"] = (1 + int((drawn >= patient["auroc"]).sum())) / (1 + len(drawn))
    return block


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


def _folds(rows: pd.DataFrame, folds: list[int]) -> FoldsBlock:
    """Patient-level AUROC inside each fold of one target; folds of one class are counted, not averaged."""
    inside = [patient_level(rows[rows["fold"] == fold]) for fold in folds]
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
    """Patient-level AUROC of each repeat of one target, with mean and spread; one repeat has no spread."""
    aurocs = [auroc(repeat["label"], repeat["probability"]) for _, repeat in patients.groupby("repeat")]
    return {"mean": mean_or_nan(aurocs), "std": float(pd.Series(aurocs).std(ddof=1)), "auroc": aurocs}


def _reached(auroc: float, best: float) -> float:
    """Share of the way from chance to the best possible AUROC; NaN where chance is the best."""
    return (auroc - 0.5) / (best - 0.5) if best != 0.5 else math.nan
