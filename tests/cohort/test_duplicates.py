"""One row a lesion: copies, masks over one lesion, policies, and what stands in for what."""

import shutil
from itertools import combinations

import pandas as pd
import pytest
from downloads import LABELS, P, download, lesions_of, row

from bcbm.cohort.download import patient_of
from bcbm.cohort.duplicates import session_of
from bcbm.cohort.formats.tcia import IMAGE_FOLDER, read_download
from bcbm.cohort.measurements import MASK_COLUMNS, Survey
from bcbm.cohort.table import build_table, flow, settle


def test_the_same_features_in_another_session_are_a_copy(tmp_path):
    rows = [("1-0", "met", *row(1)), ("1-1", "met", *row(1)), ("1-1", "tum", *row(2))]
    root = download(tmp_path, rows, [("1-0", "+", "+", "+"), ("1-1", "+", "+", "+")])
    table, _, problems = lesions_of(root)
    assert problems == []
    assert table["duplicate_of"].to_dict() == {
        f"{P}-1-0/met": "",
        f"{P}-1-1/met": f"{P}-1-0/met",
        f"{P}-1-1/tum": "",
    }
    assert table["excluded"].tolist() == [False, True, False]


def test_a_name_with_zeros_added_is_a_copy_only_beside_the_shorter_name(tmp_path):
    rows = [("1-0", "L-front", *row(1)), ("1-0", "L-front0", *row(2)), ("1-0", "R-par00", *row(3))]
    table, _, _ = lesions_of(download(tmp_path, rows, LABELS[:1]))
    assert table.loc[f"{P}-1-0/L-front0", "duplicate_of"] == f"{P}-1-0/L-front"
    assert table.loc[f"{P}-1-0/R-par00", "duplicate_of"] == ""


def test_a_tenth_tumor_is_no_copy_of_the_first(tmp_path):
    rows = [("1-0", f"tumor{n}", *row(n)) for n in (1, 2, 9, 10, 19, 20)]
    table, _, _ = lesions_of(download(tmp_path, rows, LABELS[:1]))
    assert set(table["duplicate_of"]) == {""}


def test_a_lesion_stands_for_its_copy_that_is_named_a_target(tmp_path):
    rows = [("1-0", "Plan1_TgtA_220Gy80", *row(1)), ("1-0", "R-front-tumor", *row(1))]
    root = download(tmp_path, rows, LABELS[:1])
    for policy in ("lesions", "lesions+targets"):
        table, _, _ = lesions_of(root, policy)
        assert table.loc[~table["excluded"], "name"].tolist() == ["R-front-tumor"]


def test_a_policy_chooses_what_enters_and_says_why_the_rest_does_not(tmp_path):
    rows = [
        *[("1-0", "L-front", 1.0, 5.0), ("1-0", "Plan1_TgtA_220Gy80", 2.0, 9.0), ("1-2", "L-par", 3.0, 7.0)],
        *[("1-10", "L-occ", 4.0, 8.0), ("2-3", "R-cbl", 5.0, 1.0)],
    ]
    labels = [(study, "+", "-", "+") for study in ("1-0", "1-2", "1-10", "2-3")]
    root = download(tmp_path, rows, labels)
    expected = {
        "lesions": ["L-front", "L-occ", "L-par", "R-cbl"],
        "lesions+targets": ["L-front", "L-occ", "L-par", "Plan1_TgtA_220Gy80", "R-cbl"],
        "largest": ["Plan1_TgtA_220Gy80", "R-cbl"],
        "one_session": ["L-front", "Plan1_TgtA_220Gy80", "R-cbl"],
    }
    for policy, names in expected.items():
        table, _, _ = lesions_of(root, policy)
        assert sorted(table.loc[~table["excluded"], "name"]) == names
        assert table.loc[table["excluded"], "reason"].str.startswith("policy: ").all()


def test_the_first_session_is_told_by_numbers_and_dates_and_by_nothing_else(tmp_path):
    studies = [
        "a-2019-03-20",
        "a-2019-11-02",
        "a-2018_12_31",
        "b-1",
        "b-pre",
        "c-post",
        "c-pre",
        "d-pre",
        "e-2",
    ]
    table = pd.DataFrame({"study_id": studies, "patient_id": [study[0] for study in studies]})
    table = table.assign(
        lesion_id=studies, name="x", category="lesion", excluded=False, reason="", volume=1.0
    )
    table = table.assign(image_path="", mask_path="", content=studies, name_confidence=0.0)
    problems = settle(table, "one_session", None)
    assert table.loc[~table["excluded"], "study_id"].tolist() == ["a-2018_12_31", "d-pre", "e-2"]
    assert [(problem.where, "post, c-pre" in problem.found) for problem in problems] == [
        ("b", False),
        ("c", True),
    ]


