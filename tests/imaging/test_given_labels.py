"""A table of labels by the hospital's ids of patients fills a manifest, and carries nobody's name into it."""

import pandas as pd
import pytest

from bcbm.cohort.targets import known_targets
from bcbm.errors import InputError
from bcbm.imaging.labels import read_given_labels

PATIENTS = {"0012": "P001", "MRN-7": "P002", "9": "P003"}


def given(path, rows, private=True, targets=None, patients=PATIENTS):
    table = pd.DataFrame(rows)
    table.to_excel(path, index=False) if path.suffix == ".xlsx" else table.to_csv(path, index=False)
    return read_given_labels(path, patients, known_targets(targets or {}), private)


def test_rows_meet_their_patients_though_a_spreadsheet_has_dropped_zeros(tmp_path):
    rows = {"Patient ID": [12, 7, "mrn 7", 44], "ER status": ["90 %", "", "neg", "+"], "Name": ["A"] * 4}
    labels = given(tmp_path / "labels.xlsx", rows)
    assert labels.cells == {"P001": {"ER": "90 %"}, "P002": {"ER": "neg"}}
    remarks = dict(labels.remarks)
    assert remarks.keys() == {"table of labels, row 3 and 5", "P003", "table of labels"}
    assert "PR and HER2" in remarks["table of labels"]


def test_a_cell_says_in_the_manifest_what_it_said_among_its_column(tmp_path):
    ids = {"id": list(PATIENTS)}
    labels = given(tmp_path / "l.csv", {**ids, "HER2": ["1", "0", "3"], "ER": ["5", "90", "1"]})
    assert [cells["HER2"] for cells in labels.cells.values()] == ["IHC 1", "IHC 0", "IHC 3"]
    assert [cells["ER"] for cells in labels.cells.values()] == ["5 %", "90 %", "+"]
    columns = {"HER2": ["2+"] * 3, "HER2 FISH": [1.0, 1.4, 6.5], "PR": ["0", "1", ""]}
    labels = given(tmp_path / "m.csv", {**ids, **columns})
    assert [cells["HER2 FISH"] for cells in labels.cells.values()] == ["ISH 1.0", "ISH 1.4", "ISH 6.5"]
    assert [cells.get("PR") for cells in labels.cells.values()] == ["-", "+", None]


def test_what_is_not_understood_is_left_out_by_its_row_and_rows_of_one_patient_have_to_agree(tmp_path):
    rows = {
        "MRN": ["0012", "0012", "MRN-7", "MRN-7", "9"],
        "ER": ["pos", "90 %", "+", "-", "+ (Schmidt)"],
        "HER2 ISH": ["amplified", "", "Dr. Schmidt", "", "ratio 2.3"],
        "primary ER": ["unknown", "neg", "", "", ""],
        "grade": ["high", "", "Schmidt", "", "low"],
        "note": ["Schmidt"] * 5,
        "Alter": ["61", "61", "50", "50", "48"],
    }
    targets = {"grade": {"column": "grade", "positive": ["high"]}}
    labels = given(tmp_path / "l.csv", rows, targets=targets)
    assert labels.cells == {
        "P001": {"ER": "pos", "primary_ER": "neg", "HER2 ISH": "ISH amplified", "grade": "high"},
        "P002": {},
        "P003": {"HER2 ISH": "ISH ratio 2.3"},
    }
    told = [f"{where}: {text}" for where, text in labels.remarks]
    for facts in (("rows 4 and 5", "ER"), ("row 6", "ER"), ("row 4", "HER2 ISH"), ("row 4", "grade")):
        assert any(all(fact in line for fact in facts) for line in told), facts
    assert "Schmidt" not in str(labels)
    everything = given(tmp_path / "l.csv", rows, private=False, targets=targets)
    assert everything.cells["P003"] == {
        **{"ER": "+ (Schmidt)", "HER2 ISH": "ISH ratio 2.3", "grade": "low", "age": "48"}
    }


@pytest.mark.parametrize(
    ("rows", "facts"),
    [
        ({"Name": ["A"], "ER": ["+"]}, ("Name", "patient")),
        ({"MRN": ["77"], "ER": ["+"]}, ("MRN", "3 patients")),
        ({"MRN": ["9", "0012"], "ER": ["5", "8"]}, ("column ER", "5, 8", "Allred")),
        ({"MRN": ["9"], "ER status": ["+"], "ER IHC": ["-"]}, ("ER status", "ER IHC")),
        ({"MRN": ["9"], "\u0415R": ["+"]}, ("\u0415R", "none of labels")),  # a Cyrillic letter
        (
            {"Patient": ["9", "12"], "MRN": ["MRN-7", "9"], "ER": ["+", "-"]},
            ("'Patient' and 'MRN'", "different"),
        ),
        ({"MRN": ["0012", "9", "MRN-7"], "ER": ["1", "0", "9"]}, ("column ER", "0, 1, 9", "unknown")),
        ({"MRN": ["0012", "9"], "HER2": ["1", "2"]}, ("column HER2", "1, 2", "codes")),
    ],
)
def test_a_table_that_cannot_be_joined_is_refused(tmp_path, rows, facts):
    with pytest.raises(InputError) as error:
        given(tmp_path / "l.csv", rows)
    assert all(fact in str(error.value) for fact in facts), str(error.value)


