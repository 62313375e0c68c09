"""Where voxels lie: two forms of a header that disagree, sheared axes, grids that differ by rounding."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from bcbm.features.geometry import FORMS_APART, Form, VolumeError, forms_apart, require_same_grid
from bcbm.features.records import Study
from bcbm.features.survey import survey_cohort
from bcbm.features.volumes import open_volume, read_stored

SHAPE = (24, 28, 20)
AFFINE = np.array([[-1.0, 0, 0, 11], [0, -1.0, 0, 13], [0, 0, 2.0, -20], [0, 0, 0, 1]])
MIRRORED = np.diag([-1.0, 1, 1, 1]) @ AFFINE
TURNED = AFFINE[:, [1, 0, 2, 3]]
SHIFTED = AFFINE + np.array([[0.0, 0, 0, 30], [0] * 4, [0] * 4, [0] * 4])
SHEARED = AFFINE + np.array([[0.0, 0.4, 0, 0], [0] * 4, [0] * 4, [0] * 4])


def save(
    path: Path, values: np.ndarray, qform: np.ndarray | None, sform: np.ndarray | None, codes=(1, 1)
) -> Path:
    """A file with these forms; one that is None has the code 0."""
    image = nib.Nifti1Image(values, None)
    image.set_qform(qform, codes[0] if qform is not None else 0)
    image.set_sform(sform, codes[1] if sform is not None else 0)
    if qform is None and sform is not None:
        image.header.set_zooms(nib.affines.voxel_sizes(sform))
    nib.save(image, path)
    return path


def study(folder: Path, qform, sform, form: Form = "agree", codes=(1, 1)) -> Study:
    """A study of one lesion, at x = 4 mm to the left by `AFFINE`."""
    image = np.zeros(SHAPE, np.float32)
    image[2:-2, 2:-2, 2:-2] = np.random.default_rng(0).uniform(100, 900, tuple(n - 4 for n in SHAPE))
    mask = np.zeros(SHAPE, np.uint8)
    mask[4:8, 10:14, 8:12] = 1
    files = [
        save(folder / f"{name}.nii.gz", values, qform, sform, codes)
        for name, values in (("image", image), ("met", mask))
    ]
    return Study(files[0], {"met": files[1]}, form=form)


@pytest.mark.parametrize(
    "other", [MIRRORED, TURNED, SHIFTED, SHEARED], ids=["mirror", "turn", "shift", "shear"]
)
@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (2, 4), (3, 1)])
def test_forms_that_disagree_are_refused_whatever_their_codes(tmp_path, other, codes):
    survey = survey_cohort([study(tmp_path, AFFINE, other, codes=codes)], tmp_path / "kept", jobs=1)
    assert [problem.kind for problem in survey.problems] == [FORMS_APART]
    text = str(survey.problems[0])
    assert "image.nii.gz" in text and "cohort.form=qform" in text and "mm apart" in text
    assert survey.masks.empty and "met" in survey.unusable


@pytest.mark.parametrize(("form", "x"), [("qform", -5.5), ("sform", 5.5)])
def test_a_form_that_is_named_is_read_and_said(tmp_path, form, x):
    survey = survey_cohort([study(tmp_path, MIRRORED, AFFINE, form)], tmp_path / "kept", jobs=1)
    assert survey.problems == [] and [note.kind for note in survey.notes] == [FORMS_APART]
    assert f"cohort.form={form}" in survey.notes[0].remedy
    assert survey.masks.loc["met", "x"] == pytest.approx(-x)  # LPS: the file says RAS
    stored = read_stored(tmp_path / "met.nii.gz", form=form)
    grid = open_volume(tmp_path / "met.nii.gz", form).grid
    assert (stored.GetDirection(), stored.GetOrigin()) == (grid.GetDirection(), grid.GetOrigin())


def test_a_record_of_one_form_is_not_read_for_the_other(tmp_path):
    places = [
        survey_cohort([study(tmp_path, MIRRORED, AFFINE, form)], tmp_path / "kept", jobs=1).masks.loc[
            "met", "x"
        ]
        for form in ("qform", "sform", "qform")
    ]
    assert places[0] == places[2] == -places[1]


def test_a_form_that_does_not_count_or_is_rounded_disagrees_with_nothing(tmp_path):
    values = np.zeros(SHAPE, np.uint8)
    turned = AFFINE.copy()
    turned[:2, :2] = -np.array(
        [[np.cos(6e-4), -np.sin(6e-4)], [np.sin(6e-4), np.cos(6e-4)]]
    )  # near half a turn
    for name, qform, sform in (
        ("only q", AFFINE, None),
        ("only s", None, AFFINE),
        ("both", AFFINE, AFFINE),
        ("rounded", AFFINE, turned),
    ):
        assert forms_apart(save(tmp_path / f"{name}.nii.gz", values, qform, sform)) == "", name


def edited(path: Path, edit: Callable[[bytearray], None]) -> Path:
    """A packed file whose bytes, once unpacked, are changed."""
    content = bytearray(gzip.decompress(path.read_bytes()))
    edit(content)
    path.write_bytes(gzip.compress(content))
    return path


def header_says(place: int, kind: str, *values: float) -> Callable[[bytearray], None]:
    return lambda content: struct.pack_into(f"<{kind}", content, place, *values)


def spaced(*spacing: float, qform: int) -> Callable[[bytearray], None]:
    """What pixdim says, and the code of the qform."""

    def edit(content: bytearray) -> None:
        header_says(80, "3f", *spacing)(content)
        header_says(252, "h", qform)(content)

    return edit


NAN = float("nan")


@pytest.mark.parametrize("code", [0, 1], ids=["sform alone", "both"])
@pytest.mark.parametrize(
    "spacing",
    [(2, 2, 4), (0.001, 0.001, 0.002), (1, 1, 2.05), (0, 0, 0), (1, 1, 0), (-1, -1, -2), (NAN, 1, 2)],
    ids=str,
)
def test_a_voxel_size_that_is_not_that_of_the_sform_is_refused_or_read_as_told(tmp_path, spacing, code):
    """ITK takes the axes of the sform and the spacing of the pixdim, and 1 mm for what is no spacing."""
    files = study(tmp_path, AFFINE, AFFINE)
    for path in (files.image, *files.masks.values()):
        edited(path, spaced(*spacing, qform=code))
    survey = survey_cohort([files], tmp_path / "kept", jobs=1)
    (problem,) = survey.problems
    assert "image.nii.gz" in str(problem) and "cohort.form=sform" in problem.remedy
    assert f"{spacing[2]:g}" in problem.found and "met" in survey.unusable
    survey = survey_cohort([files._replace(form="sform")], tmp_path / "kept", jobs=1)
    assert survey.problems == [] and survey.masks.loc["met", "volume"] == 64 * 2
    assert "image.nii.gz" in survey.notes[0].where


def test_without_a_qform_it_is_pixdim_that_counts_where_told(tmp_path):
    files = study(tmp_path, None, AFFINE)
    for path in (files.image, *files.masks.values()):
        edited(path, spaced(2, 2, 4, qform=0))
    survey = survey_cohort([files._replace(form="qform")], tmp_path / "kept", jobs=1)
    assert survey.problems == [] and survey.masks.loc["met", "volume"] == pytest.approx(64 * 16)


@pytest.mark.parametrize("value", [0.0, NAN])
def test_an_sform_that_is_no_grid_is_said_as_that(tmp_path, value):
    path = save(tmp_path / "image.nii.gz", np.ones(SHAPE, np.uint8), AFFINE, AFFINE)
    edited(path, header_says(280, "12f", *[value] * 12))
    with pytest.raises(VolumeError) as caught:
        open_volume(path)
    assert "sform" in str(caught.value) and "cohort.form=qform" in caught.value.remedy
    np.testing.assert_allclose(open_volume(path, "qform").grid.GetSpacing(), (1, 1, 2))
    edited(path, header_says(252, "h", 0))
    with pytest.raises(VolumeError) as caught:
        open_volume(path)
    assert "cohort.form" not in caught.value.remedy and "download" not in caught.value.remedy


@pytest.mark.parametrize(("code", "unit"), [(1, "metres"), (3, "microns")])
def test_a_unit_is_read_as_what_it_says_and_refused_where_no_scanner_makes_such_voxels(tmp_path, code, unit):
    path = save(tmp_path / "image.nii.gz", np.ones(SHAPE, np.uint8), AFFINE, AFFINE)
    edited(path, header_says(123, "B", code))
    for read in (read_stored, open_volume):
        with pytest.raises(VolumeError, match=unit) as caught:
            read(path)
        assert "image.nii.gz" in str(caught.value) and "unit" in caught.value.remedy
    scale = np.diag([*[{1: 0.001, 3: 1000}[code]] * 3, 1])
    path = save(path, np.ones(SHAPE, np.uint8), scale @ AFFINE, scale @ MIRRORED)
    edited(path, header_says(123, "B", code))
    for form, affine in (("qform", AFFINE), ("sform", MIRRORED)):
        grid = open_volume(path, form).grid
        np.testing.assert_allclose(grid.GetSpacing(), (1, 1, 2), rtol=1e-5)
        np.testing.assert_allclose(grid.GetOrigin(), affine[:3, 3] * (-1, -1, 1), rtol=1e-5)


@pytest.mark.parametrize("byte", [0, 348, 352.5, NAN])
def test_voxels_that_begin_in_the_header_are_refused(tmp_path, byte):
    """ITK reads on from byte 348, four bytes early, and other readers from 352."""
    path = save(tmp_path / "image.nii.gz", np.ones(SHAPE, np.uint8), AFFINE, AFFINE)
    edited(path, header_says(108, "f", byte))
    with pytest.raises(VolumeError) as caught:
        open_volume(path)
    assert "vox_offset" in str(caught.value) and "download" not in caught.value.remedy


def test_a_file_of_nifti_2_is_named_as_that(tmp_path):
    path = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti2Image(np.ones(SHAPE, np.uint8), AFFINE), path)
    with pytest.raises(VolumeError, match="NIfTI-2") as caught:
        open_volume(path)
    assert "NIfTI-1" in caught.value.remedy


def test_what_itk_says_holds_no_place_in_memory(tmp_path):
    path = save(tmp_path / "image.nii.gz", np.ones(SHAPE, np.uint8), AFFINE, AFFINE)
    edited(path, header_says(42, "h", -20))
    with pytest.raises(VolumeError) as caught:
        open_volume(path)
    assert "image.nii.gz" in str(caught.value) and "0x" not in str(caught.value)


def test_a_sheared_header_is_named_and_no_download_mends_it(tmp_path):
    path = save(tmp_path / "image.nii.gz", np.ones(SHAPE, np.uint8), None, SHEARED)
    for read in (read_stored, open_volume):
        with pytest.raises(VolumeError, match="sheared") as caught:
            read(path)
        assert "download" not in caught.value.remedy and "right angles" in caught.value.remedy


@pytest.mark.parametrize("damage", ["colours", "plain", "4D"])
def test_the_remedy_is_that_of_what_is_wrong(tmp_path, damage):
    path = tmp_path / "image.nii.gz"
    if damage == "colours":
        colours = np.zeros(SHAPE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nib.save(nib.Nifti1Image(colours, AFFINE), path)
    elif damage == "4D":
        nib.save(nib.Nifti1Image(np.ones((*SHAPE, 2), np.uint8), AFFINE), path)
    else:
        path.write_bytes(nib.Nifti1Image(np.ones(SHAPE, np.uint8), AFFINE).to_bytes())
    for read in (read_stored, open_volume):
        with pytest.raises(VolumeError) as caught:
            read(path)
        assert "download" not in caught.value.remedy
        assert {"colours": "one grey value", "plain": "gzip", "4D": "one volume"}[
            damage
        ] in caught.value.remedy


def test_an_unreadable_file_is_to_be_downloaded_again(tmp_path):
    path = tmp_path / "image.nii.gz"
    path.write_bytes(gzip.compress(b"no volume"))
    with pytest.raises(VolumeError) as caught:
        read_stored(path)
    assert "download" in caught.value.remedy


def grid(spacing=(1.5, 1.5, 2.0), origin=(3.0, 4.0, 5.0), turn=0.0, size=(96, 96, 60)) -> sitk.Image:
    image = sitk.Image(list(size), sitk.sitkUInt8)
    image.SetSpacing(spacing)
    image.SetOrigin(origin)
    image.SetDirection(sitk.Euler3DTransform((0, 0, 0), 0, 0, turn).GetMatrix())
    return image


@pytest.mark.parametrize(
    "change", [{"origin": (3.002, 4.0, 5.0)}, {"spacing": (1.502, 1.5, 2.0)}, {"turn": 4e-4}], ids=str
)
def test_drift_within_a_hundredth_of_a_voxel_is_the_same_grid(change):
    require_same_grid(grid(), grid(**change))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"origin": (3.05, 4.0, 5.0)}, ["origin (3.05, 4, 5) and (3, 4, 5)"]),
        ({"spacing": (1.55, 1.5, 2.0)}, ["spacing (1.55, 1.5, 2) and (1.5, 1.5, 2)"]),
        ({"turn": np.pi / 2}, ["direction", "(1, 0, 0, 0, 1, 0, 0, 0, 1)"]),
        ({"turn": 0.02}, ["direction", "mm apart"]),
        ({"size": (96, 96, 61)}, ["size (96, 96, 61) and (96, 96, 60)"]),
    ],
    ids=str,
)
def test_another_grid_is_told_by_what_differs_and_nothing_else(change, words):
    with pytest.raises(VolumeError) as caught:
        require_same_grid(grid(), grid(**change), "met.nii.gz")
    text = str(caught.value)
    assert all(word in text for word in [*words, "met.nii.gz"])
    others = {"size", "spacing", "origin", "direction"} - {"direction" if "turn" in change else min(change)}
    assert not any(f"{other} (" in text for other in others)
