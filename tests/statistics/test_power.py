import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import norm

from bcbm.statistics.power import (
    chance_to_show,
    cox_snell,
    given_variance,
    planned_variance,
    sample_size,
    smallest_auroc,
)


@pytest.mark.parametrize(("positives", "negatives"), [(30, 30), (34, 68), (60, 25)])
def test_the_smallest_auroc_is_shown_in_four_of_five_cohorts(positives, negatives):
    """By drawing estimates around it and asking the test, which takes the variance at 0.5."""
    variance = planned_variance(positives, negatives, folds=5)
    smallest = smallest_auroc(variance)
    drawn = np.random.default_rng(0).normal(smallest, math.sqrt(variance(smallest)), 20_000)
    refused = norm.sf(np.abs(drawn - 0.5) / math.sqrt(variance(0.5))) * 2 < 0.05
    assert refused.mean() == pytest.approx(0.8, abs=0.01)
    assert chance_to_show(variance, smallest) == pytest.approx(0.8)


def test_more_patients_show_less_and_correction_needs_more():
    areas = [smallest_auroc(planned_variance(number, number, 5)) for number in (10, 20, 40, 80, 160)]
    assert areas == sorted(areas, reverse=True) and all(0.5 < area < 1 for area in areas)
    variance = planned_variance(50, 110, 5)
    alone, corrected = smallest_auroc(variance), smallest_auroc(variance, tests=3)
    assert 0.5 < alone < corrected < 0.75
    assert smallest_auroc(planned_variance(50, 110, 5, repeats=10)) < alone
    assert chance_to_show(variance, 0.5) == pytest.approx(0.025)


@pytest.mark.parametrize("counts", [(1, 1), (2, 3)])
def test_too_few_patients_could_show_nothing(counts):
    assert math.isnan(smallest_auroc(planned_variance(*counts, folds=1), tests=3))


def test_the_explained_variation_is_that_of_a_drawn_cohort():
    """By fitting the normal score of 400,000 drawn patients, as Riley and colleagues do."""
    rng, auroc, prevalence = np.random.default_rng(0), 0.75, 0.3
    labels = rng.random(400_000) < prevalence
    distance = math.sqrt(2) * norm.ppf(auroc)
    score = rng.normal(distance * labels)

    def loss(slope):
        linear = slope * (score - distance / 2) + logit(prevalence)
        return -np.log(expit(np.where(labels, linear, -linear))).mean()

    share = labels.mean()
    null = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    best = minimize_scalar(loss, bounds=(0, 5), method="bounded").fun
    assert cox_snell(prevalence, auroc) == pytest.approx(1 - math.exp(-2 * (null - best)), abs=0.002)


def test_the_sample_size_is_the_largest_of_rileys_criteria():
    """BMJ 368:m441, 2020, a published example: R2 0.288, prevalence 0.174, 24 parameters, 662 patients."""
    found = minimize_scalar(
        lambda auroc: (cox_snell(0.174, auroc) - 0.288) ** 2, bounds=(0.55, 0.995), method="bounded"
    ).x
    assert sample_size(0.174, 24, found) == pytest.approx(662, abs=2)
    assert sample_size(0.5, 1, 0.9) == math.ceil((1.96 / 0.05) ** 2 * 0.25)
    assert sample_size(0.3, 127, 0.7) > sample_size(0.3, 127, 0.8) > sample_size(0.3, 20, 0.8)


def test_given_folds_count_their_own_test_patients():
    assert given_variance([8] * 5, [12] * 5)(0.7) == pytest.approx(planned_variance(40, 60, 5)(0.7))
    alone = given_variance([8], [12])(0.5)  # no other fold, so nothing that folds owe to each other
    assert alone == pytest.approx(21 / (12 * 8 * 12))
    one_class = given_variance([8, 3], [12, 0])(
        0.5
    )  # three patients that only stand in the other fold's training
    assert one_class == pytest.approx(alone * (1 + 2 * 20 * 3 / 23**2))
