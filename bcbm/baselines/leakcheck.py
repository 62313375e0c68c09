"""What a cohort gives to random labels, by what a split keeps whole, and what else in it can leak."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from rich.console import Console

from bcbm.baselines.columns import table_columns
from bcbm.baselines.leak import split_aurocs
from bcbm.cohort.near import signed_log
from bcbm.cohort.splits import split_as, unit_ids
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.leakage import (
    RANDOM,
    checked_tables,
    copies,
    random_labels,
    reidentification,
    shared_content,
    shared_patients,
    verdict,
)
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say

UNITS = ("lesion", "study", "patient")
DRAWS = 12  # random labels, each with folds of its own
REPEATS = 3  # cross-validations of the real labels


def check(config: Config, lesions: Lesions, console: Console) -> dict[str, Any]:
    """All that leakcheck.json holds, for the lesions that enter: exact copies are not among them."""
    table = lesions.entering
    patients = table["patient_id"].to_numpy(str)
    if len(set(patients)) < 2 * config.split.folds:
        problem = f"patients that enter: {len(set(patients))}, and {config.split.folds} folds need two each"
        raise InputError(Problem("lesion table", problem, "use more patients, or fewer split.folds"))
    split = split_as(lesions.table, config)
    features = _features(table_columns(lesions.data(config)))
    content = table["content"].to_numpy(str)
    folds = [split.rows(table, number) for number in range(len(split.folds))]
    shared = sum(shared_patients(patients, parts) for parts in folds)
    aurocs = _aurocs(config, table, features, console)
    null = {unit: aurocs[unit][RANDOM]["lesion"] for unit in UNITS}
    leak, words = verdict(null, split.unit, shared)
    return {
        "cohort": lesions.cohort,
        "experiment": config.experiment,
        "modalities": config.task.modalities,
        "entering": {
            "lesions": len(table),
            "studies": int(table["study_id"].nunique()),
            "patients": len(set(patients)),
        },
        "aurocs": aurocs,
        "reidentification": reidentification(features, patients, content),
        "copies": copies(lesions.table),
        "own_split": {
            "unit": split.unit,
            "hash": split.hash,
            "patients_on_both_sides": shared,
            "test_content_in_training": sum(shared_content(content, parts) for parts in folds),
        },
        "leak": leak,
        "verdict": words,
    }


def tables_only(config: Config, console: Console) -> Config:
    """The same experiment without its image: positions then come from names."""
    tables = checked_tables(config.task.modalities)
    text = f"leakcheck reads {'+'.join(tables)} of the lesions that enter; no image, positions from names"
    say(console, text)
    return replace(
        config,
        task=replace(config.task, modalities=tables),
        cohort=replace(config.cohort, position="name"),
        features=replace(config.features, coordinates=False, harmonise=None, stable=0.0),
    )


def _features(columns: pd.DataFrame) -> np.ndarray:
    """Columns as numbers, (N, F): signed logs, kinds one-hot, medians where missing. No label is involved."""
    values = pd.get_dummies(columns, dtype=np.float64)
    return signed_log(values.fillna(values.median()).fillna(0).to_numpy())


def _aurocs(
    config: Config, table: pd.DataFrame, features: np.ndarray, console: Console
) -> dict[str, dict[str, dict[str, Any]]]:
    """By split unit, by random or target, by level: mean, spread, draws and values of the AUROC."""
    patients = table["patient_id"].to_numpy(str)
    labels = {RANDOM: DRAWS} | dict.fromkeys(config.task.targets, REPEATS)
    runs = [(unit, name, draw) for unit in UNITS for name, draws in labels.items() for draw in range(draws)]

    def task(unit: str, name: str, draw: int) -> Any:
        drawn = random_labels(patients, draw) if name == RANDOM else table[name].to_numpy()
        labelled = ~np.isnan(drawn)
        units = unit_ids(table, unit).to_numpy()
        return delayed(split_aurocs)(
            features[labelled],
            drawn[labelled],
            units[labelled],
            patients[labelled],
            folds=config.split.folds,
            seed=draw,
        )

    work = Parallel(n_jobs=config.prepared.jobs, return_as="generator")
    results: dict[tuple[str, str], list[dict[str, float]]] = {}
    with progress_bar(console, "splitting by lesion, study and patient", len(runs)) as advance:
        for (unit, name, _), levels in zip(runs, work(task(*run) for run in runs), strict=True):
            results.setdefault((unit, name), []).append(levels)
            advance(1)
    return {
        unit: {
            name: {
                level: _spread([levels[level] for levels in results[unit, name]])
                for level in ("lesion", "patient")
            }
            for name in labels
        }
        for unit in UNITS
    }


def _spread(values: list[float]) -> dict[str, Any]:
    spread = float(np.std(values, ddof=1))
    return {"mean": float(np.mean(values)), "spread": spread, "draws": len(values), "values": values}
