"""A run made anew from what its folder keeps, into another folder, and held against it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bcbm.config.compose import load, override
from bcbm.crossvalidation.cross_validate import run
from bcbm.errors import ConfigError, InputError, Problem
from bcbm.runs.finished import read_run
from bcbm.runs.identity import surroundings
from bcbm.runs.predictions import KEY
from bcbm.terminal.words import say

SETTABLE = (
    "run.folder",
    "run.root",
    "prepared",
    "cohort.root",
    "tracking",
    "trainer.devices",
    "data.workers",
)


def run_again(folder: Path, settings: Mapping[str, Any], console: Console) -> int:
    """Train a finished run's folds anew, compare its table with the new one, and say whether they are equal.

    Args:
        folder: of the run; the new one lies beside it as `<name>-again`, unless `run.folder` is set.
        settings: other places and devices for it, by dotted key; what would make it another run is refused.
        console: gets what `fit` prints, and what differs.

    Returns:
        The exit status: 0 where every prediction is the same, bit for bit; 1 where one differs.

    Raises:
        ConfigError: a setting would make it another run.
        InputError: the run cannot be read, or a search has chosen its folds' settings.
    """
    for name in settings:
        if not any(name == key or name.startswith(f"{key}.") for key in SETTABLE):
            raise ConfigError(f"{name}: would make it another run; leave it out, or fit without again=")
    before = read_run(folder)
    config = load(folder / "config.yaml")
    if before.chosen and not config.tune:
        found = "is of folds whose settings a search has chosen, one by one"
        raise InputError(Problem(str(folder), found, "run the sweep again in another run.root"))
    beside = folder.with_name(f"{folder.name}-again")
    config = replace(config, fold="all", run=replace(config.run, folder=str(beside)))
    config = replace(override(config, settings), tune=config.tune)
    for line in _other_surroundings(before.environment):
        say(console, f"not as it was: {line}")
    after = read_run(run(config, console))
    if before.environment["cohort"] != after.environment["cohort"]:
        was, now = before.environment["cohort"], after.environment["cohort"]
        say(console, f"not as it was: the cohort's content, {was}, now {now}")
    differing = _differing(before.predictions, after.predictions)
    for line in differing:
        say(console, f"differs: {line}")
    verdict = (
        "is not the same" if differing else f"is the same: {len(before.predictions)} predictions, bit for bit"
    )
    say(console, f"the table of {after.folder} {verdict}")
    return 1 if differing else 0


def _other_surroundings(then: Mapping[str, Any]) -> list[str]:
    """What of versions, commit and machine is not as it was when a run was trained."""
    now = surroundings()
    pairs = {name: (then.get(name), now[name]) for name in ("python", "platform", "commit")}
    versions = then.get("versions", {})
    pairs |= {name: (versions.get(name), version) for name, version in now["versions"].items()}
    return [f"{name}, {was}, now {is_now}" for name, (was, is_now) in pairs.items() if was != is_now]


def _differing(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """In what two prediction tables differ, a line a column; none where they are equal bit for bit."""
    first, second = (table.set_index(["fold", *KEY]).sort_index() for table in (before, after))
    if not first.index.equals(second.index):
        shared = len(first.index.intersection(second.index))
        return [f"rows: {len(first)}, now {len(second)}, of which {shared} are of the same lesions and folds"]
    lines = []
    for name in first.columns:
        one, other = first[name], second[name]
        unequal = ~((one == other) | (one.isna() & other.isna()))
        if not unequal.any():
            continue
        far = ""
        if pd.api.types.is_float_dtype(one):
            far = f", by at most {(one - other).abs().max():.2g}"
        lines.append(f"{name}: {int(unequal.sum())} of {len(one)} rows{far}")
    return lines
