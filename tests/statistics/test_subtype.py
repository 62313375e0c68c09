import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

from bcbm.statistics.calibration import calibration
from bcbm.statistics.metrics import brier
from bcbm.statistics.probabilities import training_labels
from bcbm.statistics.subtype import (
    SUBTYPES,
    association,
    derived,
    joint,
    labels_of,
    sign_counts,
    subtype_figures,
)

UNKNOWN = np.nan
NOBODY = pd.DataFrame(columns=["fold", "ER", "PR", "HER2"], dtype=float)  # trained on: independence


def predictions(patients: list[tuple[float, float, float]], repeats: int = 1, seed: int = 0) -> pd.DataFrame:
    """Two lesions a patient; labels are of ER, PR and HER2."""
    rng = np.random.default_rng(seed)
    rows = []
    for repeat in range(repeats):
        for patient, labels in enumerate(patients):
            for target, label in zip(["ER", "PR", "HER2"], labels, strict=True):
                p = np.clip(rng.normal(0.35 + 0.3 * np.nan_to_num(label), 0.2), 0, 1)
                row = {"repeat": repeat, "fold": repeat, "patient_id": f"P{patient}", "target": target}
                rows += [row | {"patient_probability": p, "label": label}] * 2
    return pd.DataFrame(rows)


