"""What choosing promised beside what it gave."""

import math

import numpy as np
import pytest

from bcbm.statistics.optimism import corrected_interval, optimism


def test_the_gap_is_what_the_best_trial_promised_too_much():
    block = optimism({"fold=0": 0.8, "fold=1": 0.7}, {"fold=0": 0.6, "fold=1": 0.75}, smaller=False)
    assert block["folds"]["fold=0"] == {"inner": 0.8, "outer": 0.6, "gap": pytest.approx(0.2)}
    assert block["gap"]["mean"] == pytest.approx(0.075)
    less = optimism({"fold=0": 0.10}, {"fold=0": 0.15}, smaller=True)
    assert less["gap"]["mean"] == pytest.approx(0.05) and math.isnan(less["gap"]["low"])


def test_the_interval_is_that_of_the_corrected_resampled_t_test():
    """By hand: five values, 2.776 is the quantile of t with four degrees of freedom."""
    low, mean, high = corrected_interval([0.1, 0.2, 0.3, 0.2, 0.2])
    half = 2.776445 * math.sqrt(0.005 * (1 / 5 + 1 / 4))
    assert (low, mean, high) == pytest.approx((0.2 - half, 0.2, 0.2 + half), abs=1e-6)


def test_it_covers_the_gap_of_folds_that_share_their_training_patients():
    """Means of folds, correlated by what training sets of K folds share, 0.95 of the time within a few %."""
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((4000, 1)) * math.sqrt(1 / 5)  # correlation of 1/K, as the test assumes
    own = rng.standard_normal((4000, 5)) * math.sqrt(4 / 5)
    ends = [corrected_interval(row) for row in shared + own]
    assert 0.94 < np.mean([low <= 0 <= high for low, _, high in ends]) < 0.96
