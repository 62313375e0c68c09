"""Tables of an article: who the patients are by target, as numbers, CSV, LaTeX and on the pages."""

import json
import math
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from finished_runs import lesion_table, write_run

from bcbm.report.pages.run import write_report
from bcbm.report.tables import cohort_in_words
from bcbm.report.text_table import TextTable, booktabs, escaped, write_text_table
from bcbm.statistics.table_one import table_one

TARGETS = ["ER", "PR", "HER2"]


@pytest.fixture(scope="module")
def lesions():
    table = lesion_table()
    sexes = {name: "F" if number % 3 else "M" for number, name in enumerate(table["patient_id"].unique())}
    return table[~table["excluded"]].assign(sex=table["patient_id"].map(sexes))


def row_of(table, label, lesions=False):
    return next(row for row in table["rows"] if row["label"] == label and row["lesions"] == lesions)


def cells(table, label, target, lesions=False):
    """The numbers of a row by status, and its standardised difference."""
    row = row_of(table, label, lesions)
    places = {
        group["status"]: place for place, group in enumerate(table["groups"]) if group["target"] == target
    }
    numbers = {status: row["cells"][place] for status, place in places.items()}
    return numbers, row["differences"][table["targets"].index(target)]


def test_patients_are_the_unit_and_every_number_is_that_of_its_group(lesions):
    table = table_one(lesions, TARGETS)
    patients = lesions.drop_duplicates("patient_id").set_index("patient_id")
    counts, _ = cells(table, "patients", "PR")
    sides = {
        "positive": patients["PR"] == 1,
        "negative": patients["PR"] == 0,
        "unknown": patients["PR"].isna(),
    }
    assert {name: [side.sum()] for name, side in sides.items()} == counts
    ages = {name: patients.loc[side, "age"].astype(float) for name, side in sides.items()}
    numbers, difference = cells(table, "age, years", "PR")
    assert numbers == {name: pytest.approx([age.mean(), age.std()]) for name, age in ages.items()}
    pooled = math.sqrt((ages["positive"].var() + ages["negative"].var()) / 2)
    assert difference == pytest.approx((ages["positive"].mean() - ages["negative"].mean()) / pooled)
    numbers, difference = cells(table, "F", "PR")
    shares = {name: (patients.loc[side, "sex"] == "F").mean() for name, side in sides.items()}
    assert {name: share for name, (_, share) in numbers.items()} == pytest.approx(shares)
    p, q = shares["positive"], shares["negative"]  # Austin, 2009, of a dichotomous variable
    assert difference == pytest.approx((p - q) / math.sqrt((p * (1 - p) + q * (1 - q)) / 2))
    burden = lesions.groupby("patient_id").size()
    assert (lesions.groupby("patient_id")["study_id"].nunique() > 1).any()
    numbers, difference = cells(table, "lesions a patient over all studies", "ER")
    positive, negative = (burden[patients["ER"] == status] for status in (1, 0))
    assert numbers["positive"] == list(np.quantile(positive, [0.5, 0.25, 0.75]))
    logs = np.log(positive), np.log(negative)
    pooled = math.sqrt((logs[0].var() + logs[1].var()) / 2)
    assert difference == pytest.approx((logs[0].mean() - logs[1].mean()) / pooled)


def test_lesions_are_marked_and_counted_with_their_own_labels(lesions):
    converted = lesions.copy()
    several = converted[converted["ER"] == 0].groupby("patient_id").head(1).index[:5]
    converted.loc[several, "ER"] = 1.0  # a patient of both labels counts as positive
    table = table_one(converted, ["ER"])
    patients, _ = cells(table, "patients", "ER")
    of_lesions, _ = cells(table, "lesions", "ER", lesions=True)
    assert patients["positive"] == [converted.loc[converted["ER"] == 1, "patient_id"].nunique()]
    assert of_lesions["positive"] == [(converted["ER"] == 1).sum()]
    words = cohort_in_words(table)
    marked = [cells[0] for cells in words.rows if "†" in cells[0]]
    assert "lesions †" in marked and "region †" in marked and "patients" not in marked
    assert any("†" in note and "independent" in note for note in words.notes)


def test_what_is_not_known_is_counted_and_no_part_of_a_share(lesions):
    blank = lesions["patient_id"].isin(lesions["patient_id"].unique()[:7])
    table = table_one(lesions.assign(sex=lesions["sex"].mask(blank, ""), volume=np.nan), ["ER"])
    labels = [row["label"] for row in table["rows"]]
    unknown = table["rows"][labels.index("M") + 1]
    assert unknown["label"] == "unknown" and unknown["cells"][0] == [7.0]
    everybody = [row_of(table, name)["cells"][0] for name in ("F", "M")]
    assert sum(count for count, _ in everybody) == 53 and sum(
        share for _, share in everybody
    ) == pytest.approx(1)
    assert [group["status"] for group in table["groups"]] == ["all", "positive", "negative"]


