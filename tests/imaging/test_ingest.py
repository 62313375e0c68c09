"""`bcbm ingest`: from a folder of scanners' files to a cohort, and nobody is named in it."""

import gzip
import io
import os
import re
import shutil
import stat
import subprocess
import sys

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest
import SimpleITK as sitk
from commands import run_command
from matplotlib.image import imread
from pydicom.uid import generate_uid
from rich.console import Console
from scans import (
    AXIAL,
    affine_of,
    ball,
    edit,
    head,
    mask_contours,
    oblique,
    write_segmentation,
    write_series,
    write_structures,
)

import bcbm
from bcbm.config.compose import compose
from bcbm.errors import ConfigError, InputError
from bcbm.features.crops import CropSettings, crop, normalised
from bcbm.features.geometry import placed
from bcbm.features.masks import read_mask
from bcbm.features.volumes import read_volume
from bcbm.imaging import ingest as ingesting
from bcbm.imaging.headers import Series
from bcbm.imaging.ingest import dicom_files, ingest, ingest_patient
from bcbm.imaging.manifest import COLUMNS
from bcbm.imaging.pseudonyms import age_at, key_file
from bcbm.imaging.study import maker
from bcbm.report.figures.ingest import study_figure

PLAIN = ["ingest.brain=none", "prepared.jobs=1"]
LESIONS = {"GTV_Lt_frontal": ball((12, 12, 6), 4.5), "met 2 rt parietal": ball((5, 17, 4), 4.0)}


def run(source, out, *words):
    """Ingest a folder in this process; what was printed."""
    console = Console(file=io.StringIO(), width=200)
    ingest(source, compose([f"ingest.out={out}", *PLAIN, *words]), console)
    return console.file.getvalue()


def manifest(out):
    return pd.read_csv(out / "manifest.csv", dtype=str, keep_default_na=False)


def write_export(root, patients=2, **tags):
    """Patients with two sessions each: the first has a structure set, the second a segmentation."""
    grid, masks = affine_of(oblique()), dict(LESIONS)
    for patient in range(1, patients + 1):
        for session, date in enumerate(["20190305", "20200304"]):
            folder, study = root / f"patient{patient}" / f"study{session}", generate_uid()
            common = {"patient": f"MRN-{patient}", "study": study, "StudyDate": date}
            common |= {"PatientName": f"Doe^{'Jane' * patient}"} | tags
            values = head(seed=10 * patient + session)
            write_series(folder / "t2", series=None, **common, SeriesDescription="T2 FLAIR", SeriesNumber=2)
            images = write_series(folder / "t1", values, grid, **common, SeriesNumber=5)
            if session:
                write_segmentation(folder / "seg.dcm", masks, images)
            else:
                contours = {name: mask_contours(mask, grid) for name, mask in masks.items()}
                write_structures(
                    folder / "rt.dcm", {**contours, "BrainStem": contours["GTV_Lt_frontal"]}, images
                )


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """An export, and what is made of it; read only."""
    root = tmp_path_factory.mktemp("ingest")
    write_export(root / "dicom")
    for folder in (root / "dicom").rglob("t1"):
        edit(folder, lambda _, item: setattr(item, "PatientSex", "f"))  # in small letters, as some write it
    text = run(root / "dicom", root / "out")
    return root / "dicom", root / "out", text


