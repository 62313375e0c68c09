"""Labels of a clinical table: columns that a hospital adds, the list of readings, and its correction."""

import io
import math
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from rich.console import Console

from bcbm.cohort.acquisition import require_column
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, read_download
from bcbm.cohort.labels import read_corrections, read_labels, readings_table, readings_words
from bcbm.cohort.table import build_table
from bcbm.cohort.targets import TARGETS, known_targets
from bcbm.config.compose import compose
from bcbm.errors import InputError, Note
from bcbm.preparation.prepare import prepare
from bcbm.system.spreadsheet import spreadsheet_csv

KNOWN = known_targets({})
BASELINE = ("experiment=demo+baselines/logistic_l2", "prepared.jobs=1")


def read(columns, targets=KNOWN):
    """Labels, problems and readings of a table of these columns."""
    cells = pd.DataFrame(columns, dtype=object)
    problems, readings = [], []
    rows = [f"row {number + 2}" for number in range(len(cells))]
    labels = read_labels(cells, targets, "book", rows, problems, readings)
    return labels, problems, {(r.target, r.cell): (r.count, r.reads_as) for r in readings}


def values(labels, name):
    return [None if math.isnan(value) else value for value in labels[name]]


def test_plain_signs_give_the_receptors_and_no_other_column():
    labels, problems, readings = read({"ER": ["+", "-", ""], "PR": ["-", None, "+"], "HER2": ["+", "+", "-"]})
    assert list(labels) == list(TARGETS) and not problems
    assert values(labels, "ER") == [1, 0, None] and values(labels, "PR") == [0, None, 1]
    assert readings["ER", ""] == (1, "missing") and readings["HER2", "+"] == (2, "positive")


def test_what_plain_numbers_of_a_column_are_is_said_in_a_line_and_plain_signs_are_not():
    readings = []
    cells = pd.DataFrame({"ER": ["90", "0"], "PR": ["+", ""], "HER2": ["0", "3"]}, dtype=object)
    read_labels(cells, KNOWN, "book", ["a", "b"], [], readings)
    line = readings_words(readings)
    assert "2 spellings of ER" in line and "ER are percentages" in line and "HER2 are IHC scores" in line
    assert "PR" not in line and "HER2_low" not in line
    assert readings_words([reading for reading in readings if reading.target == "PR"]) == ""


def test_low_positive_stands_beside_a_receptor_and_her2_low_is_a_target():
    labels, _, readings = read({"ER": ["5 %", "90 %", "<1 %", "+"], "HER2": ["0", "1+", "3+", "-"]})
    assert list(labels) == ["ER", "HER2", "HER2_low", "ER_low"]
    assert values(labels, "ER") == [1, 1, 0, 1] and values(labels, "ER_low") == [1, 0, 0, None]
    assert values(labels, "HER2") == [0, 0, 1, 0] and values(labels, "HER2_low") == [0, 1, 1, None]
    assert readings["HER2_low", "1+"] == (1, "positive") and readings["ER_low", "90 %"] == (1, "negative")


def test_ish_in_a_column_of_its_own_decides_2_plus_and_touches_no_plain_sign():
    columns = {"HER2": ["2+", "2+", "2+", "+", ""], "HER2 FISH": ["amplified", "-", "", "-", "not amplified"]}
    labels, problems, readings = read(columns)
    assert values(labels, "HER2") == [1, 0, None, 1, 0]
    assert ("HER2", "2+; ISH amplified") in readings
    contradicted, problem = sorted(problems, key=lambda problem: "2+" in problem.found)
    assert problem.where == "book" and "2+" in problem.found and "1 row" in problem.found
    assert "1 row" in contradicted.found and "row 5" in contradicted.found
    _, problems, _ = read({"HER2": ["2+"], "HER2 FISH": ["+"], "HER2 SISH": ["-"]})
    assert "row 2" in problems[0].where and "contradicts" in problems[0].found


