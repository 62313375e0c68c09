"""Searches beside each other: how far and how fast each came, what it found to count, how they differ."""

import os
import warnings
from collections.abc import Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from bcbm.comparison.compare import asks_for_workspace
from bcbm.config.compose import compose, flattened
from bcbm.errors import ConfigError, InputError, Note, Problem
from bcbm.report.pages.overview import write_overview
from bcbm.report.pages.sweeps import SearchLine, write_sweeps
from bcbm.runs.identity import NOT_IDENTITY
from bcbm.search.importances import importances
from bcbm.search.objective import FINAL
from bcbm.search.plan import SMALLER_IS_BETTER
from bcbm.search.results import SweepResult, read_sweep
from bcbm.system.files import read_json
from bcbm.system.words import listed
from bcbm.terminal.words import say


def compare_sweeps(words: list[str], console: Console) -> Path:
    """Read finished or running searches, print and write `<run.root>/compare/<names>/report.html`.

    Args:
        words: their folders, `storage=URL` where studies lie in a database, `--wandb`, and `key=value`.
        console: gets a table.

    Returns:
        The page.

    Raises:
        ConfigError: fewer than two folders, or a key that is not known.
        InputError: a word is no search's folder, or they have sought different things.
    """
    workspace = asks_for_workspace(words)
    settings = [word for word in words if "=" in word and not word.startswith("storage=")]
    storage = next((word.partition("=")[2] for word in words if word.startswith("storage=")), None)
    config = compose(settings)
    folders = [Path(word).expanduser() for word in words if "=" not in word and word != "--wandb"]
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise ConfigError("name at least two folders of searches, such as runs/sweeps/fusion/ID, each once")
    sweeps = [read_sweep(folder, storage) for folder in folders]
    objective = sweeps[0].plan["objective"][0]
    problems = [
        Problem(
            str(sweep.folder),
            f"seeks {sweep.plan['objective'][0]}, and {sweeps[0].folder} seeks {objective}",
            "compare searches with one first objective",
        )
        for sweep in sweeps
        if sweep.plan["objective"][0] != objective
    ]
    if problems:
        raise InputError(*problems)
    cohorts = {sweep.plan["cohort"]: sweep.folder for sweep in sweeps if "cohort" in sweep.plan}
    if len(cohorts) > 1:
        text = f"{listed([*map(str, cohorts.values())])} have searched on different cohorts, by their content"
        warnings.warn(f"{text}: their values do not compare", Note, stacklevel=2)
    labels = [f"{sweep.plan['sweep']} {sweep.folder.name[:8]}" for sweep in sweeps]
    if len(set(labels)) < len(labels):  # one search in two places
        labels = [f"{number} {label}" for number, label in enumerate(labels, 1)]
    rows = list(starmap(_line, zip(labels, sweeps, strict=True)))
    tables = zip(labels, map(importances, sweeps), strict=True)
    home = Path(config.run.root) / "compare" / "+".join(label.replace(" ", "-") for label in labels)
    page = write_sweeps(
        home,
        objective=objective,
        smaller=objective in SMALLER_IS_BETTER,
        rows=rows,
        links={
            label: os.path.relpath(sweep.folder / "report.html", home)
            for label, sweep in zip(labels, sweeps, strict=True)
        },
        trials=pd.concat([s.trials.assign(sweep=label) for label, s in zip(labels, sweeps, strict=True)]),
        importances=pd.concat([table.assign(sweep=label) for label, table in tables]),
        differences=differences(dict(zip(labels, sweeps, strict=True))),
    )
    write_overview(Path(config.run.root))
    _print(rows, objective, console)
    say(console, f"report: {page.absolute()}")
    if workspace:
        from bcbm.tracking.workspace import sweeps_workspace, write_workspace

        keys = list(dict.fromkeys(key for sweep in sweeps for key in sweep.plan["space"]))
        groups = [f"{sweep.plan['study']}/study={name}" for sweep in sweeps for name in sweep.plan["studies"]]
        laid_out = sweeps_workspace(groups, keys, objective, home.name, config.tracking)
        say(console, f"workspace: {write_workspace(laid_out, config.tracking, home)}")
    return page


def _line(label: str, sweep: SweepResult) -> SearchLine:
    trials, folds = sweep.trials, [best.value for name, best in sweep.best.items() if name != FINAL]
    states = trials["state"].value_counts().to_dict() if len(trials) else {}
    final = sweep.best.get(FINAL)
    return SearchLine(
        label=label,
        split=read_json(sweep.folder / "split.json", "run that sweep again, which writes it")["hash"],
        finished=int(states.get("complete", 0)),
        pruned=int(states.get("pruned", 0)),
        epochs=int(trials["epochs"].sum()) if len(trials) else 0,
        hours=float(trials["seconds"].sum()) / 3600 if len(trials) else 0.0,
        default=final.default if final else None,
        final=final.value if final else None,
        folds=sum(folds) / len(folds) if folds else None,
    )


def differences(sweeps: dict[str, SweepResult]) -> list[dict[str, Any]]:
    """What differs between searches: a row a key of a space, of the sweep's file or of the experiment.

    Returns:
        `name`, and `values` by label of the search: what it has there in words, "" where it has nothing.
    """
    words: dict[str, dict[str, str]] = {}
    for label, sweep in sweeps.items():
        for name, text in _described(sweep).items():
            words.setdefault(name, {})[label] = text
    rows = {name: {label: texts.get(label, "") for label in sweeps} for name, texts in words.items()}
    return [{"name": name, "values": row} for name, row in rows.items() if len(set(row.values())) > 1]


def _described(sweep: SweepResult) -> dict[str, str]:
    plan = sweep.plan
    described = {f"space: {key}": _in_words(words) for key, words in plan["space"].items()}
    for name in ("cohort", "objective", "constraints", "sampler", "pruner", "trials", "minutes"):
        described[name] = _in_words(plan.get(name))
    settings = flattened(plan["config"])
    return described | {
        name: _in_words(value) for name, value in settings.items() if name.split(".")[0] not in NOT_IDENTITY
    }


def _in_words(value: Any) -> str:
    """A value of YAML in a line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_in_words(part)}" for name, part in value.items())
    if isinstance(value, list):
        return f"[{', '.join(map(_in_words, value))}]"
    return "" if value is None else str(value)


def _print(rows: Sequence[SearchLine], objective: str, console: Console) -> None:
    title = f"searches ({objective}, inner folds: the best of many, and no result)"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("search", "finished", "pruned", "epochs", "as it is", "final", "mean of folds"):
        table.add_column(column, overflow="fold")
    for row in rows:
        counts = [f"{count:,}" for count in (row.finished, row.pruned, row.epochs)]
        figures = ["" if value is None else f"{value:.3f}" for value in (row.default, row.final, row.folds)]
        table.add_row(row.label, *counts, *figures)
    console.print(table)
