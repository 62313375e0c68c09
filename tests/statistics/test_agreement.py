"""The intraclass correlation, held against its published example."""

import numpy as np
import pytest

from bcbm.statistics.agreement import icc

# Shrout and Fleiss, Psychological Bulletin 86:420, 1979, table 2: four judges of six targets; ICC(1,1) = .17.
RATINGS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def test_it_is_case_1_of_shrout_and_fleiss():
    (value,) = icc(RATINGS[:, :, None], np.ones(6))
    assert value == pytest.approx(0.17, abs=0.005)
    assert icc(RATINGS[:, :, None], np.full(6, 0.25))[0] == pytest.approx(value)


def test_what_does_not_depend_on_the_measurement_is_1_and_what_does_alone_is_none():
    rng = np.random.default_rng(0)
    lesions, noise = rng.normal(size=(400, 1)), rng.normal(size=(400, 4))
    values = np.stack([np.repeat(lesions, 4, axis=1), noise, lesions + noise, np.ones((400, 4))], axis=2)
    same, none, half, constant = icc(values, np.ones(400))
    assert same == pytest.approx(1) and abs(none) < 0.1 and half == pytest.approx(0.5, abs=0.07)
    assert np.isnan(constant)


def test_a_lesion_without_a_value_is_left_out_and_weights_count_lesions():
    values = np.repeat(RATINGS[:, :, None], 2, axis=2)
    values[0, 1, 1] = np.nan
    whole, part = icc(values, np.ones(6))
    assert part == pytest.approx(icc(RATINGS[1:, :, None], np.ones(5))[0]) != whole
    assert np.isnan(icc(values[:1], np.ones(1))).all()
    light = icc(values, np.array([1e-9, 1, 1, 1, 1, 1]))[0]
    without = RATINGS[1:]
    between = (
        4 * ((without.mean(axis=1) - without.mean()) ** 2).sum() / 5 * 6 / 5
    )  # six lesions, five of weight
    within = ((without - without.mean(axis=1, keepdims=True)) ** 2).sum() / 15
    assert light == pytest.approx((between - within) / (between + 3 * within))
