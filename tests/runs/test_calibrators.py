"""One map a fold and target, behind the step from lesions to patients: what it may change, and what not."""

import numpy as np
import pandas as pd
import pytest
from finished_runs import lesion_table

from bcbm.cohort.splits import make_split
from bcbm.runs.predictions import fit_calibrators, prediction_table, training_labels
from bcbm.statistics.aggregate import RULES
from bcbm.statistics.metrics import auroc, patient_level
from bcbm.statistics.operating import youden_threshold
from bcbm.statistics.recalibration import Calibrator

TARGETS = ["ER", "PR", "HER2"]


@pytest.fixture(scope="module")
def fold():
    """Raw predictions of a model whose positives weighed 2 for validation and 3 for test, lesions, split."""
    lesions = lesion_table(80)
    lesions = lesions[~lesions["excluded"]].reset_index(drop=True)
    split = make_split(lesions, unit="patient", folds=4, repeats=1, validation=0.3, seed=0, targets=TARGETS)
    parts = split.rows(lesions, 1)
    rows = np.concatenate([parts["validation"], parts["test"]])
    rng = np.random.default_rng(0)
    predicted = pd.DataFrame({"row": rows})
    for target in TARGETS:
        logit = 1.5 * lesions[target].fillna(0.5).to_numpy()[rows] + rng.normal(0, 1, len(rows))
        predicted[target] = 1 / (1 + np.exp(-logit))
        predicted[f"score_{target}"] = rng.normal(size=len(rows))
        predicted[f"weight_{target}"] = np.where(np.isin(rows, parts["validation"]), 2.0, 3.0)
    return predicted, lesions, split, 1, TARGETS


def table_of(fold, how, kind="none"):
    predicted, *others = fold
    return prediction_table([predicted], *others, how, kind)


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("kind", ["prior", "logistic"])
def test_no_order_of_lesions_or_patients_changes_and_a_lone_lesion_is_its_patient(fold, how, kind):
    calibrators = fit_calibrators(kind, *fold, how)
    raw, table = table_of(fold, how), table_of(fold, how, kind)
    lesions = table.groupby(["target", "patient_id"])["lesion_id"].transform("size")
    assert (lesions == 1).any()
    assert np.allclose(table["probability"][lesions == 1], table["patient_probability"][lesions == 1])
    for target in TARGETS:
        before, after = (patient_level(rows[rows["target"] == target]) for rows in (raw, table))
        areas = [auroc(rows["label"], rows["probability"]) for rows in (before, after)]
        assert areas[0] == areas[1]
        one = raw["target"] == target
        assert (raw[one]["probability"].rank() == table[one]["probability"].rank()).all()
        assert calibrators[target].weight == 3.0


def test_prior_divides_the_odds_by_the_weight_of_the_model_that_predicts(fold):
    raw = table_of(fold, "mean")
    table = table_of(fold, "mean", "prior")
    for name in ("probability", "patient_probability"):
        odds = [rows[name] / (1 - rows[name]) for rows in (raw, table)]
        assert (odds[0] / odds[1]).to_numpy() == pytest.approx(np.full(len(raw), 3.0))


@pytest.mark.parametrize("kind", ["prior", "logistic", "isotonic"])
def test_thresholds_are_of_the_calibrated_scale_of_validation_patients(fold, kind):
    predicted, lesions, split, number, _ = fold
    calibrators = fit_calibrators(kind, *fold, "mean")
    table = table_of(fold, "mean", kind)
    rows = split.rows(lesions, number)["validation"]
    means = predicted.set_index("row").loc[rows, TARGETS].groupby(lesions["patient_id"]).mean()
    labels = lesions.loc[rows].groupby("patient_id")[TARGETS].first()
    for target in TARGETS:
        known = labels[target].notna()
        calibrated = calibrators[target].behind(2.0)(means[target])
        expected = youden_threshold(labels[target][known], calibrated[known])
        assert table.loc[table["target"] == target, "threshold"].to_numpy() == pytest.approx(expected)


def test_nothing_of_the_test_part_is_read(fold):
    predicted, lesions, split, number, targets = fold
    parts = split.rows(lesions, number)
    tested = predicted["row"].isin(parts["test"])
    wild = predicted.copy()
    wild.loc[tested, TARGETS] = 0.123
    other = lesions.copy()
    other.loc[parts["test"], TARGETS] = 1 - other.loc[parts["test"], TARGETS]
    for kind in ("logistic", "isotonic"):
        before = fit_calibrators(kind, *fold, "mean")
        assert fit_calibrators(kind, wild, other, split, number, targets, "mean") == before
        assert before["ER"] != Calibrator("prior", 3.0)


def test_training_labels_are_those_of_train_and_validation_once_a_patient(fold):
    _, lesions, split, number, targets = fold
    labels = training_labels(lesions, split, targets)
    chosen = split.folds[number]
    patients = lesions[lesions["patient_id"].isin([*chosen.train, *chosen.validation])]
    expected = patients.groupby("patient_id")[targets].first()
    rows = labels[labels["fold"] == number]
    assert len(rows) == len(expected) == len(chosen.train) + len(chosen.validation)
    assert rows[targets].mean().to_dict() == pytest.approx(expected.mean().to_dict())


def test_each_training_of_an_ensemble_is_behind_its_own_map(fold):
    predicted, *others = fold
    other = predicted.assign(**{target: predicted[target] ** 2 for target in TARGETS})
    alone = [prediction_table([rows], *others, "mean", "logistic") for rows in (predicted, other)]
    together = prediction_table([predicted, other], *others, "mean", "logistic")
    for name in ("probability", "patient_probability"):
        assert together[name].to_numpy() == pytest.approx((alone[0][name] + alone[1][name]) / 2)