def values_of(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_images_and_masks_are_those_that_were_scanned_and_drawn(export):
    _, out, text = export
    table, grid = manifest(out), affine_of(oblique())
    heads = {head(seed=10 * patient + session).tobytes() for patient in (1, 2) for session in (0, 1)}
    assert list(table.columns) == list(COLUMNS) and len(table) == 8
    for row in table.itertuples():
        image = nib.load(out / row.image)
        assert values_of(out / row.image).astype(np.uint16).tobytes() in heads
        assert abs(np.diag([-1, -1, 1, 1]) @ image.affine - grid).max() < 1e-4
        expected = LESIONS["GTV_Lt_frontal" if row.name == "gtv-lt-frontal" else "met 2 rt parietal"]
        assert np.array_equal(values_of(out / row.mask), expected)
        assert np.allclose(nib.load(out / row.mask).affine, image.affine)
    assert "2 patients, 4 studies, 8 lesions" in text


def test_the_manifest_has_what_the_headers_say_and_leaves_the_labels_to_a_person(export):
    _, out, _ = export
    table = manifest(out)
    assert sorted(table["study"].unique()) == ["P001-1", "P001-2", "P002-1", "P002-2"]
    assert (table["patient"] == table["study"].str.partition("-")[0]).all()
    assert dict(zip(table["study"], table["days"], strict=True))["P001-2"] == "365"
    assert set(table["age"]) == {"59", "60"} and set(table["sex"]) == {"F"}
    assert set(table["manufacturer"]) == {"Siemens"} and set(table["pixel_spacing"]) == {"0.75"}
    for column in ("ER", "PR", "HER2", "site", "label_value", "year"):
        assert set(table[column]) == {""}


@pytest.mark.parametrize(
    ("tags", "facts"),
    [
        ({"Manufacturer": "AGFA Image"}, ("60", "")),  # no GE
        ({"Manufacturer": "GE MEDICAL SYSTEMS"}, ("60", "GE")),
        ({"Manufacturer": "General Electric"}, ("60", "GE")),
        ({"Manufacturer": "Canon_MEC"}, ("60", "Canon")),
        ({"Manufacturer": "UIH"}, ("60", "United Imaging")),
        ({"Manufacturer": "FUJI PHOTO FILM"}, ("60", "Fujifilm")),
        ({"PatientAge": "000Y"}, ("", "Siemens")),  # as programs that take names away write it
        ({"PatientBirthDate": "19000101"}, ("", "Siemens")),
        ({"PatientAge": "093Y"}, ("90", "Siemens")),
        ({"StudyDate": "2020.03.10"}, ("60", "Siemens")),  # as before DICOM
    ],
)
def test_ages_and_makers_are_those_that_headers_say(tags, facts):
    series = Series(manufacturer="SIEMENS", birth_date="19600101", date="20200310")
    names = {"Manufacturer": "manufacturer", "PatientAge": "age", "PatientBirthDate": "birth_date"}
    names["StudyDate"] = "date"
    for tag, value in tags.items():
        setattr(series, names[tag], value)
    age, made = age_at(series), maker(series)
    assert ("" if age is None else str(age), made or "") == facts


def test_what_was_refused_is_on_the_page_and_whole_heads_are_said_to_have_faces(export):
    _, out, text = export
    page = (out / "ingest.html").read_text()
    assert page.count("<img ") == 4 and "<script" not in page
    for words in ("not lesions: brainstem", "P002-1", "faces", "series 2: t1 mprage", "12 slices", " ml)"):
        assert words in page
    assert "problem" not in text


def test_the_picture_of_a_study_shows_every_lesion_and_says_which_side_is_which(tmp_path):
    image = sitk.GetImageFromArray(np.ones((8, 8, 8), np.float32))
    masks = np.eye(8, dtype=bool)[:, None, None, :] & np.ones((8, 8, 8), bool)
    pictures = []
    for number in (1, 2, 8):
        study_figure(image, masks[:number], path := tmp_path / f"{number}.png")
        pictures.append(imread(path)[..., :3])
    assert [len(picture) / len(pictures[0]) for picture in pictures] == pytest.approx([1, 1.5, 2], abs=0.01)
    left = pictures[0][:, : pictures[0].shape[1] // 40]
    assert (left.min(axis=2) > 0.8).any(), "a white letter stands at the left edge"


def test_a_lesion_has_the_same_crop_from_dicom_and_from_nifti(export, tmp_path):
    _, out, _ = export
    row = manifest(out).iloc[0]
    image = sitk.GetImageFromArray(values_of(out / row["image"]))
    grid = affine_of(oblique())
    placed(image, grid)
    mask = sitk.GetImageFromArray(LESIONS["GTV_Lt_frontal"].astype(np.uint8))
    mask.CopyInformation(image)
    sitk.WriteImage(image, str(tmp_path / "image.nii.gz"))
    sitk.WriteImage(mask, str(tmp_path / "mask.nii.gz"))
    crops = []
    for image_path, mask_path in (
        (out / row["image"], out / row["mask"]),
        (tmp_path / "image.nii.gz", tmp_path / "mask.nii.gz"),
    ):
        volume = read_volume(image_path)
        crops.append(crop(normalised(volume, "zscore"), read_mask(mask_path, volume), CropSettings(16, 1.0)))
    assert np.array_equal(*crops)


def every_byte(folder):
    """All that lies in a folder: names of files, what they hold, and what that holds unpacked."""
    content = b""
    for path in sorted(folder.rglob("*")):
        content += str(path.relative_to(folder)).encode()
        if path.is_file():
            content += (data := path.read_bytes())
            if path.suffix == ".gz":
                content += gzip.decompress(data)
    return content


def plant(path):
    """Write an identity into every field that has room for one; returns what must not be seen again."""
    item, planted = pydicom.dcmread(path), set()
    for tag in (
        "InstitutionName",
        "ReferringPhysicianName",
        "OperatorsName",
        "StationName",
        "PatientComments",
    ):
        setattr(item, tag, "x")
    for tag in ("PatientAddress", "OtherPatientIDs", "RequestedProcedureDescription", "BodyPartExamined"):
        setattr(item, tag, "x")
    item.add_new((0x0019, 0x0010), "LO", "x")
    item.add_new((0x0019, 0x1001), "LO", "x")

    def walk(part):
        for element in part:
            if element.VR == "SQ":
                for inner in element.value:
                    walk(inner)
            elif element.VR in ("LO", "LT", "PN", "SH", "ST", "UT", "UC"):
                element.value = "Zyxwvut" if element.VR != "PN" else "Zyxwvut^Anna"
            elif element.VR == "CS" and element.keyword not in CODES:
                element.value = "ZYXWVUT"
            elif element.VR == "DA":
                element.value = "19530721" if "Birth" in element.keyword else "20110923"
            elif element.VR == "TM":
                element.value = "174533"
            elif element.VR == "UI":
                planted.add(str(element.value))

    walk(item)
    item.SeriesDescription = "Zyxwvut t1 mprage +C Anna"
    item.save_as(path, enforce_file_format=True)
    return planted


CODES = {
    *("Modality", "ImageType", "PhotometricInterpretation", "MRAcquisitionType", "SpecificCharacterSet"),
    *("ContourGeometricType", "RTROIInterpretedType", "SegmentationType", "SegmentAlgorithmType"),
    *("DimensionOrganizationType", "SegmentsOverlap", "VolumetricProperties", "PatientSex"),
    *("LossyImageCompression", "ContentQualification"),
}


@pytest.mark.parametrize("year", [False, True])
def test_nobody_is_named_in_what_is_written(tmp_path, year):
    write_export(tmp_path / "dicom", patients=1)
    planted = set()
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        planted |= plant(path)
    text = run(
        tmp_path / "dicom", tmp_path / "out", f"ingest.year={str(year).lower()}", "cohort.same_patients=join"
    )
    content = every_byte(tmp_path / "out").lower()
    named = [b"zyxwvut", b"anna", b"19530721", b"20110923", b"174533", b"1953", b"mrn-1", b"0923"]
    uids = [uid.encode() for uid in planted if len(uid) > 30]
    assert len(uids) > 40 and len(content) > 10**5
    assert not [uid for uid in uids if uid in content]
    told = re.sub(rb"\b[0-9a-f]{16,}\b", b"", content)  # sums and salts hold any four digits now and then
    assert not [word for word in named if word in told]
    assert (b"2011" in told) == year
    assert manifest(tmp_path / "out")["year"].tolist()[0] == ("2011" if year else "")
    assert "Zyxwvut" not in text
    run(tmp_path / "dicom", tmp_path / "out", "cohort.same_patients=join")
    assert set(manifest(tmp_path / "out")["year"]) == {""}, "a year that was known once is not kept"
    key = tmp_path / "out-key.csv"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600 and "Zyxwvut" in key.read_text()


def times(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file() and path.parent != out}


@pytest.fixture
def copied(export, tmp_path):
    """A copy of an export and of what was made of it."""
    source, out, _ = export
    shutil.copytree(source, tmp_path / "dicom")
    shutil.copytree(out, tmp_path / "out")
    shutil.copy(key_file(out), key_file(tmp_path / "out"))
    return tmp_path / "dicom", tmp_path / "out"


def test_finished_studies_are_kept_labels_too_and_damaged_ones_are_made_again(copied):
    source, out = copied
    table = manifest(out)
    table["ER"], table["grade"] = ["+", "-"] * 4, "2"
    study = out / "P002" / "P002-1"
    (study / "P002-1_image.nii.gz").write_bytes(b"damaged")
    before = times(out)
    own = study / "mine.nii.gz"
    shutil.copy(study / "P002-1_mask_gtv-lt-frontal.nii.gz", own)
    added = table[table["study"] == "P002-1"].iloc[[0]].assign(mask=own.relative_to(out).as_posix())
    table = pd.concat([table[:6], added, table[6:]], ignore_index=True)
    gone = added.assign(mask="P002/P002-1/P002-1_mask_gtv-9.nii.gz")
    pd.concat([table, gone]).to_csv(out / "manifest.csv", index=False)
    run(source, out)
    after = times(out)
    assert {path for path in after if after[path] != before.get(path)} == set(study.iterdir())
    assert own.is_file(), "what a person has added stays"
    assert values_of(study / "P002-1_image.nii.gz").shape == head().shape
    assert manifest(out).equals(table)


def test_a_mask_that_a_person_has_corrected_counts_and_is_kept_where_the_export_changes(copied):
    source, out = copied
    path = next(path for path in sorted(source.rglob("*.dcm")) if is_set(path))
    item, names = pydicom.dcmread(path), pd.read_csv(key_file(out), dtype=str)
    study = names.loc[names["StudyInstanceUID"] == item.StudyInstanceUID, "study"].iloc[0]
    mask = out / study.partition("-")[0] / study / f"{study}_mask_gtv-lt-frontal.nii.gz"
    image = sitk.ReadImage(str(mask))
    sitk.WriteImage(sitk.BinaryErode(image), str(mask))
    corrected = values_of(mask)
    for _ in range(2):
        text = run(source, out)
        assert f"problem {study}: {mask.name} was changed by hand: it counts as it lies" in text
        assert np.array_equal(values_of(mask), corrected)
    item.StructureSetLabel = "approved"
    item.save_as(path, enforce_file_format=True)
    assert f"{mask.name} was changed by hand: kept as by-hand-1-{mask.name}" in run(source, out)
    assert np.array_equal(values_of(mask.with_name(f"by-hand-1-{mask.name}")), corrected)
    assert values_of(mask).sum() > corrected.sum() > 0


def test_headers_that_were_corrected_under_their_ids_are_taken_and_what_a_person_wrote_is_not(copied):
    source, out = copied
    table = manifest(out)
    table.loc[table["study"] == "P001-2", "age"] = "44"
    table.to_csv(out / "manifest.csv", index=False)

    def corrected(_, item):
        item.PatientBirthDate, item.PatientSex = "19700101", "M"
        item.StudyDate = item.StudyDate.replace("2020", "2022")

    for folder in {path.parent for path in source.rglob("*.dcm")}:
        edit(folder, corrected)
    run(source, out, "ingest.year=true")
    after = manifest(out).drop_duplicates("study").set_index("study")
    assert set(after["sex"]) == {"M"} and after.loc["P001-2", "age"] == "44"
    assert after["age"].drop("P001-2").isin(["49", "52"]).all()
    assert set(after["year"]) == {"2019", "2022"}


def test_a_slice_that_was_corrected_counts_though_its_file_has_the_size_and_time_of_the_first(copied):
    source, out = copied
    names = pd.read_csv(key_file(out), dtype=str)
    path = next(path for path in sorted(source.rglob("*.dcm")) if pydicom.dcmread(path).Modality == "MR")
    item, state = pydicom.dcmread(path), path.stat()
    own = names[names["StudyInstanceUID"] == item.StudyInstanceUID].iloc[0]
    image = out / own["patient"] / own["study"] / f"{own['study']}_image.nii.gz"
    before, others = values_of(image), times(out)
    item.PixelData = (np.frombuffer(item.PixelData, np.uint16) + 7).astype(np.uint16).tobytes()
    item.save_as(path, enforce_file_format=True)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    run(source, out)
    assert (values_of(image) != before).any()
    after = times(out)
    assert {file.parent for file in after if after[file] != others.get(file)} == {image.parent}


def test_lesions_that_were_drawn_anew_under_their_names_are_said_once(copied):
    source, out = copied
    names = pd.read_csv(key_file(out), dtype=str)
    path = next(path for path in sorted(source.rglob("*.dcm")) if is_set(path))
    item = pydicom.dcmread(path)
    first, second = item.StructureSetROISequence[:2]
    first.ROIName, second.ROIName = second.ROIName, first.ROIName
    item.save_as(path, enforce_file_format=True)
    study = names.loc[names["StudyInstanceUID"] == item.StudyInstanceUID, "study"].iloc[0]
    said = [line for line in run(source, out).splitlines() if "drawn anew" in line]
    assert len(said) == 1 and f"{study}: " in said[0] and "gtv-lt-frontal" in said[0]
    assert "drawn anew" not in run(source, out)


def is_set(path):
    return pydicom.dcmread(path).Modality == "RTSTRUCT"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit of the size of files")
def test_an_image_that_the_disk_does_not_take_whole_is_named_and_not_kept(tmp_path):
    import resource

    write_series(tmp_path / "dicom" / "t1")
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limit[1]))
    try:
        with pytest.raises(OSError, match=r"P001-1_image\.nii\.gz"):
            run(tmp_path / "dicom", tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert not list((tmp_path / "out").rglob("*.nii.gz"))
    run(tmp_path / "dicom", tmp_path / "out")
    assert values_of(tmp_path / "out" / "P001" / "P001-1" / "P001-1_image.nii.gz").size == head().size


def test_a_patient_behind_a_link_to_a_folder_is_of_the_export(tmp_path):
    write_series(tmp_path / "elsewhere" / "t1")
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "patient").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "export")
    assert len(dicom_files(tmp_path / "export")[0]) == len(head())
    with pytest.raises(OSError, match="nowhere"):
        dicom_files(tmp_path / "nowhere")


