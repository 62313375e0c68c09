import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control
from sklearn.metrics import roc_auc_score

from bcbm.statistics.paired import aligned, benjamini_hochberg, paired_difference


def experiment(signal: float, patients: int = 30, repeats: int = 2, seed: int = 0) -> pd.DataFrame:
    """Patient-level predictions of one target; the labels depend on the number of patients alone."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(patients) % 3 == 0).astype(float)
    tables = []
    for repeat in range(repeats):
        scores = (0.4 + signal * labels + rng.normal(0, 0.2, patients)).clip(0, 1).round(2)
        table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(patients)], "probability": scores})
        fold = 5 * repeat + np.arange(patients) // 3 % 5
        tables.append(table.assign(label=labels, repeat=repeat, fold=fold))
    return pd.concat(tables).sample(frac=1, random_state=seed)


def mean_auroc(table: pd.DataFrame) -> float:
    folds = [roc_auc_score(fold["label"], fold["probability"]) for _, fold in table.groupby("fold")]
    return float(np.mean(folds))


def test_tables_in_another_order_are_put_in_the_same() -> None:
    a, b = aligned(experiment(0.1, seed=1), experiment(0.1, seed=2))
    for column in ("repeat", "patient_id", "label"):
        assert a[column].tolist() == b[column].tolist()
    assert a["probability"].tolist() != b["probability"].tolist()


def test_tables_that_cannot_be_paired_say_what_differs() -> None:
    a = experiment(0.1)
    with pytest.raises(ValueError, match="repeat 2 is in b only"):
        aligned(a, experiment(0.1, repeats=3))
    with pytest.raises(ValueError, match="repeat 1, patient_id P7 is in a only"):
        aligned(a, a[(a["patient_id"] != "P7") | (a["repeat"] == 0)])
    other = a.assign(label=a["label"].where(a["patient_id"] != "P3", 0.0))
    with pytest.raises(
        ValueError, match=r"label of 2 rows differs, the first is patient P3, 1 in a and 0 in b"
    ):
        aligned(a, other)
    with pytest.raises(ValueError, match=r"b has patient P.* more than once in repeat 0"):
        aligned(a, pd.concat([a, a.assign(target="PR")]).query("repeat == 0"))


@pytest.mark.parametrize("seed", range(5))
def test_benjamini_hochberg_equals_scipy_and_passes_nan_through(seed: int) -> None:
    p = np.random.default_rng(seed).uniform(size=12).round(1).clip(0.01)
    assert benjamini_hochberg(p) == pytest.approx(false_discovery_control(p), abs=1e-15)
    with_gaps = np.insert(p, [0, 5, 12], np.nan)
    q = benjamini_hochberg(with_gaps)
    assert np.isnan(q).tolist() == np.isnan(with_gaps).tolist()
    assert q[~np.isnan(q)] == pytest.approx(false_discovery_control(p), abs=1e-15)


def test_no_tests_have_no_q_values() -> None:
    assert benjamini_hochberg([]).shape == (0,)
    assert np.isnan(benjamini_hochberg([np.nan, np.nan])).all()


def test_an_experiment_against_itself_and_against_a_far_better_one() -> None:
    a, better = experiment(0.0), experiment(0.9, seed=1)
    same = paired_difference(a, a)
    assert (same.estimate, same.p) == (0, 1)
    gain, loss = paired_difference(better, a), paired_difference(a, better)
    assert gain.low > 0 > loss.high and gain.p == pytest.approx(loss.p) and gain.p < 0.01
    assert gain.estimate == pytest.approx(mean_auroc(better) - mean_auroc(a))


def test_a_difference_does_not_see_the_scale_of_a_model() -> None:
    a, b = experiment(0.2, seed=1), experiment(0.1, seed=2)
    other = b.assign(probability=b["probability"] ** 3)
    assert paired_difference(a, b) == paired_difference(a, other)


def test_one_class_or_no_patient_has_no_difference() -> None:
    negatives = experiment(0.1).query("label == 0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for table in (negatives, negatives.iloc[:0]):
            difference = paired_difference(table, table)
            values = (difference.estimate, difference.low, difference.high, difference.p)
            assert all(map(math.isnan, values))
