"""BIDS: subjects, sessions, masks in derivatives, and what tables and sidecars say."""

import json
import shutil
import subprocess

import nibabel as nib
import numpy as np
import pytest
from layouts import write_bids

from bcbm.cohort.formats import FORMATS, format_name
from bcbm.cohort.formats.bids import read_bids
from bcbm.cohort.formats.tcia import read_download
from bcbm.errors import InputError


def image(path, values=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    values = np.ones((4, 4, 4)) if values is None else values
    nib.save(nib.Nifti1Image(values.astype(np.int16), np.eye(4)), path)


def dataset(root, participants="participant_id\tER\nsub-1\t+\nsub-2\t-\n"):
    """Two subjects, the second with two sessions."""
    image(root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.nii.gz")
    for session in ("ses-a", "ses-b"):
        image(root / "sub-2" / session / "anat" / f"sub-2_{session}_T1w.nii.gz")
    (root / "participants.tsv").write_text(participants)
    return root


def lines(problems):
    return [str(problem) for problem in problems]


def test_a_download_as_bids_has_the_same_studies_lesions_and_labels(cohort, tmp_path):
    download = read_download(cohort)
    write_bids(download, tmp_path / "bids")
    assert format_name("auto", tmp_path / "bids") == "bids"
    again = read_bids(tmp_path / "bids")
    assert lines(again.problems) == [] and again.targets == ["ER", "PR", "HER2"]
    assert len(again.segmentations) == len(download.segmentations)
    counts = [sorted(each.studies.groupby("patient_id").size()) for each in (download, again)]
    assert counts[0] == counts[1]
    for name in ("ER", "PR", "HER2", "manufacturer", "field_strength", "year"):
        own, other = (each.studies[name].astype(str).sort_values().tolist() for each in (download, again))
        assert own == other, name


def test_every_label_of_a_segmentation_is_a_lesion_named_by_its_table_or_its_value(tmp_path):
    root = dataset(tmp_path / "bids")
    labels = np.zeros((4, 4, 4))
    labels[0, 0, :2], labels[2, 2, :2] = 1, 3
    image(root / "sub-1" / "anat" / "sub-1_dseg.nii.gz", labels)
    masks = root / "derivatives" / "drawn" / "sub-2" / "ses-b" / "anat"
    image(masks / "sub-2_ses-b_desc-mets_dseg.nii.gz", labels)
    (masks / "sub-2_ses-b_desc-mets_dseg.tsv").write_text("index\tname\n1\tleft-frontal\n3\tright-parietal\n")
    image(masks / "sub-2_ses-b_desc-brain_mask.nii.gz")
    rows = read_bids(root).segmentations
    assert rows["study_id"].tolist() == ["sub-1", "sub-1", "sub-2_ses-b", "sub-2_ses-b"]
    assert rows["name"].tolist() == ["lesion-1", "lesion-3", "left-frontal", "right-parietal"]
    assert rows["mask_value"].tolist() == [1, 3, 1, 3]
    image(root / "sub-1" / "anat" / "sub-1_acq-old_dseg.nii.gz", labels)
    (line,) = [line for line in lines(read_bids(root).problems) if "lesions of one name" in line]
    assert all(fact in line for fact in ("sub-1: ", "2 files", "sub-1_acq-old_dseg.nii.gz"))


def test_label_values_that_touch_in_most_segmentations_are_said_to_be_no_lesions_of_their_own(tmp_path):
    root = dataset(tmp_path / "bids")
    classes, apart = np.zeros((2, 4, 4, 4))
    classes[1:3, 1:3, 1:3], classes[1, 1, 1] = 2, 1  # an edema around its core
    apart[0], apart[3] = 1, 2

    def said(*drawn):
        for study, labels in zip(("sub-1", "sub-2_ses-a", "sub-2_ses-b"), drawn, strict=True):
            image(root.joinpath(*study.split("_"), "anat", f"{study}_dseg.nii.gz"), labels)
        return [line for line in lines(read_bids(root).problems) if "label values touch" in line]

    assert not said(apart, classes, apart), "metastases may, here and there"
    (line,) = said(apart, classes, classes[::-1])
    assert "2 of 3 segmentations" in line and "sub-2_ses-a_dseg.nii.gz" in line


def test_sessions_and_sidecars_tell_what_they_know_and_levels_say_how_labels_are_written(tmp_path):
    participants = "participant_id\tER\tage\tsite_of_origin\nsub-1\t1\t40\tx\nsub-2\t2\tn/a\ty\n"
    root = dataset(tmp_path / "bids", participants)
    (root / "participants.json").write_text(
        json.dumps({"ER": {"Levels": {"1": "+", "2": {"Description": "-"}}}})
    )
    (root / "sub-2" / "sub-2_sessions.tsv").write_text("session_id\tage\tER\nses-a\t50\tn/a\nses-b\t51\t1\n")
    for session in ("ses-a", "ses-b"):
        image(root / "sub-2" / session / "anat" / f"sub-2_{session}_label-met_mask.nii.gz")
    sidecar = {
        "Manufacturer": "Siemens",
        "MagneticFieldStrength": 3,
        "RepetitionTime": 1.9,
        "EchoTime": 0.003,
    }
    (root / "sub-2" / "ses-a" / "anat" / "sub-2_ses-a_T1w.json").write_text(json.dumps(sidecar))
    download = read_bids(root)
    studies = download.studies.set_index("study_id")
    assert studies["ER"].to_dict() == {"sub-1": 1, "sub-2_ses-a": 0, "sub-2_ses-b": 1}
    assert studies["age"].to_dict() == {"sub-1": "40", "sub-2_ses-a": "50", "sub-2_ses-b": "51"}
    taken = studies.loc["sub-2_ses-a", ["manufacturer", "field_strength", "tr", "te"]]
    assert taken.tolist() == ["Siemens", "3", "1900", "3"]
    assert studies["site_of_origin"].tolist() == ["x", "y", "y"]  # kept, and nobody's feature
    assert all("no entity ce-" in line for line in lines(download.problems)) and len(download.problems) == 2


def test_a_sidecar_of_all_images_says_what_their_own_do_not(tmp_path):
    root = dataset(tmp_path / "bids")
    for place in ("sub-1/anat/sub-1", "sub-2/ses-a/anat/sub-2_ses-a", "sub-2/ses-b/anat/sub-2_ses-b"):
        image(root / f"{place}_label-met_mask.nii.gz")
    (root / "T1w.json").write_text('{"Manufacturer": "GE", "EchoTime": 0.003}')
    (root / "acq-fast_T1w.json").write_text('{"Manufacturer": "Toshiba"}')
    (root / "sub-2" / "sub-2_T1w.json").write_text('{"MagneticFieldStrength": 1.5}')
    (root / "sub-2" / "ses-a" / "anat" / "sub-2_ses-a_T1w.json").write_text('{"Manufacturer": "Philips"}')
    studies = read_bids(root).studies.set_index("study_id").fillna("")
    assert studies["manufacturer"].tolist() == ["GE", "Philips", "GE"]
    assert studies["field_strength"].tolist() == ["", "1.5", "1.5"] and studies["te"].tolist() == ["3"] * 3


def test_values_of_sidecars_that_cannot_be_are_said_of_them_and_not_of_the_table(tmp_path):
    root = dataset(tmp_path / "bids")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    (root / "T1w.json").write_text('{"MagneticFieldStrength": 30000}')
    cells = read_bids(root).odd_cells
    assert cells and all("sidecars" in cell.table for cell in cells)


def test_what_tables_say_of_sessions_without_a_folder_is_not_read_and_said(tmp_path):
    root = dataset(tmp_path / "bids")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    rows = "session_id\tER\nses-1\t-\n"
    for place in ("sub-1/sub-1_sessions.tsv", "sub-2/ses-a/sub-2_ses-a_sessions.tsv", "sessions.tsv"):
        (root / place).write_text(rows)
    (root / "sub-2" / "sub-2_sessions.tsv").write_text("session_id\tER\nses-a\t+\nses-2\t+\n")
    download = read_bids(root)
    assert download.studies["ER"].tolist() == [1, 1, 0]
    said = [line for line in lines(download.problems) if "sessions.tsv" in line]
    for facts in (
        ("sub-1_sessions.tsv: has rows of ses-1, ", "masks of sub-1;"),
        ("sub-2_sessions.tsv: has rows of ses-2, ", "masks of sub-2_ses-a and sub-2_ses-b;"),
        (f"{root}/sub-2/ses-a/sub-2_ses-a_sessions.tsv: is not read",),
        (f"{root}/sessions.tsv: is not read",),
    ):
        assert sum(all(fact in line for fact in facts) for line in said) == 1, (facts, said)
    assert len(said) == 4


@pytest.mark.parametrize(
    "place",
    [
        "sub-1/anat/sub-1_label-met_mask.NII.GZ",
        "sub-1/anat/sub-1_label-met_MASK.nii.gz",
        "sub-1/anat/sub-1_seg.nii.gz",
        "sub-1/sub-1_label-met_mask.nii.gz",
        "derivatives/site/drawn/sub-1/anat/sub-1_label-met_mask.nii.gz",
        "sub-1/anat/sub-1_label-met_mask (1).nii.gz",
        "sub-1/anat/sub-1_label-met_mask-DESKTOP-7.nii.gz",
    ],
)
def test_a_mask_of_another_name_or_place_is_not_read_and_said(tmp_path, place):
    root = coded(tmp_path, "+", "-")
    image(root / "sub-2" / "ses-a" / "anat" / "sub-2_ses-a_label-met_mask.nii.gz")
    image(root / "derivatives" / "prep" / "sub-1" / "anat" / "sub-1_desc-preproc_T1w.nii.gz")
    image(root / "sub-1" / "anat" / "sub-1_label-brain_mask.nii.gz")
    assert not any("not read" in line for line in lines(read_bids(root).problems))
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz").rename(root / place)
    download = read_bids(root)
    assert download.segmentations["study_id"].tolist() == ["sub-2_ses-a"]
    (said,) = (line for line in lines(download.problems) if "not read" in line)
    assert said.startswith(f"{root / place}: is not read: ") and "_mask.nii.gz" in said


def test_a_subject_or_a_label_that_is_left_out_for_its_place_is_said(tmp_path):
    root = coded(tmp_path, "+", "-")
    (root / "sub-2" / "ses-a").rename(root / "sub-2" / "SES-a")
    (root / "phenotype").mkdir()
    (root / "phenotype" / "pathology.tsv").write_text("participant_id\tgrade\tER\nsub-1\t3\t-\n")
    (root / "phenotype" / "mood.tsv").write_text("participant_id\tscore\nsub-1\t3\n")
    (root / "participants.tsv").write_text("participant_id\tER\nsub-1\t+\nsub-2\t-\nsub-3\t-\n")
    (root / "participants (1).tsv").write_text("participant_id\tER\nsub-1\t-\n")
    said = lines(read_bids(root).problems)
    for facts in (
        ("SES-a/anat/sub-2_ses-a_T1w.nii.gz: is not read",),
        ("pathology.tsv: is not read", "labels: ER;"),
        ("participants (1).tsv: is not read",),
        ("participants.tsv: has rows of sub-3, ", "no image"),
    ):
        assert sum(all(fact in line for fact in facts) for line in said) == 1, (facts, said)
    assert not any("mood.tsv" in line for line in said)


def test_a_subject_behind_a_link_is_read_and_part_of_what_the_cohort_is(tmp_path):
    root = coded(tmp_path, "+", "-")
    (root / "sub-1").rename(tmp_path / "elsewhere")
    (root / "sub-1").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(root)
    content = FORMATS["bids"].content(root)
    assert "sub-1" in read_bids(root).segmentations["study_id"].tolist()
    image(tmp_path / "elsewhere" / "anat" / "sub-1_label-met_mask.nii.gz", np.zeros((4, 4, 4)))
    assert FORMATS["bids"].content(root) != content


def test_ids_may_lack_their_prefix_and_a_second_row_of_one_is_said(tmp_path):
    root = dataset(tmp_path / "bids", "participant_id\tER status\n1\tpos\n2\tneg\nsub-2\tpos\n\tpos\n")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    download = read_bids(root)
    assert download.studies["ER"].tolist() == [1, 0, 0]
    assert [line for line in lines(download.problems) if "participants" in line] == [
        "participants.tsv row 4: sub-2 has a row already; remove one; the first counts"
    ]


def test_what_is_missing_or_twice_is_said(tmp_path):
    root = dataset(tmp_path / "bids", "participant_id\tER\nsub-1\t+\n")
    with pytest.raises(InputError, match="no mask of a lesion"):
        read_bids(root)
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    image(root / "sub-1" / "anat" / "sub-1_ce-gd_run-2_T1w.nii.gz")
    image(root / "derivatives" / "drawn" / "sub-3" / "anat" / "sub-3_label-met_mask.nii.gz")
    told = lines(read_bids(root).problems)
    for facts in (("sub-1", "2 T1w images"), ("sub-2", "participants.tsv"), ("sub-3", "no T1w image")):
        assert any(all(fact in line for fact in facts) for line in told), facts
    with pytest.raises(InputError, match="image of flair"):
        read_bids(root, sequences=["flair"])
    (root / "participants.tsv").unlink()
    with pytest.raises(InputError, match=r"participants\.tsv"):
        read_bids(root)


def test_a_file_in_the_folder_of_another_subject_or_session_is_not_read_and_said(tmp_path):
    root = dataset(tmp_path / "bids")
    image(root / "sub-1" / "anat" / "sub-2_label-met_mask.nii.gz")
    image(root / "sub-2" / "ses-a" / "anat" / "sub-2_label-met_mask.nii.gz")
    image(root / "sub-2" / "ses-b" / "anat" / "sub-2_ses-b_label-met_mask.nii.gz")
    download = read_bids(root)
    assert download.segmentations["study_id"].tolist() == ["sub-2_ses-b"]
    said = [line for line in lines(download.problems) if "not read" in line]
    assert ["sub-1/anat/sub-2_label" in line and "is of sub-2 " in line for line in said] == [True, False]
    assert "in sub-2_ses-a: is of sub-2 " in said[1]


def test_a_table_of_label_values_is_read_to_the_last_row_or_said(tmp_path):
    root = dataset(tmp_path / "bids")
    labels = np.zeros((4, 4, 4))
    labels[0, 0, :2], labels[2, 2, :2] = 1, 3
    image(root / "sub-1" / "anat" / "sub-1_dseg.nii.gz", labels)
    table = root / "sub-1" / "anat" / "sub-1_dseg.tsv"
    table.write_text("index\tname\n0\tnothing\n1\tleft\n1\tright\n1.5\tback\ntwo\tfront\n2\tBrain\n")
    download = read_bids(root)
    assert download.segmentations[["name", "mask_value"]].to_numpy().tolist() == [["left", 1]]
    said = [line for line in lines(download.problems) if "dseg.tsv" in line]
    for row, fact in ((4, "label value 1"), (5, "'1.5'"), (6, "'two'")):
        assert any(f"row {row}: " in line and fact in line for line in said), (row, said)
    assert len(said) == 3
    table.write_text("Index,Name\n1,left\n")
    download = read_bids(root)
    assert download.segmentations["name"].tolist() == ["lesion-1", "lesion-3"]
    assert sum("dseg.tsv" in line and "index and name" in line for line in lines(download.problems)) == 1


@pytest.mark.parametrize("name", ["dseg.tsv", "desc-mets_dseg.tsv", "sub-2/desc-mets_dseg.tsv"])
def test_a_table_of_label_values_above_a_segmentation_names_its_values(tmp_path, name):
    root = dataset(tmp_path / "bids")
    labels = np.zeros((4, 4, 4))
    labels[0, 0, :2], labels[2, 2, :2] = 1, 3
    image(root / "sub-1" / "anat" / "sub-1_desc-mets_dseg.nii.gz", labels)
    image(root / "sub-2" / "ses-a" / "anat" / "sub-2_ses-a_desc-mets_dseg.nii.gz", labels > 2)
    image(root / "sub-2" / "ses-b" / "anat" / "sub-2_ses-b_desc-mets_dseg.nii.gz", 2 * labels)
    (root / name).write_text("index\tname\n1\tedema\n2\tleft-frontal\n3\tright-frontal\n")
    (root / "run-7_dseg.tsv").write_text("index\tname\n1\tof another run\n")
    download = read_bids(root)
    rows = download.segmentations.groupby("study_id")["name"].apply(list).to_dict()
    first = ["mets-1", "mets-3"] if "sub-2" in name else ["edema", "right-frontal"]
    assert rows == {"sub-1": first, "sub-2_ses-a": ["edema"], "sub-2_ses-b": ["left-frontal"]}
    (root / name).write_text("index\tname\n3\tright-frontal\n")
    said = [line for line in lines(read_bids(root).problems) if "holds none of the lesions of" in line]
    assert ["sub-2_ses-a" in line for line in said] == [True, False]
    assert all(name.rpartition("/")[2] in line for line in said)


def test_levels_described_in_words_of_the_field_are_what_they_say_and_others_are_said(tmp_path):
    root = dataset(tmp_path / "bids", "participant_id\tER\tPR\nsub-1\t0\t0\nsub-2\t1\t1\n")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    image(root / "sub-2" / "ses-a" / "anat" / "sub-2_ses-a_label-met_mask.nii.gz")
    levels = {"0": "estrogen receptor positive", "1": "negative (<1 %)"}
    other = {"0": "seen by the second reader", "1": "negative"}
    described = {"ER": {"Levels": levels}, "PR": {"Levels": other}}
    (root / "participants.json").write_text(json.dumps(described))
    download = read_bids(root)
    assert download.studies["ER"].tolist() == [1, 0, 0]
    said = [line for line in lines(download.problems) if "participants.json" in line]
    assert len(said) == 1 and "PR 0" in said[0] and "second reader" in said[0]


@pytest.mark.parametrize(
    "description",
    [
        {"er": {"Levels": {"0": "positive", "1": "negative"}}},
        {"ER": {"Levels": {"0.0": "positive", "1.0": "negative"}}},
        {"ER": {"Levels": {"0": "receptor positive", "1": "receptor negative"}}},
        {"ER": {"levels": {"0": "positive", "1": "negative"}}},
    ],
    ids=["another case", "numbers", "in words", "another case of Levels"],
)
def test_levels_count_however_column_and_level_are_written(tmp_path, description):
    root = coded(tmp_path, "0", "1")
    (root / "participants.json").write_text(json.dumps(description))
    assert read_bids(root).studies["ER"].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    "words",
    [{key: "0 = positive, 1 = negative"} for key in ("Description", "LongName")]
    + [{"Levels": ["positive", "negative"]}, {"Values": {"0": "positive", "1": "negative"}}],
    ids=["a sentence", "a name", "a list", "another key"],
)
def test_codes_that_are_described_elsewhere_than_in_levels_are_said(tmp_path, words):
    root = coded(tmp_path, "0", "1")
    (root / "participants.json").write_text(json.dumps({"ER": words}))
    assert any("participants.json" in line and "0 and 1" in line for line in lines(read_bids(root).problems))


def test_numbers_of_another_unit_count_as_that_and_are_said(tmp_path):
    root = dataset(tmp_path / "bids", "participant_id\tER\tage\ttr\nsub-1\t+\t600\t2\nsub-2\t-\t720\t0.5\n")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    units = {"age": {"Units": "months"}, "tr": {"Units": "s"}}
    (root / "participants.json").write_text(json.dumps(units))
    download = read_bids(root)
    assert download.studies["age"].tolist() == ["50", "60", "60"]
    assert download.studies["tr"].tolist() == ["2000", "500", "500"]
    assert {cell.column for cell in download.odd_cells} == {"age", "tr"}


@pytest.mark.parametrize(
    "sidecar",
    [
        {"ContrastBolusIngredient": "NONE"},
        {"EchoTime": 0.12},
        {"SeriesDescription": "ax t2 tse"},
        {"ProtocolName": "T1 pre contrast"},
        {"ImageType": ["DERIVED", "PRIMARY", "MIP"]},
    ],
    ids=lambda sidecar: next(iter(sidecar)),
)
def test_a_sidecar_of_another_image_than_a_contrasted_t1_is_said(tmp_path, sidecar):
    root = coded(tmp_path, "+", "-")
    path = root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.json"
    path.write_text(
        json.dumps(
            {"EchoTime": 0.003, "SeriesDescription": "t1 mprage post Gd", "ImageType": ["DERIVED", "MPR"]}
        )
    )
    assert not any("sidecar" in line for line in lines(read_bids(root).problems))
    path.write_text(json.dumps(sidecar))
    (text,) = (line for line in lines(read_bids(root).problems) if "sidecar" in line)
    assert "sub-1" in text and str(next(iter(sidecar.values()))) in text


def test_a_table_that_contradicts_the_sidecars_of_images_is_said_once_a_column(tmp_path):
    people = "participant_id\tER\tmanufacturer\tfield_strength\n"
    root = dataset(tmp_path / "bids", f"{people}sub-1\t+\tGE\t3\nsub-2\t-\tSiemens\t1.5\n")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    for name in ("sub-1/anat/sub-1_ce-gd_T1w", "sub-2/ses-a/anat/sub-2_ses-a_T1w"):
        sidecar = {"Manufacturer": "SIEMENS Healthineers", "MagneticFieldStrength": 2.89}
        (root / f"{name}.json").write_text(json.dumps(sidecar))
    first, second = [line for line in lines(read_bids(root).problems) if "sidecars" in line]
    assert "field_strength of 1 study" in first and "sub-2_ses-a: 1.5 here" in first
    assert "manufacturer of 1 study" in second and "sub-1: GE here" in second


@pytest.mark.parametrize(
    ("name", "said"),
    [
        *((f"label-L2_{word}", True) for word in ("lesionmask", "mask2", "Lesion2", "probseg", "seg")),
        *((f"{words}", True) for words in ("mask_tumor2", "L2_GTVmask", "mask_final")),
        *((f"{words}", True) for words in ("label-L2", "L2")),
        *((words, False) for words in ("label-GM_probseg", "desc-preproc_T2w", "run-2_FLAIR")),
    ],
)
def test_a_mask_whose_name_ends_in_another_word_is_said(tmp_path, name, said):
    root = coded(tmp_path, "+", "-")
    for ending in ("nii.gz", "nrrd"):
        (root / "sub-1" / "anat" / f"sub-1_{name}.{ending}").touch()
        told = [line for line in lines(read_bids(root).problems) if "is not read: BIDS has" in line]
        assert any(f"{name}.{ending}" in line for line in told) == said


@pytest.mark.parametrize("name", ["label-L2_mask", "label-L2_mask.zip"])
def test_a_mask_without_an_ending_or_packed_is_said(tmp_path, name):
    root = coded(tmp_path, "+", "-")
    (root / "sub-1" / "anat" / f"sub-1_{name}").touch()
    assert any(f"sub-1_{name}" in line for line in lines(read_bids(root).problems))


def test_ids_that_lost_their_zeros_are_said_with_what_to_do_and_a_templates_space_is(tmp_path):
    root = coded(tmp_path, "+", "-")
    (root / "participants.tsv").write_text("participant_id\tER\nSUB-1\t+\nsub-02\t-\n")
    image = root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.nii.gz"
    image.rename(image.with_name("sub-1_ce-gd_space-MNI152NLin6Asym_T1w.nii.gz"))
    told = lines(read_bids(root).problems)
    assert any("SUB-1 and sub-02" in line and "as their folders are called" in line for line in told)
    assert any("sub-1: " in line and "template's space" in line for line in told)


def test_an_age_that_is_described_in_months_counts_as_that_and_is_said(tmp_path):
    root = coded(tmp_path, "+", "-")
    (root / "participants.tsv").write_text("participant_id\tER\tage\nsub-1\t+\t624\nsub-2\t-\t96\n")
    (root / "participants.json").write_text('{"age": {"Description": "age at MRI, in months"}}')
    download = read_bids(root)
    assert download.studies["age"].tolist() == ["52", "8", "8"]
    assert {cell.counts_as for cell in download.odd_cells} >= {"52", "8"}


def test_a_copy_of_an_image_that_a_program_made_is_said(tmp_path):
    root = coded(tmp_path, "+", "-")
    image(root / "sub-1" / "anat" / "sub-1_ce-gd_T1w (1).nii.gz")
    (said,) = (line for line in lines(read_bids(root).problems) if "not read" in line)
    assert "sub-1_ce-gd_T1w (1).nii.gz" in said


@pytest.mark.parametrize(
    "place", ["sub-1/anat/sub-1_ce-gd_T1w (1).json", "participants_conflict.json", "participants (2).json"]
)
def test_a_copy_of_a_sidecar_that_a_program_made_is_said(tmp_path, place):
    root = coded(tmp_path, "+", "-")
    (root / "participants.json").write_text("{}")
    (root / "dataset_description.json").write_text("{}")
    assert not any("not read" in line for line in lines(read_bids(root).problems))
    (root / place).write_text("{}")
    (said,) = (line for line in lines(read_bids(root).problems) if "not read" in line)
    assert place in said and "copy" in said


def test_a_name_that_stands_twice_in_a_sidecar_is_refused(tmp_path):
    root = coded(tmp_path, "1", "0")
    (root / "participants.json").write_text(
        '{"ER": {"Description": "a"}, "ER": {"Levels": {"1": "negative"}}}'
    )
    with pytest.raises(InputError, match=r"participants\.json.*'ER' stands in it twice"):
        read_bids(root)


@pytest.mark.parametrize(
    ("words", "primary"),
    [
        ("ER status of the primary tumour", True),
        ("ER, breast biopsy", True),
        ("ER of the brain metastasis, or of the primary tumour where that is missing", False),
        ("Estrogen receptor, breast cancer patients", False),
    ],
)
def test_receptors_that_are_described_as_the_primary_tumours_are_said(tmp_path, words, primary):
    root = coded(tmp_path, "+", "-")
    (root / "participants.json").write_text(json.dumps({"ER": {"Description": words}}))
    said = [line for line in lines(read_bids(root).problems) if "primary" in line]
    assert len(said) == primary and all("primary_ER" in line for line in said)


def test_numbers_of_a_sidecar_that_are_texts_are_said_and_one_that_was_not_fetched_is_refused(tmp_path):
    root = coded(tmp_path, "+", "-")
    path = root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.json"
    path.write_text('{"MagneticFieldStrength": "3T", "EchoTime": 0.003}')
    (said,) = (line for line in lines(read_bids(root).problems) if "sidecar" in line)
    assert "sub-1" in said and "MagneticFieldStrength is '3T'" in said
    path.unlink()
    path.symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match="is a link to what is not there"):
        read_bids(root)