def test_a_later_export_adds_its_studies_and_nobody_gets_another_name(copied, tmp_path):
    _, out = copied
    table = manifest(out)
    table["HER2"] = "-"
    table.to_csv(out / "manifest.csv", index=False)
    write_series(
        tmp_path / "later", head(seed=77), patient="MRN-1", study=generate_uid(), StudyDate="20210304"
    )
    write_series(
        tmp_path / "later", head(seed=79), patient="MRN-2", study=generate_uid(), StudyDate="20190223"
    )
    write_series(
        tmp_path / "later", head(seed=78), patient="MRN-9", study=generate_uid(), StudyDate="20210304"
    )
    before = pd.read_csv(key_file(out), dtype=str)
    text = run(tmp_path / "later", out)
    after = pd.read_csv(key_file(out), dtype=str)
    assert len(after) == len(before) + 3 and len(after.merge(before)) == len(before)
    patient = before.loc[before["PatientID"] == "MRN-1", "patient"].iloc[0]
    assert (out / patient / f"{patient}-3" / f"{patient}-3_image.nii.gz").is_file()
    assert (out / "P003" / "P003-1" / "P003-1_image.nii.gz").is_file()
    assert "P003-1: no mask" in text and "3 patients, 7 studies, 8 lesions" in text
    assert (out / "ingest.html").read_text().count("<img ") == 7
    other = before.loc[before["PatientID"] == "MRN-2", "patient"].iloc[0]
    days = table["days"].astype(int) + 10 * (table["patient"] == other)
    assert manifest(out).equals(table.assign(days=days.astype(str))), "its rows, with their labels, stay"


