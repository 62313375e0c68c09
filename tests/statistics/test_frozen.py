"""Intervals of a frozen model: each held against another way to work it out."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from bcbm.statistics.area import contrast, cross_validated_area, holding_models_fixed
from bcbm.statistics.calibration import calibration
from bcbm.statistics.conformal import conformal_p, label_sets
from bcbm.statistics.external import against_primary, external_results, held_shares
from bcbm.statistics.frozen import (
    accelerated_interval,
    delong_difference,
    intercept_interval,
    mean_under,
    ratio_under,
    slope_interval,
)
from bcbm.statistics.pooling import random_effects
from bcbm.statistics.power import smallest_auroc
from bcbm.statistics.shift import kinds_apart, outside_range, standardised_differences
from bcbm.statistics.updating import cross_validated_update


def patients(count=80, distance=1.2, prevalence=0.4, seed=0):
    """Labels and probabilities that are too high."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < prevalence).astype(float)
    return labels, expit(distance * labels + rng.normal(size=count))


def table(labels, probability, target="ER"):
    """The same as a prediction table of one lesion a patient."""
    names = [f"P{number}" for number in range(len(labels))]
    rows = pd.DataFrame({"lesion_id": names, "patient_id": names, "fold": 0, "repeat": 0, "target": target})
    return rows.assign(probability=probability, patient_probability=probability, threshold=0.6, label=labels)


def lesions(count):
    """The lesion table of the same, as far as subgroups read it."""
    names = [f"P{number}" for number in range(count)]
    rows = pd.DataFrame({"patient_id": names, "study_id": [f"{name}-0" for name in names]})
    return rows.assign(lesion_id=names, volume=1.0, hemisphere="left")


def test_the_accelerated_bootstrap_is_scipys():
    values = np.random.default_rng(0).gamma(0.7, size=40)
    low, high = accelerated_interval(mean_under(values), len(values), 20_000, 0)
    other = bootstrap((values,), np.mean, n_resamples=20_000, method="BCa", rng=1).confidence_interval
    assert (low, high) == pytest.approx(other, abs=0.02)
    assert all(map(math.isnan, accelerated_interval(ratio_under(values, 0 * values), 40, 100, 0)))


def test_calibration_in_the_large_ends_where_the_score_test_refuses():
    labels, p = patients()
    _, centre = calibration(labels, p)
    low, high = intercept_interval(labels, p)
    assert low < centre < high
    for end in (low, high):
        moved = expit(logit(p) + end)
        z = (labels.sum() - moved.sum()) / math.sqrt((moved * (1 - moved)).sum())
        assert abs(z) == pytest.approx(1.95996, abs=1e-4)


def test_the_slope_ends_where_the_likelihood_ratio_test_refuses():
    """The intercept beside a slope that is held is fitted by scikit-learn, on a column of ones' offset."""
    labels, p = patients()
    slope, _ = calibration(labels, p)
    x = logit(p)[:, None]
    free = LogisticRegression(C=1e10, tol=1e-10).fit(x, labels)
    best = log_loss(labels, free.predict_proba(x)[:, 1], normalize=False)
    assert free.coef_[0, 0] == pytest.approx(slope, rel=1e-3)
    for end in slope_interval(labels, p):
        shifts = np.linspace(-6, 6, 24_001)
        fits = expit(end * x + shifts)
        losses = -np.log(np.where(labels[:, None] == 1, fits, 1 - fits)).sum(axis=0)
        assert 2 * (losses.min() - best) == pytest.approx(1.95996**2, abs=1e-3)


def test_without_both_classes_or_with_classes_apart_no_end_is_invented():
    one = np.ones(10), np.linspace(0.2, 0.8, 10)
    apart = np.repeat([0.0, 1.0], 5), np.linspace(0.2, 0.8, 10)
    for interval, rows in ((intercept_interval, one), (slope_interval, one), (slope_interval, apart)):
        assert all(map(math.isnan, interval(*rows)))
    assert all(math.isnan(value) for value in delong_difference(*one, one[1]).values())


