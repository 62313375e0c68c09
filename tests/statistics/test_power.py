import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import norm

from bcbm.statistics import power
from bcbm.statistics.power import (
    chance_to_show,
    cox_snell,
    given_area,
    planned_area,
    sample_size,
    smallest_auroc,
)


@pytest.mark.parametrize(("positives", "negatives"), [(30, 30), (34, 68), (60, 25)])
def test_the_smallest_auroc_is_shown_in_four_of_five_cohorts(positives, negatives):
    """By drawing estimates around it and asking the test, which takes the variance at 0.5."""
    area = planned_area(positives, negatives, folds=5)
    smallest = smallest_auroc(area)
    drawn = np.random.default_rng(0).normal(
        smallest, math.sqrt(area.variance(smallest, summed=True, compared=True)), 20_000
    )
    refused = norm.sf(np.abs(drawn - 0.5) / math.sqrt(area.variance(0.5))) * 2 < 0.05
    assert refused.mean() == pytest.approx(0.8, abs=0.01)
    assert chance_to_show(area, smallest) == pytest.approx(0.8)


def test_power_is_what_simulated_cohorts_have_shown():
    """Within 3 points in every cell of linear models; 250 cohorts of forests tell 5 points."""
    cells = pd.read_csv(Path(power.__file__).with_name("coverage.csv"))
    cells = cells[(cells["figure"] == "AUROC") & (cells["method"] == "score") & (cells["about"] > 0.5)]
    assert len(cells) > 9
    for row in cells.itertuples():
        positives = round(row.patients * row.prevalence)
        area = planned_area(positives, row.patients - positives, row.folds, row.repeats)
        margin = 0.05 if row.model == "forest" else 0.03
        assert chance_to_show(area, row.true) == pytest.approx(row.refused, abs=margin), row


def test_more_patients_show_less_and_correction_needs_more():
    areas = [smallest_auroc(planned_area(number, number, 5)) for number in (10, 20, 40, 80, 160)]
    assert areas == sorted(areas, reverse=True) and all(0.5 < area < 1 for area in areas)
    area = planned_area(50, 110, 5)
    alone, corrected = smallest_auroc(area), smallest_auroc(area, tests=3)
    assert 0.5 < alone < corrected < 0.75
    assert smallest_auroc(planned_area(50, 110, 5, repeats=10)) < alone


@pytest.mark.parametrize("counts", [(1, 1), (2, 3)])
def test_too_few_patients_could_show_nothing(counts):
    assert math.isnan(smallest_auroc(planned_area(*counts, folds=1), tests=3))


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
    assert given_area([8] * 5, [12] * 5).variance(0.7) == pytest.approx(planned_area(40, 60, 5).variance(0.7))
    alone = given_area([8], [12]).variance(0.5)  # no other fold, so nothing that folds owe to each other
    assert alone == pytest.approx(21 / (12 * 8 * 12))
    # three patients that only stand in the other fold's training
    one_class = given_area([8, 3], [12, 0]).variance(0.5)
    assert one_class == pytest.approx(alone * (1 + 2 * 20 * 3 / 23**2))
