"""Patients are one by what they are: ids that differ in spelling only are a question with three answers."""

import io
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from downloads import P, download, row
from rich.console import Console

from bcbm.cohort.download import patient_of
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK, read_download
from bcbm.cohort.patients import bare, same_patients, several_people
from bcbm.cohort.table import build_table, settle
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.preparation.prepare import prepare
from bcbm.runs.identity import fingerprint

LABELS = [(study, "+", "-", "+") for study in ("1-0", "01-1", "2-0", "10-0")]
ROWS = [("1-0", "met", *row(1)), ("01-1", "met", *row(2)), ("2-0", "met", *row(3)), ("10-0", "met", *row(4))]


@pytest.fixture(scope="module")
def padded(table_cohort, tmp_path_factory):
    """The cohort of 40 patients whose later sessions have zeros before the patient's number, and how many."""
    root = shutil.copytree(table_cohort, tmp_path_factory.mktemp("padded") / "cohort")
    patients = set()
    for (name, sheet), column in ((CLINICAL_WORKBOOK, "ID"), (RADIOMICS_WORKBOOK, "FilenamePrefix")):
        frame = pd.read_excel(root / name, sheet_name=sheet, dtype=object, keep_default_na=False)
        for place, study in frame[column].items():
            number, session = study.rsplit("-", 2)[1:]
            if session != "0":
                frame.loc[place, column] = f"{P}-{number:0>3}-{session}"
                patients.add(f"{P}-{number}")
        frame.to_excel(root / name, sheet_name=sheet, index=False)
    return root, patients


def prepared(root, folder, *words):
    console = Console(file=io.StringIO(), width=200)
    config = compose([f"cohort.root={root}", f"prepared.root={folder}", "experiment=tcia_tabular", *words])
    return prepare(config, console), console.file.getvalue()


@pytest.mark.parametrize(
    ("spelling", "same"),
    [
        ("site-007", True),
        ("SITE-7", True),
        (" Site - 7 ", True),
        ("Site\N{NO-BREAK SPACE}-07", True),
        ("Site-70", False),
        ("Site-7b", False),
        ("Site-07-1", False),
        ("Site\u20137", True),
        ("Site_7", True),
        ("site.007", True),
        ("Site7", True),
        ("Site\u200b-7", True),
        ("\u0405it\u0435-7", True),
        ("Site-\u0667", True),
        ("Cite-7", False),
        ("'Site-7'", True),
        ("\u201cSite-7\u201d", True),
        ("Site-O7", True),
        ("Site-7l", False),
        ("Site-7O", False),
        ("Site-7*", True),
        ("#Site-7", True),
        ("[Site 7]", True),
        ("Site-7,1", False),
    ],
)
def test_no_other_id_is_made_by_case_blanks_dashes_zeros_and_look_alikes(spelling, same):
    assert (bare(spelling) == bare("Site-7")) == same
    assert bare("Site-0") == bare("site-000") != bare("Site-")


def test_an_o_or_an_l_among_digits_is_a_digit():
    assert bare("P1O") == bare("P10") and bare("P1l") == bare("P11") and bare("PO01") == bare("P001")
    assert bare("Oslo1") != bare("Oslo10") and bare("Oslo01") == bare("Oslo1")
    assert bare("trial01") == bare("trial1") != bare("tria11")


def test_a_dash_between_numbers_keeps_them_apart():
    assert len({bare(name) for name in ("A-1-2", "A-12", "A-1-20", "A-2-1", "B-1-2", "A-1-2-3")}) == 6
    assert bare("A-1-2") == bare("a_01.2") == bare("A1\u20142")


def test_a_number_that_a_program_has_given_a_fraction_is_the_number():
    assert bare("7.0") == bare("07") == bare(" 7.00 ") != bare("70")
    assert bare("A7.0") != bare("A7") and bare("7.01") != bare("7")
    assert bare("1,234") == bare("1234") != bare("1.234") and bare("12,34") != bare("1234")


@pytest.mark.parametrize("dash", "\u2010\u2013\u2212")
def test_a_session_behind_another_dash_is_of_the_same_patient(dash):
    assert patient_of(f"{P}-1{dash}2") == f"{P}-1"
    assert bare(patient_of(f"{P}{dash}1{dash}2")) == bare(f"{P}-1")


def test_patients_padded_in_part_stop_every_command_with_all_of_them_listed(padded, tmp_path):
    root, patients = padded
    with pytest.raises(InputError) as refused:
        prepared(root, tmp_path)
    assert len(refused.value.problems) == len(patients) > 10
    for problem in refused.value.problems:
        assert "cohort.same_patients=join" in problem.remedy and "keep" in problem.remedy
    assert all(any(repr(name) in p.where for p in refused.value.problems) for name in patients)


