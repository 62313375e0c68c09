import io
import json
import math
import subprocess
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from bcbm.evaluation.figures import _curve, roc_figure
from bcbm.evaluation.metrics import auprc, auroc, brier, patient_level
from bcbm.evaluation.resampling import bootstrap_auroc, resampled_counts
from bcbm.evaluation.summary import print_table, summarise, to_json

RECEPTORS = ["ER", "PR", "HER2"]
PATIENT_SPLIT = {"unit": "patient", "hash": "abc"}
LESION_SPLIT = {"unit": "lesion", "hash": "abc"}


def predictions(patients: int = 40, folds: int = 4, repeats: int = 1, seed: int = 0) -> pd.DataFrame:
    """A prediction table with one to four lesions a patient, an honest signal and tied probabilities."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    tables = []
    for receptor in RECEPTORS:
        labels = rng.permutation(np.arange(patients) % 2).astype(float)[owners]
        for repeat in range(repeats):
            fold_of = rng.permutation(np.arange(patients) % folds) + folds * repeat
            table = pd.DataFrame({"lesion_id": [f"L{i}" for i in range(len(owners))]})
            table["patient_id"] = [f"P{owner}" for owner in owners]
            table["fold"], table["repeat"], table["receptor"] = fold_of[owners], repeat, receptor
            noisy = 0.35 + 0.25 * labels + rng.normal(0, 0.2, len(owners))
            table["probability"] = noisy.clip(0, 1).round(2)
            table["label"], table["split_hash"] = labels, "abc"
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def results_of(table: pd.DataFrame, split: dict = PATIENT_SPLIT, best: dict | None = None) -> dict:
    return summarise(table, split=split, receptors=RECEPTORS, resamples=200, seed=0, best=best)


def printed(results: dict) -> str:
    console = Console(record=True, width=140, force_terminal=True, file=io.StringIO())
    print_table(results, console)
    return console.export_text(styles=True)


@pytest.mark.parametrize("seed", range(20))
def test_auroc_auprc_and_brier_equal_sklearn_with_ties(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.r_[0, 1, rng.integers(0, 2, 60)]
    scores, weights = rng.integers(0, 15, 62) / 14, rng.integers(1, 5, 62)
    assert auroc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    weighted = roc_auc_score(labels, scores, sample_weight=weights)
    assert auroc(labels, scores, weights) == pytest.approx(weighted, abs=1e-12)
    assert auprc(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert brier(labels, scores) == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)


@pytest.mark.parametrize("labels", [[], [0, 0, 0], [1, 1, 1]])
def test_one_class_or_none_has_no_auroc_auprc_or_interval(labels: list[int]) -> None:
    scores = np.linspace(0.1, 0.9, len(labels))
    assert math.isnan(auroc(labels, scores))
    assert math.isnan(auprc(labels, scores))
    assert all(map(math.isnan, bootstrap_auroc(labels, scores, np.arange(len(labels)), 50, 0)))


@pytest.mark.parametrize("repeats", [1, 3])
def test_bootstrap_equals_a_plain_loop(repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = predictions(patients=12, repeats=repeats).query("receptor == 'ER'").reset_index(drop=True)
    names, group = np.unique(table["patient_id"], return_inverse=True)
    counts = resampled_counts(np.random.default_rng(5), len(names), 120)
    assert (counts.sum(axis=1) == len(names)).all()
    expected = []
    for drawn in counts:
        rows = table.loc[np.repeat(table.index, drawn[group])]
        if rows["label"].nunique() == 2:
            by_repeat = [roc_auc_score(of["label"], of["probability"]) for _, of in rows.groupby("repeat")]
            expected.append(np.mean(by_repeat))
    monkeypatch.setattr("bcbm.evaluation.resampling.CHUNK", 1000)  # several chunks, the same draws
    columns = table["label"], table["probability"], table["patient_id"]
    interval = bootstrap_auroc(*columns, 120, 5, repeats=table["repeat"])
    assert interval == pytest.approx(np.percentile(expected, [2.5, 97.5]), abs=1e-12)


def test_bootstrap_leaves_out_resamples_of_one_class() -> None:
    low, high = bootstrap_auroc([1, 0, 0, 0], [0.9, 0.1, 0.2, 0.3], ["a", "b", "c", "d"], 500, 0)
    assert (low, high) == (1.0, 1.0)


def test_a_patient_owning_most_lesions_does_not_own_the_patient_figure() -> None:
    owners = ["big"] * 180 + [f"P{i}" for i in range(20)]
    labels = np.r_[np.ones(180), np.arange(20) % 2]
    right = np.where(labels == 1, 0.8, 0.2)
    right[:180] = 0.1
    table = pd.DataFrame({"patient_id": owners, "label": labels, "probability": right})
    table = table.assign(lesion_id=range(200), fold=0, repeat=0, receptor="ER", split_hash="abc")
    block = summarise(table, split=PATIENT_SPLIT, receptors=["ER"], resamples=200, seed=0)["receptors"]["ER"]
    assert block["patient"]["auroc"] == pytest.approx(10 / 11)
    assert block["lesion"]["auroc"] == pytest.approx(10 / 190)
    assert (block["patient"]["positives"], block["patient"]["negatives"]) == (11, 10)
    assert (block["lesion"]["positives"], block["lesion"]["negatives"]) == (190, 10)
    assert block["lesion"]["independent"] is False


def test_headline_is_the_mean_over_repeats_and_counts_each_patient_once() -> None:
    table = predictions(repeats=3)
    block = results_of(table)["receptors"]["PR"]["patient"]
    of_patients = patient_level(table).query("receptor == 'PR'")
    by_repeat = [roc_auc_score(of["label"], of["probability"]) for _, of in of_patients.groupby("repeat")]
    assert block["auroc"] == pytest.approx(np.mean(by_repeat), abs=1e-12)
    assert block["auroc_low"] < block["auroc"] < block["auroc_high"]
    assert (block["positives"], block["negatives"]) == (20, 20)


def test_a_patient_spread_over_folds_by_a_leaky_split_is_one_patient() -> None:
    table = predictions()
    table["fold"] = np.arange(len(table)) % 4
    of_patients = patient_level(table)
    assert len(of_patients) == 3 * 40
    first = of_patients.iloc[0]
    own = table.query(f"receptor == '{first['receptor']}' and patient_id == '{first['patient_id']}'")
    assert first["probability"] == pytest.approx(own["probability"].mean())
    assert first["fold"] == own["fold"].min()


def test_a_fold_of_one_class_is_undefined_with_its_counts() -> None:
    table = predictions()
    dropped = (table["receptor"] == "ER") & (table["fold"] == 1) & (table["label"] == 0)
    table.loc[dropped, "label"] = np.nan
    results = results_of(table)
    folds = results["receptors"]["ER"]["folds"]
    defined = [folds["auroc"][i] for i in (0, 2, 3)]
    assert math.isnan(folds["auroc"][1])
    assert folds["negatives"][1] == 0 < folds["positives"][1]
    assert folds["undefined"] == 1
    assert (folds["mean"], folds["std"]) == pytest.approx((np.mean(defined), np.std(defined, ddof=1)))
    assert json.loads(to_json(results))["receptors"]["ER"]["folds"]["auroc"][1] is None


def test_a_receptor_without_labels_or_of_one_class_is_undefined_everywhere(tmp_path: Path) -> None:
    table = predictions()
    table.loc[table["receptor"] == "ER", "label"] = np.nan
    table.loc[table["receptor"] == "PR", "label"] = 1.0
    results = results_of(table)
    read = json.loads(to_json(results), parse_constant=pytest.fail)["receptors"]
    undefined = dict.fromkeys(["auroc", "auroc_low", "auroc_high", "auprc", "brier"])
    assert read["ER"]["patient"] == {**undefined, "positives": 0, "negatives": 0}
    brier_alone = {"brier": read["PR"]["patient"]["brier"]}
    assert read["PR"]["patient"] == {**undefined, **brier_alone, "positives": 40, "negatives": 0}
    assert brier_alone["brier"] > 0
    assert read["PR"]["folds"]["mean"] is None
    assert "n/a (one class)" in printed(results)
    roc_figure(table, results, tmp_path / "roc.png")


def test_a_patient_with_two_labels_is_an_error_that_names_the_patient() -> None:
    table = predictions()
    row = table.index[(table["receptor"] == "PR") & table["patient_id"].duplicated()][-1]
    table.loc[row, "label"] = 1 - table.loc[row, "label"]
    owner = table.loc[row, "patient_id"]
    assert len(table.query(f"receptor == 'PR' and patient_id == '{owner}'")) > 1
    with pytest.raises(ValueError, match=f"patient {owner} has both PR labels"):
        patient_level(table)


def test_a_table_of_another_split_or_without_probabilities_is_an_error() -> None:
    with pytest.raises(ValueError, match="split hash abc, the run xyz"):
        results_of(predictions(), {"unit": "patient", "hash": "xyz"})
    for wrong in (np.nan, 1.5):
        table = predictions()
        table.loc[3, "probability"] = wrong
        with pytest.raises(ValueError, match=r"no probability.* lesion L3"):
            results_of(table)


def test_best_possible_gives_the_share_reached() -> None:
    results = results_of(predictions(), best={"ER": 0.9, "PR": 0.9, "HER2": 1.0})
    shares = [(b["patient"]["auroc"] - 0.5) / (b["best"] - 0.5) for b in results["receptors"].values()]
    assert results["reached"] == pytest.approx(np.mean(shares))
    assert "best: the most" in printed(results)
    assert math.isnan(results_of(predictions(), best=dict.fromkeys(RECEPTORS, 0.5))["reached"])


def test_a_leaky_split_marks_results_table_and_figure(tmp_path: Path) -> None:
    table = predictions()
    honest, leaky = results_of(table), results_of(table, LESION_SPLIT)
    assert (honest["leaky"], leaky["leaky"]) == (False, True)
    assert "LEAKY" not in printed(honest)
    assert "\x1b[1;3;31mLEAKY" in printed(leaky)
    reds = []
    for name, results in (("honest", honest), ("leaky", leaky)):
        roc_figure(table, results, tmp_path / f"{name}.png")
        red, green, blue = matplotlib.image.imread(tmp_path / f"{name}.png")[..., :3].transpose(2, 0, 1)
        reds.append(int(((red - green > 0.1) & (red - blue > 0.1)).sum()))
    assert reds[0] == 0
    assert reds[1] > 10_000


def test_the_area_under_the_drawn_curve_is_the_reported_auroc() -> None:
    table = predictions(repeats=3)
    x, y = _curve(patient_level(table.query("receptor == 'ER'")))
    reported = results_of(table)["receptors"]["ER"]["patient"]["auroc"]
    assert np.trapezoid(y, x) == pytest.approx(reported, abs=1e-12)


def test_evaluation_imports_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys, bcbm.evaluation.summary, bcbm.evaluation.figures\n"
        "print(sorted({'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
