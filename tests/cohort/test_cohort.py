"""The download as read: what is matched, reported, refused."""

import gzip
import shutil
import zipfile
from itertools import product
from pathlib import Path

import nibabel as nib
import numpy as np
import openpyxl
import pandas as pd
import pytest
from downloads import LABELS, P, download, lesions_of, row

from bcbm.cohort.download import patient_of
from bcbm.cohort.formats import format_name
from bcbm.cohort.formats.tcia import (
    CLINICAL_WORKBOOK,
    IMAGE_FOLDER,
    RADIOMICS_WORKBOOK,
    content_hash,
    read_download,
)
from bcbm.cohort.table import require_modalities
from bcbm.config.schema import Config
from bcbm.errors import InputError
from bcbm.modalities import MODALITIES
from bcbm.modalities.base import LesionData
from bcbm.system.content import file_key


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


@pytest.mark.parametrize(
    ("row_name", "file_name", "same"),
    [
        ("met-1-1", "met-11", False),
        ("PTV1.1", "PTV11", False),
        ("met-1.0", "met-10", False),
        ("met+1", "met-1", False),
        ("met 1.1", "Met_1-1", True),
        ("L frontal-2", "l_frontal2", True),
        ("t\u00e4ter", "ta\u0308ter", True),  # as macOS writes a name
    ],
)
def test_a_sign_between_numbers_is_no_mere_spelling(tmp_path, row_name, file_name, same):
    root = download(tmp_path, [("1-0", row_name, *row(1))], LABELS, files=[("1-0", file_name)])
    assert len(read_download(root).segmentations) == (1 if same else 2)


def test_a_row_without_file_and_a_file_without_row_are_excluded_by_what_they_lack(tmp_path):
    rows = [("1-0", "L-front", *row(1)), ("1-0", "R-front", *row(2))]
    files = [("1-0", "L-front"), ("1-0", "R-par")]
    table, radiomics, _ = lesions_of(download(tmp_path, rows, LABELS[:1], files))
    plain = table.reset_index(drop=True)
    data = LesionData(plain, {"radiomics": radiomics.to_numpy()}, Config())
    problems = require_modalities(plain, [MODALITIES[name].absent(data) for name in ("image", "radiomics")])
    reasons = dict(zip(plain["name"], plain["reason"], strict=True))
    assert reasons == {"L-front": "", "R-front": "no mask file", "R-par": "no radiomics"}
    assert len(problems) == 2


def test_an_image_folder_by_another_name_is_reported(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1], [("1-0", "met")])
    (root / IMAGE_FOLDER).rename(root / "Images_Masks")
    _, _, problems = lesions_of(root)
    assert len(problems) == 1 and f"rename it to {IMAGE_FOLDER}" in problems[0]


def test_an_image_folder_in_itself_as_unpacking_leaves_it_is_refused(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS[:1], [("1-0", "met")])
    (root / IMAGE_FOLDER).rename(root / "inner")
    (root / IMAGE_FOLDER).mkdir()
    (root / "inner").rename(root / IMAGE_FOLDER / IMAGE_FOLDER)
    with pytest.raises(InputError, match="move the study folders up"):
        read_download(root)


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


def strict(path):
    """Rewrite a workbook in the namespaces of Strict Open XML."""
    plain, own = b"http://schemas.openxmlformats.org/%s/2006", b"http://purl.oclc.org/ooxml/%s"
    with zipfile.ZipFile(path) as book:
        parts = {name: book.read(name) for name in book.namelist()}
    with zipfile.ZipFile(path, "w") as book:
        for name, content in parts.items():
            for part in (b"spreadsheetml", b"officeDocument"):
                content = content.replace(plain % part, own % part)
            book.writestr(name, content)


def renamed(path):
    book = openpyxl.load_workbook(path)
    book.active.title += " "
    book.save(path)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda path: path.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(999)), ["password", ".xls"]),
        (lambda path: path.write_text("ID,ER,PR,HER2\nA-1-0,+,+,+"), ["'ID,ER,PR,HER2", ".xlsx"]),
        (lambda path: path.write_bytes(b""), ["empty", "download"]),
        (strict, ["Strict Open XML", "save it"]),
        (renamed, [f"'{CLINICAL_WORKBOOK[1]} '", "name the sheet"]),
    ],
)
def test_a_workbook_of_another_kind_is_told_what_it_is(tmp_path, change, facts):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS)
    change(root / CLINICAL_WORKBOOK[0])
    with pytest.raises(InputError) as refused:
        read_download(root)
    assert all(fact in str(refused.value) for fact in [str(root / CLINICAL_WORKBOOK[0]), *facts])


@pytest.mark.parametrize("name", ["Mask_met", "mask_met.nii.gz", "MASK_met.NII.GZ", "met", "met.nii"])
def test_a_row_may_name_its_mask_with_or_without_the_ends_of_the_file(tmp_path, name):
    root = download(tmp_path, [("1-0", "met", *row(1))], LABELS, files=[("1-0", "met")])
    change_cell(root / RADIOMICS_WORKBOOK[0], "B2", name)
    table = read_download(root).segmentations
    assert table["name"].tolist() == ["met"] and table["in_workbook"].all() and table["mask_path"].all()


