"""Run folders as a finished fit leaves them, made in a moment from random but structured predictions."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from bcbm.cohort.names import HEMISPHERES, REGIONS
from bcbm.cohort.splits import make_split
from bcbm.cohort.targets import TARGETS
from bcbm.config.compose import compose, plain
from bcbm.config.reading import read_yaml
from bcbm.runs.folder import RunFolder
from bcbm.runs.identity import fingerprint, settings_sum
from bcbm.runs.predictions import prediction_table
from bcbm.statistics.summary import summarise

SIGNAL = {"ER": 1.6, "PR": 1.0, "HER2": 0.0}  # distance of the classes' logits


def lesion_table(patients: int = 60, seed: int = 0) -> pd.DataFrame:
    """Lesions of patients whose ids are easy to find where they must not be."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(patients):
        labels = {name: float(rng.random() < 0.5) for name in TARGETS}
        if number % 9 == 0:
            labels["PR"] = np.nan
        for lesion in range(rng.integers(1, 7)):
            patient = f"BCBM-SECRET-{number:03d}"
            study = f"{patient}-{rng.integers(2)}"
            rows.append(
                {
                    "lesion_id": f"{study}/lesion {lesion}",
                    "study_id": study,
                    "patient_id": patient,
                    "category": "lesion",
                    "hemisphere": str(rng.choice(HEMISPHERES)),
                    "region": str(rng.choice(REGIONS)),
                    "volume": float(rng.lognormal(5, 1.5)),
                    "content": f"content-{number}-{lesion}",
                    "excluded": bool(lesion == 5),
                    "reason": f"copy of {study}/lesion 0" if lesion == 5 else "",
                    "field_strength": "3",
                    "age": str(40 + number % 30),
                    **labels,
                }
            )
    return pd.DataFrame(rows)


def write_run(
    folder: Path,
    *words: str,
    signal: dict[str, float] | None = None,
    seed: int = 0,
    finished: bool = True,
    table: pd.DataFrame | None = None,
) -> Path:
    """Write a run folder.

    Args:
        folder: to write into.
        words: `key=value` words of its configuration.
        signal: by target, how far apart the logits of positive and negative patients lie.
        seed: of the predictions.
        finished: whether all folds and results are there; else two folds are.
        table: the lesion table.
    """
    config = compose(["tracking=csv", "bootstrap=200", *words])
    table = lesion_table() if table is None else table
    entering = table[~table["excluded"]].reset_index(drop=True)
    keys = ("unit", "folds", "repeats", "validation", "seed")
    settings = {name: getattr(config.split, name) for name in keys}
    split = make_split(entering, targets=config.task.targets, **settings)
    rng = np.random.default_rng(seed)
    strength = SIGNAL | (signal or {})
    folder.mkdir(parents=True)
    tables = []
    for number in range(len(split.folds)):
        parts = split.rows(entering, number)
        rows = np.concatenate([parts["validation"], parts["test"]])
        predicted = pd.DataFrame({"row": rows})
        for target in config.task.targets:
            columns = []
            for part in ("validation", "test"):
                lesions = entering.iloc[parts[part]].reset_index(drop=True)
                label = lesions[target].fillna(0.5)
                shift = lesions["patient_id"].map(lambda name: patient_shift(name, seed))
                logit = strength[target] * (2 * label - 1) / 2 + shift + rng.normal(0, 0.6, len(lesions))
                columns.append(1 / (1 + np.exp(-logit.to_numpy())))
            predicted[target] = np.concatenate(columns)
        tables.append(prediction_table([predicted], entering, split, number, config.task.targets, "mean"))
    predictions = pd.concat(tables, ignore_index=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(plain(config)))
    (folder / "split.json").write_text(split.to_json())
    surroundings = {
        "versions": {"bcbm": "0.1.0", "torch": "2.13"},
        "commit": "c0ffee" * 6,
        "seed": config.seed,
    }
    surroundings |= {"cohort": "abc123", "split": split.hash}
    surroundings["identity"] = fingerprint(config, "abc123", split.hash)
    settings = settings_sum(read_yaml(folder / "config.yaml"))
    surroundings |= {"checksums": "sha256", "settings": settings, "best": None}
    (folder / "environment.json").write_text(json.dumps(surroundings))
    run = RunFolder(folder)
    run.write("lesions.parquet", table)
    for number in range(len(split.folds)) if finished else range(2):
        (run.fold(number) / "checkpoints").mkdir(parents=True)
        run.write(f"fold={number}/predictions.parquet", predictions[predictions["fold"] == number])
    if finished:
        run.write("predictions.parquet", predictions)
        results = summarise(
            predictions,
            split={"unit": split.unit, "hash": split.hash},
            targets=config.task.targets,
            resamples=config.bootstrap,
            seed=config.seed,
            best=None,
            lesions=entering,
        )
        run.write_results(results)
    return folder


def patient_shift(patient: str, seed: int) -> float:
    """A patient's shift of the logit, the same for all its lesions."""
    number = int(patient.removeprefix("BCBM-SECRET-"))
    return float(np.random.default_rng([seed, number]).normal(0, 0.9))
