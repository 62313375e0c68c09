"""Answers of the checklists come from what ran, and a yes leads to its place on the page."""

import json
import re

import numpy as np
import pytest
from finished_runs import write_run

from bcbm.report.checklists import filled_checklists
from bcbm.report.pages.leak_panel import leak_panel
from bcbm.report.pages.run import write_report
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder

TABLES = ["task.modalities=[radiomics,position]", "model.kind=logistic_l2"]
EXTRACTED = ["features.radiomics=extract", "task.sequences=[t1c,flair]"]
KINDS = {
    "network": ["split.folds=3"],
    "leaky": [*EXTRACTED, "cohort.synthetic.sequences=[t1c,flair]", "split.unit=lesion", "split.folds=2"],
    "tables": [*TABLES, "split.folds=3"],
    "position": ["task.modalities=[position]", "task.targets=[ER]", "split.folds=2"],
}


def chosen(folder, columns, left_out):
    """The model.json of every fold, as a traditional model leaves it."""
    for fold in folder.glob("fold=*"):
        model = {target: {"columns": columns, "left_out": left_out} for target in ("ER", "PR", "HER2")}
        (fold / "model.json").write_text(json.dumps({"for_test": model}))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of every kind with its page."""
    home = tmp_path_factory.mktemp("runs")
    folders = {kind: write_run(home / kind, *words) for kind, words in KINDS.items()}
    chosen(folders["tables"], ["a", "b"], ["c"])
    for folder in folders.values():
        write_report(folder)
    return {kind: read_run(folder) for kind, folder in folders.items()}


def answers_of(run):
    """By checklist and item."""
    lists = filled_checklists(run, leak_panel(run)["shared_patients"])
    return {
        checklist["key"]: {item["number"]: item["answer"] for item in checklist["items"]}
        for checklist in lists
    }


@pytest.mark.parametrize("kind", KINDS)
def test_every_yes_leads_to_a_place_that_is_on_the_page(kind, runs):
    run = runs[kind]
    html = (run.folder / "report.html").read_text()
    ids = set(re.findall(r'id="(\w+)"', html))
    for checklist in filled_checklists(run, leak_panel(run)["shared_patients"]):
        for item in [*checklist["conditions"], *checklist["items"]]:
            answer = item["answer"]
            if answer.status in ("yes", "stated"):
                assert answer.anchor, (checklist["key"], item["number"])
            if answer.anchor:
                assert answer.anchor in ids, (checklist["key"], item["number"], answer)
                assert answer.text and f'href="#{answer.anchor}"' in html


@pytest.mark.parametrize("kind", KINDS)
def test_claim_answers_with_its_own_words_only(kind, runs):
    statuses = {answer.status for answer in answers_of(runs[kind])["claim"].values()}
    assert statuses <= {"yes", "no", "n/a", "not reported"}
    real = runs[kind].config | {"cohort": runs[kind].config["cohort"] | {"root": "somewhere"}}
    run = type(runs[kind])(**{**vars(runs[kind]), "config": real})
    claim = answers_of(run)["claim"]
    unknowable = ("1", "2", "3", "4", "5", "7", "11", "14", "15", "16", "17", "18", "34", "42", "44")
    assert {claim[number].status for number in unknowable} == {"not reported"}
    assert claim["33"].status == "no"


def test_answers_follow_the_modalities_and_the_settings(runs):
    status = {
        kind: {key: {n: a.status for n, a in answers.items()} for key, answers in answers_of(run).items()}
        for kind, run in runs.items()
    }
    assert status["network"]["metrics"]["23"] == "yes" and status["leaky"]["metrics"]["23"] == ""
    assert status["network"]["metrics"]["12"] == "" and status["leaky"]["metrics"]["12"] == "yes"
    assert status["network"]["claim"]["9"] == "yes" and status["tables"]["claim"]["9"] == "not reported"
    assert status["position"]["claim"]["9"] == status["position"]["claim"]["13"] == "n/a"
    assert status["network"]["claim"]["24"] == "yes" and status["tables"]["claim"]["24"] == "n/a"
    assert status["network"]["claim"]["31"] == "no"
    features = runs["network"].config["features"] | {"stable": 0.75}
    settings = runs["network"].config | {"features": features}
    metrics = answers_of(type(runs["network"])(**{**vars(runs["network"]), "config": settings}))["metrics"]
    assert status["network"]["metrics"]["14"] == "no" and metrics["14"].status == "yes"
    assert status["leaky"]["claim"]["20"] == status["leaky"]["claim"]["32"] == "no"
    assert status["leaky"]["metrics"]["18"] == "no" and status["tables"]["claim"]["20"] == "yes"


def test_characteristics_groups_and_the_model_are_claimed_as_far_as_they_are_shown(runs, tmp_path):
    tripod = answers_of(runs["network"])["tripod"]
    assert tripod["20b"].status == "partly" and tripod["20b"].anchor == "table1"
    assert tripod["23a"].status == "stated" and tripod["23a"].anchor == "subgroups"
    assert tripod["22"].status == "" and tripod["9b"].status == "partly"  # no checkpoint was left
    tables = answers_of(runs["tables"])
    assert tables["tripod"]["22"].status == "partly" and "3 fold=K/model.json" in tables["tripod"]["22"].text
    before = write_run(tmp_path / "before", "split.folds=2")
    results = json.loads((before / "results.json").read_text())
    del results["subgroups"], results["influence"]
    RunFolder(before).write_results(results)
    page = write_report(before).read_text()
    answers = answers_of(read_run(before))
    assert 'id="subgroups"' not in page and 'href="#subgroups"' not in page
    assert 'id="table1"' in page and answers["tripod"]["20b"].anchor == "table1"
    assert answers["tripod"]["23a"].status == "partly"
    assert answers["claim"]["30"].status == "no"


def test_columns_are_counted_as_the_models_have_them(runs, tmp_path):
    network = answers_of(runs["network"])["metrics"]["16"].text
    assert "107 radiomics, 12 position; all enter" in network
    assert (
        "columns in the model of a fold: ER 2, PR 2, HER2 2"
        in answers_of(runs["tables"])["metrics"]["16"].text
    )
    run = runs["tables"]
    shares = {"chosen": 4.8, "candidates": 119}
    results = run.results | {"stability": {"ER": shares}}
    assert "ER 5 of 119" in answers_of(type(run)(**{**vars(run), "results": results}))["metrics"]["16"].text


def test_a_target_of_one_class_claims_no_figure(runs):
    run = runs["position"]
    results = json.loads(json.dumps(run.results))
    results["receptors"]["ER"]["patient"]["auroc"] = np.nan
    for test in results["subgroups"]:
        for level in test["levels"]:
            level["auroc"] = np.nan
    answers = answers_of(type(run)(**{**vars(run), "results": results}))
    assert answers["metrics"]["20"].status == answers["metrics"]["22"].status == "no"
    assert answers["metrics"]["21"].status == answers["claim"]["29"].status == "no"
    assert answers["claim"]["37"].status == answers["claim"]["32"].status == "no"
    assert answers["tripod"]["23a"].status == "partly"
