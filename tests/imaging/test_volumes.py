"""A folder of NIfTI files becomes a manifest that names them, and nothing else of it is touched."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bcbm.cohort.formats.sequences import sequence_of
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.imaging.ingest import ingest
from bcbm.imaging.manifest import COLUMNS, volume_rows


def write(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.ones((2, 2, 2), np.uint8), np.eye(4)), root / name)


def named(root):
    rows, problems = volume_rows(root, root)
    return [(row["patient"], row["study"], row["image"], row["mask"], row["name"]) for row in rows], problems


def test_a_folder_a_patient_or_a_study_is_read_by_its_names(tmp_path):
    write(tmp_path, "A/t1c.nii.gz", "A/mask_left-frontal.nii.gz", "A/seg_2.nii.gz")
    write(tmp_path, "B/2019/img.nii", "B/2019/lesion.nii", "B/2021/t1.nii.gz", "B/2021/T1_CE.nii.gz")
    write(tmp_path, "B/2021/GTV1.nii.gz", "B/2021/roi_x.nii.gz")
    rows, problems = named(tmp_path)
    assert not problems
    assert rows[:2] == [
        ("A", "A", "A/t1c.nii.gz", "A/mask_left-frontal.nii.gz", "left-frontal"),
        ("A", "A", "A/t1c.nii.gz", "A/seg_2.nii.gz", "2"),
    ]
    assert rows[2][:4] == ("B", "B-2019", "B/2019/img.nii", "B/2019/lesion.nii")
    assert [row[1:] for row in rows[3:]] == [
        ("B-2021", "B/2021/T1_CE.nii.gz", "B/2021/GTV1.nii.gz", "GTV1"),
        ("B-2021", "B/2021/T1_CE.nii.gz", "B/2021/roi_x.nii.gz", "x"),
    ]


def test_words_of_a_folder_that_all_names_in_it_begin_with_say_nothing_of_a_file(tmp_path):
    study = "BraTS-MET-00001-000"
    write(tmp_path, *(f"{study}/{study}-{kind}.nii.gz" for kind in ("t1c", "t1n", "t2f", "t2w", "seg")))
    write(tmp_path, "mets1/mets1_T1_CE.nii.gz", "mets1/mets1_gtv.nii.gz")
    write(tmp_path, *(f"Pat01/{study}-{kind}.nii.gz" for kind in ("t1c", "t1n", "t2f", "t2w", "seg")))
    rows, problems = named(tmp_path)
    assert not problems
    assert rows.pop(1)[2:] == (f"Pat01/{study}-t1c.nii.gz", f"Pat01/{study}-seg.nii.gz", "lesion")
    image, mask = (f"{study}/{study}-{kind}.nii.gz" for kind in ("t1c", "seg"))
    assert rows[0] == (study, study, image, mask, "lesion")
    assert rows[1][1:4] == ("mets1", "mets1/mets1_T1_CE.nii.gz", "mets1/mets1_gtv.nii.gz")


def test_volumes_of_other_formats_are_said_as_their_lesions_are_lost(tmp_path):
    write(tmp_path, "A/t1c.nii.gz", "A/gtv1.nii.gz", "B/t1c.nii.gz", "B/gtv.nii.gz")
    for name in ("A/gtv2.seg.nrrd", "C/t1c.MHA", "C/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("volume")
    rows, problems = named(tmp_path)
    assert len(rows) == 2
    (text,) = map(str, problems)
    assert "2 files" in text and "A/gtv2.seg.nrrd" in text and ".nii.gz" in text


@pytest.mark.parametrize(
    "name",
    [
        *("gtv2.nii.gz.part", "gtv2.nii (1).gz", ".gtv2.nii.gz.icloud", "gtv2.nii.bz2", "gtv2.stl"),
        *("gtv2.nii.gz.crdownload", "masks.zip", "masks.tar.gz", "Metastase 1.gz", "gtv2.nii.gz.bak"),
        *("gtv2.nii.gz~", "gtv2"),
    ],
)
def test_a_file_that_a_copy_or_a_disk_left_unfinished_or_renamed_is_said(tmp_path, name):
    write(tmp_path, "A/t1c.nii.gz", "A/gtv1.nii.gz")
    for file in (name, "gtv1.nii.gz.md5", "gtv1.nii.json"):
        (tmp_path / "A" / file).write_text("volume")
    rows, problems = named(tmp_path)
    assert len(rows) == 1
    (text,) = map(str, problems)
    assert "1 file" in text and f"A/{name}" in text


def test_files_of_many_patients_in_one_folder_belong_together_by_how_they_begin(tmp_path):
    write(
        tmp_path, "p1_t1c.nii.gz", "p1_mask_a.nii.gz", "p1_mask_b.nii.gz", "p2_t1c.nii.gz", "p2_mask_a.nii.gz"
    )
    rows, problems = named(tmp_path)
    assert not problems
    assert [row[:2] for row in rows] == [("p1", "p1"), ("p1", "p1"), ("p2", "p2")]
    assert [row[4] for row in rows] == ["a", "b", "a"]


def test_a_study_that_names_do_not_settle_is_said_and_left_out(tmp_path):
    write(
        tmp_path,
        "A/flair.nii.gz",
        "A/t1.nii.gz",
        "A/mask.nii.gz",
        "B/t1c.nii.gz",
        "C/t1c.nii.gz",
        "C/mask.nii.gz",
        "D/t1_non_contrast.nii.gz",
        "D/t1.nii.gz",
        "D/mask.nii.gz",
    )
    rows, problems = named(tmp_path)
    assert [row[0] for row in rows] == ["C"]
    assert [(problem.where.rpartition("/")[2], problem.found) for problem in problems] == [
        ("A", "2 images, 0 of them post-contrast by name, and 1 mask"),
        ("B", "1 image, 1 of them post-contrast by name, and 0 masks"),
        ("D", "2 images, 0 of them post-contrast by name, and 1 mask"),
    ]


def test_files_whose_names_say_nothing_are_told_by_their_voxels(tmp_path):
    draws = np.random.default_rng(0)
    for name, values in {
        "scan": draws.integers(0, 900, (6, 6, 6)),
        "a": np.eye(6),
        "Herd 2": np.eye(6),
    }.items():
        (tmp_path / "P" / "2019").mkdir(parents=True, exist_ok=True)
        volume = np.broadcast_to(values, (6, 6, 6)).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / "P" / "2019" / f"{name}.nii.gz")
    rows, problems = named(tmp_path)
    assert not problems
    assert [row[2:] for row in rows] == [
        ("P/2019/scan.nii.gz", "P/2019/Herd 2.nii.gz", "Herd 2"),
        ("P/2019/scan.nii.gz", "P/2019/a.nii.gz", "a"),
    ]
    write(tmp_path, "Q/T1 KM.nii.gz", "Q/Läsion_1.nii.gz")
    assert [row[3:] for row in named(tmp_path)[0][2:]] == [("Q/Läsion_1.nii.gz", "Läsion_1")]


def test_the_command_writes_the_manifest_and_keeps_its_labels(tmp_path):
    write(tmp_path / "in", "A/t1c.nii.gz", "A/mask_x.nii.gz", "=B/t1c.nii.gz", "=B/mask_-x.nii.gz")
    before = {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.gz")}
    config = compose([f"ingest.out={tmp_path / 'out'}"])
    ingest(tmp_path / "in", config, Console(quiet=True))
    path = tmp_path / "out" / "manifest.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(table.columns) == list(COLUMNS) and len(table) == 2
    assert all((path.parent / name).is_file() for name in [*table["image"], *table["mask"]])
    table["ER"] = ["+", "neg"]
    table.to_csv(path, index=False)
    ingest(tmp_path / "in", config, Console(quiet=True))
    assert pd.read_csv(path, dtype=str, keep_default_na=False).equals(table)
    assert {path: path.read_bytes() for path in (tmp_path / "in").rglob("*.gz")} == before


def test_a_folder_of_neither_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="neither DICOM nor NIfTI"):
        ingest(tmp_path, compose([]), Console(quiet=True))
    with pytest.raises(InputError, match="not a folder"):
        ingest(tmp_path / "notes.txt", compose([]), Console(quiet=True))


def test_a_mask_that_was_not_fetched_is_said(tmp_path):
    write(tmp_path, "A/t1c.nii.gz", "A/mask_left.nii.gz")
    (tmp_path / "A" / "mask_right.nii.gz").symlink_to(tmp_path / "nothing")
    rows, (problem,) = named(tmp_path)
    assert len(rows) == 1 and "1 link" in str(problem) and "A/mask_right.nii.gz" in str(problem)


def test_a_patient_and_an_image_that_a_person_has_corrected_stay(tmp_path):
    write(tmp_path, "P01/t1c.nii.gz", "P01/mask.nii.gz", "P01_2020/t1c.nii.gz", "P01_2020/mask.nii.gz")
    write(tmp_path, "P01/other.nii.gz")

    def again(*words):
        console = Console(record=True, width=300)
        ingest(tmp_path, compose(words), console)
        path = tmp_path / "manifest.csv"
        return console.export_text(), path, pd.read_csv(path, dtype=str, keep_default_na=False)

    said, path, table = again()
    assert "as manifest.csv had it" not in said
    table["patient"], table.loc[table["study"] == "P01", "image"] = "P01", "P01/other.nii.gz"
    table.to_csv(path, index=False)
    (tmp_path / "labels.csv").write_text("patient,ER\nP01,+\n")
    write(tmp_path, "P02/t1c.nii.gz", "P02/mask.nii.gz")
    said, _, after = again(f"ingest.labels={tmp_path / 'labels.csv'}")
    assert "patient, study or image of 2 rows: as manifest.csv had it" in said
    rows = after[after["study"] != "P02"]
    assert set(rows["patient"]) == {"P01"} and set(rows["ER"]) == {"'+"}
    assert rows["image"].tolist() == table["image"].tolist()
    (tmp_path / "P01" / "other.nii.gz").unlink()
    assert "P01/t1c.nii.gz" in set(again()[2]["image"]), "an image that is gone is none"


def test_ids_that_a_spreadsheet_has_written_in_its_way_are_no_other_rows(tmp_path):
    write(tmp_path, *[f"{folder}/{name}.nii.gz" for folder in ("001", "1-11") for name in ("t1c", "mask_a")])
    path = tmp_path / "manifest.csv"
    ingest(tmp_path, compose([]), Console(quiet=True))
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    written = {"001": "1", "1-11": "1. Nov"}
    table = table.assign(
        patient=table["patient"].map(written), study=table["study"].map(written), ER=["+", "-"]
    )
    table.to_csv(path, index=False)
    write(tmp_path, "002/t1c.nii.gz", "002/mask_a.nii.gz")
    console = Console(record=True, width=300)
    ingest(tmp_path, compose([]), console)
    assert "patient, study or image of 1 row: as manifest.csv had it" in console.export_text()
    after = pd.read_csv(path, dtype=str, keep_default_na=False).set_index("study")
    assert after["ER"].to_dict() == {"001": "+", "1. Nov": "-", "002": ""} and after["mask"].is_unique
    assert after.loc["001", "patient"] == "001", "its zeros are lost no more"


@pytest.mark.parametrize(
    ("first", "second", "chosen"),
    [
        ("T1_pre_op", "T1_post_op", None),
        ("T1_preRT", "T1_post_RT", None),
        ("T1", "T1_post_minus_pre", None),
        ("T1_MPRAGE", "T2_SPACE_post", None),
        ("T1_MPRAGE", "FLAIR_post", None),
        ("T1_MPRAGE", "T1_SPACE_post", "T1_SPACE_post"),
        ("T1_native", "T1_post", "T1_post"),
        *(
            ("T1", name, name)
            for name in ("T1KM", "T1gad", "T1contrast", "T1postGd", "T1inj", "T1CM", "T1_gado")
        ),
        ("MPRAGE", "MPRAGEKM", "MPRAGEKM"),
        ("T1pre", "T1MDC", "T1MDC"),
        ("FLAIR", "T1c_space-FLAIR", "T1c_space-FLAIR"),
    ],
)
def test_of_two_images_the_post_contrast_t1_by_name_is_taken_or_none(tmp_path, first, second, chosen):
    write(tmp_path, *(f"A/{name}.nii.gz" for name in (first, second, "Segmentation")))
    rows, problems = named(tmp_path)
    assert [row[2] for row in rows] == ([f"A/{chosen}.nii.gz"] if chosen else [])
    assert len(problems) == (chosen is None)


@pytest.mark.parametrize(
    ("mask", "name"),
    [
        ("Segmentation", "lesion"),
        ("Segmentation-label", "lesion"),
        ("labels", "lesion"),
        ("masks_1", "1"),
        ("seg_mask_left", "left"),
        ("mask1", "1"),
    ],
)
def test_a_lesion_is_called_what_its_mask_is_called_beside_that(tmp_path, mask, name):
    write(tmp_path, "A/t1c.nii.gz", f"A/{mask}.nii.gz", "A/gtv.nii.gz")
    assert name in [row[4] for row in named(tmp_path)[0]]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *((name, "other") for name in ("T1_nativ", "T1_native", "t1_pre", "T1_unenhanced", "TOF", "rCBV")),
        *((name, "post") for name in ("T1c_pre", "pre_T1c", "P1_pre_op_gd", "P1_pre_SRS_km", "gd_native")),
        *(
            (name, "")
            for name in ("T1_post_op", "P1_post_SRS_t1", "P1_pre-op", "P1_native_space", "PD_012_image")
        ),
    ],
)
def test_a_name_of_an_image_says_its_kind_and_words_of_time_say_nothing(name, kind):
    assert sequence_of(f"P1/{name}.nii.gz") == kind