@pytest.mark.parametrize("date", ["20180101", ""])
def test_studies_whose_numbers_do_not_follow_their_dates_are_said(tmp_path, date):
    common = {"patient": "MRN-1", "SeriesDescription": "T1 +C"}
    write_series(tmp_path / "new" / "t1", study=generate_uid(), StudyDate="20200101", **common)
    assert "follow their dates" not in run(tmp_path / "new", tmp_path / "out")
    write_series(tmp_path / "old" / "t1", study=generate_uid(), StudyDate=date, **common)
    text = run(tmp_path / "old", tmp_path / "out")
    assert "P001: the numbers of the studies do not follow their dates" in text
    assert "MRN" not in text


def test_one_date_of_birth_of_most_patients_is_said_beside_their_ages(tmp_path):
    def born(*days):
        source = tmp_path / f"{len(days)}"
        for number, day in enumerate(days):
            write_series(source / f"{number}", patient=f"P{number}", PatientBirthDate=day)
        return run(source, tmp_path / f"out{len(days)}")

    assert "3 patients: share one date of birth" in born(*["19010203"] * 3, "19550302")
    assert "one date of birth" not in born(*["19010203"] * 2, "19550302", "19601007", "19611230")


def test_one_date_of_all_studies_is_said_and_so_are_ages_that_none_has(tmp_path):
    days = ["20000101"] * 3, ["20000101", "20010101", "20020202"]
    for number, (dates, ages) in enumerate(zip(days, (["057Y"] * 3, ["000Y", "", "057Y"]), strict=True)):
        source = tmp_path / f"{number}"
        for patient, (day, age) in enumerate(zip(dates, ages, strict=True)):
            tags = {"PatientAge": age, "PatientBirthDate": "20500101" if not age else ""}
            write_series(source / f"{patient}", patient=f"P{patient}", StudyDate=day, **tags)
        text = run(source, tmp_path / f"out{number}")
        assert ("3 studies: share one date" in text) == (number == 0)
        assert ("2 studies: PatientAge" in text) == (number == 1)


