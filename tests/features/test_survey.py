"""What the survey finds in images and masks: measures, overlaps, and one clear line a defect."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from drawings import LPS, SHAPE, box, brain, save, surveyed

from bcbm.cohort.measurements import SCRAP, SPIKED, SPREAD, STRETCHED, TOO_FINE
from bcbm.features.masks import MaskPart
from bcbm.features.records import Study
from bcbm.features.survey import survey_cohort


def test_a_mask_is_measured_on_its_image(tmp_path):
    image = brain()
    image[8:12, 8:12, 6:10] = 310
    image[8:10, 8:12, 6:10] = 210
    survey = surveyed(tmp_path, image, {"met": box((8, 8, 6))})
    assert survey.problems == [] and survey.unusable == {}
    row = survey.masks.loc["met"]
    assert (row["voxels"], row["volume"], row["outside"], row["grey_levels"]) == (64, 128.0, 0.0, 2)
    assert row[["x", "y", "z"]].tolist() == [9.5, 9.5, 15.0]
    edges = np.array([4, 4, 8])  # mm; of a box with these edges the variances are a twelfth of their squares
    np.testing.assert_allclose(row[list(SPREAD)].to_numpy(), [*edges**2 / 12, 0, 0, 0], atol=1e-12)


@pytest.mark.parametrize("flip", [(1, -1, 1), (-1, 1, -1), (1, 1, 1)])
def test_centroid_and_covariances_do_not_depend_on_how_the_file_is_stored(tmp_path, flip):
    affine = LPS.copy()
    affine[:3, 3] = [30, -20, 5]
    turn = nib.orientations.axcodes2ornt(nib.aff2axcodes(affine @ np.diag([*flip, 1])))
    turned = nib.orientations.ornt_transform(nib.io_orientation(affine), turn)
    centres, lopsided = [], box((4, 12, 3))
    lopsided[8:10, 12:14, 7:9] = 1
    for name, change in (("stored", None), ("turned", turned)):
        folder = tmp_path / name
        folder.mkdir()
        files = {}
        for label, array in (("image", brain()), ("met", lopsided)):
            volume = nib.Nifti1Image(array, affine)
            volume = volume if change is None else volume.as_reoriented(change)
            files[label] = folder / f"{label}.nii.gz"
            nib.save(volume, files[label])
        masks = surveyed(folder, files["image"], {"met": files["met"]}).masks
        centres.append(masks[["x", "y", "z", *SPREAD]])
    assert np.allclose(centres[0], centres[1]) and abs(centres[0]["xz"].iloc[0]) > 0.1


def test_a_mask_says_how_much_of_the_brain_it_takes(tmp_path):
    image = brain()
    masks = {"met": box((8, 8, 6)), "all": (image > 0).astype(np.uint8)}
    measured = surveyed(tmp_path, image, masks).masks["brain_share"]
    assert measured.to_dict() == {"met": 64 / (image > 0).sum(), "all": 1.0}


def test_an_image_with_next_to_no_brain_is_in_doubt(tmp_path):
    mask = box((8, 8, 6))
    survey = surveyed(tmp_path, brain() * mask, {"met": mask})
    (problem,) = survey.problems
    assert problem.kind == SCRAP and "image.nii.gz" in problem.where and "0.128 ml" in problem.found
    (sound := tmp_path / "sound").mkdir()
    assert surveyed(sound, brain(), {"met": mask}).problems == []


def test_masks_that_share_voxels_are_paired_with_their_share(tmp_path):
    masks = {
        "big": box((6, 6, 4), 6),
        "in": box((7, 7, 5), 2),
        "edge": box((10, 10, 8), 4),
        "far": box((2, 2, 2), 2),
    }
    pairs = surveyed(tmp_path, brain(), masks).overlaps.set_index(["one", "other"])
    assert pairs["shared"].to_dict() == {("big", "in"): 1.0, ("big", "edge"): 8 / 64}
    assert pairs.loc[("big", "in"), "dice"] == 2 * 8 / (216 + 8)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("value", [1, 255])
def test_masks_of_any_type_and_label_are_the_same_mask(tmp_path, kind, value):
    if (kind, value) != (np.uint8, 1):
        plain = surveyed(tmp_path, brain(), {"met": box((8, 8, 6))}).masks
        typed = surveyed(tmp_path, brain(), {"met": box((8, 8, 6)).astype(kind) * kind(value)}).masks
        assert plain.equals(typed)


def test_a_mask_whose_header_has_no_slope_is_read_as_stored(tmp_path):
    path = save(tmp_path / "met.nii.gz", box((8, 8, 6)).astype(np.float32))
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[112:116] = np.float32(np.nan).tobytes()  # scl_slope, as in the real download
    path.write_bytes(gzip.compress(content))
    assert surveyed(tmp_path, brain(), {"met": path}).masks.loc["met", "voxels"] == 64


def corrupt(path: Path, how: str) -> Path:
    content = path.read_bytes()
    if how == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif how == "corrupted":
        middle = len(content) // 2
        path.write_bytes(
            content[:middle] + bytes(b ^ 255 for b in content[middle : middle + 8]) + content[middle + 8 :]
        )
    else:
        path.write_text("no volume")
    return path


BAD_MASKS = {
    "truncated": ("unreadable mask", "cannot be read"),
    "corrupted": ("unreadable mask", "cannot be read"),
    "text": ("unreadable mask", "cannot be read"),
    "4D": ("unreadable mask", "4 dimensions"),
    "grid": ("mask on another grid", "another grid"),
    "empty": ("empty mask", "no voxel above 0.5"),
    "single": ("single-voxel mask", "single voxel"),
    "outside": ("mask outside the brain", "outside the stripped brain"),
}


@pytest.mark.parametrize("how", BAD_MASKS)
def test_a_bad_mask_is_one_problem_and_its_neighbours_are_measured(tmp_path, how):
    path = tmp_path / "läsion.nii.gz"
    arrays = {
        "4D": np.ones((*SHAPE, 2), np.uint8),
        "grid": np.ones((10, 24, 16), np.uint8),
        "empty": box((8, 8, 6), 0),
        "single": box((8, 8, 6), 1),
        "outside": box((0, 0, 0), 2),
    }
    save(path, arrays.get(how, box((8, 8, 6))))
    if how not in arrays:
        corrupt(path, how)
    survey = surveyed(tmp_path, brain(), {"bad": path, "good": box((8, 8, 6))})
    kind, words = BAD_MASKS[how]
    assert [(problem.kind, problem.where) for problem in survey.problems] == [(kind, "bad")]
    assert words in survey.problems[0].found and "läsion" in survey.problems[0].found
    assert list(survey.masks.index) == ["good"] and survey.unusable == {"bad": kind}


@pytest.mark.parametrize("how", ["truncated", "text", "4D", "empty", "constant", "infinite", "unoriented"])
def test_a_bad_image_is_one_problem_and_the_reason_of_all_its_lesions(tmp_path, how):
    image = {
        "4D": np.ones((*SHAPE, 2), np.float32),
        "empty": np.zeros(SHAPE, np.float32),
        "constant": (brain() > 0).astype(np.float32),
        "infinite": np.where(brain() > 800, np.inf, brain()).astype(np.float32),
    }.get(how, brain())
    volume = nib.Nifti1Image(image, LPS)
    if how == "unoriented":
        volume = nib.Nifti1Image(image, None)
    path = tmp_path / "image.nii.gz"
    nib.save(volume, path)
    if how in ("truncated", "text"):
        corrupt(path, how)
    survey = surveyed(tmp_path, path, {"one": box((8, 8, 6)), "two": box((4, 4, 4))})
    assert [problem.kind for problem in survey.problems] == ["unusable image"]
    assert survey.problems[0].where == str(path)
    assert set(survey.unusable) == {"one", "two"} and survey.masks.empty


@pytest.mark.parametrize("kind", ["vector", "complex"])
def test_voxels_that_are_no_single_number_are_refused(tmp_path, kind):
    path = tmp_path / "met.nii.gz"
    if kind == "vector":
        colours = sitk.GetImageFromArray(np.ones((*SHAPE[::-1], 3), np.uint8), isVector=True)
        sitk.WriteImage(colours, str(path))
    else:
        save(path, box((8, 8, 6)).astype(np.complex64))
    survey = surveyed(tmp_path, brain(), {"bad": path, "good": box((8, 8, 6))})
    assert list(survey.masks.index) == ["good"] and survey.unusable == {"bad": "unreadable mask"}


def test_a_second_survey_reads_no_volume_and_a_changed_mask_is_read_again(tmp_path, monkeypatch):
    masks = {"met": box((8, 8, 6))}
    first = surveyed(tmp_path, brain(), masks)
    paths = tmp_path / "image.nii.gz", {"met": tmp_path / "met.nii.gz"}

    def refuse(*_):
        raise AssertionError("a volume was read")

    with monkeypatch.context() as patch:
        patch.setattr("bcbm.features.files.open_volume", refuse)
        again = survey_cohort([Study(*paths)], tmp_path / "kept", jobs=1)
        assert again.masks.equals(first.masks)
        save(paths[1]["met"], box((8, 8, 6), 3))
        with pytest.raises(AssertionError, match="was read"):
            survey_cohort([Study(*paths)], tmp_path / "kept", jobs=1)
    assert survey_cohort([Study(*paths)], tmp_path / "kept", jobs=1).masks.loc["met", "voxels"] == 27


def test_voxels_of_a_mask_that_are_no_label_are_counted_and_said(tmp_path):
    mask = box((8, 8, 6)).astype(np.float32)
    mask[0, 0, :3], mask[1, 0, :2], mask[2, 0, 0] = -1, np.nan, -0.1  # the last by a resampling
    survey = surveyed(tmp_path, brain(), {"met": mask})
    (problem,) = survey.problems
    assert problem.where == "met" and "3 voxels below 0 and 2 voxels not finite" in problem.found
    assert survey.masks.loc["met", "voxels"] == 64 and not survey.unusable


def test_label_values_that_no_lesion_has_are_said_once_a_file(tmp_path):
    labels = sum(value * box((place, place, 6), 2) for value, place in ((1, 4), (2, 8), (3, 12)))
    save(tmp_path / "image.nii.gz", brain())
    save(mask := tmp_path / "dseg.nii.gz", labels)
    parts = {"S/a": MaskPart(1), "S/b": MaskPart(2)}
    study = Study(tmp_path / "image.nii.gz", dict.fromkeys(parts, mask), {}, parts)
    survey = survey_cohort([study], tmp_path / "survey", 1)
    (note,) = survey.notes
    assert note.where == "S/a" and "dseg.nii.gz" in note.found and "3 (8 voxels)" in note.found
    assert survey.masks["voxels"].tolist() == [8, 8] and not survey.problems


@pytest.mark.parametrize(("change", "affine", "kind"), [(1e6, LPS, SPIKED), (0, LPS * 0.1, TOO_FINE)])
def test_an_image_with_a_spike_or_in_centimetres_is_in_doubt(tmp_path, change, affine, kind):
    image = brain()
    image[10, 10, 8] += change
    survey = surveyed(tmp_path, image, {"met": box((8, 8, 6))}, affine)
    (problem,) = survey.problems
    assert problem.kind == kind and survey.doubts == {problem.where: [kind]}


@pytest.mark.parametrize(("size", "edge", "told"), [((91, 109, 91), 2.0, True), ((91, 109, 92), 2.0, False)])
def test_an_image_on_the_grid_of_a_template_is_in_doubt(tmp_path, size, edge, told):
    image = np.zeros(size, np.float32)
    image[20:70, 20:80, 20:70] = 300 + 10 * np.arange(50)
    mask = np.zeros(size, np.uint8)
    mask[30:34, 30:34, 30:34] = 1
    survey = surveyed(tmp_path, image, {"met": mask}, np.diag([edge, edge, edge, 1]))
    assert (STRETCHED in [problem.kind for problem in survey.problems]) == told


@pytest.mark.parametrize(("forms", "told"), [((4, 4), "MNI's"), ((1, 3), "Talairach's"), ((2, 1), "")])
def test_an_image_in_a_templates_space_by_its_header_is_in_doubt(tmp_path, forms, told):
    qform, sform = forms
    save(tmp_path / "met.nii.gz", box((8, 8, 6)))
    image = nib.Nifti1Image(brain().astype(np.float32), LPS)
    image.set_qform(LPS, qform)
    image.set_sform(LPS, sform)
    nib.save(image, tmp_path / "image.nii.gz")
    survey = survey_cohort(
        [Study(tmp_path / "image.nii.gz", {"met": tmp_path / "met.nii.gz"})], tmp_path / "kept", jobs=1
    )
    assert [told in problem.found for problem in survey.problems] == [True] * bool(told)


def test_a_mask_of_a_format_that_nobody_reads_is_to_be_converted(tmp_path):
    (tmp_path / "met.mgz").write_bytes(b"\x1f\x8b of another program")
    survey = surveyed(tmp_path, brain(), {"met": tmp_path / "met.mgz"})
    (problem,) = survey.problems
    assert "no format that ITK knows" in problem.found and "convert it to .nii.gz" in problem.remedy


@pytest.mark.parametrize("lowest", [-1, -1024])
def test_a_background_below_0_is_called_one_and_that_of_no_number_is_to_be_set_to_0(tmp_path, lowest):
    image = brain().astype(np.float32)
    image[image == 0] = lowest
    survey = surveyed(tmp_path, image, {"met": box((8, 8, 6))})
    (problem,) = [problem for problem in survey.problems if problem.kind == "intensities rescaled"]
    assert f"are {lowest} in place of 0" in problem.found
    image[image < 0] = np.nan
    (tmp_path / "none").mkdir()
    survey = surveyed(tmp_path / "none", image, {"met": box((8, 8, 6))})
    assert "set them to 0" in survey.problems[0].remedy


def test_an_image_that_was_stretched_to_bytes_is_in_doubt(tmp_path):
    image = brain()
    survey = surveyed(tmp_path, (image / image.max() * 255).astype(np.uint8), {"met": box((8, 8, 6))})
    assert [problem.kind for problem in survey.problems if "is 255" in problem.found] == [
        "intensities rescaled"
    ]


def test_an_image_that_was_scaled_to_100_but_for_bright_voxels_is_in_doubt(tmp_path):
    image = brain()
    image = image / np.percentile(image[image > 0], 99) * 100
    image[10, 10, 8] = 400
    survey = surveyed(tmp_path, image.astype(np.float32), {"met": box((8, 8, 6))})
    assert [problem.kind for problem in survey.problems] == ["intensities rescaled"]
