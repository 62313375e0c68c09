"""Folds: no patient in two parts, even shares, one seed one hash, and the LEAKY ways marked."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bcbm.cohort.splits import make_split
from bcbm.cohort.targets import TARGETS as RECEPTORS
from bcbm.errors import InputError


def invented(patients=60, seed=0):
    rng = np.random.default_rng(seed)
    lesions = rng.integers(1, 12, patients)
    table = pd.DataFrame({"patient_id": np.repeat([f"P{i}" for i in range(patients)], lesions)})
    table["study_id"] = table["patient_id"] + "-" + pd.Series(rng.integers(0, 2, len(table))).astype(str)
    table["lesion_id"] = table["study_id"] + "/" + table.index.astype(str)
    for target, share in zip(RECEPTORS, (0.5, 0.3, 0.6), strict=True):
        labels = rng.choice([1.0, 0.0, np.nan], patients, p=[share * 0.9, (1 - share) * 0.9, 0.1])
        table[target] = np.repeat(labels, lesions)
    return table


def split_of(table, **changes):
    settings = {"unit": "patient", "folds": 5, "repeats": 1, "validation": 0.2, "seed": 0}
    return make_split(table, **{**settings, "targets": RECEPTORS, **changes})


def test_no_patient_stands_in_two_parts_and_every_row_in_one():
    table = invented()
    split = split_of(table, repeats=2)
    for fold in range(len(split.folds)):
        rows = split.rows(table, fold)
        patients = [set(table["patient_id"].iloc[rows[part]]) for part in ("train", "validation", "test")]
        assert all(patients)
        assert sum(map(len, patients)) == len(set.union(*patients)) == 60
        assert sorted(np.concatenate(list(rows.values()))) == list(range(len(table)))


def test_every_patient_is_tested_once_a_repeat_and_repeats_differ():
    table = invented()
    split = split_of(table, repeats=3)
    tests = {r: [fold.test for fold in split.folds if fold.repeat == r] for r in range(3)}
    for folds in tests.values():
        assert sorted(name for fold in folds for name in fold) == sorted(set(table["patient_id"]))
    assert tests[0] != tests[1] != tests[2]


def test_folds_hold_even_shares_of_positives_negatives_and_missing():
    for seed in range(10):
        table = invented(seed=seed)
        labels = table.groupby("patient_id")[list(RECEPTORS)].max()
        for fold in split_of(table, seed=seed).folds:
            inside = labels.loc[list(fold.test)]
            assert abs(len(inside) - 12) <= 2
            for target in RECEPTORS:
                for state in (labels[target] == 1, labels[target] == 0, labels[target].isna()):
                    assert abs(state[inside.index].sum() - state.sum() / 5) < 3


def test_one_seed_gives_one_hash_and_another_seed_another():
    table = invented()
    assert split_of(table).hash == split_of(table).hash
    assert split_of(table).hash != split_of(table, seed=1).hash
    split = split_of(table)
    first = replace(split.folds[0], train=split.folds[0].train[1:])
    assert replace(split, folds=(first, *split.folds[1:])).hash != split.hash


def test_the_order_of_the_table_does_not_change_the_split():
    table = invented()
    mixed = table.sample(frac=1, random_state=3)
    assert split_of(table).hash == split_of(mixed).hash
    rows = split_of(mixed).rows(mixed, 0)["test"]
    assert set(mixed["patient_id"].iloc[rows]) == set(split_of(table).folds[0].test)


def test_too_many_folds_name_the_target_and_its_count():
    table = invented()
    keep = table["patient_id"].isin(["P0", "P1", "P2"])
    table["PR"] = keep.astype(float)
    with pytest.raises(InputError) as caught:
        split_of(table)
    assert [problem.where for problem in caught.value.problems] == ["PR"]
    assert "3 positive patients" in str(caught.value)
    assert "split.folds to at most 3" in str(caught.value)
    assert len(split_of(table, folds=3).folds) == 3


def test_too_few_units_are_counted_in_their_own_word():
    table = invented(patients=3, seed=1).drop_duplicates("study_id")
    table["PR"] = [1.0, *[0.0] * (len(table) - 1)]
    with pytest.raises(InputError) as caught:
        split_of(table, unit="study", folds=50, targets=["PR"])
    texts = [problem.found for problem in caught.value.problems]
    assert texts[0].startswith("1 positive study ") and "negative studies " in texts[1]


@pytest.mark.parametrize("unit", ["study", "lesion"])
def test_a_split_of_studies_or_lesions_is_leaky(unit):
    table = invented()
    split = split_of(table, unit=unit)
    rows = split.rows(table, 0)
    shared = set(table["patient_id"].iloc[rows["train"]]) & set(table["patient_id"].iloc[rows["test"]])
    assert split.leaky and shared
    assert '"leaky": true' in split.to_json()
    assert not split_of(table).leaky


@pytest.mark.parametrize("patients", [4, 6, 8])
def test_a_pilot_has_somebody_to_train_and_to_validate_on_in_every_fold(patients):
    table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(patients)]})
    table = table.assign(study_id=table["patient_id"], lesion_id=table["patient_id"])
    for target in RECEPTORS:
        table[target] = [1.0, 0.0] * (patients // 2)
    for seed in range(20):
        for fold in split_of(table, folds=2, seed=seed).folds:
            assert fold.validation and fold.train and fold.test
