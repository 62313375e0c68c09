"""Whose a label is: the patient's, each study's or each lesion's; and what a patient of both labels is."""

import numpy as np
import pandas as pd
import pytest
from downloads import LABELS, P, download, row
from rich.console import Console

from bcbm.cohort.findings import findings
from bcbm.cohort.formats.manifest import read_manifest
from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.patient_labels import both_labels, contradicted, converted, patient_labels
from bcbm.cohort.patients import same_patients
from bcbm.cohort.pooled import pooled
from bcbm.cohort.table import build_table, settle
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.preparation.prepare import prepare

ROWS = [("1-0", "met", *row(1)), ("1-1", "met", *row(2)), ("2-0", "met", *row(3)), ("2-1", "met", *row(4))]
CONVERTING = [("1-0", "+", "+", ""), ("1-1", "-", "", "-"), ("2-0", "", "-", "+"), ("2-1", "-", "-", "+")]
# The first patient's lesions differ inside a study, the second's between its studies.
OWN = """patient,study,name,ER,PR,primary_ER
A,1,left-frontal,+,+,+
A,1,right-frontal,-,+,+
A,2,left-parietal,,+,+
B,1,left-frontal,-,-,-
B,2,left-frontal,+,-,-
"""


@pytest.fixture
def converting(tmp_path):
    return read_download(download(tmp_path / "tcia", ROWS, CONVERTING))


@pytest.fixture
def own(tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    (root / "manifest.csv").write_text(OWN)
    return root


def labels_of(read, owner, target="ER"):
    table, _, problems = build_table(read, owner=owner)
    return table.set_index("lesion_id")[target], [str(problem) for problem in problems]


def test_sessions_keep_their_labels_and_take_no_other_sessions(converting):
    er, problems = labels_of(converting, "study")
    assert er.tolist() == pytest.approx([1, 0, np.nan, 0], nan_ok=True) and problems == []
    assert labels_of(converting, "study", "PR")[0].tolist() == pytest.approx([1, np.nan, 0, 0], nan_ok=True)
    er, (problem,) = labels_of(converting, "patient")
    assert er.tolist() == pytest.approx([np.nan, np.nan, 0, 0], nan_ok=True)
    assert f"{P}-1" in problem and "ER" in problem and "cohort.labels=study" in problem


def test_lesions_keep_their_labels_and_the_primary_tumour_stays_the_patients(own):
    er, problems = labels_of(read_manifest(own), "lesion")
    assert er.tolist() == pytest.approx([1, 0, np.nan, 0, 1], nan_ok=True) and problems == []
    er, problems = labels_of(read_manifest(own), "study")
    assert er.tolist() == pytest.approx([np.nan, np.nan, np.nan, 0, 1], nan_ok=True)
    assert len(problems) == 1 and "A-1" in problems[0] and "cohort.labels=lesion" in problems[0]
    assert labels_of(read_manifest(own), "patient")[0].isna().all()
    (own / "manifest.csv").write_text(OWN.replace("B,2,left-frontal,+,-,-", "B,2,left-frontal,+,-,+"))
    for owner in ("study", "lesion"):
        primary, problems = labels_of(read_manifest(own), owner, "primary_ER")
        assert primary[["B-1/left-frontal", "B-2/left-frontal"]].isna().all()
        assert sum("B: its sessions disagree on primary_ER" in problem for problem in problems) == 1


def test_pooled_sites_and_joined_spellings_keep_the_labels_of_lesions(own):
    read = read_manifest(own)
    er, _ = labels_of(pooled({"north": read, "south": read}), "lesion")
    assert er.tolist() == pytest.approx([1, 0, np.nan, 0, 1] * 2, nan_ok=True)
    (own / "manifest.csv").write_text(OWN + "a,1,right-frontal,,,\n")
    joined, _ = same_patients(read_manifest(own), "join")
    assert labels_of(joined, "lesion")[0].tolist() == pytest.approx([1, 0, np.nan, 0, 1], nan_ok=True)


def test_a_format_without_labels_of_lesions_is_refused_before_any_work(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'prepared'}", "cohort.labels=lesion"]
    with pytest.raises(InputError) as refused:
        prepare(compose([*words, "task.modalities=[radiomics]"]), Console(quiet=True))
    (problem,) = refused.value.problems
    assert str(table_cohort) in str(problem) and "tcia" in problem.found and "=study" in problem.remedy
    assert not (tmp_path / "prepared").exists()


def test_a_patient_is_positive_if_any_lesion_is_and_negative_if_all_known_are():
    labels = pd.Series([1, 0, np.nan, 0, np.nan, np.nan, np.nan, 1.0])
    owners = list("aabbccdd")
    assert patient_labels(labels, owners).tolist() == pytest.approx([1, 0, np.nan, 1], nan_ok=True)
    assert both_labels(labels, owners).tolist() == [True, False, False, False]


def test_patients_of_both_labels_and_lesions_without_are_said(converting):
    table, _, _ = build_table(converting, owner="study")
    settle(table, "lesions", None)
    (note,) = converted(table, ["ER", "PR", "HER2"], "study")
    assert (note.where, f"{P}-1" in note.found, "1 patient " in note.found) == ("ER", True, True)
    assert "positive" in note.remedy and "cohort.labels=study" in note.remedy
    table["excluded"] = table["study_id"] == f"{P}-1-1"
    assert converted(table, ["ER", "PR", "HER2"], "study") == []
    lacking = download(converting.root / "other", ROWS, [("1-0", "+", "+", ""), *CONVERTING[2:]])
    read = read_download(lacking)
    table, _, _ = build_table(read, owner="study")
    settle(table, "lesions", None)
    kinds = {problem.kind: problem for problem in findings(read, table)}
    assert "patient without label" not in kinds and f"{P}-1-1" in kinds["lesions without label"].where


def test_a_copy_with_another_label_is_a_problem(tmp_path):
    rows = [("1-0", "met", *row(1)), ("1-1", "met", *row(1)), ("2-0", "met", *row(2))]
    read = read_download(download(tmp_path, rows, [*CONVERTING[:2], LABELS[1]]))
    for owner, count in (("study", 1), ("patient", 0)):
        table, _, _ = build_table(read, owner=owner)
        settle(table, "lesions", None)
        problems = contradicted(table, ["ER", "PR", "HER2"])
        assert len(problems) == count
    table, _, _ = build_table(read, owner="study")
    settle(table, "lesions", None)
    (problem,) = contradicted(table, ["ER", "PR", "HER2"])
    assert all(fact in str(problem) for fact in (f"{P}-1-1/met", f"{P}-1-0/met", "of ER"))
