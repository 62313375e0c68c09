"""Conformal sets are those of the textbook, and hold the true label as often as they say."""

import numpy as np
import pytest

from bcbm.statistics.conformal import conformal_p, label_sets


@pytest.mark.parametrize("count", [3, 9, 10, 37])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_with_one_fold_a_label_fits_below_the_quantile_of_the_textbook(count, coverage):
    """Angelopoulos and Bates (2021): the ceil((n + 1) c)-th smallest score, or all of them."""
    rng = np.random.default_rng(count)
    own, scores = rng.random(count), np.r_[rng.random(200), rng.random(count)]
    scores[200:] = own  # ties fit
    rank = int(np.ceil(round((count + 1) * coverage, 9)))
    fits = scores <= np.sort(own)[rank - 1] if rank <= count else np.ones(len(scores), bool)
    sets = label_sets(conformal_p([own], scores[None]), np.zeros(len(scores)), coverage)
    assert sets == ["positive" if fit else "neither" for fit in fits]


def test_over_folds_every_patient_is_compared_by_its_own_model():
    rng = np.random.default_rng(0)
    own, scores = [rng.random(size).round(1) for size in (5, 0, 8)], rng.random((3, 40)).round(1)
    counts = [sum(int((own[k] >= scores[k, n]).sum()) for k in range(3)) for n in range(40)]
    assert conformal_p(own, scores) == pytest.approx([(1 + count) / 14 for count in counts])


def test_the_words_of_a_set():
    assert label_sets([0.5, 0.5, 0.1, 0.05], [0.02, 0.3, 0.5, 0.1], 0.9) == [
        "positive",
        "undecided",
        "negative",
        "neither",
    ]


def test_each_class_is_covered_also_where_it_is_rare_and_the_model_is_wrong():
    """Whatever the scores mean: exchangeable patients of a class are covered as often as is said."""
    rng = np.random.default_rng(1)
    held = {"positive": [], "negative": []}
    for _ in range(400):
        labels = rng.random(150) < 0.2
        scores = rng.normal(labels * 1.0 + 2.0, 1.0)  # of being positive, on a scale of its own
        own, new = slice(0, 100), slice(100, 150)
        odd = {"positive": -scores, "negative": scores}
        p = {
            name: conformal_p([odd[name][own][labels[own] == (name == "positive")]], odd[name][new][None])
            for name in held
        }
        for name in held:
            held[name] += (p[name] > 0.1 + 1e-9)[labels[new] == (name == "positive")].tolist()
    assert 0.89 < np.mean(held["negative"]) < 0.93
    assert 0.89 < np.mean(held["positive"]) < 0.97  # 20 patients: the next step above 0.9 is 0.95
