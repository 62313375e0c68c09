import itertools
import math

import numpy as np
import pandas as pd
import pytest
from benchmarks.cohorts import Cell, cohorts, fitted, in_training
from scipy.special import expit
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from bcbm.baselines.models import fit_model
from bcbm.config.schema.training import Baseline
from bcbm.statistics.area import (
    Area,
    contrast,
    cross_validated_area,
    holding_models_fixed,
    newcombe_variance,
    placements,
)


def rows_of(signal=1.0, patients=60, repeats=2, folds=5, seed=0):
    """Patients of one target, as a cross-validation predicts them."""
    rng = np.random.default_rng(seed)
    labels = (np.arange(patients) % 3 == 0).astype(float)
    tables = []
    for repeat in range(repeats):
        fold = repeat * folds + (np.arange(patients) // 3) % folds
        table = pd.DataFrame(
            {"repeat": repeat, "fold": fold, "patient_id": [f"P{i}" for i in range(patients)]}
        )
        tables.append(
            table.assign(label=labels, probability=expit(signal * labels + rng.normal(size=patients)))
        )
    return pd.concat(tables).sample(frac=1, random_state=seed)


def alone(area):
    return contrast([area], [1.0], 0.5)


def test_the_estimate_is_the_mean_over_folds_that_have_both_classes():
    rows = rows_of()
    one_class = rows[(rows["fold"] != 3) | (rows["label"] == 1)]
    for table, left_out in ((rows, set()), (one_class, {3})):
        by_fold = [
            roc_auc_score(fold["label"], fold["probability"])
            for number, fold in table.groupby("fold")
            if number not in left_out
        ]
        area = cross_validated_area(table)
        assert area.auroc == pytest.approx(np.mean(by_fold))
        assert len(area.positives) == len(area.negatives) == 10 - len(left_out)
    assert math.isnan(alone(cross_validated_area(rows.assign(label=1.0))).estimate)
    assert math.isnan(alone(cross_validated_area(rows[:0])).p)


def test_the_variance_is_that_of_a_rank_sum_at_chance_and_hanley_and_mcneils_for_equal_classes():
    for positives, negatives in ((20, 20), (34, 68), (5, 200)):
        exact = (positives + negatives + 1) / (12 * positives * negatives)
        assert newcombe_variance(0.5, positives, negatives) == pytest.approx(exact)
    for auroc in (0.6, 0.8, 0.95):
        two_positives, two_negatives = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc)
        both = 29 * (two_positives - auroc**2) + 29 * (two_negatives - auroc**2)
        assert newcombe_variance(auroc, 30, 30) == pytest.approx((auroc * (1 - auroc) + both) / 900)
    # Radiology 143:29, 1982: 51 abnormal and 58 normal images, area 0.893, standard error 0.032.
    assert math.sqrt(newcombe_variance(0.893, 51, 58)) == pytest.approx(0.032, abs=6e-4)


def test_five_folds_without_signal_count_every_pair_of_two_folds_twice():
    """The fold means of a classifier by the distance of class means, drawn 4,000 times without signal."""
    rng, patients, folds, estimates, alone_in_folds = np.random.default_rng(1), 40, 5, [], []
    labels, fold = np.arange(patients) % 2, np.arange(patients) // 2 % folds
    for _ in range(4000):
        columns = rng.normal(size=(patients, 30))
        aurocs, pairs = [], []
        for number in range(folds):
            out = fold == number
            away = columns[~out], labels[~out]
            direction = away[0][away[1] == 1].mean(0) - away[0][away[1] == 0].mean(0)
            score = columns[out] @ direction
            above = score[labels[out] == 1][:, None] > score[labels[out] == 0]
            aurocs.append(above.mean())
            pairs.append(newcombe_variance(0.5, 4, 4))
        estimates.append(np.mean(aurocs))
        alone_in_folds.append(np.mean(pairs) / folds)
    rows = pd.DataFrame({"repeat": 0, "fold": fold, "patient_id": np.arange(patients).astype(str)})
    area = cross_validated_area(rows.assign(label=labels, probability=rng.random(patients)))
    assert holding_models_fixed(area).variance(0.5) == pytest.approx(np.mean(alone_in_folds))
    assert area.variance(0.5) / holding_models_fixed(area).variance(0.5) == pytest.approx(1.8)
    assert np.var(estimates) == pytest.approx(area.variance(0.5), rel=0.08)


