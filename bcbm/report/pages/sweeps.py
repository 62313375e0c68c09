"""Searches beside each other, as one page."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.report.figures import parameters
from bcbm.report.figures import search as course
from bcbm.report.pages.page import embedded, write_html


def write_sweeps(
    folder: Path,
    *,
    objective: str,
    smaller: bool,
    rows: Sequence[Mapping[str, Any]],
    links: Mapping[str, str],
    trials: pd.DataFrame,
    importances: pd.DataFrame,
    differences: Sequence[Mapping[str, Any]],
) -> Path:
    """Write `report.html` of some searches, and its figures into `figures/`.

    Args:
        folder: of the comparison.
        objective: the first of each, and `smaller`, whether less of it is better.
        rows: of each search: label, split, finished, pruned, epochs, hours, default, final and folds.
        links: to the page of each, by label.
        trials: one row a trial, with the label in `sweep`.
        importances: columns sweep, study, parameter, share, low and high.
        differences: of each key that is not alike: name, and values by label.

    Returns:
        The page.
    """
    figures = folder / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for old in figures.glob("*.png"):
        old.unlink()
    if len(trials) and (trials["state"] == "complete").any():
        course.race_figure(trials, objective, smaller, figures / "race.png")
    if len(importances):
        parameters.importances_figure(importances, figures / "importances.png")
    page = folder / "report.html"
    write_html(
        "sweeps.html.j2",
        page,
        objective=objective,
        rows=rows,
        links=links,
        same_folds=len({row["split"] for row in rows}) == 1,
        differences=differences,
        pictures={path.stem: embedded(figures, path.name) for path in figures.glob("*.png")},
    )
    return page