def test_delongs_difference_is_that_of_all_pairs():
    labels, first = patients(30)
    _, second = patients(30, seed=1)
    test = delong_difference(labels, first, second)
    wins = [
        (score[labels == 1][:, None] > score[labels == 0])
        + 0.5 * (score[labels == 1][:, None] == score[labels == 0])
        for score in (first, second)
    ]
    assert test["difference"] == pytest.approx(roc_auc_score(labels, first) - roc_auc_score(labels, second))
    covariance = [
        np.cov([pairs.mean(axis=axis) for pairs in wins]) / wins[0].shape[1 - axis] for axis in (1, 0)
    ]
    variance = sum(part[0, 0] + part[1, 1] - 2 * part[0, 1] for part in covariance)
    assert (test["high"] - test["low"]) / 2 == pytest.approx(1.95996 * math.sqrt(variance), rel=1e-4)
    same = delong_difference(labels, first, first**3)
    assert same["difference"] == 0 and same["p"] == 1


def test_a_target_without_both_classes_has_counts_and_a_reason_and_no_figure():
    labels, p = patients()
    known = table(labels, p)
    all_positive = table(np.where(labels == 1, 1.0, np.nan), p, "PR")
    unlabelled = table(np.full(len(labels), np.nan), p, "HER2")
    shares = {"ER": 0.5, "PR": 0.5, "HER2": 0.5}
    results = external_results(
        pd.concat([known, all_positive, unlabelled]), shares, lesions(len(labels)), resamples=50, seed=0
    )
    er, pr, her2 = (results["receptors"][name] for name in shares)
    assert er["patient"]["auroc"] == pytest.approx(roc_auc_score(labels, p)) and "reason" not in er
    assert "patient" not in pr and "positive" in pr["reason"] and pr["positives"] == labels.sum()
    assert "patient" not in her2 and "HER2" in her2["reason"] and her2["unlabelled"] == len(labels)
    assert her2["predicted"] == pytest.approx(p.mean())
    assert results["mean"]["auroc"] == er["patient"]["auroc"]
    ends = er["patient"]
    for name in ("auroc", "auprc", "brier", "scaled_brier", "log_loss", "prevalence"):
        assert ends[f"{name}_low"] < ends[name] < ends[f"{name}_high"], name


def test_the_smallest_auroc_is_seen_with_80_percent_power_by_the_test_of_a_model_that_stands_still():
    labels, p = patients(100)
    results = external_results(table(labels, p), {"ER": 0.4}, lesions(100), resamples=10, seed=0)
    least = results["receptors"]["ER"]["patient"]["smallest_auroc"]
    assert 0.5 < least < smallest_auroc(cross_validated_area(table(labels, p)))
    rng, distance, shown = np.random.default_rng(0), math.sqrt(2) * norm.ppf(least), 0
    for _ in range(200):
        rows = table(labels, expit(rng.normal(size=100) + distance * labels))
        shown += contrast([holding_models_fixed(cross_validated_area(rows))], [1.0], 0.5).p < 0.05
    assert 0.72 < shown / 200 < 0.88


def test_recalibration_mends_prevalence_and_never_takes_the_place_of_the_frozen_figure():
    labels, p = patients(300, distance=1.5, prevalence=0.15)
    rows = table(labels, p)
    blocks = cross_validated_update(rows, 500, 0)
    assert list(blocks) == ["frozen", "intercept", "intercept and slope"]
    assert blocks["frozen"]["gain"] == 0 and blocks["frozen"]["intercept"] < -1
    for kind in ("intercept", "intercept and slope"):
        assert blocks[kind]["gain_low"] > 0
        assert abs(blocks[kind]["intercept"]) < 0.1
        assert blocks[kind]["brier"] == pytest.approx(blocks["frozen"]["brier"] - blocks[kind]["gain"])


def test_recalibration_is_judged_on_patients_it_has_not_seen():
    """Labels that nothing tells: a line that had seen them would gain, one that has not does not."""
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(20):
        labels = rng.permutation(np.repeat([0.0, 1.0], 10))
        rows = table(labels, np.full(20, 0.5) + rng.normal(0, 0.01, 20))
        gains.append(cross_validated_update(rows, 2, 0)["intercept and slope"]["gain"])
    assert np.mean(gains) < 0


