"""What of a mask's file is a lesion: label values, parts that do not touch, stray voxels."""

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from drawings import LPS, SHAPE, box, brain, save, surveyed

from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.masks import MaskPart, lesion_region
from bcbm.features.radiomics import FEATURES, extract_cohort
from bcbm.features.records import Study
from bcbm.features.survey import survey_cohort
from bcbm.features.volumes import open_box, open_volume, point_of

SMALL, LARGE = box((4, 4, 4), 3), box((12, 14, 8), 4)
BOTH = SMALL + LARGE


def test_parts_that_do_not_touch_are_measured_each_the_largest_first(tmp_path):
    survey = surveyed(tmp_path, brain(), {"both": BOTH, "small": SMALL})
    division = survey.divisions["both"]
    assert [part["voxels"] for part in division.parts] == [64, 27] and division.strays == 0
    assert [[part[axis] for axis in "xyz"] for part in division.parts] == [[13.5, 15.5, 19], [5, 5, 10]]
    assert [part["drawn"] for part in division.parts] == [91, 91] and list(survey.divisions) == ["both"]
    pairs = survey.overlaps.set_index(["one", "other"])
    assert pairs["dice"].to_dict() == {("both", "small"): 2 * 27 / (91 + 27), ("both/2", "small"): 1.0}


def test_voxels_that_share_a_corner_are_one_lesion(tmp_path):
    touching = box((4, 4, 4), 3) + box((7, 7, 7), 3)
    assert surveyed(tmp_path, brain(), {"met": touching}).divisions == {}


@pytest.mark.parametrize("strays", [1, 2])
def test_a_few_voxels_apart_are_no_lesion(tmp_path, strays):
    mask = LARGE.copy()
    mask[4 : 4 + strays, 4, 4] = 1
    (division,) = surveyed(tmp_path, brain(), {"met": mask}).divisions.values()
    assert division.strays == strays and [part["voxels"] for part in division.parts] == [64]


def test_less_than_a_hundredth_of_the_mask_is_no_lesion(tmp_path):
    mask = box((6, 6, 3), 9)
    mask[2:5, 2, 2] = 1
    (division,) = surveyed(tmp_path, brain(), {"met": mask}).divisions.values()
    assert division.strays == 3 and [part["voxels"] for part in division.parts] == [729]


def test_dust_leaves_its_largest_grain(tmp_path):
    mask = np.zeros(SHAPE, np.uint8)
    mask[4:16:4, 4:20:4, 4:12:4] = 1
    mask[9, 8, 8] = 1
    (division,) = surveyed(tmp_path, brain(), {"met": mask}).divisions.values()
    assert [part["voxels"] for part in division.parts] == [2] and division.strays == 23


@pytest.mark.parametrize("flip", [(1, -1, 1), (-1, 1, -1), (1, 1, 1)])
def test_numbers_do_not_depend_on_how_the_file_is_stored(tmp_path, flip):
    """Two parts of one size: the right one is the first."""
    mask = nib.Nifti1Image(box((4, 4, 4)) + box((13, 14, 8)), LPS)
    turn = nib.orientations.ornt_transform(
        nib.io_orientation(LPS), nib.orientations.axcodes2ornt(nib.aff2axcodes(LPS @ np.diag([*flip, 1])))
    )
    path = tmp_path / "mask.nii.gz"
    nib.save(mask.as_reoriented(turn), path)
    region = lesion_region(open_box(path), MaskPart(number=1))
    x, _, _ = point_of(region.grid, region.start + np.argwhere(region.inside).mean(axis=0))
    assert region.inside.sum() == 64 and x == pytest.approx(5.5)


VALUES = {
    "two": (LARGE + 2 * box((11, 13, 7), 1) + SMALL * 2, "1 (64 voxels), 2 (28 voxels)"),
    "floats": (LARGE.astype(np.float32) * 0.9999 + SMALL * np.float32(2.4), "1 (64 voxels), 2 (27 voxels)"),
    "many": (np.where(LARGE, np.arange(LARGE.size).reshape(SHAPE) % 200 + 1, 0).astype(np.uint8), "..."),
}


@pytest.mark.parametrize("kind", VALUES)
def test_several_label_values_are_refused_and_listed(tmp_path, kind):
    mask, fact = VALUES[kind]
    survey = surveyed(tmp_path, brain(), {"bad": mask, "good": LARGE})
    assert survey.unusable == {"bad": "several label values"} and list(survey.masks.index) == ["good"]
    (problem,) = survey.problems
    assert fact in problem.found and "cohort.label_value" in problem.remedy and problem.where == "bad"