HER2_ROWS = {
    "rows that contradict each other": (["2+", "3+"], ["not amplified", ""], {}, "rows 2 and 3"),
    "a positive row beside a negative one": (["0", "2+"], ["", "amplified"], {}, "rows 2 and 3"),
    "two degrees of one sign": (["1+", "0"], ["", ""], {"HER2": "-"}, "two degrees"),
    "an open row beside a decided one": (
        ["2+", "2+"],
        ["", "amplified"],
        {"HER2": "2+", "HER2 ISH": "ISH amplified"},
        "",
    ),
}


@pytest.mark.parametrize("kind", HER2_ROWS)
def test_her2_and_ish_of_a_row_are_read_together(tmp_path, kind):
    her2, ish, cells, fact = HER2_ROWS[kind]
    rows = {"MRN": ["0012", "0012", "9"], "HER2": [*her2, "3+"], "HER2 ISH": [*ish, ""]}
    labels = given(tmp_path / "l.csv", {**rows, "ER": ["+"] * 3, "PR": ["-"] * 3})
    assert {name: cell for name, cell in labels.cells["P001"].items() if "HER2" in name} == cells
    told = [f"{where}: {text}" for where, text in labels.remarks if "HER2" in text]
    assert [fact in line for line in told] == [True] * bool(fact)


@pytest.mark.parametrize(
    "heading",
    [
        *("ER IHC", "ER (corrected)", "ER_final", "ER.y", "Estrogen receptor, revised"),
        *("ER neu", "ER aktuell", "ER korr.", "ER (2026)"),
        *("ER_BM", "ER metastasis", "ER (brain met)", "ER_recurrence"),
    ],
)
def test_a_second_column_of_a_receptor_that_is_not_read_is_said(tmp_path, heading):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"], heading: ["-", "+", "-"]}
    remarks = [f"{where}: {text}" for where, text in given(tmp_path / "l.csv", rows).remarks]
    assert any(f"'{heading}'" in line for line in remarks)


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        (["primary", "brain metastasis", "Metastasis"], True),
        (["Breast", "brain", ""], True),
        (["Mamma", "ZNS", "Hirn"], True),
        (["brain", "met", "brain biopsy"], False),
        (["breast", "lung", "brain"], False),
        (["breast", "breast", "breast"], False),
        (["core biopsy", "primary", ""], False),
    ],
)
def test_labels_of_primary_tumours_among_those_of_metastases_are_said(tmp_path, cells, said):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"], "specimen": cells}
    remarks = [text for _, text in given(tmp_path / "l.csv", rows).remarks]
    assert any("'specimen'" in text and "primary tumour" in text for text in remarks) == said


@pytest.mark.parametrize(
    ("heading", "cells", "said"),
    [
        ("specimen", ["brain", "Leber", "LK axillaer"], True),
        ("Biopsy site", ["brain metastasis", "liver met", "breast"], True),
        ("specimen", ["brain", "brain", "CNS"], False),
        ("first metastasis", ["brain", "liver", "bone"], False),
    ],
)
def test_labels_from_elsewhere_among_those_of_the_brain_are_said(tmp_path, heading, cells, said):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"], heading: cells}
    remarks = [text for _, text in given(tmp_path / "l.csv", rows).remarks]
    assert any(f"'{heading}'" in text and "those of the brain" in text for text in remarks) == said
    assert not any("axillaer" in text for text in remarks), "what stands behind a place may name somebody"


@pytest.mark.parametrize(("cells", "said"), [(["", "yes", ""], True), (["no", "no", "no"], False)])
def test_a_column_that_leaves_patients_out_is_said_without_a_word_of_it(tmp_path, cells, said):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"], "Exclude": cells}
    remarks = [text for _, text in given(tmp_path / "l.csv", rows).remarks]
    assert any("'Exclude'" in text and "cohort.exclude" in text for text in remarks) == said


def test_ids_that_may_be_two_patients_are_nobodys(tmp_path):
    patients = {"7": "P001", "007": "P002", "8": "P003"}
    rows = {"MRN": ["7", "07", "8"], "ER": ["+", "-", "+"]}
    labels = given(tmp_path / "l.csv", rows, patients=patients)
    assert labels.cells == {"P001": {"ER": "+"}, "P003": {"ER": "+"}}
    assert any("row 3" in where and "several" in text for where, text in labels.remarks)


@pytest.mark.parametrize("heading", ["Age (years)", "age_at_MRI", "Alter"])
def test_an_age_under_another_heading_is_read_or_said(tmp_path, heading):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"], heading: [50, 60, 70]}
    labels = given(tmp_path / "l.csv", rows, private=False)
    said = any(f"'{heading}' is not read; call it age" in text for _, text in labels.remarks)
    assert said != ("age" in labels.cells["P001"])


def test_marks_of_exclusion_in_german_are_said(tmp_path):
    rows = {"MRN": list(PATIENTS), "ER": ["+", "-", "+"]}
    for column in ({"Status": ["ok", "ausgeschlossen", "ok"]}, {"Einschluss": ["ja", "nein", "ja"]}):
        remarks = [text for _, text in given(tmp_path / "l.csv", rows | column).remarks]
        assert any(f"'{next(iter(column))}'" in text and "cohort.exclude" in text for text in remarks)