def test_ratios_and_copies_of_ish_in_columns_of_their_own_decide_2_plus_by_the_guideline():
    columns = {
        "HER2": ["2+", "2+", "2+", "1+", "2+", "+"],
        "HER2/CEP17 ratio": ["2,4", 1.0, "1.7", "1.7", "", "1.0"],
        "HER2 copies per cell": ["5.1", "", "6.2", "6.2", "4.5", ""],
    }
    labels, problems, _ = read(columns)
    assert values(labels, "HER2") == [1, 0, 1, 0, None, 1]
    problem, contradicted = problems
    assert "row 6" in problem.where and "4.5" in problem.found
    assert "row 7" in contradicted.found and "1.0" in contradicted.found
    labels, problems, _ = read({"HER2": ["2+"] * 4, "HER2 FISH": [1.0, 1.4, 2.3, 6.5]})
    assert values(labels, "HER2") == [0, 0, None, 1], "in a column of numbers 1.0 is no yes"
    assert "row 4" in problems[0].where and "ratio" in problems[0].found
    labels, problems, _ = read({"HER2": ["2+"] * 2, "HER2 FISH": [1.0, 2.0]})
    assert labels["HER2"].isna().all() and len(problems) == 2, "codes, whichever is which"
    for codes in ([1, 9], [1, 0, 99], [1, 2, 3], [0, 1, 2], [1, 8, 88]):
        labels, problems, _ = read({"HER2": ["2+"] * len(codes), "HER2 FISH": codes})
        assert labels["HER2"].isna().all() and len(problems) == len(codes), codes
        assert all("code" in problem.found for problem in problems)
    labels, problems, _ = read({"HER2": ["2+"] * 4, "HER2 FISH": [1, 3, 8, 2]})
    assert values(labels, "HER2") == [0, None, 1, None], "numbers"
    labels, problems, _ = read({"HER2": ["2+"] * 3, "HER2 FISH": [0.0, 1.4, 2.3]})
    assert values(labels, "HER2") == [None, 0, None] and "ISH 0 is beyond belief" in problems[0].found
    labels, problems, _ = read({"HER2": ["2+"] * 2, "HER2 FISH": [1.0, 0.0]})
    assert values(labels, "HER2") == [1, 0] and not problems, "a column of 0 and 1 is one of signs"


def test_a_code_for_what_is_not_known_among_percentages_is_said():
    for last, said in ((99, 1), (98, 0)):
        _, problems, _ = read({"ER": [80, 0, 90, 100, 5, 99, last]})
        assert sum("may be a code for what is not known" in problem.found for problem in problems) == said


@pytest.mark.parametrize("heading", ["HER2 FISH ratio", "HER2 copies"])
def test_ratios_that_have_all_lost_their_point_are_not_read(heading):
    labels, problems, _ = read({"HER2": ["2+"] * 4, heading: ["12", "23", "", "62"]})
    assert labels["HER2"].isna().all()
    assert [problem.where.split(", ")[1] for problem in problems[:3]] == ["row 2", "row 3", "row 5"]
    assert all("without a decimal point" in problem.found for problem in problems[:3])
    labels, problems, _ = read({"HER2": ["2+"] * 4, heading: ["1", "2", "12", "6.2"]})
    assert values(labels, "HER2")[2] == 1 and "decimal point" not in str(problems)


@pytest.mark.parametrize(
    ("heading", "cells", "odd"),
    [
        ("Molecular subtype", ["TNBC", "HR+/HER2-", "Luminal A", "HER2-enriched"], ["row 2"]),
        ("HR status", ["+", "neg", "", "1"], ["row 3"]),
        ("TNBC", ["no", "yes", "no", ""], ["row 3"]),
        ("subtype", ["HR positive", "hr+ her2+", "?", ""], ["row 3"]),
    ],
)
def test_a_column_that_contradicts_the_receptors_is_said_with_its_first_row(heading, cells, odd):
    columns = {"ER": ["+", "-", "+", "-"], "PR": ["+", "+", "+", "-"], "HER2": ["-", "-", "", "+"]}
    labels, problems, _ = read(columns | {heading: cells})
    assert values(labels, "ER") == [1, 0, 1, 0]
    if heading == "HR status":  # the last says +, and both are negative
        assert "2 rows" in problems[0].found
    assert [row for row in odd if row in problems[0].found] == odd and len(problems) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [("0 = pos., 1 = neg.", 1), ("1=negative", 1), ("0 = negative, 1 = positive", 0), ("10 = -", 0)],
)
def test_a_remark_beside_the_labels_that_reverses_them_is_said(text, said):
    _, problems, _ = read({"ER": ["1", "0"], "Unnamed: 4": [text, ""]})
    assert len([problem for problem in problems if "Unnamed: 4" in problem.where]) == said


def test_receptors_are_found_under_the_headings_of_hospitals_and_two_that_may_be_one_are_refused():
    columns = {
        "Östrogenrezeptor": ["90 %"],
        "PgR status": ["neg"],
        "Her2/neu (IHC)": ["3+"],
        "PR ratio": ["x"],
    }
    labels, problems, _ = read(columns)
    assert [values(labels, name) for name in TARGETS] == [[1], [0], [1]] and not problems
    labels, _, _ = read({"ER": ["-"], "ER status": ["+"]})
    assert values(labels, "ER") == [0], "the plain name counts"
    with pytest.raises(InputError, match=r"'ER status' and 'Estrogen receptor'.*ER"):
        read({"ER status": ["-"], "Estrogen receptor": ["+"]})


