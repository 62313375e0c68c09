"""A statistic of the dictionary is in the results, on the screen, on the pages, and in what is tracked."""

import io
import json
import math

import pandas as pd
import pytest
from finished_runs import write_run
from rich.console import Console

from bcbm.comparison.differences import Row, compare_runs
from bcbm.comparison.page import write_comparison
from bcbm.report.pages.run import write_report
from bcbm.report.screen import print_table
from bcbm.runs.finished import read_run
from bcbm.statistics import STATISTICS, Statistic, beside_auroc
from bcbm.statistics.metrics import auprc, brier, patient_level
from bcbm.statistics.summary import summarise
from bcbm.tracking.summary import figures

LABEL = "Largest"


def largest(rows):
    """A figure that nothing else of a report equals: 7 and the largest probability."""
    return 7 + rows["probability"].max()


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(
        STATISTICS, "largest", Statistic(LABEL, largest, levels=("patient",), digits=4, screen=True)
    )


def test_a_statistic_of_the_dictionary_is_in_results_on_the_screen_on_the_page_and_tracked(toy, tmp_path):
    run = read_run(write_run(tmp_path / "run"))
    text = io.StringIO()
    print_table(run.results, Console(file=text, width=120))
    screen, page = text.getvalue(), write_report(run.folder).read_text()
    assert LABEL in screen and LABEL in page
    patients = patient_level(run.predictions)
    for target, block in run.results["receptors"].items():
        value = 7 + patients.loc[patients["target"] == target, "probability"].max()
        assert block["patient"]["largest"] == pytest.approx(value)
        assert f"{value:.4f}" in screen and f"{value:.4f}" in page
        assert figures(run.results)[f"{target}/patient/largest"] == block["patient"]["largest"]
        assert "largest" not in block["lesion"]
    assert "largest" in run.results["derived"]["HR"]["patient"]


def test_a_comparison_shows_it_and_leaves_it_blank_for_a_run_of_before(toy, monkeypatch, tmp_path):
    folder = write_run(tmp_path / "run")
    monkeypatch.delitem(STATISTICS, "largest")
    before = write_run(tmp_path / "before", seed=1)
    monkeypatch.setitem(STATISTICS, "largest", Statistic(LABEL, largest, digits=4))
    rows = [Row("run", read_run(folder)), Row("before", read_run(before))]
    comparison = compare_runs(rows, "run")
    with_statistic, without = (row["receptors"]["ER"] for row in comparison["rows"])
    assert with_statistic["largest"] > 7 and "largest" not in without and without["auprc"] > 0
    page = write_comparison(comparison, rows, "two", tmp_path / "compare", tmp_path).read_text()
    assert LABEL in page and f"{with_statistic['largest']:.4f}" in page


def test_figures_are_means_over_repeats_of_each_functions_value(tmp_path):
    run = read_run(write_run(tmp_path / "run", "split.repeats=2"))
    patients = patient_level(run.predictions)
    for target, block in run.results["receptors"].items():
        repeats = [rows for _, rows in patients[patients["target"] == target].groupby("repeat")]
        for name, function in (("auprc", auprc), ("brier", brier)):
            values = [function(rows["label"], rows["probability"]) for rows in repeats]
            assert block["patient"][name] == pytest.approx(sum(values) / 2)
    assert list(json.loads((run.folder / "results.json").read_text())["receptors"]["ER"]["lesion"]) == [
        *("auroc", "auroc_low", "auroc_high", "p", "auprc", "auprc_low", "auprc_high"),
        *("brier", "positives", "negatives", "independent"),
    ]


def test_a_target_of_one_class_has_no_figure_and_says_why(tmp_path):
    run = read_run(write_run(tmp_path / "run"))
    predictions = run.predictions.assign(
        label=run.predictions["label"].where(run.predictions["target"] != "ER", 1.0)
    )
    results = summarise(predictions, split=run.results["split"], targets=["ER", "PR"], resamples=20, seed=0)
    block = results["receptors"]["ER"]["patient"]
    assert math.isnan(block["auprc"]) and math.isnan(block["auprc_low"]) and block["negatives"] == 0
    screen = io.StringIO()
    print_table(results, Console(file=screen, width=120))
    (row,) = [line for line in screen.getvalue().splitlines() if line.startswith("ER")]
    assert row.count("n/a") >= 2 and f"{block['brier']:.2f}" in row


def test_the_functions_need_no_more_than_the_columns_that_are_promised():
    rows = pd.DataFrame({"patient_id": ["a", "b"], "label": [0.0, 0.0], "probability": [0.2, 0.4]})
    rows = rows.assign(prevalence=0.5)
    for level in ("patient", "lesion"):
        for statistic in beside_auroc(level).values():
            module, _, name = statistic.function.partition(":")
            function = getattr(__import__(module, fromlist=[name]), name)
            assert isinstance(function(rows), float)
