import itertools
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, ttest_1samp
from sklearn.metrics import roc_auc_score

from bcbm.statistics.metrics import auroc
from bcbm.statistics.paired import (
    aligned,
    benjamini_hochberg,
    nadeau_bengio,
    paired_bootstrap,
    paired_permutation,
)
from bcbm.statistics.permutation import label_permutation_p
from bcbm.statistics.resampling import resampled_counts


def experiment(signal: float, patients: int = 30, repeats: int = 2, seed: int = 0) -> pd.DataFrame:
    """Patient-level predictions of one target; the labels depend on the number of patients alone."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(patients) % 3 == 0).astype(float)
    tables = []
    for repeat in range(repeats):
        scores = (0.4 + signal * labels + rng.normal(0, 0.2, patients)).clip(0, 1).round(2)
        table = pd.DataFrame({"patient_id": [f"P{i}" for i in range(patients)], "probability": scores})
        tables.append(table.assign(label=labels, repeat=repeat))
    return pd.concat(tables).sample(frac=1, random_state=seed)


def mean_auroc(table: pd.DataFrame) -> float:
    return float(
        np.mean(
            [roc_auc_score(repeat["label"], repeat["probability"]) for _, repeat in table.groupby("repeat")]
        )
    )


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


def test_paired_bootstrap_equals_a_plain_loop() -> None:
    a, b = aligned(experiment(0.2, patients=12, seed=1), experiment(0.05, patients=12, seed=2))
    names, group = np.unique(a["patient_id"], return_inverse=True)
    differences = []
    for drawn in resampled_counts(np.random.default_rng(3), len(names), 100):
        rows = np.repeat(np.arange(len(a)), drawn[group])
        if a.loc[rows, "label"].nunique() == 2:
            differences.append(mean_auroc(a.loc[rows]) - mean_auroc(b.loc[rows]))
    difference = paired_bootstrap(a, b, 100, 3)
    assert difference.difference == pytest.approx(mean_auroc(a) - mean_auroc(b), abs=1e-12)
    assert (difference.low, difference.high) == pytest.approx(
        np.percentile(differences, [2.5, 97.5]), abs=1e-12
    )
    far = 1 + min(sum(d <= 1e-12 for d in differences), sum(d >= -1e-12 for d in differences))
    assert difference.p == pytest.approx(min(1, 2 * far / (1 + len(differences))))


def test_an_experiment_against_itself_and_against_a_far_better_one() -> None:
    a = experiment(0.1)
    same = paired_bootstrap(a, a, 200, 0)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert paired_permutation(a, a, 200, 0) == 1
    better = experiment(0.9, seed=5)
    assert paired_bootstrap(better, a, 999, 0).p == pytest.approx(2 / 1000)
    assert paired_bootstrap(better, a, 999, 0).low > 0
    assert paired_bootstrap(a, better, 999, 0).p == pytest.approx(2 / 1000)
    assert paired_permutation(better, a, 999, 0) < 0.01


def test_paired_permutation_is_the_share_of_all_exchanges() -> None:
    a, b = aligned(experiment(0.3, patients=9, seed=1), experiment(0.0, patients=9, seed=8))
    for table in (a, b):
        table["rank"] = table.groupby("repeat")["probability"].rank()
    owner = a["patient_id"].str[1:].astype(int).to_numpy()
    labels, ranks = a["label"].to_numpy(), (a["rank"].to_numpy(), b["rank"].to_numpy())
    differences = []
    for exchanged in itertools.product([False, True], repeat=9):
        swap = np.array(exchanged)[owner]
        first, second = np.where(swap, *ranks[::-1]), np.where(swap, *ranks)
        rows = [(a["repeat"] == repeat).to_numpy() for repeat in (0, 1)]
        areas = [
            auroc(labels[repeat], first[repeat]) - auroc(labels[repeat], second[repeat]) for repeat in rows
        ]
        differences.append(np.mean(areas))
    exact = np.mean(np.abs(differences) >= abs(differences[0]) - 1e-12)
    assert 0.02 < exact < 0.9
    assert paired_permutation(a, b, 40_000, 0) == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))


def test_paired_permutation_does_not_see_the_scale_of_a_model() -> None:
    a, b = experiment(0.3, seed=1), experiment(0.1, seed=8)
    other = b.assign(probability=b["probability"] ** 4 / 10)
    assert paired_permutation(a, b, 500, 0) == paired_permutation(a, other, 500, 0)


def test_paired_tests_keep_their_level_when_nothing_differs() -> None:
    p = np.array(
        [
            [paired_permutation(*pair, 199, 0), paired_bootstrap(*pair, 199, 0).p]
            for pair in ((experiment(0.15, seed=2 * i), experiment(0.15, seed=2 * i + 1)) for i in range(200))
        ]
    )
    assert (p > 0).all()
    assert (np.mean(p <= 0.1, axis=0) < [0.16, 0.18]).all()
    assert (np.mean(p <= 0.1, axis=0) > 0.04).all()


def test_one_class_or_no_patient_has_no_difference() -> None:
    negatives = experiment(0.1).query("label == 0")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for table in (negatives, negatives.iloc[:0]):
            difference = paired_bootstrap(table, table, 50, 0)
            assert all(
                map(math.isnan, (difference.difference, difference.low, difference.high, difference.p))
            )
            assert math.isnan(paired_permutation(table, table, 50, 0))
            assert math.isnan(label_permutation_p(table, 50, 0))


def test_nadeau_bengio_by_hand_and_as_a_t_test_without_shared_patients() -> None:
    differences = [0.02, 0.06, 0.04, 0.0, 0.03]  # mean 0.03, variance 0.0005
    t, p = nadeau_bengio(differences, 1 / 4)
    assert t == pytest.approx(0.03 / math.sqrt((1 / 5 + 1 / 4) * 0.0005))
    assert t == pytest.approx(2.0)
    assert p == pytest.approx(0.1161165, abs=1e-7)  # 2 P(T > 2) with 4 degrees of freedom
    plain = ttest_1samp(differences, 0)
    assert nadeau_bengio(differences, 0) == pytest.approx((plain.statistic, plain.pvalue))
    assert nadeau_bengio([*differences, np.nan], 1 / 4) == pytest.approx((t, p))
    assert nadeau_bengio(-np.array(differences), 1 / 4) == pytest.approx((-t, p))
    for none in ([], [0.1], [0.1, np.nan], [0.1, 0.1, 0.1]):
        assert all(map(math.isnan, nadeau_bengio(none, 0.25)))


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


def test_label_permutation_is_the_share_of_all_orders() -> None:
    table = experiment(0.15, patients=7, repeats=2, seed=4)
    labels = table.drop_duplicates("patient_id").set_index("patient_id")["label"]
    observed, aurocs = mean_auroc(table), []
    for positives in itertools.combinations(labels.index, int(labels.sum())):
        aurocs.append(mean_auroc(table.assign(label=table["patient_id"].isin(positives).astype(float))))
    exact = np.mean(np.array(aurocs) >= observed - 1e-12)
    assert 0.02 < exact < 0.9
    assert label_permutation_p(table, 40_000, 0) == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))


def test_label_permutation_is_one_sided_and_never_zero() -> None:
    good, bad = experiment(0.9), experiment(-0.9)
    assert label_permutation_p(good, 499, 0) == 1 / 500
    assert label_permutation_p(bad, 499, 0) == 1
    assert label_permutation_p(good.assign(probability=0.5), 99, 0) == 1


def test_label_permutation_keeps_its_level() -> None:
    p = np.array([label_permutation_p(experiment(0.0, seed=seed), 199, seed) for seed in range(400)])
    assert np.mean(p <= 0.1) == pytest.approx(0.1, abs=0.05)
    assert p.min() < 0.05 and p.max() > 0.95