@pytest.mark.parametrize(("signal", "null"), [(0.0, 0.5), (1.0, 0.5), (1.0, 0.7), (8.0, 0.5)])
def test_the_interval_holds_the_values_that_the_test_does_not_refuse(signal, null):
    area = cross_validated_area(rows_of(signal))
    tested = contrast([area], [1.0], null)
    values = np.linspace(0, 1, 20_001)
    distance = np.abs(area.auroc - values)
    within = values[distance <= norm.ppf(0.975) * np.sqrt([area.variance(value) for value in values])]
    assert (tested.low, tested.high) == pytest.approx((within.min(), within.max()), abs=1e-4)
    assert (tested.p < 0.05) == (not tested.low <= null <= tested.high)
    assert 0 <= tested.low < 1 and tested.low < tested.high


def test_without_a_wrong_pair_the_interval_still_has_a_width():
    rows = rows_of()
    perfect = alone(cross_validated_area(rows.assign(probability=0.2 + 0.6 * rows["label"])))
    assert perfect.estimate == perfect.high == 1 and 0.8 < perfect.low < 0.98
    wrong = alone(cross_validated_area(rows.assign(probability=0.8 - 0.6 * rows["label"])))
    assert (wrong.estimate, wrong.low, wrong.high) == pytest.approx((0, 0, 1 - perfect.low))


def test_equal_scores_are_chance_with_a_p_of_one():
    tested = alone(cross_validated_area(rows_of().assign(probability=0.3)))
    assert (tested.estimate, tested.p) == (0.5, 1.0) and tested.low < 0.5 < tested.high


def test_a_difference_is_antisymmetric_and_nothing_between_equal_experiments():
    first, second = (cross_validated_area(rows_of(signal, seed=seed)) for signal, seed in ((2, 1), (0, 2)))
    there, back = contrast([first, second], [1, -1], 0), contrast([second, first], [1, -1], 0)
    assert (there.estimate, there.low, there.high) == pytest.approx((-back.estimate, -back.high, -back.low))
    assert there.p == pytest.approx(back.p) and there.estimate == pytest.approx(first.auroc - second.auroc)
    same = contrast([first, first], [1, -1], 0)
    assert (same.estimate, same.low, same.high, same.p) == pytest.approx((0, 0, 0, 1), abs=1e-6)


def test_equally_good_experiments_seldom_differ_where_there_is_signal():
    """Without counting all that is left of a difference as degenerate it was 8 % here."""
    pairs = [
        [cross_validated_area(one.rows) for one in pair]
        for pair in cohorts(Cell(40, 0.7, 0.5), 300, 7, views=2)
    ]
    assert np.mean([contrast(pair, [1, -1], 0).p < 0.05 for pair in pairs]) < 0.06
    area = pairs[0][0]
    fixed = holding_models_fixed(area)
    for at in (0.5, 0.9):
        beside = area.variance(at, summed=True, compared=True)
        assert beside / fixed.variance(at) == pytest.approx(2, rel=1e-3)
        assert beside > area.variance(at)


def test_experiments_that_err_alike_are_told_apart_more_easily():
    rows = rows_of(1.0)
    rng = np.random.default_rng(3)
    alike = rows.assign(probability=rows["probability"] + 0.02 * rng.normal(size=len(rows)))
    other = rows_of(1.0, seed=9)
    widths = []
    for against in (alike, other):
        difference = contrast([cross_validated_area(rows), cross_validated_area(against)], [1, -1], 0)
        widths.append(difference.high - difference.low)
    assert widths[0] < widths[1] / 2


