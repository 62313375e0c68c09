"""What a finished run shows in W&B: figures with intervals, curves, and predictions under pseudonyms."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pandas as pd

from bcbm.report.figures.errors import pseudonyms
from bcbm.report.figures.run import BINS
from bcbm.report.pages.run import CURVES
from bcbm.report.words import leak_in_words
from bcbm.runs.finished import FinishedRun
from bcbm.statistics.calibration import reliability
from bcbm.statistics.curves import precision_recall_curve, roc_curve
from bcbm.statistics.metrics import patient_level
from bcbm.statistics.results import Results

if TYPE_CHECKING:
    from wandb import Run
    from wandb.plot import CustomChart

PICTURES = (*CURVES, "flow", "errors")  # of `figures/`: counts and curves, no image of a patient
COLUMNS: list[str | int] = ["repeat", "fold", "patient", "lesion", "target", "label", "probability"]
COLUMNS += ["patient_probability", "threshold"]
DIAGONAL = (0.0, 1.0), (0.0, 1.0)
Lines = dict[str, tuple[Iterable[float], Iterable[float]]]


def send_summary(run: Run, finished: FinishedRun) -> None:
    """Fill the summary run of a finished run folder."""
    import wandb

    run.summary.update(figures(finished.results))
    pictures = {f"figures/{name}": finished.folder / "figures" / f"{name}.png" for name in PICTURES}
    table = out_of_fold(finished)
    run.log(
        {
            **charts(finished),
            **{name: wandb.Image(str(path)) for name, path in pictures.items()},
            "out_of_fold": wandb.Table(columns=COLUMNS, data=table.to_numpy()),
        }
    )


def figures(results: Results) -> dict[str, float]:
    """Every defined figure of `results.json` by its place, as in `ER/patient/auroc_low` and `mean/auroc`."""
    named: dict[str, Any] = {**results, **results["receptors"], **results.get("derived", {})}
    for name in ("receptors", "derived", "split"):
        named.pop(name, None)
    return dict(_flat(named, ""))


def charts(finished: FinishedRun) -> dict[str, CustomChart]:
    """ROC, precision-recall and calibration curves of patients, and their confusion matrices.

    Calibration and confusion are those of the first repeat, whose rows are independent; a patient is called
    positive from the threshold of its fold on.
    """
    import wandb

    mark = f"LEAKY ({leak_in_words(finished.results['split'])}): " if finished.results["leaky"] else ""
    patients = patient_level(finished.predictions)
    by_target = {str(name): rows for name, rows in patients.groupby("target", sort=False)}
    roc: Lines = {"chance": DIAGONAL}
    recall: Lines = {}
    fits: Lines = {"perfect": DIAGONAL}
    drawn = {}
    for target, rows in by_target.items():
        roc[target] = roc_curve(rows, "fold")
        recall[target] = precision_recall_curve(rows)
        rows = rows[rows["repeat"] == rows["repeat"].min()]
        bins = reliability(rows["label"], rows["probability"], BINS)
        fits[target] = bins["predicted"], bins["observed"]
        rows = rows[rows["threshold"].notna()]
        drawn[f"confusion/{target}"] = wandb.plot.confusion_matrix(
            y_true=rows["label"].astype(int).tolist(),
            preds=(rows["probability"] >= rows["threshold"]).astype(int).tolist(),
            class_names=[f"{target}-", f"{target}+"],
            title=f"{mark}{target} of patients at the thresholds of their folds",
        )
    for name, lines, title, xname in (
        ("roc", roc, "ROC of patients: sensitivity", "1 - specificity"),
        ("precision_recall", recall, "precision of patients", "recall"),
        ("calibration", fits, "observed share of positives", "predicted probability"),
    ):
        drawn[f"curves/{name}"] = wandb.plot.line_series(
            [[float(value) for value in x] for x, _ in lines.values()],
            [[float(value) for value in y] for _, y in lines.values()],
            keys=list(lines),
            title=mark + title,
            xname=xname,
        )
    return drawn


def out_of_fold(finished: FinishedRun) -> pd.DataFrame:
    """The prediction table with P1, P2, ... for patients, as in the report, and L1, L2, ... for lesions.

    The numbers, and with them the order of the rows, follow a hash of the ids, keyed by the cohort's content.
    """
    salt = finished.environment["cohort"]
    table = finished.predictions.copy()
    for column in ("patient", "lesion"):
        names = pseudonyms(finished.lesions[f"{column}_id"], salt)
        table[column] = table[f"{column}_id"].map(names).str[1:].astype(int)
    table = table.sort_values(["patient", "lesion", "target", "repeat"])
    table["patient"] = "P" + table["patient"].astype(str)
    table["lesion"] = "L" + table["lesion"].astype(str)
    table = table[COLUMNS].astype(object)
    return table.where(table.notna(), None)


def _flat(content: dict[str, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}/")
        elif isinstance(value, int | float) and not math.isnan(value):
            yield prefix + name, value