def test_labels_of_the_hospitals_table_stand_under_pseudonyms_and_what_a_person_wrote_counts(
    copied, tmp_path
):
    source, out = copied
    path = tmp_path / "Schmidt.csv"
    path.write_text(
        "MRN;Name;ER;HER2\nMRN-1;Schmidt, Anna;90;2+ FISH Dr. Schmidt\nMRN-2;B;0;3+\nMRN-3;C;;0\n"
    )
    before = manifest(out)
    before.loc[before["study"] == "P001-1", "HER2"] = "1+"
    before.to_csv(out / "manifest.csv", index=False)
    text = run(source, out, f"ingest.labels={path}")
    table, key = manifest(out), pd.read_csv(key_file(out), dtype=str)
    patients = dict(zip(key["PatientID"], key["patient"], strict=True))
    for patient, label, score in (("MRN-1", "90 %", ""), ("MRN-2", "0 %", "3+")):
        rows = table[table["patient"] == patients[patient]]
        assert set(rows["ER"]) == {label}
        assert set(rows.loc[rows["study"] != "P001-1", "HER2"]) == {score}
    assert set(table.loc[table["study"] == "P001-1", "HER2"]) == {"1+"}
    for facts in (("row 2", "HER2"), ("row 4", "no patient"), ("labels of 2 patients", "manifest.csv")):
        assert any(all(fact in line for fact in facts) for line in text.splitlines()), facts
    assert not [word for word in (b"schmidt", b"anna") if word in every_byte(out).lower()]


