"""The page of `bcbm predict`: what a model says of patients, and what is known of the model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcbm.report.pages.page import embedded, write_html
from bcbm.report.words import REFITTED
from bcbm.statistics.results import Results

LISTED = 50  # patients whose measures are drawn
LEVELS = ("patient", "lesion")


def write_page(
    path: Path,
    table: pd.DataFrame,
    judged: pd.DataFrame,
    lacking: Sequence[str],
    scans: Sequence[tuple[str, Path, Path | None]],
    results: Results,
    training: Mapping[str, Any],
    coverage: float,
    *,
    refitted: bool,
) -> None:
    """Write the page, whole or not at all; it names patients as their cohort does.

    Args:
        path: the HTML file.
        table: of predictions.
        judged: how odd its patients are: a column a measure, under its words, then `doubt` and `odd`.
        lacking: columns that the model reads and some lesions have not, in words.
        scans: of its studies the name, the picture, and a page to scroll through it, in a folder beside it.
        results: of the model's run.
        training: counts of its training lesions.
        coverage: of the sets.
        refitted: the model was trained on all patients of its run.
    """
    predicted = table[table["reason"] == ""]
    levels = {level: _rows(predicted[predicted["level"] == level], f"{level}_id") for level in LEVELS}
    failed = table[table["reason"] != ""]
    write_html(
        "predictions.html.j2",
        path,
        targets=list(results["receptors"]),
        levels=levels,
        doubts=_doubts(judged),
        lacking=lacking,
        pictures={name: embedded(file.parent, file.name) for name, file, _ in scans},
        viewers={name: page.relative_to(path.parent).as_posix() for name, _, page in scans if page},
        failed=[dict(zip(failed.columns, row, strict=True)) for row in failed.itertuples(index=False)],
        results=results,
        training=training,
        coverage=coverage,
        refitted=REFITTED if refitted else "",
    )


def _doubts(judged: pd.DataFrame) -> list[dict[str, Any]]:
    """Of the oddest patients what is odd about them, in the order of the table."""
    measures = judged.drop(columns=["doubt", "odd"])
    shown = set(judged["doubt"].nlargest(LISTED, keep="all").index)
    return [
        {
            "patient": str(patient),
            "odd": judged.at[patient, "odd"],
            "measures": [(name, None if np.isnan(share) else float(share)) for name, share in row.items()],
        }
        for patient, row in measures.iterrows()
        if patient in shown
    ]


def _rows(table: pd.DataFrame, name: str) -> list[dict[str, Any]]:
    """A row a patient or lesion, with its predictions by target."""
    return [
        {
            "name": str(key),
            "lesions": int(rows["lesions"].iloc[0]),
            "trained_on": bool(rows["trained_on"].any()),
            "targets": rows.set_index("target").to_dict("index"),
        }
        for key, rows in table.groupby(name, sort=False)
    ]