def test_the_mean_of_targets_is_surer_the_less_they_move_together():
    areas = [cross_validated_area(rows_of(1.0, seed=seed)) for seed in range(3)]
    together = contrast([areas[0]] * 3, [1 / 3] * 3, 0.5)
    single = alone(areas[0])
    assert together.estimate == single.estimate and single.high < together.high < single.high + 0.02
    apart = contrast(areas, [1 / 3] * 3, 0.5)
    assert apart.estimate == pytest.approx(np.mean([area.auroc for area in areas]))
    assert apart.high - apart.low < 0.75 * (single.high - single.low)


def test_influences_are_how_far_a_patient_moves_the_mean():
    rows = rows_of(repeats=1)
    area = cross_validated_area(rows)
    for patient in ("P0", "P1", "P17"):
        fold = rows[rows["fold"] == rows.loc[rows["patient_id"] == patient, "fold"].iloc[0]]
        owner = fold[fold["patient_id"] == patient].iloc[0]
        others = fold[fold["label"] != owner["label"]]["probability"]
        sign = 1 if owner["label"] else -1
        right = (sign * (owner["probability"] - others) > 0).mean()
        count = (fold["label"] == owner["label"]).sum()
        assert area.influence[patient] == pytest.approx((right - area.auroc) / count / 5)
    labels, scores = np.array([1, 0, 1, 0, 0]), np.array([3, 1, 2, 2, 5])
    expected = [
        np.mean(
            [(s > t) + (s == t) / 2 if label else (s < t) + (s == t) / 2 for t in scores[labels != label]]
        )
        for label, s in zip(labels, scores, strict=True)
    ]
    assert placements(labels, scores) == pytest.approx(expected)


def test_lesions_of_a_patient_are_not_counted_as_patients():
    patients = rows_of(1.0, repeats=1)
    copied = pd.concat([patients] * 7)
    one, many = cross_validated_area(patients), cross_validated_area(copied)
    assert one.design == 1 and many.design == pytest.approx(7)
    assert many.auroc == pytest.approx(one.auroc)
    narrow, wide = alone(many), alone(one)
    assert wide.high - wide.low == pytest.approx(narrow.high - narrow.low, rel=0.12)


def test_repeats_average_partitions_and_not_patients():
    sizes = np.full(5, 6.0), np.full(5, 14.0)
    once = Area(0.6, *sizes, 1, 0.8, pd.Series(dtype=float))
    often = Area(0.6, *(np.tile(size, 40) for size in sizes), 40, 0.8, pd.Series(dtype=float))
    fixed = holding_models_fixed(once).variance(0.5)
    assert once.variance(0.5) / fixed == pytest.approx(1.8)
    assert often.variance(0.5) / fixed == pytest.approx(1.8 * (0.8 + 0.2 / 40))
    assert holding_models_fixed(often).variance(0.7) == pytest.approx(
        holding_models_fixed(once).variance(0.7)
    )


def test_the_simulation_fits_what_the_program_fits():
    cell = Cell(60, 0.7, 0.3)
    (validated,) = next(cohorts(cell, 1, 0))
    train = in_training(cell, validated.folds, validated.patients)
    coefficients, intercepts = fitted(validated.columns, validated.labels, train)
    raw = np.sign(validated.columns) * np.expm1(np.abs(validated.columns))  # what the signed log undoes
    columns = pd.DataFrame(raw, columns=[f"f{number}" for number in range(raw.shape[1])])
    for number, weight in itertools.islice(enumerate(train), 2):
        rows = weight > 0
        positives = validated.labels[rows].sum()
        balanced = weight * np.where(validated.labels == 1, (rows.sum() - positives) / positives, 1)
        model, _ = fit_model(
            "logistic_l2",
            Baseline(),
            columns,
            validated.labels,
            balanced,
            pd.Series(validated.patients.astype(str)),
            0,
        )
        probability = model.predict(columns.iloc[:60])
        ours = expit(validated.columns @ coefficients[number] + intercepts[number])
        assert ours == pytest.approx(probability, abs=5e-3)  # its solver stops early