def test_a_row_without_a_segmentation_is_reported_and_not_read(tmp_path):
    root = download(tmp_path, [("1-0", "met", *row(1)), ("2-0", "", *row(2))], LABELS)
    change_cell(root / RADIOMICS_WORKBOOK[0], "B3", None)
    tables = read_download(root)
    assert tables.segmentations["name"].tolist() == ["met"]
    assert any("row 3" in str(problem) and "Segmentation_Name" in str(problem) for problem in tables.problems)


def change_cell(path, place, value):
    book = openpyxl.load_workbook(path)
    book.active[place] = value
    book.save(path)


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
        format_name("auto", tmp_path / "nowhere")


def test_the_content_hash_follows_content_not_place(tmp_path):
    files = [("1-0", "met")]
    original = download(tmp_path / "one", [("1-0", "met", *row(1))], LABELS[:1], files)
    copy = shutil.copytree(original, tmp_path / "two")
    assert content_hash(original) == content_hash(copy)
    next(copy.rglob("*_mask_*")).write_bytes(b"another!")
    assert content_hash(original) != content_hash(copy)


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
    with pytest.raises(InputError, match=f"{CLINICAL_WORKBOOK[0]}.*two columns 'ER'"):
        read_download(root)


def test_files_that_end_like_bgzip_are_told_apart_by_all_they_hold(tmp_path):
    paths = [tmp_path / f"{name}.nii.gz" for name in "ab"]
    for path in paths:
        path.write_bytes(path.stem.encode() + bytes(28))
    assert len({file_key(path) for path in paths}) == 2


def packed(content, piece=None):
    """As gzip packs it, or as mgzip does: every piece of so many bytes a member of its own."""
    pieces = [content] if piece is None else [content[i : i + piece] for i in range(0, len(content), piece)]
    return b"".join(gzip.compress(part, mtime=0) for part in pieces)


def volume(*corner):
    """The bytes of a mask, of which the last tenth is empty."""
    values = np.zeros((16, 16, 20), np.float32)
    values[tuple(slice(start, start + 4) for start in corner)] = 1
    return nib.Nifti1Image(values, np.eye(4)).to_bytes()


def test_a_volume_of_several_gzip_members_is_told_apart_by_all_of_them(tmp_path):
    corners = product(range(4, 10), range(4, 10), [6])
    contents = [packed(volume(*corner), piece=1 << 12) for corner in corners]
    alike = [content for content in contents if len(content) == len(contents[0])]
    assert len(set(alike)) == len(alike) > 2 and len({content[-8:] for content in alike}) == 1
    paths = [tmp_path / f"{number}.nii.gz" for number in range(len(alike))]
    for path, content in zip(paths, alike, strict=True):
        path.write_bytes(content)
    assert len({file_key(path) for path in paths}) == len(paths)


@pytest.mark.parametrize("order", "<>")
def test_a_volume_of_one_gzip_member_is_known_by_its_checksum(tmp_path, order):
    image = nib.Nifti1Image.from_bytes(volume(4, 4, 6))
    header = image.header.as_byteswapped(order)
    content = packed(nib.Nifti1Image(image.dataobj, None, header).to_bytes())
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(content)
    assert file_key(path) == len(content).to_bytes(8) + content[-8:]


@pytest.mark.parametrize(
    "content", [b"", b"x", packed(b"no volume"), packed(bytes(400)), packed(volume(4, 4, 6) + bytes(9))]
)
def test_what_is_no_single_volume_is_known_by_all_its_bytes(tmp_path, content):
    path, other = tmp_path / "a.nii.gz", tmp_path / "a.txt"
    path.write_bytes(content)
    other.write_bytes(content)
    assert file_key(path) == file_key(other) and len(file_key(path)) == 32


@pytest.mark.parametrize("empty", ["radiomics", "clinical", "both", "blank"])
def test_a_workbook_without_rows_is_named(tmp_path, empty):
    lesions = [("1-0", "R_front", *row(1))] if empty not in ("radiomics", "both") else []
    labels = LABELS if empty == "radiomics" else []
    root = download(tmp_path, lesions, labels)
    if empty == "blank":  # rows, and none of a study
        rows = [["", "+", "-", "+"], [None, "-", "", "+"]]
        table = pd.DataFrame(rows, columns=["ID", " ER", "PR ", "HER2"])
        table.to_excel(root / CLINICAL_WORKBOOK[0], sheet_name=CLINICAL_WORKBOOK[1], index=False)
    with pytest.raises(InputError) as caught:
        read_download(root)
    name, sheet = RADIOMICS_WORKBOOK if empty == "radiomics" else CLINICAL_WORKBOOK
    assert str(root / name) in str(caught.value) and sheet in str(caught.value)


def test_masks_stand_for_a_radiomics_workbook_without_rows(tmp_path):
    root = download(tmp_path, [], LABELS, files=[("1-0", "R_front")])
    table, radiomics, _ = lesions_of(root)
    assert table.index.tolist() == [f"{P}-1-0/R_front"] and radiomics.isna().all(axis=None)