def test_what_a_person_wrote_of_a_region_that_was_renamed_is_kept_beside_and_said(copied):
    source, out = copied
    path = next(path for path in sorted(source.rglob("*.dcm")) if is_set(path))
    item = pydicom.dcmread(path)
    names = pd.read_csv(key_file(out), dtype=str)
    study = names.loc[names["StudyInstanceUID"] == item.StudyInstanceUID, "study"].iloc[0]
    table = manifest(out)
    own = (table["study"] == study) & (table["name"] == "gtv-lt-frontal")
    table["ER"], table["remark"] = "+", ""
    table.loc[own, "remark"] = "necrotic"
    table.to_csv(out / "manifest.csv", index=False)
    item.StructureSetROISequence[0].ROIName = "GTV_Rt_frontal"
    item.save_as(path, enforce_file_format=True)
    text = run(source, out)
    (said,) = (line for line in text.splitlines() if "manifest-gone.csv" in line)
    assert (
        f"{study}/gtv-lt-frontal" in said and f"{study}/gtv-lt-frontal" in (out / "ingest.html").read_text()
    )
    gone = pd.read_csv(out / "manifest-gone.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(gone, table[own].reset_index(drop=True))
    assert f"new in the manifest: {study}/gtv-rt-frontal" in text
    table["remark"], new = "", manifest(out)
    new[new["study"] != study].to_csv(out / "manifest.csv", index=False)
    text = run(source, out)
    assert "gone" not in text and f"new in the manifest: {study}/" in text, "a row that was taken out is back"
    assert "new in the manifest" not in run(source, out)


def test_what_a_person_writes_meanwhile_stays_and_two_at_once_are_refused(copied, monkeypatch):
    source, out = copied
    work = ingesting._work

    def slowly(*arguments):
        records = work(*arguments)
        table = manifest(out)
        table["ER"] = "+"
        table.to_csv(out / "manifest.csv", index=False)
        other = run_command("ingest", str(source), f"out={out}", "ingest.brain=none")
        assert other.returncode == 2 and "is already running" in other.stderr
        return records

    monkeypatch.setattr(ingesting, "_work", slowly)
    run(source, out)
    assert set(manifest(out)["ER"]) == {"+"} and not list(out.parent.glob("*.owner"))


def test_labels_of_an_earlier_table_that_a_later_one_changes_or_lacks_are_said(copied, tmp_path):
    source, out = copied
    path = tmp_path / "labels.csv"
    for rows in ("MRN-1,+,+\nMRN-2,-,+\n", "MRN-1,-,+\nMRN-2,,+\n"):
        path.write_text(f"MRN,ER,PR\n{rows}")
        text = " ".join(run(source, out, f"ingest.labels={path}").split())
    assert "but for 4 cells that the manifest had already, by hand or of an earlier table" in text
    assert "; 4 cells of which it says nothing stay" in text


def test_a_manifest_that_cannot_be_read_is_met_before_any_work(copied):
    source, out = copied
    table = manifest(out)
    pd.concat([table, table.iloc[[2]]]).to_csv(out / "manifest.csv", index=False)
    (out / "P001" / "P001-1" / "study.json").unlink()
    with pytest.raises(InputError, match=r"manifest\.csv.*line 10"):
        run(source, out)
    assert not (out / "P001" / "P001-1" / "study.json").exists()


def test_without_its_key_a_folder_is_not_gone_on_with(copied):
    source, out = copied
    key_file(out).unlink()
    with pytest.raises(InputError, match=r"-key\.csv"):
        run(source, out)


def test_patients_that_may_be_one_are_a_question(tmp_path):
    for number, patient in enumerate(["mrn 7", "MRN-07", "MRN-8"]):
        write_series(tmp_path / str(number), patient=patient, study=generate_uid())
    with pytest.raises(InputError, match=r"cohort\.same_patients=join"):
        run(tmp_path, tmp_path.parent / "o1")
    run(tmp_path, tmp_path.parent / "o1", "cohort.same_patients=join")
    run(tmp_path, tmp_path.parent / "o2", "cohort.same_patients=keep")
    patients = [len(list((tmp_path.parent / name).glob("P0*"))) for name in ("o1", "o2")]
    assert patients == [2, 3]


def test_a_lesion_in_two_drawings_of_a_study_is_said_and_lesions_apart_are_not(tmp_path):
    images = write_series(tmp_path / "in")
    for name, place in (("first", (6, 12, 6)), ("other", (14, 12, 6)), ("revised", (14, 13, 6))):
        contours = mask_contours(ball(place, 3.5), affine_of(AXIAL))
        write_structures(tmp_path / "in" / f"{name}.dcm", {"GTV": contours}, images)
    lines = [
        line for line in run(tmp_path / "in", tmp_path / "out").splitlines() if "another drawing" in line
    ]
    assert len(lines) == 1 and "drawing 3: 1 region" in lines[0]


def test_drawings_of_another_name_than_the_image_are_said_and_nobody_is_named(tmp_path):
    write_export(tmp_path / "dicom", patients=1)
    (path,) = (tmp_path / "dicom").rglob("rt.dcm")

    def renamed(name):
        item = pydicom.dcmread(path)
        item.PatientName = name
        item.save_as(path)
        return run(tmp_path / "dicom", tmp_path / f"out{len(name)}")

    assert "another PatientName" not in renamed("DOE^J^Jane") + renamed("")
    (line,) = [line for line in renamed("Smith^Ann").splitlines() if "another PatientName" in line]
    assert "1 structure set" in line and "Smith" not in line and "Doe" not in line


def test_studies_that_cannot_be_told_apart_are_refused_before_any_work(tmp_path):
    write_series(tmp_path / "a", patient="", study=generate_uid())
    for number, day in enumerate(["19500101", "19600101"]):
        write_series(tmp_path / str(number), patient="7", study=generate_uid(), PatientBirthDate=day)
    for number, sex in enumerate(["F", "m", ""]):
        write_series(tmp_path / sex, patient="8", study=generate_uid(), PatientSex=sex)
        write_series(tmp_path / f"9{number}", patient="ANONYMOUS", study=generate_uid())
    with pytest.raises(InputError) as error:
        run(tmp_path, tmp_path.parent / "out")
    assert "PatientID" in str(error.value) and "2 dates of birth" in str(error.value)
    assert "'8': the PatientID has 2 sexes" in str(error.value)
    assert "'ANONYMOUS': the PatientID of 3 studies is no patient's" in str(error.value)
    assert not (tmp_path.parent / "out").exists()


@pytest.mark.parametrize("place", ["dicom/out", ".", "dicom"])
def test_nothing_is_written_into_the_export(tmp_path, place):
    write_series(tmp_path / "dicom")
    with pytest.raises(ConfigError, match="out="):
        run(tmp_path / "dicom", tmp_path / place)
    with pytest.raises(ConfigError, match="out=DIR"):
        ingest(tmp_path / "dicom", compose(PLAIN), Console(quiet=True))


def test_a_study_without_a_post_contrast_t1_has_its_reasons_and_a_person_can_choose(tmp_path):
    source, out = tmp_path / "dicom", tmp_path / "out"
    for number, name in enumerate(["T2 space", "MPRAGE"], 1):
        write_series(
            source / name,
            head(seed=number),
            SeriesDescription=name,
            ContrastBolusAgent="",
            SeriesNumber=number,
        )
    with pytest.raises(InputError, match="no study"):
        run(source, out)
    table = pd.read_csv(out / "series.csv", dtype=str, keep_default_na=False)
    assert table["chosen"].tolist() == ["no", "no"] and table["weighting"].tolist() == ["other", "T1"]
    table["chosen"] = ["no", "yes"]
    table.to_csv(tmp_path / "mine.csv", index=False)
    run(source, out, f"ingest.series={tmp_path / 'mine.csv'}")
    assert np.array_equal(values_of(out / "P001/P001-1/P001-1_image.nii.gz"), head(seed=2))


def test_a_drawn_brain_is_cut_out_and_a_study_without_one_says_so(tmp_path):
    grid, source = affine_of(AXIAL), tmp_path / "dicom"
    inside = ball((10, 12, 6), 9.0)
    for number in (1, 2):
        images = write_series(
            source / str(number), head() + 100, grid, patient=f"M{number}", study=generate_uid()
        )
        masks = {"Brain": inside} if number == 1 else {}
        masks["GTV"] = ball((10, 12, 6), 3.0) & ~ball((10, 12, 6), 2.0)
        regions = {name: mask_contours(mask, grid) for name, mask in masks.items()}
        write_structures(source / str(number) / "rt.dcm", regions, images)
    text = run(source, tmp_path / "out", "ingest.brain=mask")
    (path,) = (tmp_path / "out").rglob("*_image.nii.gz")
    image = values_of(path)
    assert not image[~inside].any() and image[inside].all()
    assert "faces" not in text and "0 regions of it are called brain" in text
    assert len(manifest(tmp_path / "out")) == 1
    page = (tmp_path / "out" / "ingest.html").read_text()
    run(source, tmp_path / "out", "ingest.brain=mask")
    assert (tmp_path / "out" / "ingest.html").read_text() == page
    assert re.search(r"the brain has \d+ ml", text), "a ball is no brain"
    assert "holes in 1 lesion" in text


def test_dask_workers_make_the_same_cohort(export, tmp_path):
    source, expected, _ = export
    config = compose([f"ingest.out={tmp_path / 'out'}", *PLAIN[:1]])
    distributed = pytest.importorskip("distributed")
    shutil.copy(key_file(expected), key_file(tmp_path / "out"))
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        assert bcbm.ingest(source, config) == tmp_path / "out"
    for path in (path for path in expected.rglob("*") if path.is_file()):
        assert (tmp_path / "out" / path.relative_to(expected)).read_bytes() == path.read_bytes(), path


def test_what_is_not_installed_is_said_before_any_work(tmp_path, monkeypatch):
    write_series(tmp_path / "dicom")
    monkeypatch.setitem(sys.modules, "deepbet", None)
    with pytest.raises(ConfigError, match=r"deepbet.*bcbm\[ingest\]"):
        run(tmp_path / "dicom", tmp_path / "out", "ingest.brain=deepbet")
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(ConfigError, match=r"pydicom.*bcbm\[ingest\]"):
        run(tmp_path / "dicom", tmp_path / "out")


def test_the_command_takes_a_folder_and_its_keys(tmp_path):
    for number in (1, 2):
        write_series(tmp_path / "dicom" / str(number), patient=f"M{number}", study=generate_uid())
    words = [str(tmp_path / "dicom"), f"out={tmp_path / 'out'}", "ingest.brain=none", "prepared.jobs=2"]
    command = [sys.executable, "-m", "bcbm.ingest"]
    done = subprocess.run([*command, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 patients, 2 studies, 0 lesions" in done.stdout and "faces" in done.stderr
    done = subprocess.run([*command, words[1]], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error ")


def test_ages_and_sexes_of_another_form_are_said(tmp_path):
    for number, (age, sex) in enumerate([("069", "W"), ("69y", "weiblich"), ("057Y", "f"), ("", "")]):
        write_series(tmp_path / "in" / f"{number}", patient=f"P{number}", PatientAge=age, PatientSex=sex)
    text = run(tmp_path / "in", tmp_path / "out")
    assert "2 studies: PatientAge is not of DICOM's form" in text
    assert "2 studies: PatientSex is none of F, M and O" in text


def test_what_lies_beside_the_files_of_an_export_is_counted_for_a_cohort_and_for_a_patient(tmp_path):
    source = tmp_path / "dicom"
    write_series(source / "t1")
    images = [pydicom.dcmread(path) for path in sorted((source / "t1").glob("*.dcm"))]
    contours = mask_contours(LESIONS["GTV_Lt_frontal"], affine_of(AXIAL))
    write_structures(source / "rt.dcm", {"GTV": contours}, images)
    for name in ("lesion2.nrrd", "more.zip", "P7.tar", "lesion3.7z", "seg", "readme.txt", "viewer.exe"):
        (source / name).write_text("beside")
    (source / "lost.dcm").symlink_to(tmp_path / "nowhere")
    console = Console(file=io.StringIO(), width=200)
    ingest_patient(source, tmp_path / "one", compose([*PLAIN]), console)
    for text in (console.file.getvalue(), run(source, tmp_path / "out")):
        assert "5 files: named .7z, .nrrd, .tar, .zip and without an ending and no DICOM file" in text
        assert "1 link: to what is not there" in text


def test_files_that_were_exported_twice_are_read_once(tmp_path):
    write_export(tmp_path / "dicom", patients=1)
    run(tmp_path / "dicom", tmp_path / "once")
    for folder in ("t1", "t1 (copy)"):
        shutil.copytree(
            tmp_path / "dicom" / "patient1" / "study0" / "t1", tmp_path / "dicom" / "more" / folder
        )
    for drawing in (tmp_path / "dicom").rglob("rt.dcm"):
        shutil.copy(drawing, drawing.with_name("a.dcm"))
    text = run(tmp_path / "dicom", tmp_path / "twice")
    slices = len([*(tmp_path / "dicom" / "more" / "t1").iterdir()])
    assert f"{2 * slices + 1} DICOM files: copies of others, byte by byte: read once" in text
    assert manifest(tmp_path / "twice").equals(manifest(tmp_path / "once"))
    path = min((tmp_path / "dicom" / "more" / "t1").iterdir())
    other = pydicom.dcmread(path)
    other.PixelData = other.PixelData[::-1]
    other.save_as(path)
    assert (
        "1 of" in (text := run(tmp_path / "dicom", tmp_path / "other")) and "lie where another does" in text
    )


def test_regions_that_only_their_drawing_makes_lesions_are_counted(tmp_path):
    images = write_series(tmp_path / "in" / "t1")
    contours = mask_contours(LESIONS["GTV_Lt_frontal"], affine_of(AXIAL))
    names = ["GTV 1", "Innenohr links", "ICA_R", "Thalamus_L", "left parietal", "BrainStem"]
    types = {"left parietal": "PTV"}
    write_structures(tmp_path / "in" / "rt.dcm", dict.fromkeys(names, contours), images, types)
    text = run(tmp_path / "in", tmp_path / "out")
    assert "drawing 1: 2 regions without a word of the field in the name, taken for a lesion each" in text
    assert "drawing 1: 1 region named by a place alone, beside others that are called tumours" in text
    names = ["left frontal", "R parietal"]
    write_structures(tmp_path / "in" / "rt.dcm", dict.fromkeys(names, contours), images)
    assert "taken for a lesion" not in run(tmp_path / "in", tmp_path / "places")


def test_one_person_under_two_ids_is_said_and_nobody_is_named(tmp_path):
    people = [
        ("M100", "Meier^Eva", "19551212"),
        ("M200", "MEIER^EVA", "19551212"),
        ("M300", "Schulz^Anna", "19610203"),
    ]
    for number, (patient, name, birth) in enumerate(people):
        tags = {"PatientName": name, "PatientBirthDate": birth, "StudyDate": f"2020010{number + 1}"}
        write_series(tmp_path / "in" / patient, patient=patient, study=generate_uid(), **tags)
    text = run(tmp_path / "in", tmp_path / "out")
    (line,) = [line for line in text.splitlines() if "one name and one date of birth" in line]
    table = pd.read_csv(key_file(tmp_path / "out"), dtype=str).set_index("PatientID")["patient"]
    assert " and ".join(sorted(table[["M100", "M200"]])) in line and table["M300"] not in line
    assert not [word for word in ("Meier", "M100", "1955") if word.casefold() in text.casefold()]
    for number in range(3, 8):  # as a program writes it that takes names away
        tags = {"PatientName": "NONE" if number > 4 else "ANONYMOUS", "PatientBirthDate": f"19{number}00101"}
        for patient in (f"A{number}", f"B{number}"):
            write_series(tmp_path / "none" / patient, patient=patient, study=generate_uid(), **tags)
    assert "one name and" not in run(tmp_path / "none", tmp_path / "nobody")


@pytest.mark.parametrize("patient", ["NOID", "REMOVED", "XXXX", "***", "-", "Patient"])
def test_an_id_that_programs_write_for_whomever_is_nobodys(tmp_path, patient):
    for number in range(2):
        write_series(tmp_path / str(number), patient=patient, study=generate_uid())
    with pytest.raises(InputError, match="the PatientID of 2 studies is no patient's"):
        run(tmp_path, tmp_path.parent / "out")
