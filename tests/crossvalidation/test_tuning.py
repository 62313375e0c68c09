"""Nested cross-validation: what is tuned is chosen inside a fold, blind to its test patients."""

import json

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bcbm.cohort.splits import inner_split, make_split
from bcbm.cohort.targets import TARGETS as RECEPTORS
from bcbm.config.compose import compose
from bcbm.crossvalidation.choice import choose
from bcbm.errors import InputError
from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder
from bcbm.runs.predictions import prediction_table

WORDS = ["tune={model.dropout: [0.0, 0.25, 0.5]}", "split.inner=3"]


def lesions(seed=0, patients=60):
    rng = np.random.default_rng(seed)
    count = rng.integers(1, 5, patients)
    table = pd.DataFrame({"patient_id": np.repeat([f"P{i:02}" for i in range(patients)], count)})
    table["lesion_id"] = [f"L{i}" for i in range(len(table))]
    table["volume"] = rng.random(len(table))
    for target in RECEPTORS:
        table[target] = np.repeat(rng.integers(0, 2, patients).astype(float), count)
    return table


def split_of(table):
    return make_split(table, unit="patient", folds=5, repeats=1, validation=0.2, seed=0, targets=RECEPTORS)


def test_inner_folds_test_every_training_patient_once_and_no_outer_test_patient():
    table = lesions()
    split = split_of(table)
    for number, outer in enumerate(split.folds):
        inner = inner_split(split, number, table, folds=3, validation=0.2, targets=RECEPTORS)
        tested = [name for fold in inner.folds for name in fold.test]
        assert sorted(tested) == sorted(outer.train + outer.validation)
        for fold in inner.folds:
            assert not set(fold.train + fold.validation + fold.test) & set(outer.test)


def test_too_few_patients_inside_a_fold_are_named_with_the_fold():
    table = lesions()
    last = set(list(dict.fromkeys(table["patient_id"]))[5:])
    table.loc[table["patient_id"].isin(last), "ER"] = 0.0
    table.loc[~table["patient_id"].isin(last), "ER"] = 1.0
    split = split_of(table)
    with pytest.raises(InputError, match="fold 0: ER: 4 positive"):
        inner_split(split, 0, table, folds=5, validation=0.2, targets=RECEPTORS)


def chosen(folder, table, signal):
    """The choice of fold 0 among three, where a candidate reads its dropout's share of `signal`."""
    config = compose(WORDS)
    split = split_of(lesions())  # the folds of the unchanged table
    read = []

    def train(job):
        rows = job.split.rows(table, job.number)
        rows_predicted = np.sort(np.concatenate([rows["validation"], rows["test"]]))
        read.append(rows["train"])
        share = 1 - abs(job.config.model.dropout - 0.25) * 4  # the middle one reads the signal whole
        noise = np.random.default_rng(job.number).random((len(rows_predicted), len(RECEPTORS)))
        values = 0.3 * noise + 0.7 * share * signal[rows_predicted]
        predicted = pd.DataFrame(values, columns=list(RECEPTORS)).assign(row=rows_predicted)
        rows = prediction_table([predicted], table, job.split, job.number, list(RECEPTORS), "mean")
        job.folder.write(f"fold={job.number}/predictions.parquet", rows)

    entering = Lesions(table, table, {}, np.ones((len(table), 1), bool), "c", folder)
    job = FoldJob(config, entering, split, 0, RunFolder(folder))
    picked = choose(job, train, Console(quiet=True))
    return picked, json.loads((folder / "fold=0" / "tuning.json").read_text()), read, split


def test_the_best_inner_candidate_is_taken(tmp_path):
    table = lesions()
    picked, report, read, _ = chosen(tmp_path, table, table[list(RECEPTORS)].to_numpy())
    assert picked.model.dropout == 0.25 and not picked.tune
    assert report["chosen"] == {"model.dropout": 0.25}
    aurocs = [candidate["auroc"] for candidate in report["candidates"]]
    assert max(aurocs) == aurocs[1] > 0.9 and len(read) == 9


def test_a_choice_cannot_see_the_outer_test_patients(tmp_path):
    table = lesions()
    signal = table[list(RECEPTORS)].to_numpy()
    _, report, read, split = chosen(tmp_path / "a", table, signal)
    tested = split.rows(table, 0)["test"]
    assert not set(np.concatenate(read)) & set(tested)
    other = table.copy()
    other.loc[tested, list(RECEPTORS)] = 1 - other.loc[tested, list(RECEPTORS)]
    spoilt = signal.copy()
    spoilt[tested] = np.random.default_rng(1).random(spoilt[tested].shape)
    assert chosen(tmp_path / "b", other, spoilt)[1] == report


def test_a_choice_goes_on_where_it_was_killed(tmp_path):
    table = lesions()
    _, report, _, _ = chosen(tmp_path, table, table[list(RECEPTORS)].to_numpy())
    _, again, read, _ = chosen(tmp_path, table, table[list(RECEPTORS)].to_numpy())
    assert again == report and not read