@pytest.mark.parametrize(
    ("first", "later"),
    [
        ("2019-12", "2020-01"),
        ("2020-1-28", "2020-2-5"),
        ("20191205_1030", "20200101_0900"),
        ("05122019", "03012020"),
        ("20.12.2019", "3.1.2020"),
        ("20.12.2019 14:05", "3.1.2020 09:30"),
        ("20.12.19", "03.01.20"),
        ("31-12-19", "04-01-20"),
        ("12-31-19", "01-04-20"),
        ("311219", "040120"),
        ("191231", "200104"),
        ("19-12-31_1405", "20-01-04_0930"),
        ("28FEB2019", "05Nov2020"),
        ("28-Feb-2019", "5-Jan-2020"),
        ("28 Mär 2019", "5 Feb 2020"),
        ("28.Okt.19", "05.Mai.20"),
        ("February 28, 2019", "January 5, 2020"),
        ("Feb_2019", "Jan_2020"),
        ("2-5-1", "2-5-2"),
        ("01-02-01", "01-02-02"),
        ("10-11-12", "10-11-13"),
        ("01012019_100", "01012019_200"),
        ("ses-2_run-2", "ses-10_run-1"),
    ],
)
def test_of_dates_and_of_several_numbers_the_first_counts_first(first, later):
    assert session_of(pd.Series([f"P1-{later}", f"P1-{first}"])).tolist() == [1, 0]


def test_a_date_whose_year_may_be_the_first_or_the_last_tells_no_order():
    uids = ["1.3.12.2.1107.5.2.2019022811", "P1_1.2.840.113619.2.2020110512"]
    assert session_of(pd.Series(uids)).isna().all()
    studies = ["P1-12-11-10", "P1-10-11-12"]
    assert session_of(pd.Series(studies)).isna().all()
    assert session_of(pd.Series([*studies, "P2-28-11-31"])).tolist() == [1, 0, 2]  # years, months, days
    assert session_of(pd.Series([*studies, "P2-31-11-28"])).tolist() == [0, 1, 2]  # days, months, years


def test_days_and_months_of_one_year_may_stand_in_any_order():
    assert session_of(pd.Series(["P1-05-12-2020", "P1-12-01-2020", "P1-12012020"])).nunique() == 1


def test_identical_content_in_two_patients_is_excluded_in_both_and_reported(tmp_path):
    rows = [("1-0", "met", *row(1)), ("2-0", "met", *row(1)), ("2-0", "tum", *row(2))]
    table, _, problems = lesions_of(download(tmp_path, rows, LABELS))
    assert len(problems) == 1 and f"{P}-1-0/met" in problems[0] and f"{P}-2-0/met" in problems[0]
    assert table.loc[table["excluded"], "reason"].tolist() == ["identical in two patients"] * 2


def test_of_masks_over_one_lesion_the_overlap_decides_and_the_best_name_stays(tmp_path):
    names = ["Plan1_TgtA_220Gy80", "L-front", "L-front-1mm", "L-front0", "L-front-2", "BrainStem"]
    rows = [("1-0", name, *row(number)) for number, name in enumerate(names)]
    ids = {name: f"{P}-1-0/{name}" for name in names}
    pairs = [("Plan1_TgtA_220Gy80", "L-front", 0.9), ("L-front", "L-front-1mm", 1.0)]
    pairs += [("L-front", "L-front-2", 0.4), ("BrainStem", "L-front-2", 1.0)]
    survey = Survey(
        masks=pd.DataFrame(1.0, index=list(ids.values()), columns=list(MASK_COLUMNS)),
        overlaps=pd.DataFrame(
            [(ids[first], ids[second], shared, shared) for first, second, shared in pairs],
            columns=["one", "other", "shared", "dice"],
        ),
        unusable={},
        problems=[],
    )
    download_ = read_download(download(tmp_path, rows, LABELS[:1]))
    table = build_table(download_, survey=survey)[0]
    (said,) = settle(table, "lesions+targets", survey)
    assert said.where == ids["L-front"] and f"{ids['L-front-2']} share 40%" in said.found
    table = table.set_index("name")
    assert table["duplicate_of"].to_dict() == {
        **dict.fromkeys(names, ""),  # L-front0 only adds a zero, and L-front-2 shares too little
        "Plan1_TgtA_220Gy80": ids["L-front"],
        "L-front-1mm": ids["L-front"],
    }
    assert (
        table.loc["Plan1_TgtA_220Gy80", "reason"]
        == f"same lesion as {ids['L-front']} (90% of the smaller mask overlap)"
    )
    assert set(table.index[~table["excluded"]]) == {"L-front", "L-front0", "L-front-2"}


def test_of_volumes_that_are_planned_around_a_tumour_the_gross_one_stands_for_it(tmp_path):
    names = ["20Gy", "CTV1", "GTV1", "PTV1"]
    ids = [f"{P}-1-0/{name}" for name in names]
    overlaps = [(first, second, 1.0, 0.5) for first, second in combinations(ids, 2)]
    survey = Survey(
        masks=pd.DataFrame(1.0, index=ids, columns=list(MASK_COLUMNS)),
        overlaps=pd.DataFrame(overlaps, columns=["one", "other", "shared", "dice"]),
        unusable={},
        problems=[],
    )
    rows = [("1-0", name, *row(number)) for number, name in enumerate(names)]
    table = build_table(read_download(download(tmp_path, rows, LABELS[:1])), survey=survey)[0]
    settle(table, "lesions+targets", survey)
    assert table.loc[~table["excluded"], "name"].tolist() == ["GTV1"]


