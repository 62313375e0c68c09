import io
import json
import math
import re
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from benchmarks.cohorts import Cell, cohorts
from rich.console import Console
from scipy.stats import false_discovery_control
from sklearn.metrics import average_precision_score, brier_score_loss, f1_score, recall_score, roc_auc_score

from bcbm.report.figures.run import roc_figure
from bcbm.report.screen import print_table
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.area import contrast, cross_validated_area
from bcbm.statistics.calibration import calibration
from bcbm.statistics.curves import roc_curve, roc_curves
from bcbm.statistics.metrics import auprc, auroc, brier, patient_level
from bcbm.statistics.power import planned_area, smallest_auroc
from bcbm.statistics.probabilities import training_labels
from bcbm.statistics.resampling import average_precision_interval, resampled_auprcs, resampled_counts
from bcbm.statistics.summary import above_chance, summarise
from bcbm.system.files import strict_json

RECEPTORS = ["ER", "PR", "HER2"]
COUNTS = {"positives", "negatives"}
PATIENT_SPLIT = {"unit": "patient", "hash": "abc"}
LESION_SPLIT = {"unit": "lesion", "hash": "abc"}


def predictions(patients: int = 40, folds: int = 4, repeats: int = 1, seed: int = 0) -> pd.DataFrame:
    """A prediction table with one to four lesions a patient, an honest signal and tied probabilities."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    tables = []
    for target in RECEPTORS:
        labels = rng.permutation(np.arange(patients) % 2).astype(float)[owners]
        for repeat in range(repeats):
            fold_of = rng.permutation(np.arange(patients) % folds) + folds * repeat
            table = pd.DataFrame({"lesion_id": [f"L{i}" for i in range(len(owners))]})
            table["patient_id"] = [f"P{owner}" for owner in owners]
            table["fold"], table["repeat"], table["target"] = fold_of[owners], repeat, target
            noisy = 0.35 + 0.25 * labels + rng.normal(0, 0.2, len(owners))
            table["probability"] = noisy.clip(0, 1).round(2)
            table["patient_probability"] = table.groupby("patient_id")["probability"].transform("max")
            table["threshold"] = 0.45 + 0.01 * table["fold"]
            table["label"], table["split_hash"] = labels, "abc"
            tables.append(table)
    return pd.concat(tables, ignore_index=True)


def target_of(table: pd.DataFrame, target: str = "ER") -> pd.DataFrame:
    patients = patient_level(table)
    return patients[patients["target"] == target].reset_index(drop=True)


def results_of(table: pd.DataFrame, split: dict = PATIENT_SPLIT, best: dict | None = None) -> dict:
    return summarise(table, split=split, targets=RECEPTORS, resamples=200, seed=0, best=best)


def flat(block: dict, above: str = "") -> dict:
    """A nested block with dotted keys."""
    items: dict = {}
    for key, value in block.items():
        items |= flat(value, f"{above}{key}.") if isinstance(value, dict) else {f"{above}{key}": value}
    return items


def printed(results: dict, width: int = 140) -> str:
    console = Console(record=True, width=width, force_terminal=True, file=io.StringIO())
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
    columns = {
        "label": np.array(labels),
        "probability": scores,
        "patient_id": np.arange(len(labels)),
        "repeat": 0,
    }
    assert all(map(math.isnan, average_precision_interval(pd.DataFrame(columns), 50, 0)))


@pytest.mark.parametrize("repeats", [1, 3])
def test_bootstrap_equals_a_plain_loop(repeats: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = predictions(patients=12, repeats=repeats).query("target == 'ER'").reset_index(drop=True)
    table["probability"] = table["probability"].round(1)  # many ties
    names, group = np.unique(table["patient_id"], return_inverse=True)
    counts = resampled_counts(np.random.default_rng(5), len(names), 120)
    assert (counts.sum(axis=1) == len(names)).all()
    expected = []
    for drawn in counts:
        rows = table.loc[np.repeat(table.index, drawn[group])]
        if rows["label"].nunique() == 2:
            by_repeat = [
                average_precision_score(repeat["label"], repeat["probability"])
                for _, repeat in rows.groupby("repeat")
            ]
            expected.append(np.mean(by_repeat))
    monkeypatch.setattr("bcbm.statistics.resampling.CHUNK", 100)  # several chunks, the same draws
    interval = average_precision_interval(table, 120, 5)
    assert interval == pytest.approx(np.percentile(expected, [2.5, 97.5]), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_resamples_equal_sklearn_where_a_group_holds_both_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, scores, group = rng.integers(0, 2, 60), rng.integers(0, 9, 60) / 8, rng.integers(0, 7, 60)
    counts = resampled_counts(rng, 7, 30)
    statistics = resampled_auprcs(labels, scores, group, counts, np.zeros(60))
    expected = [average_precision_score(labels, scores, sample_weight=drawn[group]) for drawn in counts]
    assert statistics == pytest.approx(expected, abs=1e-12)


def test_a_resample_without_a_class_has_no_statistic() -> None:
    counts = np.array([[1, 1, 1], [3, 0, 0], [0, 2, 1]])
    statistics = resampled_auprcs(np.array([1, 0, 0]), np.arange(3), np.arange(3), counts, np.zeros(3))
    assert np.isnan(statistics).tolist() == [False, True, True]


def test_bootstrap_leaves_out_resamples_of_one_class() -> None:
    rows = pd.DataFrame({"label": [1, 0, 0, 0], "probability": [0.9, 0.1, 0.2, 0.3], "patient_id": [*"abcd"]})
    assert average_precision_interval(rows.assign(repeat=0), 500, 0) == (1.0, 1.0)


def test_a_patient_owning_most_lesions_does_not_own_the_patient_figure() -> None:
    owners = ["big"] * 180 + [f"P{i}" for i in range(20)]
    labels = np.r_[np.ones(180), np.arange(20) % 2]
    right = np.where(labels == 1, 0.8, 0.2)
    right[:180] = 0.1
    table = pd.DataFrame({"patient_id": owners, "label": labels, "probability": right})
    table = table.assign(patient_probability=right, threshold=0.5)
    table = table.assign(lesion_id=range(200), fold=0, repeat=0, target="ER", split_hash="abc")
    block = summarise(table, split=PATIENT_SPLIT, targets=["ER"], resamples=200, seed=0)["receptors"]["ER"]
    assert block["patient"]["auroc"] == pytest.approx(10 / 11)
    assert block["lesion"]["auroc"] == pytest.approx(10 / 190)
    assert (block["patient"]["positives"], block["patient"]["negatives"]) == (11, 10)
    assert (block["lesion"]["positives"], block["lesion"]["negatives"]) == (190, 10)
    assert block["lesion"]["independent"] is False


def test_headline_is_the_mean_over_repeats_and_counts_each_patient_once() -> None:
    table = predictions(repeats=3)
    block = results_of(table)["receptors"]["PR"]["patient"]
    patients = patient_level(table).query("target == 'PR'")
    by_fold = [roc_auc_score(fold["label"], fold["probability"]) for _, fold in patients.groupby("fold")]
    assert block["auroc"] == pytest.approx(np.mean(by_fold), abs=1e-12)
    assert block["auroc_low"] < block["auroc"] < block["auroc_high"]
    assert (block["positives"], block["negatives"]) == (20, 20)


def test_a_patient_spread_over_folds_by_a_leaky_split_is_one_patient() -> None:
    table = predictions()
    table["fold"] = np.arange(len(table)) % 4
    patients = patient_level(table)
    assert len(patients) == 3 * 40
    first = patients.iloc[0]
    rows = table.query(f"target == '{first['target']}' and patient_id == '{first['patient_id']}'")
    assert first["probability"] == pytest.approx(rows["patient_probability"].mean())
    assert first["threshold"] == pytest.approx(rows["threshold"].mean())
    assert first["fold"] == rows["fold"].min()


def test_a_fold_of_one_class_is_undefined_with_its_counts() -> None:
    table = predictions()
    dropped = (table["target"] == "ER") & (table["fold"] == 1) & (table["label"] == 0)
    table.loc[dropped, "label"] = np.nan
    results = results_of(table)
    folds = results["receptors"]["ER"]["folds"]
    defined = [folds["auroc"][i] for i in (0, 2, 3)]
    assert math.isnan(folds["auroc"][1])
    assert folds["negatives"][1] == 0 < folds["positives"][1]
    assert folds["undefined"] == 1
    assert (folds["mean"], folds["std"]) == pytest.approx((np.mean(defined), np.std(defined, ddof=1)))
    assert json.loads(strict_json(results))["receptors"]["ER"]["folds"]["auroc"][1] is None


def test_an_end_that_is_open_is_null_in_json():
    content = {"low": -math.inf, "high": [math.inf, 1.0], "mean": math.nan}
    read = json.loads(strict_json(content), parse_constant=pytest.fail)
    assert read == {"low": None, "high": [None, 1.0], "mean": None}


def test_a_target_without_labels_or_of_one_class_is_undefined_everywhere(tmp_path: Path) -> None:
    table = predictions()
    table.loc[table["target"] == "ER", "label"] = np.nan
    table.loc[table["target"] == "PR", "label"] = 1.0
    results = results_of(table)
    read = json.loads(strict_json(results), parse_constant=pytest.fail)["receptors"]
    known = {key for key, value in flat(read["ER"]["patient"]).items() if value is not None}
    assert {key for key in known if not key.startswith("coverage.")} == COUNTS
    assert (read["ER"]["patient"]["positives"], read["ER"]["patient"]["negatives"]) == (0, 0)
    known = {key for key, value in flat(read["PR"]["patient"]).items() if value is not None}
    shares = ("sensitivity", "f1", "ppv", "npv")
    called = {f"operating.{name}{end}" for name in shares for end in ("", "_low", "_high")}
    means = {f"probabilities.{name}" for name in ("predicted", "observed", "prevalence")}
    means |= {"probabilities.prevalence_brier", "probabilities.prevalence_log_loss", "log_loss"}
    expected = {*COUNTS, "brier", *called, *means}
    assert {key for key in known if not key.startswith("coverage.")} == expected
    assert (read["PR"]["patient"]["positives"], read["PR"]["patient"]["negatives"]) == (40, 0)
    assert read["PR"]["folds"]["mean"] is read["PR"]["repeats"]["mean"] is None
    assert read["HER2"]["patient"]["q"] == read["HER2"]["patient"]["p"] < 1
    content = json.loads(strict_json(results))
    assert content["mean"] == dict.fromkeys(["auroc", "auroc_low", "auroc_high", "p"])
    assert content["derived"]["HR"]["patient"]["negatives"] == 0
    assert "n/a (one class)" in printed(results)
    roc_figure(table, results, tmp_path / "roc.png")


def test_patients_of_one_probability_tie_however_many_lesions_they_have() -> None:
    names = [f"P{number}" for number in range(12) for _ in range(number + 1)]
    for value in np.random.default_rng(0).uniform(size=20):
        every = np.full((len(names), 1), value)
        patients, probability = aggregate("mean", every, names, np.ones(len(names)), every)
        assert set(probability[:, 0]) == {value}
        rows = pd.DataFrame({"patient_id": names, "patient_probability": value, "repeat": 0, "fold": 0})
        rows = rows.assign(target="ER", label=rows["patient_id"].isin(patients[::2]) * 1.0, threshold=0.5)
        assert set(patient_level(rows)["probability"]) == {value}


def test_a_patient_with_both_labels_is_positive_in_every_figure_and_is_counted() -> None:
    table = predictions()
    lesions = table[table["target"] == "PR"].groupby("patient_id")["lesion_id"].unique()
    negative = table.query("target == 'PR' and label == 0")["patient_id"].unique()
    owner = next(name for name in negative if len(lesions[name]) > 1)
    before = results_of(table)
    of_owner = (table["target"] == "PR") & (table["patient_id"] == owner)
    table.loc[of_owner & (table["lesion_id"] == lesions[owner][-1]), "label"] = 1.0  # and not the first
    after = results_of(table)
    for by_fold in (False, True):
        patients = patient_level(table, by_fold=by_fold)
        of_owner = (patients["target"] == "PR") & (patients["patient_id"] == owner)
        assert patients.loc[of_owner, "label"].tolist() == [1.0]
    assert training_labels(table)["PR"].sum() > training_labels(predictions())["PR"].sum()
    told, untold = after["receptors"]["PR"]["patient"], before["receptors"]["PR"]["patient"]
    assert (told["both"], told["positives"]) == (1, untold["positives"] + 1)
    assert told["negatives"] == untold["negatives"] - 1 and "both" not in untold
    lesion = after["receptors"]["PR"]["lesion"]
    assert lesion["positives"] == before["receptors"]["PR"]["lesion"]["positives"] + 1
    assert after["receptors"]["ER"]["lesion"] == before["receptors"]["ER"]["lesion"]
    console = Console(record=True, width=80, file=io.StringIO())
    print_table(after, console)
    assert "both labels, counted as positive: PR 1" in console.export_text()


def test_a_table_of_another_split_or_without_probabilities_is_an_error() -> None:
    with pytest.raises(ValueError, match="split hash abc, the run xyz"):
        results_of(predictions(), {"unit": "patient", "hash": "xyz"})
    for value in (np.nan, 1.5):
        for column in ("probability", "patient_probability"):
            table = predictions()
            table.loc[3, column] = value
            with pytest.raises(ValueError, match=rf"1 of \d+ values of {column} .* lesion L3"):
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


def test_the_roc_figure_names_all_that_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    monkeypatch.setattr("bcbm.report.figures.run.save_png", lambda figure, path: drawn.extend(figure.axes))
    roc_figure(predictions(), results_of(predictions()), tmp_path / "roc.png")
    for axes in drawn:
        words = [text.get_text().split("  ")[0] for text in axes.get_legend().get_texts()]
        assert words == ["patients", "whole curve, 95 %", "lesions", "folds"]


def test_the_area_under_the_drawn_curve_is_the_reported_auroc() -> None:
    table = predictions(repeats=3)
    x, y = roc_curve(patient_level(table.query("target == 'ER'")), "fold")
    reported = results_of(table)["receptors"]["ER"]["patient"]["auroc"]
    assert np.trapezoid(y, x) == pytest.approx(reported, abs=1e-12)


def test_the_curve_of_each_fold_is_that_of_its_rows_alone() -> None:
    patients = patient_level(predictions(repeats=2).query("target == 'ER'"), by_fold=True)
    folds = [fold for _, fold in patients.groupby("fold") if fold["label"].nunique() == 2]
    curves = roc_curves(patients, "fold")
    assert len(curves) == len(folds) > 2
    for (x, y), fold in zip(curves, folds, strict=True):
        np.testing.assert_array_equal([x, y], roc_curve(fold, "fold"))
        area = roc_auc_score(fold["label"], fold["probability"])
        assert np.trapezoid(y, x) == pytest.approx(area, abs=1e-12)


def test_the_block_of_a_target_holds_the_figures_of_its_patients() -> None:
    table = predictions(repeats=3)
    block, rows = results_of(table)["receptors"]["PR"]["patient"], target_of(table, "PR")
    by_repeat = [repeat for _, repeat in rows.groupby("repeat")]
    precisions = [average_precision_score(repeat["label"], repeat["probability"]) for repeat in by_repeat]
    assert block["auprc"] == pytest.approx(np.mean(precisions), abs=1e-12)
    assert block["auprc_low"] < block["auprc"] < block["auprc_high"]
    assert block["smallest_auroc"] == smallest_auroc(cross_validated_area(rows), tests=3)
    assert block["smallest_auroc"] > smallest_auroc(planned_area(20, 20, 4, 3))
    fits = np.mean([calibration(repeat["label"], repeat["probability"]) for repeat in by_repeat], axis=0)
    assert list(block["calibration"].values()) == pytest.approx(fits)
    recalls = [
        recall_score(repeat["label"], repeat["probability"] >= repeat["threshold"]) for repeat in by_repeat
    ]
    assert block["operating"]["sensitivity"] == pytest.approx(np.mean(recalls))
    operating = block["operating"]
    for name in ("sensitivity", "specificity", "f1", "ppv", "npv"):
        assert operating[f"{name}_low"] < operating[name] < operating[f"{name}_high"]
    assert 0 < block["p"] <= block["q"] < 0.05 and above_chance(block)
    assert not above_chance({**block, "auroc": 1 - block["auroc"]})


def test_q_values_belong_to_all_targets_of_the_run() -> None:
    blocks = results_of(predictions(seed=3))["receptors"].values()
    p = [block["patient"]["p"] for block in blocks]
    q = [block["patient"]["q"] for block in blocks]
    assert q == pytest.approx(false_discovery_control(p))


def test_the_refitted_pipeline_has_a_p_of_its_own() -> None:
    drawn = pd.DataFrame({"target": ["ER"] * 4 + ["PR"], "auroc": [0.99, 0.98, 0.4, np.nan, 0.1]})
    results = summarise(
        predictions(), split=PATIENT_SPLIT, targets=["ER", "PR"], resamples=200, seed=0, permuted=drawn
    )
    er, pr = (results["receptors"][name]["patient"] for name in ("ER", "PR"))
    assert er["pipeline_p"] == 3 / 4 and pr["pipeline_p"] == 1 / 2
    assert er["p"] < 0.05 and pr["p"] < 0.05


def test_without_signal_a_trained_model_is_seldom_called_better_than_chance() -> None:
    """Cross-validated on noise, the p of permuted labels under fitted predictions would call 8 to 11 %."""
    drawn = [validated for (validated,) in cohorts(Cell(60, 0.5, 0.5), 200, 0)]
    tested = [contrast([cross_validated_area(one.rows)], [1.0], 0.5) for one in drawn]
    assert 0.01 < np.mean([one.p <= 0.05 for one in tested]) < 0.09
    assert np.mean([one.low > 0.5 for one in tested]) < 0.06


def test_patients_of_a_fold_without_threshold_are_not_decided() -> None:
    table = predictions()
    table.loc[table["fold"] == 2, "threshold"] = np.nan
    rows = target_of(table).dropna(subset="threshold")
    operating = results_of(table)["receptors"]["ER"]["patient"]["operating"]
    expected = f1_score(rows["label"], rows["probability"] >= rows["threshold"])
    assert len(rows) == 30
    assert operating["f1"] == pytest.approx(expected)
    table["threshold"] = np.nan
    none = results_of(table)["receptors"]["ER"]["patient"]["operating"]
    assert all(map(math.isnan, none.values()))


def test_repeats_have_their_aurocs_mean_and_spread() -> None:
    table = predictions(repeats=3)
    results, block = results_of(table)["receptors"]["ER"], target_of(table)
    folds = block.groupby(["repeat", "fold"])
    aurocs = [roc_auc_score(fold["label"], fold["probability"]) for _, fold in folds]
    aurocs = np.array(aurocs).reshape(3, -1).mean(axis=1)
    assert results["repeats"]["auroc"] == pytest.approx(aurocs)
    assert (results["repeats"]["mean"], results["repeats"]["std"]) == pytest.approx(
        (results["patient"]["auroc"], np.std(aurocs, ddof=1))
    )


def test_the_mean_over_targets_has_an_interval_and_a_p_of_its_own() -> None:
    table = predictions(patients=15)
    table.loc[(table["target"] == "PR") & table["patient_id"].isin(["P1", "P4"]), "label"] = np.nan
    results = results_of(table)
    aurocs = [results["receptors"][target]["patient"]["auroc"] for target in RECEPTORS]
    assert results["mean"]["auroc"] == pytest.approx(np.mean(aurocs))
    areas = [cross_validated_area(rows) for _, rows in patient_level(table).groupby("target", sort=False)]
    expected = contrast(areas, [1 / 3] * 3, 0.5)
    mean = results["mean"]
    assert (mean["auroc_low"], mean["auroc_high"], mean["p"]) == pytest.approx(
        (expected.low, expected.high, expected.p)
    )


def test_derived_answers_need_all_three_targets() -> None:
    table = predictions()
    assert set(results_of(table)["derived"]) == {"HR", "subtype"}
    two = table[table["target"] != "HER2"]
    results = summarise(two, split=PATIENT_SPLIT, targets=["ER", "PR"], resamples=50, seed=0)
    assert "derived" not in results
    assert "HR status" not in printed(results)


def test_a_table_without_rows_is_undefined_and_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = results_of(predictions().iloc[:0])
        one_class = predictions()
        one_class["label"] = 1.0
        results_of(one_class)
    assert results["receptors"]["ER"]["patient"]["positives"] == 0
    assert "n/a (one class)" in printed(results)


@pytest.mark.parametrize("best", [None, dict.fromkeys(RECEPTORS, 0.9)])
def test_the_printed_table_fits_80_columns_one_line_a_target(best: dict | None) -> None:
    lines = printed(results_of(predictions(patients=240), best=best), width=80).splitlines()
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    assert all(len(line.rstrip()) <= 80 for line in plain)
    for target in RECEPTORS:
        row = next(line for line in plain if line.startswith(target))
        assert re.search(r"0\.\d\d \[0\.\d\d, [01]\.\d\d\] +[<0]\.\d* +0\.\d\d ± 0\.\d\d .* 120 / 120 ", row)
    assert any(line.startswith("mean") for line in plain)
    assert any(re.match(r"least AUROC .* ER 0\.\d\d, PR 0\.\d\d, HER2 0\.\d\d$", line) for line in plain)
    assert any(line.startswith("HR status (ER or PR): 0.") for line in plain)


def test_evaluation_imports_neither_torch_nor_sklearn() -> None:
    code = (
        "import sys, bcbm.statistics.summary, bcbm.report.figures.run\n"
        "print(sorted({'torch', 'sklearn', 'matplotlib'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "[]"
