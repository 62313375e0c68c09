"""Stability of chosen columns: the formulas of the paper written out a second time, and what they say."""

import math
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest

from bcbm.statistics.stability import stability, stability_block


def literal(chosen):
    """Definition 4, theorem 7 and corollary 9 of Nogueira et al., sum by sum over lists."""
    m, d = len(chosen), len(chosen[0])
    p = [sum(row[f] for row in chosen) / m for f in range(d)]
    k = [sum(row) for row in chosen]
    mean_k = sum(k) / m
    variance = sum(m / (m - 1) * p[f] * (1 - p[f]) for f in range(d)) / d
    by_chance = mean_k / d * (1 - mean_k / d)
    phi_hat = 1 - variance / by_chance
    phi = []
    for i in range(m):
        shared = sum(chosen[i][f] * p[f] for f in range(d)) / d
        inner = 2 * k[i] * mean_k / d**2 - k[i] / d - mean_k / d + 1
        phi.append((shared - k[i] * mean_k / d**2 + phi_hat / 2 * inner) / by_chance)
    spread = math.sqrt(4 / m**2 * sum((value - sum(phi) / m) ** 2 for value in phi))
    half = NormalDist().inv_cdf(0.975) * spread
    return phi_hat, phi_hat - half, min(1.0, phi_hat + half)


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_formulas_written_out(seed):
    rng = np.random.default_rng(seed)
    liked = rng.random(30) ** 2
    chosen = (rng.random((int(rng.integers(2, 16)), 30)) < liked).astype(int)
    assert stability(chosen) == pytest.approx(literal(chosen.tolist()))


def test_always_the_same_is_1_and_drawn_by_lot_is_near_0():
    same = np.tile([1, 1, 0, 0, 0, 1], (5, 1))
    assert stability(same) == (1, 1, 1)
    rng = np.random.default_rng(0)
    lots = np.stack([rng.permutation(np.arange(200) < 20) for _ in range(40)])
    value, low, high = stability(lots)
    assert low < value < high and abs(value) < 0.03
    every_other = np.array([[1, 0], [0, 1]])  # two that never agree: as far below chance as can be
    assert stability(every_other)[0] == pytest.approx(-1)


def test_where_nothing_is_chosen_there_is_no_stability():
    for chosen in (np.ones((4, 5)), np.zeros((4, 5)), np.eye(3)[:1], np.zeros((3, 0))):
        assert all(math.isnan(value) for value in stability(chosen))


def test_the_interval_holds_the_stability_of_the_procedure():
    rng, covered = np.random.default_rng(1), 0
    liked = np.r_[np.full(5, 0.9), np.full(15, 0.2), np.full(80, 0.02)]
    share = liked.mean()
    truth = 1 - np.mean(liked * (1 - liked)) / (share * (1 - share))
    for _ in range(300):
        _, low, high = stability(rng.random((100, 100)) < liked)
        covered += low <= truth <= high
    assert 0.9 < covered / 300 < 0.99


def test_the_block_names_the_columns_by_how_often_they_were_chosen():
    chosen = pd.DataFrame({"a": [0, 0, 0, 0], "b": [1, 0, 0, 0], "c": [1, 1, 1, 0]}).astype(bool)
    block = stability_block(chosen)
    assert block["frequency"] == [("c", 0.75), ("b", 0.25)]
    assert (block["folds"], block["candidates"], block["chosen"]) == (4, 3, 1.0)
    assert block["stability"] == stability(chosen)[0]
