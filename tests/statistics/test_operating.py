import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score, roc_curve

from bcbm.statistics.decision import net_benefit, net_benefit_interval, sensible_thresholds
from bcbm.statistics.operating import operating_intervals, operating_point, youden_threshold
from bcbm.statistics.resampling import resampled_counts


@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_has_the_best_youden_of_the_roc_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 40)]
    scores = (0.3 * labels + rng.uniform(0, 0.7, 42)).round(1)
    called = scores >= youden_threshold(labels, scores)
    youden = recall_score(labels, called) + recall_score(labels, called, pos_label=0) - 1
    false, true, _ = roc_curve(labels, scores)
    assert youden == pytest.approx(max(true[1:-1] - false[1:-1]), abs=1e-12)


def test_the_threshold_lies_midway_between_scores() -> None:
    assert youden_threshold([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.9]) == pytest.approx(0.4)


def test_of_equally_good_thresholds_the_middle_one_is_taken() -> None:
    # 0.15, 0.35 and 0.55 all have sensitivity + specificity - 1 = 1/3
    assert youden_threshold([0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) == pytest.approx(0.35)


def test_neighbouring_floats_are_still_told_apart() -> None:
    low = 0.3
    for _ in range(2):  # halfway is rounded down once and up once
        high = np.nextafter(low, 1)
        assert low < youden_threshold([0, 1], [low, high]) <= high
        low = high


def test_a_threshold_needs_both_classes_but_not_two_scores() -> None:
    for labels in ([], [1, 1], [0, 0, 0]):
        assert math.isnan(youden_threshold(labels, np.linspace(0, 1, len(labels))))
    assert youden_threshold([0, 1, 1], [0.4, 0.4, 0.4]) == 0.4


@pytest.mark.parametrize("seed", range(5))
def test_an_operating_point_equals_sklearn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, called = rng.integers(0, 2, 50), rng.integers(0, 2, 50).astype(bool)
    assert operating_point(labels, called) == pytest.approx(
        {
            "sensitivity": recall_score(labels, called),
            "specificity": recall_score(labels, called, pos_label=0),
            "f1": f1_score(labels, called),
            "ppv": precision_score(labels, called),
            "npv": precision_score(labels, called, pos_label=0),
        }
    )


def test_what_there_is_nothing_to_divide_by_is_undefined() -> None:
    def undefined(labels: list[int], called: list[bool]) -> set[str]:
        return {name for name, value in operating_point(labels, called).items() if math.isnan(value)}

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert undefined([1, 1], [True, False]) == {"specificity"}
        assert undefined([0, 0], [False, False]) == {"sensitivity", "f1", "ppv"}
        assert undefined([0, 1], [True, True]) == {"npv"}
        assert len(undefined([], [])) == 5


def test_intervals_equal_a_plain_loop_over_drawn_patients() -> None:
    rng = np.random.default_rng(0)
    patients, repeats = np.tile(np.arange(15), 3), np.repeat(np.arange(3), 15)
    labels = patients % 2
    called = rng.uniform(size=45) < 0.3 + 0.4 * labels
    statistics = []
    for drawn in resampled_counts(np.random.default_rng(4), 15, 200):
        rows = [np.repeat(np.flatnonzero(repeats == r), drawn) for r in range(3)]
        statistics.append([list(operating_point(labels[repeat], called[repeat]).values()) for repeat in rows])
    expected = np.nanpercentile(np.mean(statistics, axis=1), [2.5, 97.5], axis=0).T
    intervals = operating_intervals(labels, called, patients, 200, 4, repeats)
    assert np.array(list(intervals.values())) == pytest.approx(expected, abs=1e-12)
    assert list(intervals) == list(operating_point(labels, called))


def test_intervals_of_nobody_are_undefined() -> None:
    intervals = operating_intervals([], [], [], 20, 0, [])
    assert all(math.isnan(value) for pair in intervals.values() for value in pair)


def test_net_benefit_by_hand() -> None:
    # 4 of 10 are positive. At 0.2, a false positive costs 1/4: 4 found and 3 false, (4 - 3/4) / 10.
    labels = [1, 1, 1, 1, 0, 0, 0, 0, 0, 0]
    scores = [0.9, 0.8, 0.6, 0.2, 0.7, 0.5, 0.3, 0.1, 0.1, 0.1]
    table = net_benefit(labels, scores, [0, 0.2, 0.5, 0.75])
    assert table["threshold"].tolist() == [0, 0.2, 0.5, 0.75]
    assert table["model"].tolist() == pytest.approx([0.4, 0.325, (3 - 2) / 10, 2 / 10])
    assert table["all"].tolist() == pytest.approx([0.4, 0.4 - 0.6 / 4, 0.4 - 0.6, 0.4 - 0.6 * 3])
    assert table["none"].tolist() == [0, 0, 0, 0]


def test_treating_all_is_worth_nothing_at_the_prevalence_and_no_policy_beats_a_perfect_model() -> None:
    labels = np.arange(50) % 5 == 0
    assert net_benefit(labels, np.zeros(50), [0.2])["all"].item() == pytest.approx(0, abs=1e-15)
    thresholds = np.linspace(0.01, 0.99, 50)
    assert net_benefit(labels, labels, thresholds)["model"].to_numpy() == pytest.approx(np.full(50, 0.2))


@pytest.mark.parametrize("thresholds", [[1.0], [-0.1], [0.5, np.nan]])
def test_a_threshold_that_has_no_price_is_an_error(thresholds: list[float]) -> None:
    with pytest.raises(ValueError, match=r"lie in \[0, 1\)"):
        net_benefit([0, 1], [0.1, 0.2], thresholds)


def test_net_benefit_of_nobody_is_undefined() -> None:
    table = net_benefit([], [], [0.1, 0.5])
    assert table[["model", "all"]].isna().all(axis=None)


def test_the_interval_of_a_decision_curve_equals_a_plain_loop_over_drawn_patients() -> None:
    rng = np.random.default_rng(0)
    patients, repeats, thresholds = np.tile(np.arange(25), 2), np.repeat([0, 1], 25), [0.1, 0.35, 0.6]
    labels = (np.arange(50) % 25 % 3 == 0).astype(float)
    probability = np.clip(0.3 + 0.3 * labels + rng.normal(0, 0.2, 50), 0, 1)
    rows = pd.DataFrame(
        {"patient_id": patients, "repeat": repeats, "label": labels, "probability": probability}
    )
    statistics = []
    for counts in resampled_counts(np.random.default_rng(7), 25, 80):
        by_repeat = []
        for repeat in (0, 1):
            drawn = np.repeat(np.flatnonzero(repeats == repeat), counts)
            tp = [((probability[drawn] >= t) & (labels[drawn] == 1)).sum() for t in thresholds]
            fp = [((probability[drawn] >= t) & (labels[drawn] == 0)).sum() for t in thresholds]
            worth = [(a - b * t / (1 - t)) / 25 for a, b, t in zip(tp, fp, thresholds, strict=True)]
            by_repeat.append(worth)
        statistics.append(np.mean(by_repeat, axis=0))
    expected = np.percentile(statistics, [2.5, 97.5], axis=0)
    assert np.array(net_benefit_interval(rows, thresholds, 80, 7)) == pytest.approx(expected, abs=1e-12)
    curve = net_benefit(labels, probability, thresholds)["model"].to_numpy()
    low, high = net_benefit_interval(rows, thresholds, 500, 0)
    assert ((low < curve) & (curve < high)).all()


@pytest.mark.parametrize("prevalence", [0.1, 0.36, 0.5, 0.8])
def test_sensible_thresholds_lie_around_the_prevalence(prevalence: float) -> None:
    thresholds = sensible_thresholds(prevalence)
    odds = thresholds / (1 - thresholds) / (prevalence / (1 - prevalence))
    assert (odds.min(), odds.max()) == pytest.approx((1 / 3, 3))
    assert ((thresholds > 0) & (thresholds < 1)).all() and thresholds[0] < prevalence < thresholds[-1]
    assert not any(map(len, map(sensible_thresholds, (0.0, 1.0, math.nan))))
