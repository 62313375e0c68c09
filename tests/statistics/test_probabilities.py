"""Scores of probabilities against scikit-learn, and beside a model that knows the prevalence alone."""

import math

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import brier_score_loss, log_loss

from bcbm.statistics.calibration import calibration
from bcbm.statistics.probabilities import log_loss as our_log_loss
from bcbm.statistics.probabilities import probability_block, scaled_brier, training_labels, with_prevalence
from bcbm.statistics.summary import summarise

TARGETS = ["ER", "PR", "HER2"]


def predictions(patients: int = 80, repeats: int = 2, seed: int = 0) -> pd.DataFrame:
    """One or two lesions a patient, five folds a repeat; PR is missing of one in eight."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((patients, 3)) < [0.5, 0.3, 0.6]).astype(float)
    labels[::8, 1] = np.nan
    tables = []
    for repeat in range(repeats):
        fold = rng.permutation(patients) % 5 + 5 * repeat
        for column, target in enumerate(TARGETS):
            known = np.nan_to_num(labels[:, column], nan=0.5)
            p = np.clip(rng.normal(0.2 + 0.5 * known, 0.15), 0.01, 0.99)
            rows = pd.DataFrame({"patient_id": [f"P{n:03d}" for n in range(patients)], "fold": fold})
            rows = rows.assign(repeat=repeat, target=target, probability=p, label=labels[:, column])
            tables += [rows, rows[::2]]
    table = pd.concat(tables, ignore_index=True).assign(threshold=0.5, split_hash="abc")
    table["patient_probability"] = table["probability"]
    return table.assign(lesion_id=np.arange(len(table)))


@pytest.mark.parametrize("seed", range(5))
def test_log_loss_and_scaled_brier_equal_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, p = rng.integers(0, 2, 50), rng.uniform(0.001, 0.999, 50)
    assert our_log_loss(labels, p) == pytest.approx(log_loss(labels, p), abs=1e-12)
    rows = pd.DataFrame({"label": labels, "probability": p, "prevalence": rng.uniform(0.3, 0.4, 50)})
    expected = 1 - brier_score_loss(labels, p) / brier_score_loss(labels, rows["prevalence"])
    assert scaled_brier(rows) == pytest.approx(expected, abs=1e-12)
    assert our_log_loss([1, 0], [0.0, 0.5]) == pytest.approx((-math.log(1e-6) + math.log(2)) / 2)
    assert math.isnan(our_log_loss([], [])) and math.isnan(scaled_brier(rows.iloc[:0]))
    assert scaled_brier(rows.assign(probability=rows["prevalence"])) == 0


def test_a_fold_is_held_against_the_share_of_positives_among_its_own_training_patients() -> None:
    table = predictions()
    results = summarise(
        table, split={"unit": "patient", "hash": "abc"}, targets=TARGETS, resamples=20, seed=0
    )
    for target in TARGETS:
        once = table[table["target"] == target].drop_duplicates(["repeat", "patient_id"])
        once = once[once["label"].notna()].reset_index(drop=True)
        for fold in once["fold"].unique():
            repeat = fold // 5
            others = once[(once["repeat"] == repeat) & (once["fold"] != fold)]
            once.loc[once["fold"] == fold, "expected"] = others["label"].mean()
        block, repeats = results["receptors"][target]["patient"], [r for _, r in once.groupby("repeat")]
        pairs = [(r["label"], r["expected"]) for r in repeats]
        means = block["probabilities"]
        assert means["prevalence_brier"] == pytest.approx(
            np.mean([brier_score_loss(*pair) for pair in pairs])
        )
        assert means["prevalence_log_loss"] == pytest.approx(np.mean([log_loss(*pair) for pair in pairs]))
        assert means["prevalence"] == pytest.approx(once["expected"].mean())
        assert means["observed"] == pytest.approx(once["label"].mean())
        assert means["predicted"] == pytest.approx(once["probability"].mean())
        assert block["log_loss"] == pytest.approx(
            np.mean([log_loss(r["label"], r["probability"]) for r in repeats])
        )
        assert block["scaled_brier"] == pytest.approx(
            np.mean(
                [
                    1 - brier_score_loss(r["label"], r["probability"]) / brier_score_loss(*pair)
                    for r, pair in zip(repeats, pairs, strict=True)
                ]
            )
        )


def test_labels_of_training_that_the_table_does_not_hold_can_be_given() -> None:
    table = predictions(repeats=1)
    late = table[table["fold"] == 0]  # a holdout: one fold, whose training patients are tested nowhere
    words = {"split": {"unit": "patient", "hash": "abc"}, "targets": TARGETS, "resamples": 20, "seed": 0}
    unknown = summarise(late, **words)["receptors"]["ER"]["patient"]
    assert math.isnan(unknown["scaled_brier"]) and math.isfinite(unknown["log_loss"])
    training = training_labels(table)
    given = summarise(late, training=training, **words)
    rows = training.loc[training["fold"] == 0, "ER"]
    assert given["receptors"]["ER"]["patient"]["probabilities"]["prevalence"] == pytest.approx(rows.mean())
    assert math.isfinite(given["derived"]["HR"]["patient"]["scaled_brier"])


def test_hr_has_scores_and_calibration_of_its_own() -> None:
    table = predictions(200)
    words = {"split": {"unit": "patient", "hash": "abc"}, "targets": TARGETS, "resamples": 20, "seed": 0}
    block = summarise(table, **words)["derived"]["HR"]["patient"]
    assert block["scaled_brier"] > 0.2 and block["brier"] < block["probabilities"]["prevalence_brier"]
    assert math.isfinite(block["calibration"]["slope"])


def test_rows_of_a_fold_without_training_labels_have_no_prevalence() -> None:
    rows = pd.DataFrame({"fold": [0, 1], "target": "ER", "label": 1.0, "probability": 0.6, "repeat": 0})
    training = pd.DataFrame({"fold": [0, 0, 0], "ER": [1.0, 0.0, np.nan]})
    known = with_prevalence(rows, training)["prevalence"]
    assert known[0] == 0.5 and math.isnan(known[1])
    assert math.isnan(probability_block(rows.assign(prevalence=known))["prevalence_brier"])
    assert math.isnan(calibration(rows["label"], rows["probability"])[0])
