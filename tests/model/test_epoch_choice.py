"""Which epoch is kept, and when a fold stops."""

import numpy as np
import pytest

from bcbm.config.schema.training import Trainer
from bcbm.model.epoch_choice import EpochChoice

NOISY = [0.5, 0.9, 0.5, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.69]


def chosen(scores, **settings):
    """The number of the epoch kept, counted from 1, and of epochs trained."""
    choice = EpochChoice(Trainer(max_epochs=len(scores), **settings))
    for score in scores:
        choice.better(score)
        if choice.exhausted:
            break
    return choice.epoch + 1, len(choice.scores)


def test_a_single_lucky_epoch_wins_only_without_smoothing():
    free = {"min_epochs": 1, "patience": 99}
    assert chosen(NOISY, smoothing=1, **free) == (2, 10)
    assert chosen(NOISY, smoothing=3, **free)[0] == 2  # at the start there is little to average
    assert chosen(NOISY, smoothing=3, min_epochs=4, patience=99) == (8, 10)


def test_the_epoch_kept_has_the_highest_trailing_mean_from_the_floor_on():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores, window, floor = rng.random(20).tolist(), int(rng.integers(1, 7)), int(rng.integers(1, 21))
        means = np.convolve(scores, np.ones(window), "full")[:20] / np.minimum(np.arange(1, 21), window)
        expected = floor + int(np.argmax(means[floor - 1 :]))
        assert chosen(scores, smoothing=window, min_epochs=floor, patience=99)[0] == expected


@pytest.mark.parametrize(("floor", "first"), [(None, 8), (3, 3), (10, 10), (99, 10)])
def test_no_epoch_before_the_floor_is_kept_and_a_floor_beyond_the_end_keeps_the_last(floor, first):
    falling = np.linspace(0.9, 0.5, 10).tolist()
    assert chosen(falling, smoothing=1, min_epochs=floor, patience=99) == (first, 10)


def test_patience_is_counted_from_the_epoch_kept():
    falling = np.linspace(0.9, 0.5, 20).tolist()
    assert chosen(falling, smoothing=1, min_epochs=1, patience=4) == (1, 5)
    assert chosen(falling, smoothing=1, min_epochs=6, patience=4) == (6, 10)
    still = [0.7] * 20  # epochs alike: the first of them, and no waiting for more
    assert chosen(still, smoothing=5, min_epochs=6, patience=4) == (6, 10)
