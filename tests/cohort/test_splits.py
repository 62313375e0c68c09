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
    assert "set split.folds to 3" in str(caught.value)
    assert len(split_of(table, folds=3).folds) == 3


def rare(table, **patients):
    """The table with so many patients positive of a target."""
    positive = {
        target: table["patient_id"].isin([f"P{i}" for i in range(count)])
        for target, count in patients.items()
    }
    return table.assign(**{target: chosen.astype(float) for target, chosen in positive.items()})


def test_the_number_of_folds_that_is_advised_does_for_every_target_and_every_training_part():
    """With 6 positives of one target and 4 of another, validation can take all but those of a fold."""
    for seed in range(4):
        table = rare(invented(seed=seed), PR=6, HER2=4)
        with pytest.raises(InputError) as caught:
            split_of(table, folds=7, seed=seed)
        remedies = {problem.remedy for problem in caught.value.problems}
        assert {problem.where for problem in caught.value.problems} == {"PR", "HER2"} and len(remedies) == 1
        count = int(remedies.pop().removeprefix("set split.folds to "))
        split = split_of(table, folds=count, seed=seed)
        for fold in range(count):
            train = table.iloc[split.rows(table, fold)["train"]]
            assert all(set(train[target].dropna()) == {0.0, 1.0} for target in RECEPTORS)


def test_a_fold_that_trains_on_one_class_is_refused_with_more_folds_or_without_the_target():
    table = rare(invented(patients=30), PR=2)
    refused = 0
    for seed in range(6):
        try:
            split = split_of(table, folds=2, seed=seed)
        except InputError as error:
            refused += 1
            (problem,) = error.problems
            assert problem.where == "PR" and "train on 0 positive" in problem.found
            assert problem.remedy == "leave PR out of task.targets"
        else:
            parts = [table.iloc[split.rows(table, fold)["train"]] for fold in range(2)]
            assert all(part["PR"].nunique() == 2 for part in parts)
    assert refused
    for seed in range(3):
        with pytest.raises(InputError, match="the model needs 2"):
            split_of(table, folds=2, seed=seed, least=2)
        split_of(table, folds=2, seed=seed, least=0)
    three = rare(invented(patients=30), PR=3)
    advised = set()
    for seed in range(10):
        try:
            split_of(three, folds=2, seed=seed)
        except InputError as error:
            advised.add(error.problems[0].remedy)
    assert "set split.folds to 3" in advised


def test_what_no_number_of_folds_can_mend_is_said():
    table = rare(invented(), ER=1, PR=1, HER2=1)
    with pytest.raises(InputError, match=r"no split\.folds does"):
        split_of(table)


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
        for fold in split_of(table, folds=2, seed=seed, least=0).folds:
            assert fold.validation and fold.train and fold.test
