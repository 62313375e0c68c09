"""Results, figures and report of a run whose folds are all there."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from bcbm.cohort.splits import unit_ids
from bcbm.config.compose import load
from bcbm.errors import InputError, Problem, readable
from bcbm.runs.folder import RunFolder
from bcbm.runs.predictions import KEY, read_predictions
from bcbm.statistics.results import Results, SplitBlock
from bcbm.terminal.words import say


def evaluate(folder: RunFolder, console: Console) -> Results:
    """Merge the folds of a run and write its results, figures and report; returns the results.

    Raises:
        InputError: folds are missing, or the tables are not those of this run.
    """
    from bcbm.report.screen import print_table
    from bcbm.runs.chosen_columns import chosen_columns
    from bcbm.statistics.seeds import seeds_block
    from bcbm.statistics.stability import stability_block
    from bcbm.statistics.summary import summarise
    from bcbm.system.files import strict_json

    config = load(folder.path / "config.yaml")
    with readable(folder.path, "fit the experiment again in another run folder"):
        split = json.loads((folder.path / "split.json").read_text())
        surroundings = json.loads((folder.path / "environment.json").read_text())
        predictions = merged(folder, split, config.task.targets)
    folder.write("predictions.parquet", predictions)
    permuted = folder.path / "permutations.parquet"
    lesions = pd.read_parquet(folder.path / "lesions.parquet")
    with console.status("computing figures, drawing the report"):
        results = summarise(
            predictions,
            split=split_block(split),
            targets=config.task.targets,
            resamples=config.bootstrap,
            seed=config.seed,
            best=surroundings["best"],
            permuted=read_predictions(permuted) if permuted.is_file() else None,
            lesions=lesions[~lesions["excluded"]],
        )
        if any(folder.fold(number, 1).is_dir() for number in range(len(split["folds"]))):
            alone = seeds_alone(folder, predictions, config.seeds)
            results["seeds"] = seeds_block(alone, config.task.targets)
        chosen = chosen_columns(folder.path, config.task.targets)
        if chosen:
            results["stability"] = {target: stability_block(table) for target, table in chosen.items()}
        folder.write("results.json", strict_json(results))
        report = page(folder)
    print_table(results, console)
    say(console, f"report: {report.absolute()}")
    return results


def split_block(split: dict[str, Any]) -> SplitBlock:
    """What results say of a split file: its unit and hash, and the names of folds that have one."""
    block: SplitBlock = {"unit": split["unit"], "hash": split["hash"]}
    names = [fold.get("name", "") for fold in split["folds"]]
    return {**block, "folds": names} if any(names) else block


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


def merged(folder: RunFolder, split: dict[str, Any], targets: list[str]) -> pd.DataFrame:
    """The prediction table of all folds, every lesion once a repeat and target."""
    tables = [folder.predictions(number) for number in range(len(split["folds"]))]
    missing = [number for number, table in enumerate(tables) if table is None]
    if missing:
        problem = f"lacks folds {missing} of {len(tables)}"
        raise InputError(Problem(str(folder.path), problem, "run the same fit command again, without fold="))
    predictions = pd.concat(tables, ignore_index=True)
    remedy = "remove it and train again"
    if set(predictions["split_hash"]) != {split["hash"]}:
        raise InputError(Problem(str(folder.path), "holds predictions of another split", remedy))
    lesions = pd.read_parquet(folder.path / "lesions.parquet")
    units = unit_ids(lesions[~lesions["excluded"]], split["unit"])
    expected = sum(int(units.isin(fold["test"]).sum()) for fold in split["folds"]) * len(targets)
    if len(predictions) != expected or predictions.duplicated(KEY).any():
        problem = f"holds {len(predictions)} predictions in place of {expected}, each once"
        raise InputError(Problem(str(folder.path), problem, remedy))
    return predictions


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
