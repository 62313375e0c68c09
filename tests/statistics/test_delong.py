import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bcbm.statistics.delong import delong_interval, delong_test


def by_definition(labels: npt.NDArray, *scores: npt.NDArray) -> tuple[npt.NDArray, npt.NDArray]:
    """AUROCs and covariance by looking at every pair of rows (DeLong 1988, equations 4 to 6)."""
    kernels = []
    for score in scores:
        x, y = score[labels == 1], score[labels == 0]
        kernels.append(np.array([[1.0 if a > b else 0.5 if a == b else 0.0 for b in y] for a in x]))
    areas = np.array([kernel.mean() for kernel in kernels])
    size = len(scores)
    covariance = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for axis in (1, 0):
                first = kernels[i].mean(axis=axis) - areas[i]
                second = kernels[j].mean(axis=axis) - areas[j]
                covariance[i, j] += first @ second / (len(first) - 1) / len(first)
    return areas, covariance


def rows(seed: int, number: int = 60) -> tuple[npt.NDArray, npt.NDArray, npt.NDArray]:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 0, 1, 1, rng.integers(0, 2, number - 4)]
    a = (rng.normal(labels, 1.2) * 3).round() / 3  # ties within and between the classes
    return labels, a, (a + rng.normal(labels * 0.3, 1)).round(1)


@pytest.mark.parametrize("seed", range(10))
def test_midranks_equal_the_definition_with_ties(seed: int) -> None:
    labels, a, b = rows(seed)
    areas, covariance = by_definition(labels, a, b)
    half = 1.959963984540054 * math.sqrt(covariance[0, 0])
    expected = areas[0], max(0, areas[0] - half), min(1, areas[0] + half)
    assert delong_interval(labels, a) == pytest.approx(expected, abs=1e-10)
    assert delong_interval(labels, a)[0] == pytest.approx(roc_auc_score(labels, a), abs=1e-12)
    z = (areas[0] - areas[1]) / math.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    expected = areas[0] - areas[1], 2 * norm.sf(abs(z))
    assert delong_test(labels, a, b) == pytest.approx(expected, abs=1e-10)
    assert delong_test(labels, b, a) == pytest.approx((-expected[0], expected[1]), abs=1e-10)


def test_the_published_interval_of_hanley_and_mcneils_ratings() -> None:
    # Ratings of Radiology 143:29, 1982; DeLong's interval as in the manual of Stata's roctab.
    scores = np.repeat([1, 2, 3, 4, 5, 1, 2, 3, 4, 5], [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    labels = np.repeat([0, 1], [58, 51])
    assert delong_interval(labels, scores) == pytest.approx((0.8932, 0.83295, 0.95339), abs=5e-5)


def test_a_higher_level_is_wider_and_an_interval_stays_within_0_and_1() -> None:
    labels, a, _ = rows(0)
    _, low, high = delong_interval(labels, a, level=0.5)
    wide = delong_interval(labels, a, level=0.99)
    assert wide[1] < low < high < wide[2]
    assert delong_interval([0, 0, 0, 1, 1, 1], [1, 2, 5, 4, 6, 7])[2] == 1


def test_the_interval_holds_the_true_area_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(0), 0
    labels, truth = np.arange(120) % 2, norm.cdf(0.8 / math.sqrt(2))
    for _ in range(1000):
        _, low, high = delong_interval(labels, rng.normal(0.8 * labels))
        covered += low <= truth <= high
    assert covered / 1000 == pytest.approx(0.95, abs=0.025)


def test_two_scores_of_one_worth_are_told_apart_as_rarely_as_the_level_says() -> None:
    rng, labels = np.random.default_rng(1), np.arange(120) % 2
    shared = rng.normal(size=(1000, 120))
    p = [delong_test(labels, s + rng.normal(labels), s + rng.normal(labels))[1] for s in shared]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.025)


def test_what_has_no_variance() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for labels in ([], [1, 1], [0, 0, 0]):
            scores = np.arange(len(labels))
            assert all(map(math.isnan, delong_interval(labels, scores)))
            assert all(map(math.isnan, delong_test(labels, scores, scores)))
        area, low, high = delong_interval([1, 0, 0], [2, 1, 3])
        assert area == 0.5
        assert math.isnan(low) and math.isnan(high)
        assert delong_interval([0, 0, 1, 1], [1, 2, 3, 4]) == (1, 1, 1)
        labels, a, _ = rows(3)
        assert delong_test(labels, a, 10 * a + 1) == (0, 1)
        difference, p = delong_test([0, 0, 1, 1], [1, 2, 3, 4], [4, 3, 2, 1])
        assert difference == 1
        assert math.isnan(p)