def test_a_phase_is_no_image(tmp_path):
    root = coded(tmp_path, "+", "-")
    plain = root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.nii.gz"
    plain.rename(plain.with_name("sub-1_ce-gd_part-phase_T1w.nii.gz"))
    assert any("sub-1: has masks and no T1w image" in line for line in lines(read_bids(root).problems))


def coded(folder, first, second):
    """A dataset of two subjects, whose ER is as it is given, and a mask."""
    root = dataset(folder / "bids", f"participant_id\tER\nsub-1\t{first}\nsub-2\t{second}\n")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    return root


def test_masks_of_a_study_in_several_places_and_an_image_without_an_agent_are_said(tmp_path):
    root = dataset(tmp_path / "bids")
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    image(root / "derivatives" / "second" / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    plain = root / "sub-1" / "anat" / "sub-1_ce-gd_T1w.nii.gz"
    plain.rename(plain.with_name("sub-1_ce-none_T1w.nii.gz"))
    said = lines(read_bids(root).problems)
    assert any("sub-1: has masks in 2 places: anat, second" in line for line in said)
    assert any("sub-1_ce-none_T1w.nii.gz has no entity ce-" in line for line in said)


@pytest.mark.skipif(not shutil.which("bids-validator"), reason="the validator of BIDS (npm) is not here")
def test_the_dataset_of_these_tests_is_bids_by_its_own_validator(cohort, tmp_path):
    write_bids(read_download(cohort), tmp_path / "bids")
    done = subprocess.run(
        ["bids-validator", "--json", str(tmp_path / "bids")], capture_output=True, text=True
    )
    assert json.loads(done.stdout)["issues"]["errors"] == []


def test_headings_in_other_letters_are_read_and_others_that_may_be_meant_are_said(tmp_path):
    root = dataset(
        tmp_path, "Participant_ID\tER\tAge\tSEX\tManufacturer\nsub-1\t+\t61\tF\tGE\nsub-2\t-\t52\tF\tGE\n"
    )
    image(root / "sub-1" / "anat" / "sub-1_label-met_mask.nii.gz")
    (root / "participants.json").write_text(json.dumps({"Sex": {"Levels": {"F": "female"}}}))
    studies = read_bids(root).studies.set_index("patient_id")
    assert studies.loc["sub-1", ["age", "sex", "manufacturer"]].tolist() == ["61", "female", "GE"]
    (root / "participants.tsv").write_text(
        "participant_id\tER\tage_years\tfield_strength\nsub-1\t+\t61\t3\nsub-2\t-\t52\t3\n"
    )
    said = [line for line in lines(read_bids(root).problems) if "age_years" in line]
    assert len(said) == 1 and "participants.tsv" in said[0] and "call it age" in said[0]
    (root / "participants.tsv").write_text("participant_id\tER\tage\tAge\nsub-1\t+\t61\t3\nsub-2\t-\t52\t3\n")
    with pytest.raises(InputError, match="several columns for 'age'"):
        read_bids(root)