def test_joined_they_are_the_patients_that_they_were_and_apart_others(table_cohort, padded, tmp_path):
    root, patients = padded
    original, _ = prepared(table_cohort, tmp_path / "original")
    joined, text = prepared(root, tmp_path / "joined", "cohort.same_patients=join")
    assert text.count("one patient, ") == len(patients)
    by_patient = [
        lesions.table.groupby(lesions.table["patient_id"].map(bare))["excluded"]
        .agg(["size", "sum"])
        .to_dict()
        for lesions in (original, joined)
    ]
    assert joined.table["patient_id"].nunique() == 40
    assert by_patient[0] == by_patient[1]
    apart, text = prepared(root, tmp_path / "apart", "cohort.same_patients=keep")
    assert text.count("kept apart") == len(patients)
    assert apart.table["patient_id"].nunique() == original.table["patient_id"].nunique() + len(patients)
    assert apart.cohort != joined.cohort


def test_an_answer_that_changes_nothing_is_no_other_run(table_cohort, tmp_path):
    runs = set()
    for answer in ("ask", "join", "keep"):
        words = ["experiment=tcia_tabular", f"cohort.root={table_cohort}", f"cohort.same_patients={answer}"]
        lesions, text = prepared(table_cohort, tmp_path, *words)
        assert "spelling" not in text and "leading zeros" not in text
        runs.add(fingerprint(compose(words), lesions.cohort, "split"))
    assert len(runs) == 1


def test_the_spelling_of_most_studies_stays_and_labels_of_both_are_compared(tmp_path):
    labels = [*LABELS, ("001-2", "-", "-", "+"), ("01-3", "+", "-", "+")]
    root = download(tmp_path, [*ROWS, ("001-2", "met", *row(5)), ("01-3", "met", *row(6))], labels)
    read, notes = same_patients(read_download(root), "join")
    assert [f"{P}-01" in note.found for note in notes] == [True]
    table, _, problems = build_table(read)
    owners = table.set_index("study_id")["patient_id"]
    assert owners[[f"{P}-1-0", f"{P}-01-1", f"{P}-001-2", f"{P}-01-3"]].unique().tolist() == [f"{P}-01"]
    assert owners[f"{P}-10-0"] == f"{P}-10"
    assert [problem.kind for problem in problems] == ["conflicting labels"]


def test_a_workbook_row_and_a_file_meet_under_one_spelling_of_their_study(tmp_path):
    files = [("001-0", "met"), ("2-0", "met")]
    labels = [("1-0", "+", "-", "+"), ("2-0", "+", "-", "+")]
    root = download(tmp_path, [("1-0", "met", *row(1)), ("2-0", "met", *row(2))], labels, files)
    with pytest.raises(InputError) as refused:
        same_patients(read_download(root), "ask")
    assert len(refused.value.problems) == 1
    read, _ = same_patients(read_download(root), "join")
    table, features, problems = build_table(read)
    problems += settle(table, "lesions", None)
    assert problems == []
    assert table["lesion_id"].tolist() == [f"{P}-1-0/met", f"{P}-2-0/met"]
    assert (table["mask_path"] != "").all() and table["in_workbook"].all()
    assert table["ER"].tolist() == [1, 1] and features["original_a"].tolist() == [1, 2]


def test_blanks_inside_an_id_are_seen_too(tmp_path):
    studies = ("1-0", " 1-1", "1 - 2")  # a blank behind the patient's number makes no other patient at all
    labels = [(study, "+", "-", "+") for study in studies]
    lesions = [(study, "met", *row(number)) for number, study in enumerate(studies)]
    download_ = read_download(download(tmp_path, lesions, labels))
    with pytest.raises(InputError) as refused:
        same_patients(download_, "ask")
    assert len(refused.value.problems) == 1
    table, _, _ = build_table(same_patients(download_, "join")[0])
    settle(table, "one_session", None)
    assert table["patient_id"].nunique() == 1
    assert table.loc[~table["excluded"], "study_id"].tolist() == [f"{P}-1-0"]


@pytest.fixture
def misspelt(table_cohort, tmp_path):
    """The cohort with the second sessions of two patients under a misspelt id, in the clinical workbook."""
    root = shutil.copytree(table_cohort, tmp_path / "misspelt")
    name, sheet = CLINICAL_WORKBOOK
    frame = pd.read_excel(root / name, sheet_name=sheet, dtype=object, keep_default_na=False)
    later = [place for place, study in frame["ID"].items() if not study.endswith("-0")][:2]
    studies = frame.loc[later, "ID"].tolist()
    frame.loc[later, "ID"] = [study.replace("Genomics", "Genomic") for study in studies]
    frame.to_excel(root / name, sheet_name=sheet, index=False)
    return root, studies