def test_a_copy_is_known_by_its_files_where_a_row_lacks_its_features(tmp_path):
    files = [("1-0", "met"), ("1-1", "met"), ("2-0", "met")]
    labels = [(study, "+", "+", "+") for study in ("1-0", "1-1", "2-0")]
    root = download(tmp_path, [("1-0", "met", *row(1)), ("2-0", "met", *row(3))], labels, files)
    images = root / IMAGE_FOLDER
    for name in ("image_ss_n4", "mask_met"):
        shutil.copy(images / f"{P}-1-0/{P}-1-0_{name}.nii.gz", images / f"{P}-1-1/{P}-1-1_{name}.nii.gz")
    table, _, _ = lesions_of(root)
    assert table.loc[f"{P}-1-1/met", "duplicate_of"] == f"{P}-1-0/met"
    assert table["content"].nunique() == 2


def test_one_image_filed_under_two_patients_excludes_the_lesions_of_both(tmp_path):
    files = [("1-0", "met"), ("2-0", "tum"), ("2-1", "par")]
    labels = [(study, "+", "+", "+") for study in ("1-0", "2-0", "2-1")]
    rows = [(study, name, *row(number)) for number, (study, name) in enumerate(files, start=1)]
    root = download(tmp_path, rows, labels, files)
    images = root / IMAGE_FOLDER
    original, copy = (images / f"{P}-{study}/{P}-{study}_image_ss_n4.nii.gz" for study in ("1-0", "2-0"))
    shutil.copy(original, copy)
    table, _, problems = lesions_of(root)
    assert table["excluded"].tolist() == [True, True, False]
    assert len(problems) == 1 and f"{P}-1-0/met" in problems[0] and f"{P}-2-0/tum" in problems[0]


def test_of_a_republished_session_the_earlier_stands_also_where_it_sorts_later(tmp_path):
    rows = [("1-10", "met", *row(1)), ("1-2", "met", *row(1))]
    root = download(tmp_path, rows, [("1-10", "+", "+", "+"), ("1-2", "+", "+", "+")])
    for policy in ("lesions", "one_session"):
        table, _, _ = lesions_of(root, policy)
        assert table.loc[~table["excluded"], "study_id"].tolist() == [f"{P}-1-2"]


def test_a_workbook_without_features_makes_no_copies(tmp_path):
    rows = [("1-0", "met"), ("1-0", "tum"), ("2-0", "met")]
    table, _, problems = lesions_of(download(tmp_path, rows, LABELS, columns=()))
    assert problems == [] and not table["excluded"].any()


def test_every_excluded_row_has_a_reason_and_the_flow_adds_up(cohort, table_cohort):
    for root in (cohort, table_cohort):
        table, _, _ = lesions_of(root)
        assert table["excluded"].any() and not table["excluded"].all()
        assert (table["excluded"] == (table["reason"] != "")).all()
        steps = flow(table.reset_index(drop=True))
        assert steps[0][0] == "found" and steps[-1][0] == "analysed"
        assert steps[0][3] == len(table) == sum(lesions for *_, lesions in steps[1:])


def test_the_synthetic_cohort_holds_a_published_copy_and_a_repeated_name(cohort):
    table, _, problems = lesions_of(cohort)
    copies = table[table["duplicate_of"] != ""]
    other = table.loc[copies["duplicate_of"]]
    assert problems == []
    assert (copies["patient_id"].to_numpy() == other["patient_id"].to_numpy()).all()
    assert (copies["study_id"].to_numpy() != other["study_id"].to_numpy()).any()


def test_the_real_workbooks_have_the_counts_of_their_readme(shared):
    read = read_download(shared / "bcbm-radiogenomics")
    table, _, problems = build_table(read)
    problems += settle(table, "lesions+targets", None)
    assert problems == []
    assert (table["patient_id"].nunique(), table["study_id"].nunique(), len(table)) == (115, 194, 2242)
    content = table.set_index("lesion_id")["content"]
    copies = table[table["duplicate_of"] != ""]
    exact = copies["content"].to_numpy() == content[copies["duplicate_of"]].to_numpy()
    assert exact.sum() == 279
    original = copies["duplicate_of"].str.split("/").str[0]
    assert (original[exact].map(patient_of) == copies.loc[exact, "patient_id"]).all()
    assert (original[exact] != copies.loc[exact, "study_id"]).all()
    assert (original[~exact] == copies.loc[~exact, "study_id"]).all()  # names with zeros added
    assert not table.loc[~table["excluded"]].duplicated("content").any()
