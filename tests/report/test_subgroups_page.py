"""What a page says of subgroups, of single patients and of chosen columns."""

import json
import re
from html import unescape

import pandas as pd
import pytest
from finished_runs import lesion_table, write_run

from bcbm.report.pages.run import write_report
from bcbm.report.pages.subgroups import most_influential, single_patients, subgroup_content
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.statistics.stability import stability_block


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Traditional models; one of the two sexes is rare, and columns were chosen."""
    table = lesion_table()
    table["sex"] = ["M" if name.endswith(("01", "02", "03")) else "F" for name in table["patient_id"]]
    words = ["task.modalities=[radiomics]", "model.kind=forest", "split.folds=3"]
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", *words, table=table)
    results = json.loads((folder / "results.json").read_text())
    chosen = pd.DataFrame({"shape_<b>": [1, 1, 1], "texture": [1, 0, 0], "never": [0, 0, 0]}).astype(bool)
    results["stability"] = {target: stability_block(chosen) for target in results["receptors"]}
    RunFolder(folder).write_results(results)
    write_report(folder)
    return read_run(folder)


def section(run, name):
    html = (run.folder / "report.html").read_text()
    (inside,) = re.findall(rf'<section id="{name}">.*?</section>', html, flags=re.S)
    return inside, " ".join(unescape(re.sub(r"<[^>]+>", " ", inside)).split())


def test_the_headline_is_open_and_the_figures_are_folded(run):
    html, text = section(run, "subgroups")
    opened = re.sub(r"<details.*?</details>", "", html, flags=re.S)
    assert "<table" not in opened and "<img" not in opened and html.count("<details") == 2
    assert run.results["subgroups"] and "patients with the most lesions own" in opened
    share = run.results["influence"]["largest"]["lesions_share"]
    assert f"{100 * share:.0f}" in text


def test_every_level_is_there_and_small_ones_have_no_number(run):
    text = section(run, "subgroups")[1]
    tests = {(test["subgroup"], test["target"]): test for test in run.results["subgroups"]}
    few, many = tests["sex", "ER"]["levels"][::-1]
    assert few["level"] == "M" and f"M too few, {few['positives']} / {few['negatives']}" in text
    for block in (many, *tests["age", "ER"]["levels"]):
        assert f"{block['auroc']:.2f} [{block['auroc_low']:.2f}, {block['auroc_high']:.2f}]" in text
        assert block["level"] in text
    assert "manufacturer, field strength" in text  # one value, or none
    assert "nan" not in text


def test_a_difference_is_named_and_its_absence_is_not_called_proof(run):
    tests = [test | {"q": 0.5} for test in run.results["subgroups"]]
    calm = subgroup_content(tests, ["ER", "PR", "HER2"])["words"]
    assert f"{len(tests)} tests" in calm and "0.50" in calm
    words = subgroup_content([tests[0] | {"q": 0.01}, *tests[1:]], ["ER", "PR", "HER2"])["words"]
    assert f"{tests[0]['subgroup']} ({tests[0]['target']})" in words and words != calm


def test_the_most_influential_patients_have_pseudonyms_and_the_largest_changes(run):
    changes = single_patients(run)
    names = {str(name): f"P{number}" for number, name in enumerate(changes["patient_id"].unique())}
    rows = most_influential(changes, run, names)
    for target, block in run.results["receptors"].items():
        inside = changes[changes["target"] == target]
        shown = [row for row in rows if row["target"] == target]
        assert [abs(row["patient"]) for row in shown] == sorted(inside["patient"].abs(), reverse=True)[:3]
        assert shown[0]["without"] == pytest.approx(block["patient"]["auroc"] + shown[0]["patient"])
        assert shown[0]["name"] == names[shown[0]["patient_id"]]
        extremes = run.results["influence"]["receptors"][target]
        low, high = inside["patient"].min(), inside["patient"].max()
        assert extremes["auroc_least"] == pytest.approx(block["patient"]["auroc"] + low)
        assert extremes["auroc_most"] == pytest.approx(block["patient"]["auroc"] + high)


def test_chosen_columns_stand_with_their_stability_and_their_share_of_folds(run):
    html, text = section(run, "explanations")
    block = run.results["stability"]["ER"]
    assert f"{block['stability']:.2f} [{block['stability_low']:.2f}, {block['stability_high']:.2f}]" in text
    assert "shape_&lt;b&gt;" in html and "33" in text and "never" not in text and 'id="columns"' in html