def everyone(number: int = 60, repeats: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(9)
    return predictions([tuple(map(float, rng.integers(0, 2, 3))) for _ in range(number)], repeats)


def test_hr_is_positive_if_either_is_and_negative_only_if_both_are_known() -> None:
    truth = {
        (1, 1): 1,
        (1, 0): 1,
        (0, 1): 1,
        (0, 0): 0,
        (1, UNKNOWN): 1,
        (UNKNOWN, 1): 1,
        (0, UNKNOWN): UNKNOWN,
        (UNKNOWN, 0): UNKNOWN,
        (UNKNOWN, UNKNOWN): UNKNOWN,
    }
    table = derived(predictions([(*pair, 1.0) for pair in truth]), NOBODY).set_index("patient_id")
    for patient, expected in enumerate(truth.values()):
        assert table.loc[f"P{patient}", "label"] == pytest.approx(expected, nan_ok=True)


def test_a_subtype_needs_hr_and_her2() -> None:
    labels = [(1, 0, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0), (1, UNKNOWN, 1), (0, UNKNOWN, 1), (1, 1, UNKNOWN)]
    subtypes = derived(predictions(labels), NOBODY).sort_values("patient_id")["subtype"]
    expected = [*SUBTYPES, "HR+/HER2+", None, None]
    assert [None if pd.isna(value) else value for value in subtypes] == expected


def test_without_training_labels_targets_are_independent_and_probabilities_sum_to_one() -> None:
    table = predictions([(1, 0, 1)])
    table["patient_probability"] = table["target"].map({"ER": 0.5, "PR": 0.2, "HER2": 0.1})
    row = derived(table, NOBODY).iloc[0]
    assert row["probability"] == pytest.approx(0.6)
    assert row[SUBTYPES].tolist() == pytest.approx([0.54, 0.06, 0.04, 0.36])
    sums = derived(everyone(), NOBODY)[SUBTYPES].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(np.ones(120))


def test_figures_equal_sklearn_a_repeat_at_a_time() -> None:
    table = derived(everyone(repeats=3), NOBODY)
    figures = subtype_figures(table)
    expected: dict[str, list] = {"accuracy": [], "balanced_accuracy": [], "confusion": [], "auroc": []}
    for _, repeat in table.groupby("repeat"):
        called = [SUBTYPES[i] for i in repeat[SUBTYPES].to_numpy().argmax(axis=1)]
        truth = repeat["subtype"].tolist()
        expected["accuracy"].append(accuracy_score(truth, called))
        expected["balanced_accuracy"].append(balanced_accuracy_score(truth, called))
        expected["confusion"].append(confusion_matrix(truth, called, labels=SUBTYPES))
        expected["auroc"].append(
            [roc_auc_score(repeat["subtype"] == name, repeat[name]) for name in SUBTYPES]
        )
    for name in ("accuracy", "balanced_accuracy"):
        assert figures[name] == pytest.approx(np.mean(expected[name]))
    assert np.array(figures["confusion"]) == pytest.approx(np.mean(expected["confusion"], axis=0))
    aurocs = np.mean(expected["auroc"], axis=0)
    assert list(figures["auroc"].values()) == pytest.approx(aurocs)
    assert figures["mean_auroc"] == pytest.approx(aurocs.mean())
    once = table[table["repeat"] == 0]["subtype"].value_counts()
    assert figures["counts"] == once.to_dict()
    assert figures["classes"] == SUBTYPES


def test_a_class_that_is_absent_has_no_auroc_and_is_in_no_mean() -> None:
    labels = [(1, 1, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0), (0, 1, 1)]
    figures = subtype_figures(derived(predictions(labels), NOBODY))
    assert math.isnan(figures["auroc"]["HR-/HER2+"])
    assert figures["counts"] == dict(zip(SUBTYPES, [2, 1, 0, 2], strict=True))
    defined = [value for value in figures["auroc"].values() if not math.isnan(value)]
    assert len(defined) == 3
    assert figures["mean_auroc"] == pytest.approx(np.mean(defined))
    assert 0 <= figures["balanced_accuracy"] <= 1


def test_nobody_with_a_known_subtype_is_undefined_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for table in (predictions([(1, 1, UNKNOWN), (0, UNKNOWN, 0)]), everyone().iloc[:0]):
            figures = subtype_figures(derived(table, NOBODY))
            assert math.isnan(figures["accuracy"])
            assert math.isnan(figures["balanced_accuracy"])
            assert math.isnan(figures["mean_auroc"])
            assert sum(figures["counts"].values()) == 0


def odds_ratio(cells: np.ndarray) -> np.ndarray:
    return cells[..., 0, 0] * cells[..., 1, 1] / (cells[..., 0, 1] * cells[..., 1, 0])


def test_a_joint_has_its_margins_and_the_odds_ratio_of_the_table_as_plackett_has_it() -> None:
    rng = np.random.default_rng(0)
    p, counts = rng.uniform(0.02, 0.98, (50, 2)), np.array([[30, 5], [4, 20]])
    cells = joint(p, counts)
    assert cells.sum(axis=2)[:, 1] == pytest.approx(p[:, 0]) and cells.sum(axis=1)[:, 1] == pytest.approx(
        p[:, 1]
    )
    assert odds_ratio(cells) == pytest.approx(np.full(50, 30), rel=1e-6)
    psi, total = 30, 1 + 29 * p.sum(axis=1)  # Plackett, J Am Stat Assoc 60:516, 1965
    both = (total - np.sqrt(total**2 - 4 * psi * 29 * p.prod(axis=1))) / (2 * 29)
    assert cells[:, 1, 1] == pytest.approx(both)


def test_a_joint_of_three_keeps_every_margin_and_every_conditional_odds_ratio() -> None:
    rng = np.random.default_rng(1)
    p, counts = rng.uniform(0.05, 0.95, (20, 3)), rng.uniform(0.5, 40, (2, 2, 2))
    cells = joint(p, counts)
    for target in range(3):
        others = tuple(other + 1 for other in range(3) if other != target)
        assert cells.sum(axis=others)[:, 1] == pytest.approx(p[:, target], abs=1e-9)
        apart, table = np.moveaxis(cells, target + 1, 1), np.moveaxis(counts, target, 0)
        for value in (0, 1):
            assert odds_ratio(apart[:, value]) == pytest.approx(
                np.full(20, odds_ratio(table[value])), rel=1e-6
            )


def test_an_association_counts_complete_rows_and_half_a_row_more() -> None:
    labels = pd.DataFrame({"ER": [1, 1, 0, UNKNOWN], "PR": [1, 1, 0, 1.0], "HER2": [0, 0, 1, 1.0]})
    counts = association(labels.to_numpy())
    assert (counts[1, 1, 0], counts[0, 0, 1], counts[1, 1, 1], counts.sum()) == (2.5, 1.5, 0.5, 7)


def test_labels_that_are_counted_by_their_signs_are_the_same_patients_again() -> None:
    labels = pd.DataFrame({"ER": [1, 1, 0, UNKNOWN], "PR": [1, 1, 0, 1.0], "HER2": [0, 0, 1, 1.0]})
    counts = sign_counts(labels)
    assert counts == {"++-": 2, "--+": 1, "?++": 1}
    again = labels_of(counts)
    assert association(again.to_numpy()).tolist() == association(labels.to_numpy()).tolist()
    assert len(again) == 4 and again["ER"].isna().sum() == 1
    assert labels_of({}).shape == (0, 3)


def receptors(count: int, seed: int) -> pd.DataFrame:
    """Predictions, true probabilities of each receptor alone, of patients whose ER and PR mostly agree."""
    rng = np.random.default_rng(seed)
    p = rng.beta(8, 8, (count, 3))  # models that know a little
    cells = joint(p, np.array([[[4, 4], [1, 1]], [[1, 1], [4, 4]]])).reshape(count, 8)
    cell = (rng.random((count, 1)) > cells.cumsum(axis=1)).sum(axis=1)
    rows = []
    for target, name in enumerate(("ER", "PR", "HER2")):
        table = pd.DataFrame({"patient_probability": p[:, target], "label": cell >> (2 - target) & 1})
        rows.append(
            table.assign(patient_id=np.arange(count), target=name, fold=np.arange(count) % 5, repeat=0)
        )
    return pd.concat(rows, ignore_index=True).astype({"label": float})


def test_hr_is_calibrated_where_er_and_pr_agree_and_was_not_under_independence() -> None:
    table = receptors(3000, 0)
    together, apart = (derived(table, training) for training in (training_labels(table), NOBODY))
    label = together["label"].to_numpy()
    assert together["probability"].mean() == pytest.approx(label.mean(), abs=0.02)
    assert apart["probability"].mean() > label.mean() + 0.1
    assert calibration(label, together["probability"])[0] == pytest.approx(1, abs=0.2)
    scores = [brier(label, table["probability"]) for table in (together, apart)]
    assert scores[0] < scores[1] - 0.01 and scores[0] < brier(label, together["prevalence"])
    figures = subtype_figures(together)
    assert (
        figures["brier"] < subtype_figures(apart)["brier"] and figures["brier"] < figures["prevalence_brier"]
    )
    chosen = np.eye(4)[[SUBTYPES.index(name) for name in together["subtype"]]]
    by_hand = ((together[SUBTYPES].to_numpy() - chosen) ** 2).sum(axis=1).mean()
    assert figures["brier"] == pytest.approx(by_hand)


def test_what_binds_a_fold_comes_from_its_training_patients_alone() -> None:
    table = receptors(60, 1)
    before = derived(table, training_labels(table))
    tested = table["fold"] == 2
    other = table.assign(label=table["label"].where(~tested, 1 - table["label"]))
    after = derived(other, training_labels(other))
    columns = ["probability", "prevalence", *SUBTYPES]
    inside = before["fold"] == 2
    assert after.loc[inside, columns].equals(before.loc[inside, columns])
    assert not np.allclose(after.loc[~inside, "probability"], before.loc[~inside, "probability"])
