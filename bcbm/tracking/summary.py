"""What every tracker shows of a finished run: figures, curves, and predictions under pseudonyms."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcbm.report.figures.errors import pseudonyms
from bcbm.report.figures.points import BINS
from bcbm.report.pages.run import CURVES
from bcbm.report.words import leak_in_words
from bcbm.runs.finished import FinishedRun
from bcbm.statistics.calibration import reliability
from bcbm.statistics.curves import precision_recall_curve, roc_curve
from bcbm.statistics.metrics import patient_level
from bcbm.statistics.results import Results

PICTURES = (*CURVES, "flow", "errors")  # of `figures/`: counts and curves, no image of a patient
OUT_OF_FOLD, LINEAGE = "out_of_fold", "lineage"
COLUMNS = ["repeat", "fold", "patient", "lesion", "target", "label", "probability"]
COLUMNS += ["patient_probability", "threshold"]
SIGNS = str.maketrans({"+": "pos", "-": "neg", "/": "_"})  # HR+/HER2-: no service takes all three in a name
LENGTH = 16  # digits of a hash
DIAGONAL = (0.0, 1.0), (0.0, 1.0)
TITLES = {
    "curves/roc": ("ROC of patients: sensitivity", "1 - specificity"),
    "curves/precision_recall": ("precision of patients", "recall"),
    "curves/calibration": ("observed share of positives", "predicted probability"),
}  # what a curve draws upwards, and over what


@dataclass(frozen=True)
class Summary:
    """What every tracker is sent of a finished run, under the same names.

    Attributes:
        figures: see `figures`.
        pictures: files by name, as `figures/roc`.
        tables: `out_of_fold` and `lineage`, see there; those of `TITLES`, with columns line, x and y; and of
            each target `confusion/ER`, with columns actual, predicted and patients.
        mark: what stands before each title of a run that is LEAKY, else "".
    """

    figures: dict[str, float]
    pictures: dict[str, Path]
    tables: dict[str, pd.DataFrame]
    mark: str


def summary_of(finished: FinishedRun) -> Summary:
    """The summary of a run folder whose figures are drawn."""
    leaky = finished.results["leaky"]
    return Summary(
        figures=figures(finished.results),
        pictures={f"figures/{name}": finished.folder / "figures" / f"{name}.png" for name in PICTURES},
        tables={OUT_OF_FOLD: out_of_fold(finished), LINEAGE: lineage(finished), **curves(finished)},
        mark=f"LEAKY ({leak_in_words(finished.results['split'])}): " if leaky else "",
    )


def figures(results: Results) -> dict[str, float]:
    """Every defined figure of `results.json` by its place, as in `ER/patient/auroc_low` and `mean/auroc`."""
    named: dict[str, Any] = {**results, **results["receptors"], **results.get("derived", {})}
    for name in ("receptors", "derived", "split"):
        named.pop(name, None)
    return dict(_flat(named, ""))


def curves(finished: FinishedRun) -> dict[str, pd.DataFrame]:
    """ROC, precision-recall and calibration curves of patients, and their confusion matrices.

    Calibration and confusion are those of the first repeat, whose rows are independent; a patient is called
    positive from the threshold of its fold on.
    """
    lines: dict[str, list[pd.DataFrame]] = {name: [] for name in TITLES}
    matrices = {}

    def add(curve: str, line: str, points: tuple[Any, Any]) -> None:
        x, y = (np.asarray(values, dtype=float) for values in points)
        lines[f"curves/{curve}"].append(pd.DataFrame({"line": line, "x": x, "y": y}))

    add("roc", "chance", DIAGONAL)
    add("calibration", "perfect", DIAGONAL)
    for name, rows in patient_level(finished.predictions).groupby("target", sort=False):
        target = str(name)
        add("roc", target, roc_curve(rows, "fold"))
        add("precision_recall", target, precision_recall_curve(rows))
        rows = rows[rows["repeat"] == rows["repeat"].min()]
        bins = reliability(rows["label"], rows["probability"], BINS)
        add("calibration", target, (bins["predicted"], bins["observed"]))
        matrices[f"confusion/{target}"] = _confusion(rows[rows["threshold"].notna()], target)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in lines.items()} | matrices


def _confusion(rows: pd.DataFrame, target: str) -> pd.DataFrame:
    """Counts of patients by what they are and what they are called, in words as `ER+`."""
    words = {False: f"{target}-", True: f"{target}+"}
    label, called = rows["label"] == 1, rows["probability"] >= rows["threshold"]
    cells = [
        (words[actual], words[predicted], int(((label == actual) & (called == predicted)).sum()))
        for actual in words
        for predicted in words
    ]
    return pd.DataFrame(cells, columns=["actual", "predicted", "patients"])


def out_of_fold(finished: FinishedRun) -> pd.DataFrame:
    """The prediction table with P1, P2, ... for patients, as in the report, and L1, L2, ... for lesions.

    The numbers, and with them the order of the rows, follow a hash of the ids, keyed by the cohort's content.
    """
    salt = finished.environment["cohort"]
    table = finished.predictions.copy()
    for column in ("patient", "lesion"):
        names = pseudonyms(finished.lesions[f"{column}_id"], salt)
        table[column] = table[f"{column}_id"].map(names).str[1:].astype(int)
    table = table.sort_values(["patient", "lesion", "target", "repeat"], ignore_index=True)
    table["patient"] = "P" + table["patient"].astype(str)
    table["lesion"] = "L" + table["lesion"].astype(str)
    table = table[COLUMNS].astype(object)
    return table.where(table.notna(), None)


def lineage(finished: FinishedRun) -> pd.DataFrame:
    """What the run was made of and what it made, as hashes: columns kind, part and hash.

    Runs of one cohort, one split or one lesion table have the same hash of it; weights have one a training.
    """
    rows = pd.util.hash_pandas_object(finished.lesions, index=False).to_numpy()
    names = ",".join(map(str, finished.lesions.columns))
    inputs = {name: str(finished.environment[name]) for name in ("cohort", "split")}
    inputs["lesions"] = hashlib.sha256(names.encode() + rows.tobytes()).hexdigest()[:LENGTH]
    sums = sorted(finished.folder.glob("fold=*/**/checkpoints/best.sha256"))
    weights = [
        ("weights", "/".join(path.relative_to(finished.folder).parts[:-2]), path.read_text()[:LENGTH])
        for path in sums
    ]
    table = [(name, "all", digest) for name, digest in inputs.items()] + weights
    return pd.DataFrame(table, columns=["kind", "part", "hash"])


def _flat(content: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        place = prefix + name.translate(SIGNS)
        if isinstance(value, dict):
            yield from _flat(value, f"{place}/")
        elif isinstance(value, int | float) and not math.isnan(value):
            yield place, value
