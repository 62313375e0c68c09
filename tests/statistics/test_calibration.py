import math
import warnings

import numpy as np
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression

from bcbm.statistics.calibration import calibration, reliability


@pytest.mark.parametrize("seed", range(10))
def test_slope_and_intercept_equal_independent_fits(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.normal(-1, 1.5, 300)
    labels = (rng.uniform(size=300) < expit(truth)).astype(float)
    probabilities = expit(1.8 * truth + 0.7)
    slope, intercept = calibration(labels, probabilities)
    x = logit(probabilities)
    other = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(x[:, None], labels)
    assert slope == pytest.approx(other.coef_.item(), abs=1e-5)
    shifted = minimize_scalar(lambda a: np.logaddexp(0, -np.where(labels, 1, -1) * (x + a)).sum(), tol=1e-12)
    assert intercept == pytest.approx(shifted.x, abs=1e-5)


def test_true_probabilities_have_slope_1_and_intercept_0() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0.5, 1.5, 200_000)
    labels = rng.uniform(size=len(logits)) < expit(logits)
    assert calibration(labels, expit(logits)) == pytest.approx((1, 0), abs=0.03)
    assert calibration(labels, expit(2 * logits))[0] == pytest.approx(0.5, abs=0.02)
    assert calibration(labels, expit(logits - 0.4))[1] == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 0.1, 4])
def test_a_slope_is_found_from_flat_to_extreme_probabilities(scale: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=80)
    labels = (rng.uniform(size=80) < expit(x)).astype(float)
    slope, _ = calibration(labels, expit(scale * x))
    reference, _ = calibration(labels, expit(x))
    assert scale * slope == pytest.approx(reference, rel=1e-6)


def test_a_slope_survives_one_wild_row() -> None:
    labels = np.r_[np.arange(40) % 2, 0]
    probabilities = np.r_[np.where(np.arange(40) % 4 < 2, 0.501, 0.499), 1.0]
    slope, intercept = calibration(labels, probabilities)
    x = logit(probabilities.clip(1e-6, 1 - 1e-6))
    other = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12).fit(x[:, None], labels)
    assert slope == pytest.approx(other.coef_.item(), rel=1e-4)
    assert math.isfinite(intercept)


def test_a_slope_is_found_where_newtons_full_steps_run_away() -> None:
    labels = np.repeat([1, 1, 0, 1, 0], [1, 1, 1, 1, 30])
    x = np.repeat([-13.8, 0.1, 0.1, -0.1, -0.1], [1, 1, 1, 1, 30])

    def loss(slope: float) -> float:
        def excess(shift: float) -> float:
            return float((expit(slope * x + shift) - labels).sum())

        best = brentq(excess, -1e6, 1e6, xtol=1e-13)
        return float(np.logaddexp(0, -np.where(labels, 1, -1) * (slope * x + best)).sum())

    optimum = minimize_scalar(loss, bounds=(-100, 100), method="bounded", options={"xatol": 1e-9})
    assert calibration(labels, expit(x))[0] == pytest.approx(optimum.x, rel=1e-4)


def test_probabilities_of_0_and_1_are_kept_from_the_edge() -> None:
    labels, probabilities = np.array([0, 1, 0, 1, 1, 0]), np.array([0, 1, 1, 0, 0.7, 0.2])
    clipped = probabilities.clip(1e-6, 1 - 1e-6)
    assert calibration(labels, probabilities) == calibration(labels, clipped)
    assert all(map(math.isfinite, calibration(labels, probabilities)))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1]])
def test_separated_classes_have_an_intercept_but_no_slope(labels: list[int]) -> None:
    for probabilities in ([0.1, 0.3, 0.4, 0.8], [0.5, 0.5, 0.5, 0.5]):
        slope, intercept = calibration(labels, probabilities)
        assert math.isnan(slope)
        assert math.isfinite(intercept)
    # One shared value is no overlap either: the likelihood still grows without end.
    assert math.isnan(calibration([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])[0])


@pytest.mark.parametrize("labels", [[], [1, 1, 1], [0]])
def test_one_class_has_no_calibration(labels: list[int]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(map(math.isnan, calibration(labels, np.full(len(labels), 0.3))))


def test_reliability_bins_hold_equally_many_rows_and_wilson_intervals() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.uniform(size=103)
    labels = (rng.uniform(size=103) < probabilities).astype(int)
    table = reliability(labels, probabilities, bins=10)
    assert list(table.columns) == ["predicted", "observed", "low", "high", "count"]
    assert table["count"].sum() == 103
    assert set(table["count"]) == {10, 11}
    assert table["predicted"].is_monotonic_increasing
    order, start = np.argsort(probabilities), 0
    for row in table.to_dict("records"):
        members = order[start : start + int(row["count"])]
        start += len(members)
        wilson = binomtest(int(labels[members].sum()), len(members)).proportion_ci(method="wilson")
        assert [row["low"], row["high"]] == pytest.approx([wilson.low, wilson.high], abs=1e-9)
        means = [probabilities[members].mean(), labels[members].mean()]
        assert [row["predicted"], row["observed"]] == pytest.approx(means)


def test_equal_probabilities_share_a_bin() -> None:
    table = reliability([0, 1] * 20, [0.2] * 25 + [0.7] * 15, bins=10)
    assert table["predicted"].tolist() == pytest.approx([0.2, 0.7])
    assert table["count"].tolist() == [25, 15]


def test_fewer_rows_than_bins_and_none() -> None:
    assert reliability([0, 1, 1], [0.1, 0.5, 0.9], bins=10)["count"].tolist() == [1, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert reliability([], []).empty
