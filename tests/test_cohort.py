"""From workbooks and file names to lesion table and folds: what is matched, reported, excluded, apart."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bcbm.cohort.problems import InputError
from bcbm.cohort.splits import make_split
from bcbm.cohort.survey import MASK_COLUMNS, Survey
from bcbm.cohort.table import build_table, flow, require_modalities, settle
from bcbm.cohort.tcia import (
    CLINICAL_WORKBOOK,
    IMAGE_FOLDER,
    RADIOMICS_WORKBOOK,
    content_hash,
    file_key,
    patient_of,
    read_download,
)
from bcbm.schema import RECEPTORS

P = "BCBM-RadioGenomics"


def download(root, lesions, labels, files=None, columns=("original_a", "original_shape_VoxelVolume")):
    """A download of lesions (study, name, *features), labels (study, ER, PR, HER2), files (study, name)."""
    root.mkdir(parents=True, exist_ok=True)
    rows = [[f"{P}-{s}", f"mask_{n}", *v] for s, n, *v in lesions]
    header = ["FilenamePrefix ", " Segmentation_Name", *columns]
    pd.DataFrame(rows, columns=header).to_excel(
        root / RADIOMICS_WORKBOOK[0], sheet_name=RADIOMICS_WORKBOOK[1], index=False
    )
    rows = [[f"{P}-{s}", *v] for s, *v in labels]
    pd.DataFrame(rows, columns=["ID", " ER", "PR ", "HER2"]).to_excel(
        root / CLINICAL_WORKBOOK[0], sheet_name=CLINICAL_WORKBOOK[1], index=False
    )
    for study, name in files or []:
        folder = root / IMAGE_FOLDER / f"{P}-{study}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{P}-{study}_image_ss_n4.nii.gz").write_bytes(b"image" + study.encode().rjust(8))
        (folder / f"{P}-{study}_mask_{name}.nii.gz").write_bytes(name.encode().rjust(8))
    return root


def lesions_of(root, policy="lesions+targets"):
    table, radiomics, problems = build_table(read_download(root))
    problems += settle(table, policy, None)
    return table.set_index("lesion_id", drop=False), radiomics, [str(problem) for problem in problems]


def row(number):
    return float(number), float(number)


LABELS = [("1-0", "+", "-", "+"), ("2-0", "-", "", "+")]


# the download


def test_the_layout_with_images_has_both_paths_for_every_row(cohort):
    read = read_download(cohort)
    assert read.has_images and read.problems == []
    assert read.segmentations["in_workbook"].all()
    for column in ("image_path", "mask_path"):
        assert all(Path(path).is_file() for path in read.segmentations[column])
    assert read.features.shape == (len(read.segmentations), 107)


def test_the_layout_without_images_has_no_paths(table_cohort):
    read = read_download(table_cohort)
    assert not read.has_images and read.problems == []
    assert set(read.segmentations["mask_path"]) == set(read.segmentations["image_path"]) == {""}
    assert read.studies["patient_id"].nunique() == 40


def test_stray_blanks_in_headers_and_cells_do_not_matter(tmp_path):
    root = download(tmp_path, [("1-0 ", "tumor ", 1.0, 2.0)], [("1-0 ", " + ", "- ", " ")])
    table, _, problems = lesions_of(root)
    assert problems == []
    assert table.loc[f"{P}-1-0/tumor", ["ER", "PR"]].tolist() == [1.0, 0.0]
    assert np.isnan(table.loc[f"{P}-1-0/tumor", "HER2"])


@pytest.mark.parametrize(("study", "patient"), [("7-0", "7"), ("155-10", "155"), ("1-2", "1")])
def test_the_patient_of_a_study_is_all_but_the_session(study, patient):
    assert patient_of(f"{P}-{study}") == f"{P}-{patient}"


def test_names_match_exactly_first_then_folded_where_that_is_unique(tmp_path):
    rows = [("1-0", "Plan1-_TgtA", *row(1)), ("1-0", "Plan1_TgtA", *row(2)), ("1-0", "L.front met", *row(3))]
    files = [("1-0", "Plan1-_TgtA"), ("1-0", "Plan1_TgtA"), ("1-0", "L-front-met")]
    table, radiomics, problems = lesions_of(download(tmp_path, rows, LABELS[:1], files))
    assert problems == []
    assert radiomics["original_a"].to_dict() == {
        f"{P}-1-0/Plan1-_TgtA": 1.0,
        f"{P}-1-0/Plan1_TgtA": 2.0,
        f"{P}-1-0/L-front-met": 3.0,
    }
    assert (table["mask_path"] != "").all()


def test_a_folded_collision_is_reported_and_matched_to_nobody(tmp_path):
    rows = [("1-0", "L_front", *row(1)), ("1-0", "L.front", *row(2))]
    table, _, problems = lesions_of(download(tmp_path, rows, LABELS[:1], [("1-0", "L-front")]))
    assert len(problems) == 1 and "L.front, L_front" in problems[0]
    assert table.loc[[f"{P}-1-0/L_front", f"{P}-1-0/L.front"], "mask_path"].tolist() == ["", ""]
    assert not table.loc[f"{P}-1-0/L-front", "in_workbook"]


def test_a_row_without_file_and_a_file_without_row_are_excluded_by_what_they_lack(tmp_path):
    rows = [("1-0", "L-front", *row(1)), ("1-0", "R-front", *row(2))]
    files = [("1-0", "L-front"), ("1-0", "R-par")]
    table, radiomics, _ = lesions_of(download(tmp_path, rows, LABELS[:1], files))
    plain = table.reset_index(drop=True)
    problems = require_modalities(plain, radiomics, ["image", "radiomics"])
    reasons = dict(zip(plain["name"], plain["reason"], strict=True))
    assert reasons == {"L-front": "", "R-front": "no mask file", "R-par": "no radiomics"}
    assert len(problems) == 2


def test_a_study_folder_without_image_is_one_problem(tmp_path):
    root = download(tmp_path, [("1-0", "L-front", *row(1))], LABELS[:1], [("1-0", "L-front")])
    next(root.rglob("*_image_*")).unlink()
    table, _, problems = lesions_of(root)
    assert len(problems) == 1 and "0 files named" in problems[0]
    assert table["image_path"].tolist() == [""]


def test_an_unreadable_label_is_reported_and_counts_as_missing(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], [("1-0", "positive?", "+", "-")])
    table, _, problems = lesions_of(root)
    assert len(problems) == 1 and "ER is 'positive?'" in problems[0] and "row 2" in problems[0]
    assert table["ER"].isna().all() and table["PR"].tolist() == [1.0]


def test_a_feature_that_is_no_number_is_reported_with_its_row_and_column(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1)), ("1-0", "tum", "?", 2.0)], LABELS[:1])
    _, radiomics, problems = lesions_of(root)
    assert len(problems) == 1 and "row 3" in problems[0] and "original_a is '?'" in problems[0]
    assert radiomics["original_a"].isna().sum() == 1


def test_of_a_duplicate_study_row_the_first_counts(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], [("1-0", "+", "+", "+"), ("1-0", "-", "-", "-")])
    table, _, problems = lesions_of(root)
    assert len(table) == 1 and table["ER"].tolist() == [1.0]
    assert len(problems) == 1 and "row 3" in problems[0]


def test_a_duplicate_lesion_row_is_reported_once(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1)), ("1-0", "met", *row(2))], LABELS[:1])
    table, radiomics, problems = lesions_of(root)
    assert len(table) == len(problems) == 1 and radiomics["original_a"].tolist() == [1.0]


def test_a_study_without_clinical_row_is_reported_and_has_no_label(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1)), ("9-0", "met", *row(2))], LABELS[:1])
    table, _, problems = lesions_of(root)
    assert len(problems) == 1 and problems[0].startswith(f"{P}-9-0")
    assert table.loc[f"{P}-9-0/met", "reason"] == "no receptor label"
    assert table.loc[f"{P}-9-0/met", "patient_id"] == f"{P}-9"


def test_sessions_that_disagree_are_reported_and_count_as_missing(tmp_path):
    rows = [("1-0", "met", *row(1)), ("1-1", "met", *row(2))]
    root = download(tmp_path, rows, [("1-0", "+", "+", ""), ("1-1", "-", "", "-")])
    table, _, problems = lesions_of(root)
    assert len(problems) == 1 and "disagree on ER" in problems[0]
    assert table["ER"].isna().all()
    assert table["PR"].tolist() == [1.0, 1.0] and table["HER2"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", [RADIOMICS_WORKBOOK[0], CLINICAL_WORKBOOK[0]])
def test_a_missing_or_corrupt_workbook_is_named(tmp_path, name):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1])
    (root / name).write_bytes(b"PK no zip")
    with pytest.raises(InputError, match="download the workbook again") as corrupt:
        read_download(root)
    (root / name).unlink()
    with pytest.raises(InputError, match="no such workbook") as missing:
        read_download(root)
    assert name in str(corrupt.value) and name in str(missing.value)


def test_missing_columns_are_all_named(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1])
    path = root / CLINICAL_WORKBOOK[0]
    frame = pd.read_excel(path).drop(columns=[" ER", "HER2"])
    frame.to_excel(path, sheet_name=CLINICAL_WORKBOOK[1], index=False)
    with pytest.raises(InputError) as caught:
        read_download(root)
    assert len(caught.value.problems) == 2
    assert "'ER'" in str(caught.value) and "'HER2'" in str(caught.value)


def test_a_missing_folder_says_which_key_to_set(tmp_path):
    with pytest.raises(InputError, match=r"cohort\.root"):
        read_download(tmp_path / "nowhere")


def test_the_content_hash_follows_content_not_place(tmp_path):
    files = [("1-0", "met")]
    one = download(tmp_path / "one", [("1-0", "met", *row(1))], LABELS[:1], files)
    two = shutil.copytree(one, tmp_path / "two")
    assert content_hash(one) == content_hash(two)
    next(two.rglob("*_mask_*")).write_bytes(b"another!")
    assert content_hash(one) != content_hash(two)


# copies and exclusions


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
            [(ids[one], ids[other], shared, shared) for one, other, shared in pairs],
            columns=["one", "other", "shared", "dice"],
        ),
        unusable={},
        problems=[],
    )
    download_ = read_download(download(tmp_path, rows, LABELS[:1]))
    table = build_table(download_, survey=survey)[0]
    settle(table, "lesions+targets", survey)
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
    rows = [(study, name, *row(number)) for number, (study, name) in enumerate(files)]
    root = download(tmp_path, rows, labels, files)
    images = root / IMAGE_FOLDER
    one, other = (images / f"{P}-{study}/{P}-{study}_image_ss_n4.nii.gz" for study in ("1-0", "2-0"))
    shutil.copy(one, other)
    table, _, problems = lesions_of(root)
    assert table["excluded"].tolist() == [True, True, False]
    assert len(problems) == 1 and f"{P}-1-0/met" in problems[0] and f"{P}-2-0/tum" in problems[0]


def test_of_a_republished_session_the_earlier_stands_also_where_it_sorts_later(tmp_path):
    rows = [("1-10", "met", *row(1)), ("1-2", "met", *row(1))]
    root = download(tmp_path, rows, [("1-10", "+", "+", "+"), ("1-2", "+", "+", "+")])
    for policy in ("lesions", "one_session"):
        table, _, _ = lesions_of(root, policy)
        assert table.loc[~table["excluded"], "study_id"].tolist() == [f"{P}-1-2"]


def test_ids_without_a_session_are_patients_of_their_own_and_reported(tmp_path):
    rows = [("4", "met", *row(1)), ("7", "met", *row(2))]
    table, _, problems = lesions_of(download(tmp_path, rows, [("4", "+", "+", "+"), ("7", "-", "-", "-")]))
    assert table["patient_id"].nunique() == 2 and not table["ER"].isna().any()
    assert len(problems) == 2 and "session" in problems[0]


def test_rows_without_a_study_are_reported_unless_they_are_blank(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1])
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object)
    blank, lost = dict.fromkeys(frame, "  "), {**dict.fromkeys(frame, ""), "ER ".strip(): "+", "PR ": "-"}
    added = pd.concat([pd.DataFrame([blank, lost]).reindex(columns=frame.columns), frame])
    added.to_excel(path, sheet_name=sheet, index=False)
    table, _, problems = lesions_of(root)
    assert len(table) == 1 and table["ER"].tolist() == [1.0]
    assert len(problems) == 1 and "row 3" in problems[0] and "no ID" in problems[0]


def test_a_column_that_stands_twice_is_refused(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1])
    path, sheet = root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1]
    frame = pd.read_excel(path, sheet_name=sheet, dtype=object)
    frame.assign(**{"ER": "-"}).to_excel(path, sheet_name=sheet, index=False)
    with pytest.raises(InputError, match="'ER' stands there twice"):
        read_download(root)


def test_files_that_end_like_bgzip_are_told_apart_by_all_they_hold(tmp_path):
    paths = [tmp_path / f"{name}.nii.gz" for name in "ab"]
    for path in paths:
        path.write_bytes(path.stem.encode() + bytes(28))
    assert len({file_key(path) for path in paths}) == 2


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


# folds


def invented(patients=60, seed=0):
    rng = np.random.default_rng(seed)
    lesions = rng.integers(1, 12, patients)
    table = pd.DataFrame({"patient_id": np.repeat([f"P{i}" for i in range(patients)], lesions)})
    table["study_id"] = table["patient_id"] + "-" + pd.Series(rng.integers(0, 2, len(table))).astype(str)
    table["lesion_id"] = table["study_id"] + "/" + table.index.astype(str)
    for receptor, share in zip(RECEPTORS, (0.5, 0.3, 0.6), strict=True):
        labels = rng.choice([1.0, 0.0, np.nan], patients, p=[share * 0.9, (1 - share) * 0.9, 0.1])
        table[receptor] = np.repeat(labels, lesions)
    return table


def split_of(table, **changes):
    settings = {"unit": "patient", "folds": 5, "repeats": 1, "validation": 0.2, "seed": 0}
    return make_split(table, **{**settings, "receptors": RECEPTORS, **changes})


def test_no_patient_stands_in_two_parts_and_every_row_in_one():
    table = invented()
    split = split_of(table, repeats=2)
    for fold in range(len(split.folds)):
        rows = split.rows(table, fold)
        patients = [set(table["patient_id"].iloc[rows[part]]) for part in ("train", "validation", "test")]
        assert all(patients)
        assert sum(map(len, patients)) == len(set.union(*patients)) == 60
        assert sorted(np.concatenate(list(rows.values()))) == list(range(len(table)))


def test_every_patient_is_tested_once_a_repeat_and_repeats_differ():
    table = invented()
    split = split_of(table, repeats=3)
    tests = {r: [fold.test for fold in split.folds if fold.repeat == r] for r in range(3)}
    for folds in tests.values():
        assert sorted(name for fold in folds for name in fold) == sorted(set(table["patient_id"]))
    assert tests[0] != tests[1] != tests[2]


def test_folds_hold_even_shares_of_positives_negatives_and_missing():
    for seed in range(10):
        table = invented(seed=seed)
        labels = table.groupby("patient_id")[list(RECEPTORS)].max()
        for fold in split_of(table, seed=seed).folds:
            inside = labels.loc[list(fold.test)]
            assert abs(len(inside) - 12) <= 2
            for receptor in RECEPTORS:
                for state in (labels[receptor] == 1, labels[receptor] == 0, labels[receptor].isna()):
                    assert abs(state[inside.index].sum() - state.sum() / 5) < 3


def test_one_seed_gives_one_hash_and_another_seed_another():
    table = invented()
    assert split_of(table).hash == split_of(table).hash
    assert split_of(table).hash != split_of(table, seed=1).hash
    split = split_of(table)
    first = replace(split.folds[0], train=split.folds[0].train[1:])
    assert replace(split, folds=(first, *split.folds[1:])).hash != split.hash


def test_the_order_of_the_table_does_not_change_the_split():
    table = invented()
    mixed = table.sample(frac=1, random_state=3)
    assert split_of(table).hash == split_of(mixed).hash
    rows = split_of(mixed).rows(mixed, 0)["test"]
    assert set(mixed["patient_id"].iloc[rows]) == set(split_of(table).folds[0].test)


def test_too_many_folds_name_the_receptor_and_its_count():
    table = invented()
    keep = table["patient_id"].isin(["P0", "P1", "P2"])
    table["PR"] = keep.astype(float)
    with pytest.raises(InputError) as caught:
        split_of(table)
    assert [problem.where for problem in caught.value.problems] == ["PR"]
    assert "3 positive patients for 5 folds" in str(caught.value)
    assert "split.folds to at most 3" in str(caught.value)
    assert len(split_of(table, folds=3).folds) == 3


@pytest.mark.parametrize("unit", ["study", "lesion"])
def test_a_split_of_studies_or_lesions_is_leaky(unit):
    table = invented()
    split = split_of(table, unit=unit)
    rows = split.rows(table, 0)
    both = set(table["patient_id"].iloc[rows["train"]]) & set(table["patient_id"].iloc[rows["test"]])
    assert split.leaky and both
    assert '"leaky": true' in split.to_json()
    assert not split_of(table).leaky