@pytest.mark.parametrize("heading", ["ER-", "ER_-", "ER (-)", "ER \u2212"])
def test_a_column_of_negatives_is_not_that_of_its_receptor(heading):
    labels, _, _ = read({"PR": ["+", "-"], heading: ["True", "False"]})  # as pandas.get_dummies heads it
    assert "ER" not in labels


def test_a_column_of_what_is_not_amplified_is_not_that_of_its_result():
    labels, _, _ = read({"HER2": ["2+", "2+"], "FISH-": ["yes", "no"]})
    assert values(labels, "HER2") == [None, None]


def test_the_primary_is_read_by_the_rules_of_its_target_however_its_heading_is_spelt():
    targets = known_targets({"ki67": {"column": "Ki-67", "positive": ">= 20"}})
    labels, _, _ = read({"ER": ["+", "-"], "ER (primary)": ["<1%", "pos"]})
    assert values(labels, "primary_ER") == [0, 1]
    columns = {"ER": ["+", "-"], "Primary ER": ["<1%", "pos"], "Ki-67": [30, 5], "primary_ki67": [10, "many"]}
    labels, problems, _ = read(columns, targets)
    assert values(labels, "primary_ER") == [0, 1] and values(labels, "primary_ki67") == [0, None]
    (problem,) = problems
    assert problem.where == "book, row 3" and "primary_ki67" in problem.found and "many" in problem.found


def test_scores_of_the_primary_give_its_her2_low_and_no_low_positive():
    labels, _, _ = read({"ER": ["+"], "primary_ER": ["5 %"], "HER2": ["1+"], "primary HER2": ["2+ FISH-"]})
    assert list(labels) == ["ER", "HER2", "HER2_low", "primary_ER", "primary_HER2", "primary_HER2_low"]
    assert labels.iloc[0].tolist() == [1, 0, 1, 1, 0, 1]


def test_columns_of_two_meanings_are_refused_together_and_a_correction_settles_one(tmp_path):
    columns = {"ER": ["2", "5", "8"], "HER2": ["1", "3+", "positive"]}
    with pytest.raises(InputError) as caught:
        read(columns)
    assert [problem.where.rpartition(" ")[2] for problem in caught.value.problems] == ["ER", "HER2"]
    assert all("cohort.readings" in problem.remedy for problem in caught.value.problems)
    table = tmp_path / "mine.csv"
    table.write_text("target,cell,label\nER,2,negative\nER,5,positive\nER,8,positive\nHER2,1,Negative\n")
    corrections = read_corrections(table, KNOWN)
    targets = {name: replace(target, corrections=corrections) for name, target in KNOWN.items()}
    labels, problems, _ = read(columns, targets)
    assert values(labels, "ER") == [0, 1, 1] and values(labels, "HER2") == [0, 1, 1] and not problems


def test_a_file_of_corrections_is_refused_line_by_line(tmp_path):
    table = tmp_path / "mine.csv"
    lines = ["ER,strong,yes", "ERR,strong,positive", "ER,,negative", "ER,'+,missing", "ER,+,missing", "PR,x,"]
    table.write_text("\n".join(["target,cell,label", *lines]))
    with pytest.raises(InputError) as caught:
        read_corrections(table, KNOWN)
    facts = [(problem.where.split()[2], problem.found) for problem in caught.value.problems]
    assert [line for line, _ in facts] == ["2", "3", "4", "6"]
    assert "'yes'" in facts[0][1] and "'ERR'" in facts[1][1]
    table.write_text("target,cell\nER,x\n")
    with pytest.raises(InputError, match="label"):
        read_corrections(table, KNOWN)


@pytest.fixture(scope="module")
def hospital(table_cohort, tmp_path_factory):
    """The synthetic tables with labels as hospitals write them, and the status of the primary."""
    root = shutil.copytree(table_cohort, tmp_path_factory.mktemp("hospital") / "cohort")
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    frame = frame.set_axis([str(name).strip() for name in frame], axis=1)
    number = frame["ID"].str.extract(r"-(\d+)-\d+$")[0].astype(int).to_numpy()
    frame["ER"] = [
        {"+": ["5 %", "90 %"][n % 2], "-": "<1%"}.get(c, c) for c, n in zip(frame["ER"], number, strict=True)
    ]
    her2 = {"+": ["3+", "2+ FISH+"], "-": ["0", "1+"]}
    frame["HER2"] = [her2.get(c, [c, c])[n % 2] for c, n in zip(frame["HER2"], number, strict=True)]
    frame["PR"] = [{"+": "moderate", "-": "-"}.get(c, c) for c in frame["PR"]]
    frame.to_excel(path, sheet_name=sheet, index=False)
    return root


