"""Searches beside each other, as one page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.report.figures import parameters
from bcbm.report.figures import search as course
from bcbm.report.pages.page import embedded, write_html


@dataclass(frozen=True)
class SearchLine:
    """A search in the table.

    Attributes:
        label: what it is called.
        split: hash of its outer folds.
        finished: trials of all its studies, and `pruned`.
        epochs: trained, and `hours`.
        default: the experiment as it is, in the final study; None where that has not chosen.
        final: the best of that study.
        folds: the best of the folds' studies, their mean; None without any.
    """

    label: str
    split: str
    finished: int
    pruned: int
    epochs: int
    hours: float
    default: float | None
    final: float | None
    folds: float | None


def write_sweeps(
    folder: Path,
    *,
    objective: str,
    smaller: bool,
    rows: Sequence[SearchLine],
    links: Mapping[str, str],
    trials: pd.DataFrame,
    importances: pd.DataFrame,
    differences: Sequence[Mapping[str, Any]],
) -> Path:
    """Write `report.html` of some searches, and its figures into `figures/`.

    Args:
        folder: of the comparison.
        objective: the first of each, and `smaller`, whether less of it is better.
        rows: one a search.
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
        course.compared_history_figure(trials, objective, smaller, figures / "history.png")
    if len(importances):
        parameters.compared_importances_figure(importances, figures / "importances.png")
    page = folder / "report.html"
    write_html(
        "sweeps.html.j2",
        page,
        objective=objective,
        rows=rows,
        links=links,
        same_folds=len({row.split for row in rows}) == 1,
        differences=differences,
        pictures={path.stem: embedded(figures, path.name) for path in figures.glob("*.png")},
    )
    return page
