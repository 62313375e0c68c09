"""Scores to probabilities: what is undone, what is fitted, and that no order changes."""

import math
import warnings
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from bcbm.statistics.metrics import auroc
from bcbm.statistics.recalibration import Calibrator, fit_calibrator, unweighted

KINDS = ("none", "prior", "logistic", "isotonic")


def scores(count: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, a third of them positive and one of ten missing, and scores that know something."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(count) < 1 / 3).astype(float)
    probability = expit(1.5 * labels + rng.normal(0, 1.2, count))
    return np.where(rng.random(count) < 0.1, np.nan, labels), probability


def test_an_undone_class_weight_is_a_fit_without_one() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (4000, 2)).astype(float)
    cells = x[:, :1] * 2 + x[:, 1:]  # one coefficient a cell, so that the model is right and both fits agree
    x = (cells == np.arange(4)).astype(float)
    labels = rng.random(4000) < expit(x @ [-2.5, -1.5, -1, 0.5])
    weight = (~labels).sum() / labels.sum()
    plain, weighed = (
        LogisticRegression(C=np.inf, class_weight={0: 1, 1: w}, tol=1e-10, max_iter=1000).fit(x, labels)
        for w in (1, weight)
    )
    undone = unweighted(weighed.predict_proba(x)[:, 1], weight)
    assert weighed.predict_proba(x)[:, 1].mean() > labels.mean() + 0.1
    assert undone == pytest.approx(plain.predict_proba(x)[:, 1], abs=1e-6)
    assert undone.mean() == pytest.approx(labels.mean(), abs=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 2.0, 5.0])
@pytest.mark.parametrize("weight", [1.0, 3.0])
def test_the_focal_loss_is_undone_where_it_is_least(gamma: float, weight: float) -> None:
    for truth in (0.03, 0.3, 0.5, 0.9):

        def loss(x: float, truth: float = truth) -> float:
            p = expit(x)
            positive = -weight * (1 - p) ** gamma * np.log(p)
            return truth * positive - (1 - truth) * p**gamma * np.log1p(-p)

        said = expit(minimize_scalar(loss, bounds=(-12, 12), method="bounded", options={"xatol": 1e-9}).x)
        assert unweighted([said], weight, gamma).item() == pytest.approx(truth, abs=1e-5)
    assert unweighted([0.2, 0.7], weight, 1e-9) == pytest.approx(unweighted([0.2, 0.7], weight), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_a_map_keeps_the_order_and_travels_as_plain_numbers(kind: str, gamma: float) -> None:
    labels, probability = scores()
    calibrator = fit_calibrator(kind, labels, probability, 2.5, gamma)
    grid = np.r_[0, np.linspace(1e-4, 1 - 1e-4, 400), 1]
    values = calibrator(grid)
    assert ((values >= 0) & (values <= 1)).all()
    steps = [b - a for a, b in pairwise(values)]
    assert min(steps) >= 0 if kind == "isotonic" else min(steps) > 0
    again = Calibrator(**asdict(calibrator))
    assert np.array_equal(again(grid), values)
    known = ~np.isnan(labels)
    if kind != "isotonic":
        before, after = auroc(labels[known], probability[known]), calibrator(probability[known])
        assert auroc(labels[known], after) == before


def test_a_model_against_the_labels_is_flattened_and_not_turned_round() -> None:
    labels, probability = scores(300, seed=3)
    calibrator = fit_calibrator("logistic", labels, 1 - probability, 1.0)
    assert 0 < calibrator.slope < 0.1
    assert calibrator([0.2]) < calibrator([0.8])


def test_logistic_is_the_penalised_optimum_and_that_of_scikit_learn_with_many_patients() -> None:
    labels, probability = scores()
    known = ~np.isnan(labels)
    x, y = logit(unweighted(probability[known], 2.0)), labels[known]

    def loss(line: np.ndarray) -> float:
        p = expit(line[0] * x + line[1])
        likelihood = np.sum(y * np.log(p) + (1 - y) * np.log(1 - p))
        return -likelihood + ((line[0] - 1) ** 2 + line[1] ** 2) / (2 * 0.5**2)

    best = minimize(loss, [0.5, 0.5], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).x
    calibrator = fit_calibrator("logistic", labels, probability, 2.0)
    assert (calibrator.slope, calibrator.intercept) == pytest.approx(tuple(best), abs=1e-5)
    labels, probability = scores(20_000)
    known = ~np.isnan(labels)
    x, y = logit(probability[known])[:, None], labels[known]
    base = LogisticRegression(C=np.inf).fit(x, y)
    sigmoid = CalibratedClassifierCV(FrozenEstimator(base), method="sigmoid").fit(x, y)
    ours = fit_calibrator("logistic", labels, probability, 2.0)(probability[known])
    assert ours == pytest.approx(sigmoid.predict_proba(x)[:, 1], abs=0.002)


def test_isotonic_is_that_of_scikit_learn_with_ties_and_beyond_the_ends() -> None:
    labels, probability = scores(80)
    probability = probability.round(1)
    known = ~np.isnan(labels)
    x, y = probability[known][:, None], labels[known]

    class Score(LogisticRegression):
        def decision_function(self, X):
            return np.asarray(X)[:, 0]

    base = FrozenEstimator(Score().fit(x, y))
    isotonic = CalibratedClassifierCV(base, method="isotonic").fit(x, y)
    grid = np.linspace(0, 1, 41)
    expected = isotonic.predict_proba(grid[:, None])[:, 1]
    assert fit_calibrator("isotonic", labels, probability, 1.0)(grid) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("labels", [[1.0, 1.0], [0.0, np.nan], [np.nan, np.nan], []])
def test_validation_patients_of_one_class_leave_what_is_exact(labels: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in ("prior", "logistic", "isotonic"):
            calibrator = fit_calibrator(kind, labels, np.full(len(labels), 0.4), 3.0)
            assert calibrator([0.75]).item() == pytest.approx(0.5)
        assert fit_calibrator("none", labels, np.full(len(labels), 0.4), 3.0)([0.75]).item() == 0.75


def test_few_patients_move_a_curve_less_than_many() -> None:
    few = fit_calibrator("logistic", [0.0, 1.0], [0.6, 0.4], 1.0)
    many = fit_calibrator("logistic", [0.0, 1.0] * 200, [0.6, 0.4] * 200, 1.0)
    assert 1 > few.slope > many.slope
    assert all(map(math.isfinite, (few.slope, few.intercept, many.slope, many.intercept)))