def test_cohorts_are_pooled_as_the_formulas_say():
    aurocs, variances = [0.55, 0.72, 0.81, 0.6], [0.003, 0.004, 0.002, 0.005]
    pooled = random_effects(aurocs, variances)
    y = logit(aurocs)
    v = np.array(variances) / (np.array(aurocs) * (1 - np.array(aurocs))) ** 2
    w = 1 / (v + pooled["tau"] ** 2)
    mean = (w * y).sum() / w.sum()
    assert (w * (y - mean) ** 2).sum() == pytest.approx(3, abs=1e-6)  # Paule and Mandel's equation
    assert pooled["auroc"] == pytest.approx(expit(mean))
    error = math.sqrt(1 / w.sum())  # their factor is 1 where the equation holds
    assert pooled["auroc_low"] == pytest.approx(expit(mean - 3.18245 * error), abs=1e-5)
    assert pooled["new_low"] == pytest.approx(
        expit(mean - 4.30265 * math.hypot(pooled["tau"], error)), abs=1e-5
    )
    fixed = 1 / v
    q = (fixed * (y - (fixed * y).sum() / fixed.sum()) ** 2).sum()
    assert pooled["i2"] == pytest.approx((q - 3) / q)
    alike = random_effects([0.7, 0.7], [0.003, 0.004])
    assert alike["tau"] == alike["i2"] == 0 and alike["q_p"] == 1 and math.isnan(alike["new_low"])
    with pytest.raises(ValueError, match="two"):
        random_effects([0.7], [0.003])


def test_sets_hold_a_class_or_do_not():
    labels = pd.Series([1, 1, 1, 0, 0, np.nan])
    sets = pd.Series(["positive", "undecided", "negative", "negative", "neither", "neither"])
    shares = held_shares(labels, sets)
    assert shares["positive"]["held"] == pytest.approx(2 / 3) and shares["positive"]["patients"] == 3
    assert shares["negative"]["held"] == 0.5 and shares["negative"]["held_high"] < 1
    assert list(held_shares(labels[:3], sets[:3])) == ["positive"]


def test_the_primary_is_compared_on_the_patients_whose_primary_is_known():
    labels, p = patients(40)
    rows = table(labels, p)
    status = pd.Series(labels, rows["patient_id"]).iloc[:30]
    status.iloc[0] = 1 - status.iloc[0]
    block = against_primary(rows, status)
    assert block["patients"] == 30 and block["converted"] == 1
    assert block["primary"]["auroc"] == pytest.approx(roc_auc_score(labels[:30], status))
    assert block["model"]["auroc"] == pytest.approx(roc_auc_score(labels[:30], p[:30]))
    assert block["difference"]["difference"] < 0
    assert against_primary(rows, status[labels[:30] == 1]) is None


def test_shift_is_in_standard_deviations_and_shares():
    difference = standardised_differences([0, 1, 3], [1, 0, 0], [1, 1, 4], [3, 0, 0])
    assert (
        difference[0] == pytest.approx(1 / math.sqrt(2)) and difference[1] == 0 and math.isnan(difference[2])
    )
    assert outside_range([[0, 1], [2, 1], [5, 1]], [1, 1], [3, 1]).tolist() == pytest.approx([2 / 3, 0])
    assert kinds_apart({"GE": 3, "Siemens": 1}, {"GE": 1, "Philips": 1}) == pytest.approx(0.5)
    assert kinds_apart({"GE": 3}, {"GE": 9}) == 0 and math.isnan(kinds_apart({}, {"GE": 1}))


@pytest.mark.parametrize(("shift", "holds"), [(0.0, True), (1.2, False)])
def test_sets_stand_another_prevalence_and_not_other_inputs(shift, holds):
    """Class-conditional sets, calibrated where half are positive, on a site where one in seven is.

    What holds by theory: patients of a class are exchangeable with those of calibration. A shift of the
    scores of negatives breaks that, and recalibration, which moves probabilities, cannot mend it.
    """
    rng = np.random.default_rng(0)

    def drawn(count, share, moved=0.0):
        labels = (rng.random(count) < share).astype(float)
        return labels, expit(1.5 * (labels - 0.5) + rng.normal(size=count) + moved)

    labels, p = drawn(400, 0.5)
    there, q = drawn(3000, 0.15, shift)
    usual = {
        name: conformal_p([np.abs(value - p[labels == value])], [np.abs(value - q)])
        for name, value in {"positive": 1.0, "negative": 0.0}.items()
    }
    sets = pd.Series(label_sets(usual["positive"], usual["negative"], 0.9))
    shares = held_shares(pd.Series(there), sets)
    assert (0.87 < shares["negative"]["held"] < 0.93) == holds
    assert shares["positive"]["held"] > 0.86
    blocks = cross_validated_update(table(there, q), 200, 0)
    assert blocks["frozen"]["intercept"] < -1  # prevalence alone puts probabilities off
    assert blocks["intercept"]["gain_low"] > 0 and abs(blocks["intercept"]["intercept"]) < 0.1
