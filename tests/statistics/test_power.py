import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from bcbm.statistics.metrics import auroc
from bcbm.statistics.power import smallest_auroc, standard_error


def test_the_standard_error_of_hanley_and_mcneils_example() -> None:
    # Radiology 143:29, 1982: ratings of 58 normal and 51 abnormal images, area 0.893, standard error 0.032.
    scores = np.repeat([1, 2, 3, 4, 5, 1, 2, 3, 4, 5], [33, 6, 6, 11, 2, 3, 2, 2, 11, 33])
    labels = np.repeat([0, 1], [58, 51])
    assert auroc(labels, scores) == pytest.approx(0.893, abs=5e-4)
    assert standard_error(0.893, 51, 58) == pytest.approx(0.032, abs=6e-4)


@pytest.mark.parametrize(("positives", "negatives"), [(20, 20), (34, 68), (5, 200)])
def test_the_standard_error_of_chance_is_that_of_a_rank_sum(positives: int, negatives: int) -> None:
    exact = math.sqrt((positives + negatives + 1) / (12 * positives * negatives))
    assert standard_error(0.5, positives, negatives) == pytest.approx(exact)


@pytest.mark.parametrize(("positives", "negatives"), [(30, 30), (34, 68), (60, 25)])
def test_a_test_shows_the_smallest_auroc_in_four_of_five_cohorts(positives: int, negatives: int) -> None:
    area = smallest_auroc(positives, negatives)
    rng, times = np.random.default_rng(0), 4000
    # Exponential scores, as Hanley and McNeil assume: P(positive > negative) = mean / (1 + mean).
    x = rng.exponential(area / (1 - area), (times, positives))
    y = rng.exponential(1, (times, negatives))
    p = mannwhitneyu(x, y, axis=1, method="asymptotic", use_continuity=False).pvalue
    assert np.mean(p < 0.05) == pytest.approx(0.8, abs=0.035)


def test_more_patients_show_less_and_more_power_needs_more() -> None:
    areas = [smallest_auroc(number, number) for number in (10, 20, 40, 80, 160)]
    assert areas == sorted(areas, reverse=True)
    assert all(0.5 < area < 1 for area in areas)
    assert smallest_auroc(30, 30, power=0.9) > smallest_auroc(30, 30)
    assert smallest_auroc(30, 30, alpha=0.01) > smallest_auroc(30, 30)
    assert smallest_auroc(20, 60) == pytest.approx(smallest_auroc(60, 20), abs=0.03)


def test_every_larger_auroc_would_be_shown_too() -> None:
    for counts in ((5, 300), (300, 5), (8, 8), (100, 90)):
        smallest = smallest_auroc(*counts)
        chance = 1.959963984540054 * standard_error(0.5, *counts)
        for area in np.linspace(0.501, 0.999, 300):
            shown = area - 0.5 > chance + 0.8416212335729143 * standard_error(area, *counts)
            assert shown == (area > smallest)


@pytest.mark.parametrize("counts", [(0, 10), (10, 0), (0, 0), (1, 1), (2, 3)])
def test_too_few_patients_could_show_nothing(counts: tuple[int, int]) -> None:
    assert math.isnan(smallest_auroc(*counts))
