"""Results, figures and report of a run whose folds are all there."""

import warnings
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bcbm.cohort.leaks import LeakFold, count_leaks
from bcbm.config.compose import load
from bcbm.errors import InputError, Note, Problem
from bcbm.preparation.lesions import Lesions
from bcbm.runs.figures import figures_of
from bcbm.runs.finished import FinishedRun, read_config, read_results, read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.joins import RunTables, read_tables
from bcbm.runs.ledger import enter
from bcbm.runs.predictions import KEY
from bcbm.statistics.results import LedgerBlock, Results
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say


def evaluate(
    folder: RunFolder, console: Console, ledger: Path | None = None, lesions: Lesions | None = None
) -> Results:
    """Merge the folds of a run and write its results, figures and report; returns the results.

    This is the look at a run's test patients that the ledger of its cohort counts.

    Args:
        folder: of the run.
        console: gets the table of results.
        ledger: of its cohort; default: where it was when the run was begun.
        lesions: that it was trained on, where they are at hand: those worth a look are drawn anew.

    Raises:
        InputError: folds are missing, or a table says what its owner does not.
    """
    from bcbm.imaging.views import record_views
    from bcbm.report.screen import print_table
    from bcbm.runs.chosen_columns import chosen_columns
    from bcbm.statistics.seeds import seeds_block
    from bcbm.statistics.stability import stability_block
    from bcbm.statistics.summary import STEPS

    config = load(folder.path / "config.yaml")
    targets = config.task.targets
    if config.permutations and not (permuted := folder.path / "permutations.parquet").is_file():
        remedy = "run the same fit command again, which draws them anew"
        raise InputError(Problem(str(permuted), "is not there", remedy))
    tables = read_tables(folder.path, targets, config.cohort.labels)
    leaks = count_leaks(tables.lesions, tables.split)
    folder.write("predictions.parquet", tables.predictions)
    steps = STEPS * len(targets)
    with progress_bar(console, "computing figures", steps) as advance:
        results = figures_of(folder.path, tables, leaks, targets, config.bootstrap, config.seed, advance)
    with progress_bar(console, "drawing the report"):
        if any(folder.fold(number, 1).is_dir() for number in range(len(tables.split.folds))):
            alone = seeds_alone(folder, tables.predictions, config.seeds)
            results["seeds"] = seeds_block(alone, targets)
        if (counted := _counted(tables.environment, config.experiment, ledger)) is not None:
            results["ledger"] = counted
        if chosen := chosen_columns(folder.path, targets):
            results["stability"] = {target: stability_block(table) for target, table in chosen.items()}
        folder.write_results(results)
        finished = _finished(folder, tables, leaks)
        if lesions is not None:
            record_views(finished, lesions, config.cohort.form)
        report = page(folder, finished)
    print_table(results, console)
    say(console, f"report: {report.absolute()}")
    return results


def _counted(environment: dict[str, Any], experiment: str, ledger: Path | None) -> LedgerBlock | None:
    """Enter a run into its cohort's ledger; None where that is not here or cannot be written, with a note."""
    if ledger is None and (recorded := environment.get("ledger")):
        ledger = Path(recorded)
    if ledger is None:
        return None
    try:
        if not ledger.parents[1].is_dir():  # the prepared cohort, which lies elsewhere
            raise FileNotFoundError("there is no prepared cohort")
        return enter(ledger, environment["identity"], experiment)
    except OSError as error:
        text = f"{ledger}: this look at the test patients is not counted ({error.strerror or error})"
        warnings.warn(text, Note, stacklevel=2)
        return None


def _finished(folder: RunFolder, tables: RunTables, leaks: list[LeakFold]) -> FinishedRun:
    """A run as `read_run` gives it, of tables that are read and checked already."""
    results = read_results(folder.path, tables.environment["identity"])
    config, content = read_config(folder.path), tables.split_content
    owned = tables.environment, content, tables.lesions, tables.predictions
    return FinishedRun(folder.path, config, *owned, results, leaks)


def page(folder: RunFolder, finished: FinishedRun | None = None) -> Path:
    """Write the report of a finished run, with the leak check of its cohort that fits it, if there is one.

    Args:
        folder: of the run.
        finished: the run, where it is read already.
    """
    from bcbm.report.pages.run import write_report
    from bcbm.statistics.leakage import fitting_check

    finished = finished or read_run(folder.path)
    checks = Path(finished.config["run"]["root"]) / "leakcheck" / finished.environment["cohort"]
    leakcheck = fitting_check(checks, finished.config)
    return write_report(folder.path, leakcheck, finished)


def seeds_alone(folder: RunFolder, predictions: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """What each seed predicts alone, all folds: probabilities of its own, all else as the run's table has it.

    Raises:
        InputError: a fold lacks its seeds, or holds others than the run.
    """
    tables = []
    for number, fold in predictions.groupby("fold"):
        path = folder.fold(int(str(number))) / "seeds.parquet"
        table = folder.seeds(int(str(number)))
        found = "is not there" if table is None else ""
        if table is not None:
            rows = table[[*KEY, "seed", "probability", "patient_probability"]]
            owner = fold.drop(columns=["probability", "patient_probability"])
            joined = rows.merge(owner, on=KEY)
            tables.append(joined)
            counts = joined.drop_duplicates([*KEY, "seed"])["seed"].value_counts().to_dict()
            if counts != dict.fromkeys(range(seeds), len(fold)) or len(joined) != len(table):
                found = f"does not hold each of {len(fold)} predictions once for each of {seeds} seeds"
        if found:
            remedy = f"remove it and {path.with_name('predictions.parquet').name} beside it, and train again"
            raise InputError(Problem(str(path), found, remedy))
    return pd.concat(tables, ignore_index=True)
