"""A column that tells a target alone is named, honest columns are not, whatever their number."""

import io
import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from finished_runs import write_run
from rich.console import Console
from scipy.stats import mannwhitneyu

from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK, read_download
from bcbm.config.compose import compose
from bcbm.preparation.audit import audit_content
from bcbm.preparation.prepare import prepare
from bcbm.preparation.reading import read_cohort
from bcbm.report.pages.run import write_report
from bcbm.statistics.metrics import auroc
from bcbm.statistics.telling import telling_columns

OWNERS = np.repeat(np.arange(60), 3)


def labels(seed=0):
    """Half of 60 patients positive for either of two targets, three lesions each."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame({name: rng.permutation(np.arange(60) % 2)[OWNERS] * 1.0 for name in ("ER", "PR")})


def noise(columns, seed=1):
    values = np.random.default_rng(seed).normal(size=(len(OWNERS), columns))
    return pd.DataFrame(values, columns=[f"noise{number}" for number in range(columns)])


def test_a_proxy_of_the_label_is_named_with_its_target_and_no_other():
    truth = labels()
    flipped = noise(100).assign(proxy=-truth["PR"] + np.random.default_rng(2).normal(0, 0.5, len(OWNERS)))
    er, pr = telling_columns(flipped, OWNERS, truth)
    assert (er["target"], er["telling"]) == ("ER", [])
    assert [row["column"] for row in pr["telling"]] == ["proxy"]
    assert pr["strongest"]["auroc"] < 0.05 and pr["strongest"]["p"] == 0.001
    means = flipped["proxy"].groupby(OWNERS).mean()
    assert pr["strongest"]["auroc"] == pytest.approx(auroc(truth["PR"].groupby(OWNERS).first(), means))
    assert (pr["patients"], pr["columns"]) == (60, 101)


def test_a_patient_of_both_labels_counts_as_positive():
    truth = labels()
    mixed = truth.mask(pd.Series(np.arange(len(OWNERS)) % 3 == 0), 0.0)  # every first lesion is negative
    proxy = noise(5).assign(proxy=truth["PR"] + np.random.default_rng(2).normal(0, 0.5, len(OWNERS)))
    assert telling_columns(proxy, OWNERS, mixed) == telling_columns(proxy, OWNERS, truth)


def test_a_kind_and_its_absence_can_tell_a_target_too():
    truth = labels()
    maker = pd.Series(np.where(truth["ER"] == 1, "Siemens", ""))
    er, pr = telling_columns(noise(5).assign(maker=maker), OWNERS, truth)
    assert {row["column"] for row in er["telling"]} == {"maker_", "maker_Siemens"} and not pr["telling"]

    age = pd.Series(np.where(truth["PR"] == 1, np.random.default_rng(3).normal(60, 9, len(OWNERS)), np.nan))
    _, pr = telling_columns(noise(5).assign(age=age), OWNERS, truth)
    assert [row["column"] for row in pr["telling"]] == ["age missing"]


def test_few_patients_many_columns_and_sparse_ones_raise_no_alarm():
    truth = labels()
    few = OWNERS < 12
    (strongest, _) = telling_columns(noise(300)[few], OWNERS[few], truth[few])
    assert abs(strongest["strongest"]["auroc"] - 0.5) > 0.35 and strongest["telling"] == []
    sparse = noise(3).assign(rare=np.where(OWNERS < 4, truth["ER"], np.nan))
    (er, _) = telling_columns(sparse, OWNERS, truth)
    assert er["strongest"]["auroc"] in (0, 1) and er["telling"] == []
    proxy = sparse.assign(proxy=truth["ER"])
    (er, _) = telling_columns(proxy, OWNERS, truth)
    assert [row["column"] for row in er["telling"]] == ["proxy"]


def test_p_is_that_of_the_strongest_column_under_permutations():
    truth = labels()["ER"].groupby(OWNERS).first()
    columns = noise(5).groupby(OWNERS).mean().round(1)  # with ties

    def p_values(label):
        tests = {}
        for name in columns:
            groups = (columns.loc[label == value, name] for value in (1, 0))
            tests[name] = mannwhitneyu(*groups, method="asymptotic", use_continuity=False).pvalue
        return pd.Series(tests)

    observed, rng = p_values(truth), np.random.default_rng(9)
    least = [p_values(pd.Series(rng.permutation(truth), truth.index)).min() for _ in range(100)]
    (result,) = telling_columns(columns, columns.index, pd.DataFrame({"ER": truth}))
    assert result["strongest"]["p"] == pytest.approx(
        np.mean(least <= observed[result["strongest"]["column"]]), abs=0.12
    )


@pytest.fixture(scope="module")
def proxied(table_cohort, tmp_path_factory):
    """The cohort of 40 patients with one radiomics column that is HER2 and some noise."""
    root = shutil.copytree(table_cohort, tmp_path_factory.mktemp("proxied") / "cohort")
    name, sheet = RADIOMICS_WORKBOOK
    frame = pd.read_excel(root / name, sheet_name=sheet)
    status = read_download(table_cohort).studies.set_index("study_id")["HER2"]
    label = frame["FilenamePrefix"].map(status).fillna(0.5)
    frame["original_firstorder_Mean"] = label + np.random.default_rng(0).normal(0, 0.2, len(frame))
    frame.to_excel(root / name, sheet_name=sheet, index=False)
    assert (root / CLINICAL_WORKBOOK[0]).is_file()
    return root


def test_a_proxy_is_named_before_training_and_by_the_audit(proxied, table_cohort, tmp_path):
    for root, telling in ((proxied, ["original_firstorder_Mean"]), (table_cohort, [])):
        console = Console(file=io.StringIO(), width=300)
        words = [f"cohort.root={root}", f"prepared.root={tmp_path / root.parent.name}"]
        config = compose([*words, "experiment=tcia_tabular"])
        lesions = prepare(config, console)
        her2 = next(row for row in lesions.tellings if row["target"] == "HER2")  # shape is planted for PR
        assert [best["column"] for best in her2["telling"]] == telling
        assert console.file.getvalue().count("original_firstorder_Mean and HER2") == len(telling)
        cohort = read_cohort(config, console, volumes=False, register=False)
        findings = audit_content(config, cohort)["findings"]
        named = [row["where"] for row in findings if row["kind"] == "a column tells the label"]
        assert [where for where in named if "HER2" in where] == [f"{name} and HER2" for name in telling]


def test_the_report_folds_single_columns_away_and_names_what_tells(tmp_path):
    run = write_run(tmp_path / "run", "split.folds=2")
    best = {"column": "shape_<b>", "auroc": 0.97, "p": 0.001}
    quiet = {"column": "firstorder_Mean", "auroc": 0.61, "p": 0.4}
    base = {"patients": 40, "columns": 119}
    rows = [{"target": "ER", **base, "strongest": best, "telling": [best]}]
    rows += [{"target": "PR", **base, "strongest": quiet, "telling": []}]
    (run / "columns.json").write_text(json.dumps(rows))
    html = write_report(run).read_text()
    (section,) = re.findall(r"<details><summary>Single columns: (.*?)</details>", html, re.DOTALL)
    summary, table = section.split("</summary>")
    assert "shape_&lt;b&gt;" in summary and "firstorder_Mean" not in summary
    assert "0.97" in table and "0.61" in table and "119" in table
