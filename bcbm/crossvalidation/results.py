"""Results, figures and report of a run whose folds are all there."""

import json
from pathlib import Path

from rich.console import Console

from bcbm.cohort.leaks import count_leaks
from bcbm.config.compose import load
from bcbm.runs.folder import RunFolder
from bcbm.runs.joins import read_tables
from bcbm.runs.predictions import read_predictions
from bcbm.statistics.leakage import split_block
from bcbm.statistics.results import Results
from bcbm.terminal.words import say


def evaluate(folder: RunFolder, console: Console) -> Results:
    """Merge the folds of a run and write its results, figures and report; returns the results.

    Raises:
        InputError: folds are missing, or a table says what its owner does not.
    """
    from bcbm.report.screen import print_table
    from bcbm.statistics.summary import summarise
    from bcbm.system.files import strict_json

    config = load(folder.path / "config.yaml")
    tables = read_tables(folder.path, config.task.targets)
    folder.write("predictions.parquet", tables.predictions)
    permuted = folder.path / "permutations.parquet"
    with console.status("computing figures, drawing the report"):
        results = summarise(
            tables.predictions,
            split=split_block(tables.split, count_leaks(tables.lesions, tables.split)),
            targets=config.task.targets,
            resamples=config.bootstrap,
            seed=config.seed,
            best=tables.environment["best"],
            permuted=read_predictions(permuted) if permuted.is_file() else None,
        )
        folder.write("results.json", strict_json(results))
        report = page(folder)
    print_table(results, console)
    say(console, f"report: {report.absolute()}")
    return results


def page(folder: RunFolder) -> Path:
    """Write the report of a finished run, with the leak check of its cohort that fits it, if there is one."""
    from bcbm.report.pages.run import write_report
    from bcbm.statistics.leakage import fitting_check

    cohort = json.loads((folder.path / "environment.json").read_text())["cohort"]
    config = load(folder.path / "config.yaml")
    checks = Path(config.run.root) / "leakcheck" / cohort
    task = config.task
    leakcheck = fitting_check(checks, task.modalities, task.targets, config.split.unit)
    return write_report(folder.path, leakcheck)
