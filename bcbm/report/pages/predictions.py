"""The page of `bcbm predict`: what a model says of patients, and what is known of the model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.report.pages.page import write_html
from bcbm.statistics.results import Results

LEVELS = ("patient", "lesion")


def write_page(
    path: Path, table: pd.DataFrame, results: Results, training: Mapping[str, Any], coverage: float
) -> None:
    """Write the page, whole or not at all; it names patients as their cohort does.

    Args:
        path: the HTML file.
        table: of predictions.
        results: of the model's run.
        training: counts of its training lesions.
        coverage: of the sets.
    """
    predicted = table[table["reason"] == ""]
    levels = {level: _rows(predicted[predicted["level"] == level], f"{level}_id") for level in LEVELS}
    failed = table[table["reason"] != ""]
    write_html(
        "predictions.html.j2",
        path,
        targets=list(results["receptors"]),
        levels=levels,
        failed=[dict(zip(failed.columns, row, strict=True)) for row in failed.itertuples(index=False)],
        results=results,
        training=training,
        coverage=coverage,
    )


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
