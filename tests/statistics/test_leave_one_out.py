"""The AUROC without each patient, against scikit-learn and a plain loop."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from bcbm.statistics.leave_one_out import influence, leave_one_out
from bcbm.statistics.summary import summarise


def lesions(patients=16, folds=4, repeats=2, seed=0):
    """A prediction table of one target; the first two patients own many lesions, probabilities are tied."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), np.r_[20, 15, rng.integers(1, 5, patients - 2)])
    labels = rng.permutation(np.arange(patients) % 2).astype(float)[owners]
    tables = []
    for repeat in range(repeats):
        fold_of = rng.permutation(np.arange(patients) % folds) + folds * repeat
        table = pd.DataFrame({"lesion_id": [f"L{n}" for n in range(len(owners))]})
        table["patient_id"], table["repeat"] = [f"P{owner:02d}" for owner in owners], repeat
        table["fold"], table["target"], table["label"] = fold_of[owners], "ER", labels
        table["probability"] = (0.4 + 0.2 * labels + rng.normal(0, 0.2, len(owners))).clip(0, 1).round(1)
        table["patient_probability"] = table.groupby("patient_id")["probability"].transform("mean")
        table["threshold"], table["split_hash"] = 0.5, "abc"
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def mean_of_folds(rows):
    """By definition: folds that have both classes, each by scikit-learn."""
    parts = [part for _, part in rows.groupby("fold") if part["label"].nunique() == 2]
    return np.mean([roc_auc_score(part["label"], part["probability"]) for part in parts]) if parts else np.nan


def by_loop(rows):
    names = sorted(rows["patient_id"].unique())
    whole = mean_of_folds(rows)
    return pd.Series({name: mean_of_folds(rows[rows["patient_id"] != name]) - whole for name in names})


@pytest.mark.parametrize(("seed", "folds"), [(0, 1), (1, 3), (2, 6)])  # of six, some lose a class
def test_each_patient_left_out_equals_a_loop_over_scikit_learn(seed, folds):
    table = lesions(folds=folds, seed=seed)
    patients = table.drop_duplicates(["repeat", "patient_id"])
    patients = patients.assign(probability=patients["patient_probability"].round(2))
    drawn = np.random.default_rng(seed).integers(0, 2, table["lesion_id"].nunique()).astype(float)
    of_both = table.assign(label=np.tile(drawn, 2))  # lesions of a patient with labels of their own
    for rows in (table, patients, of_both):
        pd.testing.assert_series_equal(leave_one_out(rows), by_loop(rows), check_names=False)


def test_without_a_class_there_is_no_auroc_and_no_change():
    rows = lesions(folds=1, repeats=1).drop_duplicates("patient_id")
    last = pd.concat([rows[rows["label"] == 0], rows[rows["label"] == 1].head(1)])
    changes = leave_one_out(last)
    assert changes.isna().sum() == 1 and changes.isna()[last["patient_id"].iloc[-1]]
    assert leave_one_out(rows[rows["label"] == 1]).isna().all()
    assert leave_one_out(rows[:0]).empty


def test_the_block_tells_the_range_and_what_the_two_largest_own():
    table = lesions()
    keys = {"split": {"unit": "patient", "hash": "abc"}, "targets": ["ER"], "resamples": 20, "seed": 0}
    results = summarise(table, **keys)
    block = influence(table, results["receptors"])
    lesion_count = table["lesion_id"].nunique()
    assert block["largest"] == {"patients": 2, "lesions_share": pytest.approx(35 / lesion_count)}
    rows = table.drop_duplicates(["repeat", "patient_id"])
    without = mean_of_folds(rows.assign(probability=rows["patient_probability"]))
    changes = by_loop(rows.assign(probability=rows["patient_probability"]))
    figures = block["receptors"]["ER"]
    assert figures["auroc_least"] == pytest.approx(without + changes.min())
    assert figures["auroc_most"] == pytest.approx(without + changes.max())
    left = table[~table["patient_id"].isin(["P00", "P01"])]
    assert figures["lesion_auroc_without_largest"] == pytest.approx(mean_of_folds(left))
    assert figures["lesion_auroc"] == pytest.approx(mean_of_folds(table))
    assert not math.isclose(figures["lesion_auroc"], figures["lesion_auroc_without_largest"])
