import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, roc_auc_score

from bcbm.statistics.subtype import SUBTYPES, derived, subtype_figures

UNKNOWN = np.nan


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
    table = derived(predictions([(*pair, 1.0) for pair in truth])).set_index("patient_id")
    for patient, expected in enumerate(truth.values()):
        assert table.loc[f"P{patient}", "label"] == pytest.approx(expected, nan_ok=True)


def test_a_subtype_needs_hr_and_her2() -> None:
    labels = [(1, 0, 0), (0, 1, 1), (0, 0, 1), (0, 0, 0), (1, UNKNOWN, 1), (0, UNKNOWN, 1), (1, 1, UNKNOWN)]
    subtypes = derived(predictions(labels)).sort_values("patient_id")["subtype"]
    expected = [*SUBTYPES, "HR+/HER2+", None, None]
    assert [None if pd.isna(value) else value for value in subtypes] == expected


def test_probabilities_are_those_of_independent_targets_and_sum_to_one() -> None:
    table = predictions([(1, 0, 1)])
    table["patient_probability"] = table["target"].map({"ER": 0.5, "PR": 0.2, "HER2": 0.1})
    row = derived(table).iloc[0]
    assert row["probability"] == pytest.approx(0.6)
    assert row[SUBTYPES].tolist() == pytest.approx([0.54, 0.06, 0.04, 0.36])
    sums = derived(everyone())[SUBTYPES].sum(axis=1)
    assert sums.to_numpy() == pytest.approx(np.ones(120))


def test_figures_equal_sklearn_a_repeat_at_a_time() -> None:
    table = derived(everyone(repeats=3))
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
    figures = subtype_figures(derived(predictions(labels)))
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
            figures = subtype_figures(derived(table))
            assert math.isnan(figures["accuracy"])
            assert math.isnan(figures["balanced_accuracy"])
            assert math.isnan(figures["mean_auroc"])
            assert sum(figures["counts"].values()) == 0