def test_an_id_with_a_misspelt_word_is_a_question_and_joined_the_patient_that_it_was(
    table_cohort, misspelt, tmp_path
):
    root, studies = misspelt
    with pytest.raises(InputError) as refused:
        prepared(root, tmp_path)
    assert [problem.where for problem in refused.value.problems] == [
        f"{patient!r}, {patient.replace('Genomics', 'Genomic')!r}" for patient in map(patient_of, studies)
    ]
    original, _ = prepared(table_cohort, tmp_path / "original")
    joined, _ = prepared(root, tmp_path / "joined", "cohort.same_patients=join")
    columns = ["patient_id", "name", "ER", "PR", "HER2", "excluded"]
    assert joined.table[columns].equals(original.table[columns])


@pytest.mark.parametrize(
    ("ids", "odd"),
    [
        ([*(f"Hospital-{number}" for number in range(1, 9)), "Hospitl-70"], ["Hospitl-70"]),
        ([*(f"Hospital-{number}" for number in range(1, 9)), "Clinic-70"], []),
        ([*(f"Hospital-A-{n}" for n in range(8)), *(f"Hospital-B-{n}" for n in range(8))], []),
        ([f"P{number}{letter}" for number in range(9) for letter in "abc"], []),
    ],
)
def test_a_rare_id_nearly_like_all_others_is_named_and_a_second_site_is_not(ids, odd, tmp_path):
    read = read_download(download(tmp_path, ROWS, LABELS))
    studies = pd.DataFrame({"study_id": [f"{name}-0" for name in ids], "patient_id": ids})
    settled, notes = same_patients(replace(read, studies=studies), "ask")
    assert [problem.where for problem in settled.problems if problem.kind == "odd id"] == odd
    assert notes == []


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        ([f"P{number}{letter}" for number in range(9) for letter in "ab"], "18 patients"),
        (["P1", "P2 (recurrence)", "P2", "P3"], "'P2 (recurrence)' and 'P2'"),
        (["P1", "P1_FU2", "P12"], "'P1' and 'P1_FU2'"),
        (["MRN 7 pre-op", "mrn-7 post-op", "MRN 8"], "'MRN 7 pre-op' and 'mrn-7 post-op'"),
        (["P1_20200105", "P1_2020-08-12", "P2_2020"], "'P1_20200105' and 'P1_2020-08-12'"),
        (["PT1", "PT2", "A-1-2", "A-1", "scan_1", "scan_2", "HBCA", "HBCB"], ""),
    ],
)
def test_sessions_in_the_place_of_patients_are_said(ids, said, tmp_path):
    read = read_download(download(tmp_path, ROWS, LABELS))
    studies = pd.DataFrame({"study_id": [f"{name}-0" for name in ids], "patient_id": ids})
    settled, _ = same_patients(replace(read, studies=studies, targets=[]), "ask")
    texts = [found.found for found in settled.problems if found.kind == "patients that may be sessions"]
    assert len(texts) == bool(said) and said in "".join(texts)


@pytest.mark.parametrize("last", [(1, 2), (2019, 2020)])
def test_a_last_number_or_year_of_ids_whose_labels_disagree_counts_patients(tmp_path, last):
    read = read_download(download(tmp_path, ROWS, LABELS))
    ids = [f"{site}-{number}" for site in range(11, 19) for number in last]
    for labels, said in ((site // 2 % 2 for site in range(16)), True), ((n % 2 for n in range(16)), False):
        table = {"study_id": [f"{name}-0" for name in ids], "patient_id": ids, "ER": [*map(float, labels)]}
        settled, _ = same_patients(replace(read, studies=pd.DataFrame(table), targets=["ER"]), "ask")
        assert any(found.kind == "patients that may be sessions" for found in settled.problems) == said


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"age": ["41", "71"], "year": ["2011", "2012"]}, "41 and 71"),
        ({"age": ["61", "52"], "year": ["2011", "2014"]}, "52 and 61"),
        ({"age": ["41", "66"]}, "41 and 66"),
        ({"age": ["61", "52"], "days": ["0", "90"]}, "52 and 61"),
        ({"age": ["41", "55"], "days": ["0", "4900"]}, ""),
        ({"sex": ["F", "male"]}, "two sexes"),
        ({"age": ["41", "52"], "year": ["2003", "2015"], "sex": ["F", "weiblich"]}, ""),
        ({"age": ["89", "89"], "year": ["2003", "2015"]}, ""),
        ({"age": ["41", "55"], "year": ["2011", ""]}, ""),
        ({"age": ["", "n/a"], "sex": ["", "M"]}, ""),
        ({}, ""),
    ],
)
def test_sessions_of_which_no_one_person_can_be_are_said(facts, said):
    studies = pd.DataFrame({"study_id": ["P1-0", "P1-1"], "patient_id": "P1", **facts})
    texts = [f"{found.where} {found.found}" for found in several_people(studies)]
    assert len(texts) == bool(said) and all("P1 " in text and said in text for text in texts)
    assert not [*several_people(studies.assign(patient_id=["P1", "P2"]))]