@pytest.mark.parametrize("mask", [LARGE * 255, LARGE * np.float32(0.9999), np.where(LARGE, 0.6, 0.4)])
def test_one_value_whatever_it_is_needs_no_choice(tmp_path, mask):
    survey = surveyed(tmp_path, brain(), {"met": np.asarray(mask)})
    assert survey.problems == [] and survey.masks.loc["met", ["voxels", "drawn"]].tolist() == [64, 64]


def test_the_chosen_value_alone_counts(tmp_path):
    masks = {"mixed": SMALL + 2 * LARGE, "plain": SMALL, "other": 3 * LARGE}
    paths = {name: save(tmp_path / f"{name}.nii.gz", mask) for name, mask in masks.items()}
    study = Study(save(tmp_path / "image.nii.gz", brain()), paths)
    survey = survey_cohort([study], tmp_path / "kept", jobs=1, value=1)
    assert survey.masks.loc[["mixed", "plain"], "voxels"].tolist() == [27, 27]
    assert survey.masks.loc["mixed", "drawn"] == 91 and survey.divisions == {}
    assert survey.unusable == {"other": "mask without the label value"}
    (note,) = survey.notes
    assert note.where == "mixed" and "2 (64 voxels)" in note.found
    other = survey_cohort([study], tmp_path / "kept", jobs=1, value=2)
    assert other.masks["voxels"].to_dict() == {"mixed": 64}


def test_a_large_mask_that_itk_reads_is_measured_too(tmp_path):
    """Its memory goes back to the system as soon as nobody holds the volume."""
    mask, image = np.zeros((160, 160, 120), np.int16), np.ones((160, 160, 120), np.float32)
    mask[20:140, 20:140, 20:100], image[0, 0, 0] = 100, 2
    path = save(tmp_path / "met.nii.gz", mask.astype(">i2"), big_endian=True)
    survey = surveyed(tmp_path, image, {"met": path})
    assert survey.masks.loc["met", ["voxels", "drawn"]].tolist() == [120 * 120 * 80] * 2


def test_the_values_of_a_volume_outlive_it(tmp_path):
    path = tmp_path / "mask.nii"  # not packed: ITK reads it
    nib.save(nib.Nifti1Image(LARGE.astype(np.float32), np.eye(4)), path)
    values = open_volume(path).values
    others = [sitk.Image(values.shape[::-1], sitk.sitkFloat32) + 7 for _ in range(20)]
    np.testing.assert_array_equal(values, LARGE.T)
    assert len(others) == 20


def test_an_empty_mask_says_what_it_holds(tmp_path):
    (problem,) = surveyed(tmp_path, brain(), {"met": LARGE / np.float32(255)}).problems
    assert "0.00392" in problem.found


def test_features_and_crop_of_a_part_are_those_of_a_mask_of_its_own(tmp_path):
    image = save(tmp_path / "image.nii.gz", brain())
    both, small, mixed = (
        save(tmp_path / f"{name}.nii.gz", mask)
        for name, mask in (("both", BOTH), ("small", SMALL), ("mixed", 3 * SMALL + 7 * LARGE))
    )
    parts = {"part": MaskPart(number=2), "value": MaskPart(3), "whole": MaskPart()}
    study = Study(image, {"part": both, "value": mixed, "alone": small, "whole": both}, parts=parts)
    values, failures = extract_cohort([study], jobs=1)
    assert failures == {} and (values.loc["part"] == values.loc["alone"]).all()
    assert (values.loc["value"] == values.loc["alone"]).all()
    assert values.loc["whole", FEATURES[0]] != values.loc["alone", FEATURES[0]]
    where, problems = prepare_crops([study], tmp_path / "crops", CropSettings(16, 1.0), jobs=1)
    crops = dict(zip(where, CropStore(list(where.values()), 16), strict=True))
    assert problems == []
    np.testing.assert_array_equal(crops["part"], crops["alone"])
    np.testing.assert_array_equal(crops["value"], crops["alone"])
    assert not np.array_equal(crops["whole"], crops["alone"])


def test_a_record_of_the_whole_mask_is_none_of_a_part(tmp_path):
    image, both = save(tmp_path / "image.nii.gz", brain()), save(tmp_path / "both.nii.gz", BOTH)
    places = [
        prepare_crops([study], tmp_path / "crops", CropSettings(16, 1.0), jobs=1)[0]["met"][0]
        for study in (Study(image, {"met": both}), Study(image, {"met": both}, parts={"met": MaskPart(0, 1)}))
    ]
    assert places[0] != places[1]
