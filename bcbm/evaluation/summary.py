"""The prediction table in figures: `results.json` and the table on the screen."""

import json
import math
from typing import Any

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from bcbm.evaluation.metrics import auprc, auroc, brier, labelled, patient_level
from bcbm.evaluation.resampling import bootstrap_auroc

UNDEFINED = "n/a (one class)"


def summarise(
    predictions: pd.DataFrame,
    *,
    split: dict[str, str],
    receptors: list[str],
    resamples: int,
    seed: int,
    best: dict[str, float] | None = None,
) -> dict[str, Any]:
    """Every figure of a run, in the shape of `results.json`.

    The headline is `receptors.<R>.patient.auroc`: patients' out-of-fold predictions, all folds of a repeat
    together, and the mean over repeats. Rows without a label are ignored.

    Args:
        predictions: the prediction table, a row a lesion, receptor and repeat.
        split: `unit` (patient, or lesion or study: leaky) and `hash`.
        receptors: those to report, in order.
        resamples: bootstrap draws of patients.
        seed: of the bootstrap.
        best: the AUROC a perfect model would reach, by receptor; known for a synthetic cohort only.

    Returns:
        Plain dictionaries; undefined figures are NaN.

    Raises:
        ValueError: the table is of another split, a probability is none, or a patient has two labels.
    """
    _check(predictions, split["hash"])
    patients = patient_level(predictions)
    lesions = labelled(predictions)
    folds = sorted(predictions["fold"].unique())
    blocks: dict[str, dict[str, Any]] = {}
    for receptor in receptors:
        of_lesions = lesions[lesions["receptor"] == receptor]
        of_patients = patients[patients["receptor"] == receptor]
        blocks[receptor] = {
            "patient": _block(of_patients, "patient_id", resamples, seed),
            "lesion": {**_block(of_lesions, "lesion_id", resamples, seed), "independent": False},
            "folds": _folds(of_lesions, folds),
        }
    results = {
        "receptors": blocks,
        "split": {"unit": split["unit"], "hash": split["hash"]},
        "leaky": split["unit"] != "patient",
    }
    if best is not None:
        for receptor, block in blocks.items():
            block["best"] = float(best[receptor])
        results["reached"] = _mean([_reached(b["patient"]["auroc"], b["best"]) for b in blocks.values()])
    return results


def to_json(results: dict[str, Any]) -> str:
    """The results as strict JSON, with null where a figure is undefined."""
    return json.dumps(_nulls(results), indent=2, allow_nan=False) + "\n"


def print_table(results: dict[str, Any], console: Console) -> None:
    """Print one row a receptor; a leaky run says so in red."""
    title = "Receptor status from out-of-fold predictions"
    if results["leaky"]:
        title = f"[bold red]LEAKY (split by {results['split']['unit']})[/]  {title}"
    best_known = "reached" in results
    caption = "† lesions of one patient are not independent"
    if best_known:
        caption += "\nbest: the most that any model can reach on this cohort"
    table = Table(title=title, caption=caption, caption_justify="left", box=SIMPLE_HEAD, show_edge=False)
    table.padding, table.pad_edge = (0, 1, 0, 0), False  # so that it fits 80 columns
    table.add_column("receptor", style="bold")
    headings = ["patient AUROC\n[95 % CI]", "folds\nmean ± std", "AUPRC", "Brier", "patients\n+ / -"]
    headings.append("lesion\nAUROC †")
    if best_known:
        headings.append("best")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=heading.startswith("patient"))
    for receptor, block in results["receptors"].items():
        patient = block["patient"]
        cells = [
            with_interval(patient),
            with_spread(block["folds"]),
            _number(patient["auprc"]),
            _number(patient["brier"]),
            f"{patient['positives']} / {patient['negatives']}",
            _number(block["lesion"]["auroc"]),
        ]
        if best_known:
            cells.append(_number(block["best"]))
        table.add_row(receptor, *cells)
    console.print(table)


def with_interval(block: dict[str, Any]) -> str:
    """AUROC and interval of a patient or lesion block in words, as in `0.81 [0.70, 0.90]`."""
    if math.isnan(block["auroc"]):
        return UNDEFINED
    return f"{block['auroc']:.2f} [{block['auroc_low']:.2f}, {block['auroc_high']:.2f}]"


def with_spread(folds: dict[str, Any]) -> str:
    """Mean and spread of a folds block in words, as in `0.80 ± 0.06`; one defined fold has no spread."""
    if math.isnan(folds["std"]):
        return _number(folds["mean"])
    return f"{folds['mean']:.2f} ± {folds['std']:.2f}"


def _check(predictions: pd.DataFrame, split_hash: str) -> None:
    """Refuse a table that belongs to another split or holds something other than probabilities."""
    foreign = sorted(set(predictions["split_hash"]) - {split_hash})
    if foreign:
        raise ValueError(
            f"the prediction table carries split hash {', '.join(map(str, foreign))}, the run {split_hash}: "
            "evaluate it with the split it was made with"
        )
    wrong = predictions[~predictions["probability"].between(0, 1)]
    if len(wrong):
        first = wrong.iloc[0]
        raise ValueError(
            f"{len(wrong)} of {len(predictions)} predictions are no probability, "
            f"the first {first['probability']} for lesion {first['lesion_id']}: the "
            "model diverged, or logits were written"
        )


def _block(rows: pd.DataFrame, unit: str, resamples: int, seed: int) -> dict[str, Any]:
    """The figures of one receptor, each the mean over repeats; counts are of distinct units."""
    repeats = [(of.label.to_numpy(), of.probability.to_numpy()) for _, of in rows.groupby("repeat")]
    groups, repeat = rows["patient_id"].to_numpy(), rows["repeat"].to_numpy()
    low, high = bootstrap_auroc(rows["label"], rows["probability"], groups, resamples, seed, repeats=repeat)
    units = rows.drop_duplicates(unit)
    return {
        "auroc": _mean([auroc(*pair) for pair in repeats]),
        "auroc_low": low,
        "auroc_high": high,
        "auprc": _mean([auprc(*pair) for pair in repeats]),
        "brier": _mean([brier(*pair) for pair in repeats]),
        "positives": int((units["label"] == 1).sum()),
        "negatives": int((units["label"] == 0).sum()),
    }


def _folds(rows: pd.DataFrame, folds: list[int]) -> dict[str, Any]:
    """Patient-level AUROC inside each fold of one receptor; folds of one class are counted, not averaged."""
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


def _mean(values: list[float]) -> float:
    """Mean; NaN without values and wherever one of them is NaN."""
    return math.fsum(values) / len(values) if values else math.nan


def _reached(auroc: float, best: float) -> float:
    """Share of the way from chance to the best possible AUROC; NaN where chance is the best."""
    return (auroc - 0.5) / (best - 0.5) if best != 0.5 else math.nan


def _number(value: float) -> str:
    return UNDEFINED if math.isnan(value) else f"{value:.2f}"


def _nulls(value: Any) -> Any:
    """The same nested value with None for NaN."""
    if isinstance(value, dict):
        return {key: _nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_nulls(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
