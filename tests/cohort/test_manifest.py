"""A table of one's own: a row a lesion or a study, in any of the usual files."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from layouts import write_manifest
from rich.console import Console

from bcbm.cohort.formats import format_name
from bcbm.cohort.formats.manifest import content_hash, read_manifest
from bcbm.cohort.formats.tcia import read_download
from bcbm.cohort.table import build_table
from bcbm.config.compose import compose
from bcbm.errors import InputError
from bcbm.preparation.prepare import prepare

QUIET = Console(quiet=True)


def written(root, text, name="manifest.csv"):
    root.mkdir(exist_ok=True)
    (root / name).write_text(text, encoding="utf-8")
    return root


def volume(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.diag([-1.0, -1, 1, 1])), path)


def lines(problems):
    return [str(problem) for problem in problems]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".xlsx", ".parquet"])
def test_a_download_as_a_table_reads_as_the_same_lesions(cohort, tmp_path, suffix):
    download = read_download(cohort)
    path = write_manifest(download, tmp_path / "own", suffix)
    assert format_name("auto", path.parent) == format_name("auto", path) == "manifest"
    again = read_manifest(path)
    assert again.has_images and lines(again.problems) == []
    columns = ["study_id", "name", "mask_path", "in_workbook"]
    pd.testing.assert_frame_equal(again.segmentations[columns], download.segmentations[columns])
    np.testing.assert_allclose(again.features, download.features, rtol=1e-15)
    studies = download.studies.sort_values("study_id", ignore_index=True)
    for name in ("study_id", "patient_id", "ER", "PR", "HER2", "age", "manufacturer", "field_strength"):
        assert again.studies[name].tolist() == pytest.approx(studies[name].tolist(), nan_ok=True), name


@pytest.mark.parametrize("index", [["study"], ["patient", "study"], ["ER"], "kept"])
def test_columns_that_parquet_holds_as_an_index_are_columns(tmp_path, index):
    table = pd.DataFrame({"patient": ["P1", "P1"], "study": ["P1-0", "P1-1"], "name": ["a", "b"], "ER": "+"})
    kept = index == "kept"
    table.set_index(["study"] if kept else index, drop=not kept).to_parquet(tmp_path / "manifest.parquet")
    studies = read_manifest(tmp_path).studies
    assert studies[["patient_id", "study_id", "ER"]].to_numpy().tolist() == [
        ["P1", "P1-0", 1.0],
        ["P1", "P1-1", 1.0],
    ]


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_ids_and_label_values_that_a_file_stores_as_1_0_name_what_1_does(tmp_path, suffix):
    table = pd.DataFrame(
        {
            "patient": [7.0, 7.0],
            "study": [1.0, 2.0],
            "mask": "all.nii.gz",
            "label_value": [1.0, None],
            "ER": "+",
        }
    )
    names = {}
    for number, path in enumerate(
        [tmp_path / "own" / f"manifest{suffix}", tmp_path / "csv" / "manifest.csv"]
    ):
        volume(path.parent / "all.nii.gz", np.ones((2, 2, 2)))
        if path.suffix == ".csv":
            table.convert_dtypes().to_csv(path, index=False)
        else:
            table.to_parquet(path) if suffix == ".parquet" else table.to_excel(path, index=False)
        download = read_manifest(path.parent)
        names[number] = download.segmentations[["study_id", "name", "mask_value"]].to_numpy().tolist()
        assert download.studies["patient_id"].unique().tolist() == ["7"]
    assert names[0] == names[1] == [["7-1", "all-1", 1], ["7-2", "all", 0]]


def test_headings_may_have_any_case_and_semicolons_part_what_a_spreadsheet_wrote(tmp_path):
    root = written(
        tmp_path / "own", "\ufeffPatient;Name;er;HER2;Note\nA;left-frontal;+;-;seen\nB;right;;+;\n"
    )
    download = read_manifest(root)
    assert download.targets == ["ER", "HER2"] and download.studies["Note"].tolist() == ["seen", ""]
    assert download.studies["study_id"].tolist() == ["A", "B"] and download.studies["ER"].iloc[0] == 1
    assert not download.has_images and download.segmentations["name"].tolist() == ["left-frontal", "right"]


def test_rows_without_a_study_beside_others_of_their_patient_that_name_one_are_said(tmp_path):
    rows = "patient,study,name,ER\nA,1,x,+\nA,,y,+\nA,2,x,+\nA,,y,+\nB,,x,-\n"
    (line,) = (line for line in lines(read_manifest(written(tmp_path, rows)).problems) if "studies" in line)
    assert "2 rows" in line and "row 3 of A" in line


def test_the_line_that_tells_excel_the_separator_is_no_row(tmp_path):
    root = written(tmp_path / "own", "sep=;\r\npatient;name;ER\r\nA;left-frontal;+\r\n")
    download = read_manifest(root)
    assert download.studies["ER"].tolist() == [1] and not download.problems


def test_a_first_sheet_of_words_is_refused_with_the_sheet_that_has_the_columns(tmp_path):
    with pd.ExcelWriter(tmp_path / "manifest.xlsx") as book:
        pd.DataFrame({"read me": ["of 2026"]}).to_excel(book, sheet_name="about", index=False)
        rows = pd.DataFrame([["A", "left", "+"]], columns=["patient", "name", "ER"])
        rows.to_excel(book, sheet_name="lesions", index=False)
    with pytest.raises(InputError, match=r"first sheet about .* move lesions to the front"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("suffix", [".csv", ".xlsx"])
def test_two_columns_of_one_heading_are_refused_and_none_is_taken_for_another(tmp_path, suffix):
    path = tmp_path / f"manifest{suffix}"
    rows = pd.DataFrame([["A", "left", "+", "-"]], columns=["patient", "name", "ER", "ER"])
    rows.to_csv(path, index=False) if suffix == ".csv" else rows.to_excel(path, index=False)
    with pytest.raises(InputError, match=r"two columns 'ER'|several columns for 'ER'|ER.*twice"):
        read_manifest(path)


def test_a_study_of_several_rows_says_one_thing_or_is_told(tmp_path):
    rows = "patient,study,name,ER,age\nA,1,x,+,40\nA,1,y,-,41\nA,2,x,+,\nB,1,x,-,50\nB,1,x,-,50\n,1,z,+,\n"
    download = read_manifest(written(tmp_path / "own", rows))
    assert download.studies["study_id"].tolist() == ["A-1", "A-2", "B-1"]
    assert np.isnan(download.studies["ER"].iloc[0]) and download.studies["age"].iloc[0] == "40"
    told = lines([*download.problems, *download.disagreements])
    assert len(told) == 4
    for facts in (("A-1", "ER"), ("A-1", "age"), ("row 6", "has a row already"), ("row 7", "no patient")):
        assert any(all(fact in line for fact in facts) for line in told), facts


def test_every_label_value_of_a_mask_may_be_a_lesion_of_its_own(tmp_path):
    draws, mask = np.random.default_rng(0), np.zeros((24, 24, 24))
    mask[4:8, 4:8, 4:8], mask[12:18, 12:18, 12:18], mask[4:7, 14:17, 4:7] = 1, 2, 3
    for patient in "ABCD":
        image = np.zeros((24, 24, 24))
        image[2:22, 2:22, 2:22] = draws.integers(100, 400, (20, 20, 20))
        volume(tmp_path / "own" / patient / "t1.nii.gz", image)
        volume(tmp_path / "own" / patient / "lesions.nii.gz", mask)
    rows = [
        f"{patient},{patient}/t1.nii.gz,{patient}\\lesions.nii.gz,{value},{'+-'[patient in 'AB']}"
        for patient in "ABCD"
        for value in (1, 2)
    ]
    root = written(tmp_path / "own", "\n".join(["patient,image,mask,label_value,ER", *rows]) + "\n")
    words = [f"cohort.root={root}", f"prepared.root={tmp_path / 'prepared'}", "prepared.jobs=1"]
    words += ["task.targets=[ER]", "task.modalities=[image,radiomics]", "features.crop_size=8"]
    lesions = prepare(compose([*words, "model=small"]), QUIET)
    assert lesions.entering["lesion_id"].tolist()[:2] == ["A/lesions-1", "A/lesions-2"]
    assert lesions.entering["voxels"].tolist() == [64, 216] * 4  # and not the third, which no row names
    assert np.isfinite(lesions.values["radiomics"]).all()  # extracted: no table has them
    crops = lesions.values["crops"]
    assert len(lesions.entering) == 8 and crops is not None


def test_files_are_looked_for_from_the_table_on_and_what_is_not_there_is_said(tmp_path):
    rows = "patient,image,mask,name,ER\nA,a.nii.gz,gone.nii.gz,x,+\n"
    root = written(tmp_path / "own", rows)
    (root / "a.nii.gz").write_bytes(b"image")
    first = content_hash(root)
    download = read_manifest(root)
    (line,) = lines(download.problems)
    assert "row 2" in line and "gone.nii.gz" in line
    assert download.segmentations["image_path"].iloc[0] == str(root / "a.nii.gz")
    (root / "a.nii.gz").write_bytes(b"other")
    assert content_hash(root) != first


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("patient_id,name,ER\nA,x,+\n", ("patient", "patient_id")),
        ("patient,ER\n", ("has no row",)),
        ("patient,ER\nA,+\n", ("names no lesion", "mask")),
        ("patient,name,ER\nA/B,x,+\n", ("row 2", "A/B", "slash")),
        ("patient,name,ER,er\nA,x,+,-\n", ("ER", "several columns")),
        ('patient,name,ER\nA,"x,+\nB,"y,-\nC,z,+\n', ("manifest.csv", "line 3", "quotation mark")),
        ("patient,study_id,name,ER\nA,A-1,x,+\n", ("'study_id'", "call it study")),
        ("patient,name,ER\nA,x,+,-\n", ("manifest.csv", "row 2", "4 cells", "3 headings")),
        ("patient,name,ER\n1.23457E+12,x,+\n", ("row 2", "1.23457E+12", "dropped digits")),
        ("patient,name,ER\nA,x,+\n".encode("utf-16").decode("latin-1"), ("manifest.csv",)),
    ],
)
def test_a_table_that_cannot_be_one_is_refused_in_words(tmp_path, text, facts):
    root = written(tmp_path / "own", text)
    with pytest.raises(InputError) as raised:
        read_manifest(root)
    assert all(fact in str(raised.value) for fact in facts), str(raised.value)


def test_two_tables_in_a_folder_are_one_question(tmp_path):
    root = written(tmp_path / "own", "patient,name,ER\nA,x,+\n")
    written(root, "patient\tname\tER\nA\tx\t+\n", "manifest.tsv")
    with pytest.raises(InputError, match="manifest.csv and manifest.tsv".replace(".", "[.]")):
        read_manifest(root)
    assert read_manifest(root / "manifest.tsv").targets == ["ER"]


def test_a_row_that_may_have_slipped_is_said_with_its_row_and_column(tmp_path):
    text = 'patient,name,ER,PR\nA,+,-\n\nB,"y\n,1",-,+\nC,z,+,-\n'
    download = read_manifest(written(tmp_path / "own", text))
    assert [(cell.row, cell.column, cell.kind) for cell in download.odd_cells] == [
        (2, "PR", "fewer cells than headings"),
        (4, "name", "line break in a cell"),
    ]


def test_a_study_belongs_to_one_patient_whatever_the_numbers_of_both_are(tmp_path):
    rows = ["1,1,a,+", "1,12,a,+", "12,,a,-", "1,1-2,b,+", "1-2,,b,-", "P1,P1-3,a,+"]
    download = read_manifest(written(tmp_path / "own", "\n".join(["patient,study,name,ER", *rows]) + "\n"))
    studies = download.studies.set_index("study_id")["patient_id"].to_dict()
    assert studies == {"1": "1", "1-12": "1", "12": "12", "1-1-2": "1", "1-2": "1-2", "P1-3": "P1"}
    assert not download.problems


def test_files_that_bear_the_name_of_another_patient_are_said(tmp_path):
    root = tmp_path / "own"
    files = ["P1/t1c.nii.gz", "P2/t1c.nii.gz", "p3_t1c.nii.gz", "P1/P4/t1c.nii.gz", "P10/t1c.nii.gz"]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(b"")

    def said(*patients):
        rows = [f"{patient},{file},x,+" for patient, file in zip(patients, files, strict=True)]
        text = "\n".join(["patient,image,name,ER", *rows]) + "\n"
        return lines(read_manifest(written(root, text)).problems)

    assert not said("P1", "P2", "P3", "P4", "P10")
    (line,) = said("P2", "P3", "P1", "P4", "P10")  # a part of the table was sorted without the rest
    assert all(word in line for word in ("image", "3 rows", "row 2", "P2", "P1/t1c.nii.gz", "P1"))


def test_what_every_file_is_called_is_no_patients_name(tmp_path):
    root = tmp_path / "own"
    for study in ("a", "b"):
        (root / study).mkdir(parents=True)
        (root / study / "1.nii.gz").touch()
    table = written(root, "patient,image,name,ER\n1,a/1.nii.gz,x,+\n2,b/1.nii.gz,x,-\n")
    assert not lines(read_manifest(table).problems)


def test_studies_that_bear_the_name_of_another_patient_are_said_unless_it_is_a_number(tmp_path):
    def said(*pairs):
        text = "\n".join(["patient,study,name,ER", *(f"{pair},x,+" for pair in pairs)]) + "\n"
        return lines(read_manifest(written(tmp_path / "own", text)).problems)

    assert not said("A1,A1-1", "A2,A2", "A10,A10-1", "12,12", "7,12-03-2019", "8,12", "B,1")
    (line,) = said("A1,A2-1", "A2,A1-1", "B,1")
    assert all(word in line for word in ("study", "2 rows", "row 2", "A1", "A2-1"))


@pytest.mark.parametrize(
    "other",
    [
        "FLAIR_ss",
        "t1_pre_contrast",
        "T1-without-Gd",
        "t1_ohne_KM",
        "t1_precontrast",
        "T2 KM",
        "flair_post_gd",
        "head_ct",
    ],
)
def test_an_image_that_is_no_contrasted_t1_by_its_name_is_said(tmp_path, other):
    root = tmp_path / "own"
    files = ["a/t1c.nii.gz", "b/t1c_reg_flair.nii.gz", "c/t1.nii.gz", f"d/{other}.nii.gz"]
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    rows = [f"{file[0]},{file},x,+" for file in files]
    (line,) = lines(read_manifest(written(root, "\n".join(["patient,image,name,ER", *rows]) + "\n")).problems)
    assert "1 row is" in line and f"row 5: d/{other}.nii.gz" in line


def test_an_image_and_a_mask_in_two_folders_are_said_where_others_lie_in_one(tmp_path):
    def said(*pairs):
        for text in {text for pair in pairs for text in pair}:
            (tmp_path / text).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / text).touch()
        rows = [f"A,{number},{image},{mask},x,+" for number, (image, mask) in enumerate(pairs)]
        written(tmp_path, "\n".join(["patient,study,image,mask,name,ER", *rows]) + "\n")
        return lines(read_manifest(tmp_path).problems)

    sound = [(f"A/s{number}/t1.nii", f"A/s{number}/m.nii") for number in range(6)]
    assert not said(*sound) and not said(*[(f"images/{n}.nii", f"masks/{n}.nii") for n in range(6)])
    exchanged = [
        (sound[1][0], sound[0][1]),
        (sound[0][0], sound[1][1]),
        *sound[2:],
        *[("A/s8/t1.nii", "A/s8/m.nii")] * 2,
    ]
    (line,) = said(*exchanged)
    assert all(fact in line for fact in ("2 rows", "two folders", "row 2: A/s1/t1.nii, A/s0/m.nii"))


def test_images_that_their_names_do_not_place_beside_the_others_are_said(tmp_path):
    def said(*names):
        files = [f"{chr(97 + place)}/{name}.nii.gz" for place, name in enumerate(names)]
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()
        rows = [f"{file[0]},{file},{name},+" for file in files for name in ("x", "y")]
        written(tmp_path, "\n".join(["patient,image,name,ER", *rows]) + "\n")
        return lines(read_manifest(tmp_path).problems)

    assert not said(*["t1c"] * 4, "t1") and not said(*["t1"] * 11) and not said(*["t1c"] * 6, *["mprage"] * 6)
    (line,) = said(*["T1 KM"] * 10, "T1")
    assert all(word in line for word in ("2 rows", "row 22", "k/T1.nii.gz", "10 others"))
    (line,) = said("t1c_space-MNI152NLin6Asym", "t1c_mni", "t1c_omnipaque", "t1c")
    assert all(word in line for word in ("4 rows", "row 2", "a/t1c_space-MNI152", "MNI space"))


@pytest.mark.parametrize("cell", ["NA", "nan", "-", "unknown", "None"])
def test_what_says_that_there_is_no_patient_is_no_id_of_one(tmp_path, cell):
    download = read_manifest(written(tmp_path / "own", f"patient,name,ER\n{cell},x,+\nA,x,+\n{cell},y,-\n"))
    assert download.studies["patient_id"].tolist() == ["A"]
    assert [line.split(";")[0] for line in lines(download.problems)] == [
        f"manifest.csv row {row}: no patient ('{cell}')" for row in (2, 4)
    ]


def test_an_id_of_more_digits_than_a_workbook_keeps_is_refused(tmp_path):
    (root := tmp_path / "own").mkdir()
    table = pd.DataFrame({"patient": [12345678901234567, 2], "name": "x", "ER": "+"})
    table.to_parquet(root / "manifest.parquet")
    assert read_manifest(root).studies["patient_id"].tolist() == ["12345678901234567", "2"]
    (root / "manifest.parquet").unlink()
    table.to_excel(root / "manifest.xlsx", index=False)
    with pytest.raises(InputError, match=r"row 2.*dropped digits"):
        read_manifest(root)


@pytest.mark.parametrize("column", ["volume", "mask_path", "category", "HER2_low", "ER_low"])
def test_a_column_by_a_name_of_the_lesion_table_is_left_out_and_said(tmp_path, column):
    root = written(tmp_path / "own", f"patient,name,ER,{column},ward\nA,left frontal,+,7,x\n")
    table, _, problems = build_table(read_manifest(root))
    assert column not in table or str(table[column].iloc[0]) != "7"
    assert table["ward"].tolist() == ["x"]
    assert [f"'{column}'" in line and "manifest.csv" in line for line in lines(problems)] == [True]


def test_rows_of_one_name_whose_features_differ_are_lesions_of_their_own(tmp_path):
    text = "patient,name,ER,original_shape_MeshVolume\nA,tumor,+,7\nA,tumor,+,9\nA,tumor,+,7\n"
    download = read_manifest(written(tmp_path / "own", text))
    assert download.segmentations["name"].tolist() == ["tumor", "tumor-2"]
    assert download.features["original_shape_MeshVolume"].tolist() == [7, 9]
    told = lines(download.problems)
    assert any("row 3" in line and "counts as tumor-2" in line for line in told)
    assert any("row 4" in line and "has a row already" in line for line in told)


def test_columns_that_may_be_of_the_acquisition_are_said(tmp_path):
    headings = "patient,name,ER,Age (years),Field Strength,TR (ms),sex,Sexual history,Site of biopsy"
    text = f"{headings}\nA,x,+,5,3,9,f,,B\n"
    told = lines(read_manifest(written(tmp_path / "own", text)).problems)
    names = [line.partition("call it ")[2].partition(",")[0] for line in told if "call it " in line]
    assert sorted(names) == ["age", "field_strength", "tr"]
    text = "patient,name,ER,Alter,Gender,Hospital,Scanner,site\nA,x,+,5,f,B,GE,B\n"
    told = lines(read_manifest(written(tmp_path / "other", text)).problems)
    names = [line.partition("call it ")[2].partition(",")[0] for line in told if "call it " in line]
    assert sorted(names) == ["age", "manufacturer", "sex"], "a site is there"


def test_a_row_that_heads_others_is_said(tmp_path):
    text = "patient,name,ER\nA,x,+\nExcluded (poor quality):,,\nB,y,-\n"
    told = lines(read_manifest(written(tmp_path / "own", text)).problems)
    assert any("row 3" in line and "Excluded (poor quality):" in line for line in told)


@pytest.mark.parametrize("column", ["mask_2", "Mask2", "name 2", "mask (2)"])
def test_a_second_lesion_in_a_row_is_said(tmp_path, column):
    said = {}
    for cell in ("right parietal", ""):
        root = written(tmp_path / f"own{cell}", f"patient,name,ER,{column}\nA,left frontal,+,{cell}\n")
        said[cell] = [line for line in lines(read_manifest(root).problems) if "a row a lesion" in line]
    assert f"'{column}'" in said["right parietal"][0] and "1 row" in said["right parietal"][0]
    assert said[""] == []
