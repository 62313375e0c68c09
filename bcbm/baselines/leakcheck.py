"""What a cohort gives to random labels, by what a split keeps whole, and what else in it can leak."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bcbm.baselines.columns import table_columns
from bcbm.baselines.leak import Trial, run_trials
from bcbm.cohort.near import ROUNDING, signed_log, standardised
from bcbm.cohort.patient_labels import patient_labels
from bcbm.cohort.patients import bare
from bcbm.cohort.splits import split_as, unit_ids
from bcbm.config.schema import Config
from bcbm.errors import InputError, Problem
from bcbm.modalities import MODALITIES
from bcbm.modalities.tables import AbsentColumns
from bcbm.preparation.columns import RECORDS, tellings
from bcbm.preparation.lesions import Lesions
from bcbm.statistics.leakage import (
    ALONE,
    RANDOM,
    checked_tables,
    copies,
    nearest_pairs,
    random_labels,
    reidentification,
    shared_content,
    shared_patients,
    verdict,
    warnings,
)
from bcbm.terminal.words import say

UNITS = ("lesion", "study", "patient")
DRAWS = 12  # random labels
TOGETHER = 4  # of them that share folds and trees
KNOWN = 0.9  # of the labelled lesions, from which on a target shares folds and trees with others
REPEATS = 3  # cross-validations of the real labels
SHARES = (0.2, 0.4, 0.6, 0.8)  # of the training patients, before all of them


def check(config: Config, lesions: Lesions, console: Console) -> dict[str, Any]:
    """All that leakcheck.json holds, for the lesions that enter: exact copies are not among them.

    What random labels reach is printed as soon as it is known, before anything else is looked for.
    """
    table = lesions.entering
    patients = table["patient_id"].to_numpy(str)
    if len(set(patients)) < 2 * config.split.folds:
        problem = f"patients that enter: {len(set(patients))}, and {config.split.folds} folds need two each"
        raise InputError(Problem("lesion table", problem, "use more patients, or fewer split.folds"))
    split = split_as(lesions.table, config)
    values = _numbers(table_columns(lesions.data(config)))
    content = table["content"].to_numpy(str)
    folds = [split.rows(table, number) for number in range(len(split.folds))]
    shared = sum(shared_patients(patients, parts) for parts in folds)
    urgent, other = _trials(config, lesions, signed_log(values))
    aurocs = run_trials(urgent, config, "splitting by lesion and patient", console)
    null = {unit: levels["lesion"] for (unit, _), levels in aurocs.items()}
    say(console, f"at first sight: {verdict(null, split.unit, shared)[1]}")
    aurocs |= run_trials(other, config, "real labels, fewer patients, single tables", console)
    names = (RANDOM, *config.task.targets)
    measured = lesions.values.get("radiomics")  # what copies are looked for by
    looks = values if measured is None else _numbers(pd.DataFrame(measured))
    result: dict[str, Any] = {
        "cohort": lesions.cohort,
        "experiment": config.experiment,
        "modalities": config.task.modalities,
        "entering": {
            "lesions": len(table),
            "studies": int(table["study_id"].nunique()),
            "patients": len(set(patients)),
        },
        "aurocs": {unit: {name: aurocs[unit, name] for name in names} for unit in UNITS},
        "reidentification": reidentification(signed_log(values), patients, content),
        "copies": copies(lesions.table),
        "spellings": int(pd.Series(sorted(set(patients))).map(bare).duplicated().sum()),
        "nearest": {
            "rounding": ROUNDING,
            "pairs": nearest_pairs(standardised(looks), patients, table["lesion_id"]),
        },
        "telling": tellings(lesions.data(config), [*config.task.modalities, *RECORDS], config.task.targets),
        "alone": {
            kind: {name: aurocs[kind, name]["patient"] for name in names}
            for kind in ALONE
            if (kind, RANDOM) in aurocs
        },
        "learning": {
            target: {
                f"{share:g}": aurocs["patient" if share == 1 else f"{share:g}", target]["patient"]
                for share in (*SHARES, 1)
            }
            for target in config.task.targets
        },
        "own_split": {
            "unit": split.unit,
            "hash": split.hash,
            "patients_on_both_sides": shared,
            "test_content_in_training": sum(shared_content(content, parts) for parts in folds),
        },
    }
    result["warnings"] = warnings(result)
    leak, words = verdict(null, split.unit, shared, result["warnings"])
    return {**result, "leak": leak, "verdict": words}


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


def _trials(config: Config, lesions: Lesions, features: np.ndarray) -> tuple[list[Trial], list[Trial]]:
    """What is cross-validated: random labels with lesions and patients kept whole, and all others.

    These are by what a split keeps whole; with a share of the training patients; and a patient a row, with
    the number of its id (trees, as ids of a site stand together), its scanner or its burden (logistic
    regression) as the only features.
    """
    table, targets = lesions.entering, config.task.targets
    patients = table["patient_id"].to_numpy(str)
    urgent: list[Trial] = []
    other: list[Trial] = []
    for unit in UNITS:
        units = unit_ids(table, unit).to_numpy(str)
        draws = _random(Trial(unit, (), features, np.empty(0), units, patients, seed=0))
        (other if unit == "study" else urgent).extend(draws)
        other += _real(draws[0], table[targets])
    kept_whole = replace(draws[0], kind="")
    for share in SHARES:
        other += _real(replace(kept_whole, kind=f"{share:g}", share=share), table[targets])
    by_patient = patient_labels(table[targets], table["patient_id"])
    owners = by_patient.index.to_numpy(str)
    for kind, columns in _single_tables(config, lesions).items():
        rows = pd.DataFrame(columns).groupby(table["patient_id"].to_numpy()).mean().loc[by_patient.index]
        empty = Trial(kind, (), rows.to_numpy(), np.empty(0), owners, owners, seed=0, linear=kind != "ids")
        other += [*_random(empty), *_real(empty, by_patient)]
    return urgent, other


def _random(trial: Trial) -> list[Trial]:
    """The same with DRAWS labels that are drawn."""
    draws = np.column_stack([random_labels(trial.patients, draw) for draw in range(DRAWS)])
    groups = np.array_split(draws, -(-DRAWS // TOGETHER), axis=1)
    return [
        replace(trial, names=(RANDOM,) * group.shape[1], labels=group, seed=seed)
        for seed, group in enumerate(groups)
    ]


def _real(trial: Trial, labels: pd.DataFrame) -> list[Trial]:
    """The same REPEATS times with the targets: together, and those of which many labels are missing alone."""
    known = labels.notna().sum() / labels.notna().any(axis=1).sum()
    together = [list(labels.columns[known >= KNOWN]), *([name] for name in labels.columns[~(known >= KNOWN)])]
    return [
        replace(trial, names=tuple(names), labels=labels[names].to_numpy(np.float64), seed=seed)
        for names in together
        if names
        for seed in range(REPEATS)
    ]


def _single_tables(config: Config, lesions: Lesions) -> dict[str, np.ndarray]:
    """Columns (N, F) that know nothing of a lesion's looks: numbers of ids, scanners, burden."""
    numbers = lesions.entering["patient_id"].astype(str).str.extract(r"(\d+)\D*$")[0]
    tables = {"ids": pd.DataFrame({"number": pd.to_numeric(numbers)})}
    for name in ("acquisition", "burden"):
        try:
            tables[name] = MODALITIES[name].columns(lesions.data(config))
        except AbsentColumns:  # the cohort does not say
            continue
    return {
        name: signed_log(_numbers(columns))
        for name, columns in tables.items()
        if columns.notna().any(axis=None)
    }


def _numbers(columns: pd.DataFrame) -> np.ndarray:
    """Columns as numbers, (N, F): kinds one-hot, medians where missing. No label is involved."""
    values = pd.get_dummies(columns, dtype=np.float64)
    return values.fillna(values.median()).fillna(0).to_numpy()