@pytest.mark.parametrize("change", ["nobody", "one patient", "one class", "many kinds"])
def test_every_cohort_has_its_table(lesions, change, tmp_path):
    table = {
        "nobody": lesions.iloc[:0],
        "one patient": lesions[lesions["patient_id"] == lesions["patient_id"].iloc[0]],
        "one class": lesions.assign(ER=1.0, PR=np.nan),
        "many kinds": lesions.assign(manufacturer=lesions["patient_id"].str[-2:] + " <&_%$"),
    }[change]
    content = table_one(table, TARGETS)
    assert row_of(content, "patients")["cells"][0] == [table["patient_id"].nunique()]
    words = cohort_in_words(content)
    assert len([row for row in words.rows if "<&" in row[0]]) == (9 if change == "many kinds" else 0)
    write_text_table(words, tmp_path / "table1")
    assert len(pd.read_csv(tmp_path / "table1.csv")) == len(words.rows)


def test_latex_has_a_cell_a_column_and_prints_any_text(tmp_path):
    odd = r"50 % & \alpha_1^2 ~#$ {x} <y> mm³"
    table = TextTable(
        [("", ""), ("A & B", "n"), ("A & B", "SMD")], [["heading"], [odd, "3 [1, 2]", "-0.10"]], [odd]
    )
    latex = booktabs(table, alarm="LEAKY: 100 %")
    lines = [re.sub(r"\\&", "", line) for line in latex.splitlines() if line.endswith(r"\\")]
    assert {line.count("&") for line in lines} == {1, 2}  # the first is that of the groups, which span two
    assert r"\cmidrule(lr){2-3}" in latex and r"\textbf{LEAKY: 100 \%}" in latex and "$-$0.10" in latex
    assert escaped(odd).count("\\") >= 8 and latex.count("{") - latex.count(r"\{") == latex.count(
        "}"
    ) - latex.count(r"\}")
    if (program := shutil.which("pdflatex")) is None:
        return
    (tmp_path / "table.tex").write_text(latex)
    document = [r"\documentclass{article}", r"\usepackage{booktabs}", r"\begin{document}", r"\input{table}"]
    (tmp_path / "page.tex").write_text("\n".join([*document, r"\end{document}"]))
    words = [program, "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_a_run_leaves_its_table_and_shows_it_folded(tmp_path):
    run = write_run(tmp_path / "run")
    html = write_report(run).read_text()
    table = pd.read_csv(run / "tables" / "table1.csv", keep_default_na=False)
    words = cohort_in_words(table_one(lesion_table().loc[lambda t: ~t["excluded"]], TARGETS))
    assert table.iloc[:, 0].tolist() == [row[0] for row in words.rows]
    section = html.split('<details id="table1">')[1].split("</details>")[0]
    assert all(cell in section for row in words.rows for cell in row)
    assert (run / "tables" / "table1.tex").read_text().count("\\toprule") == 1
    for path in (run / "tables").iterdir():
        assert "SECRET" not in path.read_text()


def test_the_results_of_a_run_are_a_table_for_an_article(tmp_path):
    run = write_run(tmp_path / "run")
    write_report(run)
    results = json.loads((run / "results.json").read_text())["receptors"]
    table = pd.read_csv(run / "tables" / "results.csv").set_index(["target", "level"])
    assert len(table) == 2 * len(results) + 1
    latex = (run / "tables" / "results.tex").read_text()
    rows = {line.split(" & ")[0]: line for line in latex.splitlines() if " & " in line}
    for target, block in results.items():
        for level in ("patient", "lesion"):
            row = table.loc[(target, level)]
            assert row["auroc_low"] == pytest.approx(block[level]["auroc_low"])
            assert f"{block[level]['auroc']:.2f} [{block[level]['auroc_low']:.2f}" in rows[target]
        assert table.loc[(target, "patient"), "calibration_slope"] == pytest.approx(
            block["patient"]["calibration"]["slope"]
        )
        assert f"{block['patient']['positives']} / {block['patient']['negatives']}" in rows[target]
    assert not table["leaky"].any() and "LEAKY" not in latex


@pytest.mark.parametrize(
    ("word", "mark"), [("split.unit=lesion", "LEAKY"), ("task.random_labels=3", "RANDOM LABELS")]
)
def test_figures_that_are_no_result_say_so_in_an_article_too(tmp_path, word, mark):
    run = write_run(tmp_path / "run", word)
    write_report(run)
    assert mark in (run / "tables" / "results.tex").read_text().split("toprule")[0]
    table = pd.read_csv(run / "tables" / "results.csv")
    assert table["leaky"].all() == (mark == "LEAKY") and table["random_labels"].eq(3).all() == (
        mark != "LEAKY"
    )
