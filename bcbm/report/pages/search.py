"""A search as one page: what was chosen, what that is worth on unseen patients, and how it was found."""

import math
import os
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from bcbm.report.figures import parameters
from bcbm.report.figures import search as course
from bcbm.report.pages.page import embedded, write_html
from bcbm.report.words import signed

FINAL = "final"
UNUSED = "\N{EN DASH}"
AXES = 8  # most parameters in parallel coordinates
LEAST = 5  # finished trials that importances and the map of two parameters need


def write_search(
    folder: Path,
    sweep: Mapping[str, Any],
    constraints: Mapping[str, str],
    trials: pd.DataFrame,
    steps: pd.DataFrame,
    importances: pd.DataFrame,
    best: Mapping[str, Mapping[str, Any]],
    missing: Mapping[str, str],
    nested: Mapping[str, Any] | None,
    facts: Mapping[str, str],
    commands: Mapping[str, str],
) -> Path:
    """Write `report.html` of a search, and its figures into `figures/`.

    Args:
        folder: the sweep's folder.
        sweep: what `sweep.yaml` holds, and `smaller`, whether less of the first objective is better.
        constraints: bounds of what a choice has to keep, in words, by name.
        trials: one row a trial, a column a parameter.
        steps: columns study, trial, state, step and value.
        importances: columns study, parameter, share, low and high.
        best: by study: settings, value, figures, trial, default and pareto.
        missing: by study, what is left to be searched; the nested figure waits for the folds'.
        nested: `comparison` of the chosen settings with the experiment as it is, `mean`, their difference
            over targets, `optimism`, see there, and `page`, the comparison's own; None while it cannot be
            had.
        facts: provenance by name.
        commands: by what they are for.

    Returns:
        The page.
    """
    page = folder / "report.html"
    objectives = list(sweep["objective"])
    write_html(
        "search.html.j2",
        page,
        sweep=sweep,
        objectives=objectives,
        constraints=constraints,
        feasible=feasible_counts(trials) if constraints else {},
        config=sweep["config"],
        states=trials["state"].value_counts().to_dict() if len(trials) else {},
        hours=float(trials["seconds"].sum()) / 3600 if len(trials) else 0.0,
        best=best,
        choices=choices(sweep, best),
        figure=lambda value: f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}",
        missing=missing,
        nested=nested,
        verdict=verdict(nested, missing),
        comparison_page=os.path.relpath(nested["page"], folder) if nested else None,
        facts=facts,
        commands=commands,
        least=LEAST,
        pictures=_pictures(folder / "figures", sweep, trials, steps, importances, best),
    )
    return page


def in_words(mean: Mapping[str, float]) -> str:
    """What the difference of the chosen settings from the experiment as it is says."""
    difference, low, high = (mean[name] for name in ("difference", "low", "high"))
    if math.isnan(low):
        return "The difference is not defined: a target has one class only."
    text = f"{signed(difference)} [{signed(low)}, {signed(high)}]"
    if low <= 0 <= high:
        return f"{text}; the interval holds 0, so choosing is not shown to be better or worse."
    side, than = ("above", "better") if low > 0 else ("below", "worse")
    return f"{text}; the interval lies {side} 0, choosing by the search is {than}."


def verdict(nested: Mapping[str, Any] | None, missing: Mapping[str, str]) -> tuple[str, str]:
    """The result in a line, and its kind: clean or nothing."""
    if nested is None:
        return ("Not finished" if missing else "Not tested on outer folds yet"), ""
    low, high = nested["mean"]["low"], nested["mean"]["high"]
    if low > 0:
        return "Better than the experiment as it is", "clean"
    return ("Worse" if high < 0 else "Not shown to be better") + " than the experiment as it is", ""


def feasible_counts(trials: pd.DataFrame) -> dict[str, tuple[int, int]]:
    """Of each study, how many finished trials keep the constraints, and how many there are."""
    finished = trials[trials["state"] == "complete"].groupby("study", sort=False)["feasible"]
    return {str(study): (int(flags.sum()), len(flags)) for study, flags in finished}


def choices(sweep: Mapping[str, Any], best: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a parameter: the experiment's own value, what each study chose, and how far the folds agree."""
    rows = []
    for name in sweep["space"]:
        chosen = {study: choice["settings"].get(name, math.nan) for study, choice in best.items()}
        folds = [item for study, item in chosen.items() if study != FINAL]
        value: Any = sweep["config"]
        for part in name.split("."):
            value = value[part]
        row = {"name": name, "own": written(value), "agreement": agreement(folds)}
        rows.append(row | {"chosen": {study: written(item) for study, item in chosen.items()}})
    return rows


def agreement(values: list[Any]) -> str:
    """How far folds agree on a value: all the same, a range of numbers, or the most frequent choice."""
    texts = [written(value) for value in values]
    if len(texts) < 2 or set(texts) == {UNUSED}:
        return ""
    if len(set(texts)) == 1:
        return "all the same"
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numbers and not any(math.isnan(value) for value in values):
        return f"{written(min(values))} to {written(max(values))}"
    most = max(dict.fromkeys(texts), key=texts.count)
    return f"{most} in {texts.count(most)} of {len(texts)}"


def written(value: Any) -> str:
    """A value in few digits; a dash where a parameter does not count."""
    if isinstance(value, float):
        return UNUSED if math.isnan(value) else f"{value:.3g}"
    return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _pictures(
    folder: Path,
    sweep: Mapping[str, Any],
    trials: pd.DataFrame,
    steps: pd.DataFrame,
    importances: pd.DataFrame,
    best: Mapping[str, Mapping[str, Any]],
) -> dict[str, str]:
    """Every figure that the trials allow as an address that holds it; the files stay in `figures/`."""
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.png"):
        old.unlink()
    objectives, space = list(sweep["objective"]), sweep["space"]
    first = objectives[0]
    if len(trials) and trials["ended"].notna().any():
        course.history_figure(trials, first, sweep["smaller"], folder / "history.png")
        course.timeline_figure(trials, folder / "timeline.png")
    if len(steps):
        course.steps_figure(steps, first, folder / "steps.png")
    if len(objectives) > 1 and best:
        front = {
            study: [choice["trial"], *(n for n in choice["pareto"] if n != choice["trial"])]
            for study, choice in best.items()
        }
        course.front_figure(trials, objectives, front, folder / "front.png")
    order = parameters.ranked(importances) if len(importances) else []
    names = [*order, *(name for name in space if name not in order and name in trials)]
    if len(trials) and (trials["state"] == "complete").any():
        parameters.slice_figure(trials, first, space, names, folder / "slices.png")
    if len(importances):
        parameters.importance_figure(importances, folder / "importances.png")
        studies = list(importances["study"])
        finished = trials[trials["study"] == (FINAL if FINAL in studies else studies[0])]
        finished = finished[finished["state"] == "complete"]
        parameters.coordinates_figure(finished, first, space, names[:AXES], folder / "coordinates.png")
        pairs = (
            pair for pair in combinations(names, 2) if finished[list(pair)].notna().all(axis=1).sum() >= LEAST
        )
        if pair := next(pairs, None):
            parameters.map_figure(finished, first, space, pair, folder / "map.png")
    return {path.stem: embedded(folder, path.name) for path in folder.glob("*.png")}