def test_readings_are_listed_corrected_in_place_and_give_the_tables_of_plain_signs(
    hospital, table_cohort, tmp_path
):
    words = [*BASELINE, f"cohort.root={hospital}", f"prepared.root={tmp_path / 'p'}"]

    def prepared(*further):
        console = Console(file=io.StringIO(), width=300)
        return prepare(compose([*words, *further]), console), console.file.getvalue()

    unread, screen = prepared("task.targets=[ER,HER2,HER2_low]")
    path = tmp_path / "p" / "labels.csv"
    assert str(path) in screen and "cohort.readings" in screen and screen.count("'moderate'") > 1
    listed = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert {"target", "cell", "count", "reads_as", "why", "label"} == set(listed)
    assert not listed.duplicated(["target", "cell"]).any()
    listed.loc[listed["cell"] == "moderate", "label"] = "positive"
    listed.to_csv(path, index=False)
    lesions, screen = prepared(f"cohort.readings={path}")
    assert "moderate" not in screen and lesions.cohort != unread.cohort
    assert pd.read_csv(path, dtype=str, keep_default_na=False)["label"].eq("positive").any()
    plain = build_table(read_download(table_cohort))[0].set_index("lesion_id")
    table = lesions.table.set_index("lesion_id")
    pd.testing.assert_frame_equal(table[list(TARGETS)], plain.loc[table.index, list(TARGETS)])
    assert (
        set(table["ER_low"].dropna()) == {0.0, 1.0}
        and (table["HER2_low"] >= table["HER2"])[table["HER2"].notna()].all()
    )
    assert "reads_as of" not in screen
    first = listed.index[listed["reads_as"] == "negative"][0]
    listed.loc[first, "reads_as"] = "positive"  # in place of a label
    listed.to_csv(path, index=False)
    _, screen = prepared(f"cohort.readings={path}")
    assert "reads_as of 1 line without a label" in screen and "write it into the column label" in screen
    assert f"line {first + 2} ({listed.loc[first, 'target']}, " in screen
    assert "says positive and is read negative" in screen
    with pytest.warns(Note, match="no line has a label"):
        listed.assign(label="").to_csv(path, index=False)
        prepared(f"cohort.readings={path}")
    other = tmp_path / "other.csv"
    other.write_text("target,cell,label\nER,7 %,positive\n")
    _, screen = prepared(f"cohort.readings={other}", "task.targets=[ER]")
    assert any("other.csv" in line and "7 %" in line for line in screen.splitlines())


def test_label_columns_are_no_acquisition_columns(hospital):
    download = read_download(hospital, KNOWN)
    with pytest.raises(InputError) as caught:
        require_column("split.holdout", "ER_low", download)
    assert "ER_low" not in caught.value.problems[0].remedy and "year" in caught.value.problems[0].remedy


def test_sessions_that_disagree_on_the_primary_leave_it_missing(hospital, tmp_path):
    root = shutil.copytree(hospital, tmp_path / "cohort")
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    session = frame["ID"].str.extract(r"-(\d+)$")[0].astype(int)
    frame["primary_ER"] = ["+" if number == 0 else "-" for number in session]
    frame.to_excel(path, sheet_name=sheet, index=False)
    table, _, problems = build_table(read_download(root, KNOWN))
    twice = table.groupby("patient_id")["study_id"].transform("nunique") > 1
    assert table.loc[twice, "primary_ER"].isna().all() and (table.loc[~twice, "primary_ER"] == 1).all()
    assert any("primary_ER" in str(problem) for problem in problems)


def test_readings_written_for_people_are_read_back(tmp_path):
    readings = []
    read_labels(pd.DataFrame({"ER": ["=1+1", "+", "-x"]}), KNOWN, "book", ["a", "b", "c"], [], readings)
    table = readings_table(readings).assign(label="missing")
    path = tmp_path / "labels.csv"
    path.write_text(spreadsheet_csv(table))
    assert set(read_corrections(path, KNOWN)["ER"]) == {"=1+1", "+", "-x"}
