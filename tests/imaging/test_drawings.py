"""Structure sets and segmentations as masks: against masks that are known, and against plastimatch."""

import subprocess
import sys
from copy import deepcopy
from importlib.util import find_spec

import numpy as np
import pytest
import SimpleITK as sitk
from scans import (
    AXIAL,
    affine_of,
    ball,
    contour,
    edit,
    head,
    mask_contours,
    oblique,
    scanned,
    write_segmentation,
    write_series,
    write_structures,
)

from bcbm.imaging.drawings import DrawingError, filled, read_drawing
from bcbm.imaging.volume import read_series

FINE = (96, 88, 30), (0.9, 0.9, 1.5)  # a grid on which lesions over 100 mm3 have a shape
LESIONS = {"GTV_Lt_frontal": ball((12, 12, 6), 4.5), "met 2 rt parietal": ball((5, 17, 4), 4.0)}


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def drawn(folder, brain=False):
    """The regions of the one drawing of a folder, and the image."""
    headers = scanned(folder)
    (series,), (drawing,) = headers.series, headers.drawings
    image = read_series(series)
    return read_drawing(drawing, series, image, brain), image


def ring(radius, centre, corners=60):
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return np.column_stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle)])


@pytest.mark.parametrize("orientation", [AXIAL, oblique()], ids=["axial", "oblique"])
def test_masks_written_as_contours_come_back_as_they_were(tmp_path, orientation):
    grid = affine_of(orientation)
    images = write_series(tmp_path, head(), grid)
    hollow = LESIONS["GTV_Lt_frontal"] & ~ball((12, 12, 6), 2.2)
    masks = {**LESIONS, "ring": hollow}
    regions = {name: mask_contours(mask, grid) for name, mask in masks.items()}
    write_structures(tmp_path / "rt.dcm", regions, images)
    result, _ = drawn(tmp_path)
    assert [region.name for region in result] == ["gtv-lt-frontal", "met-2-rt-parietal", "lesion"]
    for region, mask in zip(result, masks.values(), strict=True):
        assert region.role == "lesion" and np.array_equal(region.mask, mask)


def test_a_label_map_is_read_as_segments_that_do_not_overlap(tmp_path):
    images = write_series(tmp_path / "t1")
    write_segmentation(tmp_path / "seg.dcm", LESIONS, images, kind="LABELMAP")
    result, _ = drawn(tmp_path)
    assert [region.name for region in result] == ["gtv-lt-frontal", "met-2-rt-parietal"]
    for region, mask in zip(result, LESIONS.values(), strict=True):
        assert region.role == "lesion" and np.array_equal(region.mask, mask)


def test_organs_and_aids_are_told_by_their_name_and_by_their_type(tmp_path):
    images = write_series(tmp_path)
    contours = mask_contours(LESIONS["GTV_Lt_frontal"], affine_of(AXIAL))
    names = ["GTV", "BrainStem", "Lens_L", "External", "Brain", "Chiasm", "oar 7", "left frontal", "met 1"]
    types = {"oar 7": "ORGAN", "met 1": "ORGAN", "left frontal": "PTV"}
    write_structures(tmp_path / "rt.dcm", dict.fromkeys(names, contours), images, types)
    result, _ = drawn(tmp_path)
    roles = dict(zip(names, [region.role for region in result], strict=True))
    assert [name for name, role in roles.items() if role == "lesion"] == ["GTV", "left frontal", "met 1"]
    assert roles["Brain"] == "brain" and {roles[name] for name in names[1:4]} == {"other"}
    assert all(region.mask is None for region in result if region.role != "lesion")


def test_what_is_left_of_a_brain_and_what_is_drawn_around_a_target_is_no_lesion(tmp_path):
    images = write_series(tmp_path)
    contours = mask_contours(LESIONS["GTV_Lt_frontal"], affine_of(AXIAL))
    aids = [
        "Brain-GTV",
        "Brain minus PTV",
        "Hirn-PTV",
        "Gehirn ohne GTV",
        "Chiasm-PTV",
        "Brainstem_minus_GTV",
        "PTV1-GTV1",
        "GTV Hotspot",
        "PTV_ring",
        "zRing1 PTV",
        "GTV shell 5mm",
        "GTV deleted",
        "not a met",
    ]
    lesions = ["GTV", "Brain GTV", "ring enhancing met", "GTV ring-enhancing L frontal", "Hirnstammmetastase"]
    lesions += ["Brainstem-GTV", "GTV1-GTV3", "GTV-PTV"]
    write_structures(tmp_path / "rt.dcm", dict.fromkeys([*aids, *lesions], contours), images)
    result, _ = drawn(tmp_path)
    assert [region.role for region in result] == ["other"] * len(aids) + ["lesion"] * len(lesions)


REFUSED = {
    "between slices": (lambda grid: [contour(ring(3, (9, 9)), grid, 4.4)], "between slices 5"),
    "another plane": (
        lambda grid: [
            contour(ring(3, (9, 9)), grid @ np.roll(np.eye(4), 1, 0)[[1, 2, 0, 3]][[2, 0, 1, 3]], 4)
        ],
        "other planes",
    ),
    "outside": (lambda grid: [contour(ring(3, (30, 9)), grid, 4)], "outside the image"),
    "open": (lambda grid: [contour(ring(3, (9, 9)), grid, 4, "OPEN_PLANAR")], "not closed"),
    "none": (lambda grid: [], "no contour"),
    "tiny": (lambda grid: [contour(ring(0.2, (9.5, 9.5)), grid, 4)], "no voxel"),
    "crossed": (
        lambda grid: [contour(ring(4, (12, 12), 5)[[0, 2, 4, 1, 3]], grid, z) for z in (4, 5)],
        "crosses itself on slice 5",
    ),
    "every second": (lambda grid: [contour(ring(3, (9, 9)), grid, z) for z in (2, 4, 6)], "2 slices apart"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_contours_that_fit_no_slice_are_refused_with_their_region_and_no_other(tmp_path, kind):
    make, fact = REFUSED[kind]
    grid, images = affine_of(AXIAL), write_series(tmp_path)
    sound = mask_contours(LESIONS["GTV_Lt_frontal"], grid)
    write_structures(tmp_path / "rt.dcm", {"met": make(grid), "GTV": sound}, images)
    (refused, taken), _ = drawn(tmp_path)
    assert fact in refused.refused and refused.mask is None
    assert taken.mask is not None and not taken.refused


def test_a_contour_that_is_written_twice_counts_once(tmp_path):
    images = write_series(tmp_path)
    mask = LESIONS["GTV_Lt_frontal"] & ~ball((12, 12, 6), 2.2)
    contours = mask_contours(mask, affine_of(AXIAL))
    write_structures(tmp_path / "rt.dcm", {"GTV": [*contours, *contours[:3]]}, images)
    (region,), _ = drawn(tmp_path)
    assert np.array_equal(region.mask, mask)
    first, finer = np.reshape(contours[0].ContourData, (-1, 3)).astype(float), deepcopy(contours[0])
    corners = np.stack([first, (first + np.roll(first, -1, 0)) / 2], 1)  # the same outline, twice the points
    finer.ContourData = [f"{value:.6f}" for value in corners.ravel()]
    write_structures(tmp_path / "rt.dcm", {"GTV": [*contours, finer]}, images)
    (region,), _ = drawn(tmp_path)
    assert np.array_equal(region.mask, mask)


def test_other_frames_of_reference_are_refused(tmp_path):
    grid, images = affine_of(AXIAL), write_series(tmp_path)
    sound = mask_contours(LESIONS["GTV_Lt_frontal"], grid)
    item = write_structures(tmp_path / "rt.dcm", {"GTV": sound, "met": sound}, images)
    item.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3.4"
    item.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    with pytest.raises(DrawingError, match="2 frames of reference"):
        drawn(tmp_path)
    for part in (*item.StructureSetROISequence, *item.ReferencedFrameOfReferenceSequence):
        part.ReferencedFrameOfReferenceUID = part.FrameOfReferenceUID = "1.2.3.4"
    item.save_as(tmp_path / "rt.dcm", enforce_file_format=True)
    with pytest.raises(DrawingError, match="another frame of reference"):
        drawn(tmp_path)


def test_segments_come_back_as_they_were_and_organs_are_told_by_their_category(tmp_path):
    grid = affine_of(oblique())
    images = write_series(tmp_path, head(), grid)
    apart = ball((12, 12, 1), 2.0) | ball((5, 17, 9), 2.0)
    masks = {**LESIONS, "two parts": apart, "thing": LESIONS["met 2 rt parietal"]}
    write_segmentation(tmp_path / "seg.dcm", masks, images, anatomy=["thing"])
    result, _ = drawn(tmp_path)
    assert [region.role for region in result] == ["lesion", "lesion", "lesion", "other"]
    for region, mask in zip(result[:3], list(masks.values())[:3], strict=True):
        assert np.array_equal(region.mask, mask)


def test_a_segmentation_of_another_grid_is_refused(tmp_path):
    images = write_series(tmp_path, head(), affine_of(AXIAL))
    write_segmentation(tmp_path / "seg.dcm", LESIONS, images)

    def move(number, item):
        if item.Modality == "MR":
            item.ImagePositionPatient = [item.ImagePositionPatient[0] + 0.4, *item.ImagePositionPatient[1:]]

    for path in tmp_path.glob("seg.dcm"):
        path.rename(tmp_path.parent / "seg.dcm")
    edit(tmp_path, move)
    (tmp_path.parent / "seg.dcm").rename(tmp_path / "seg.dcm")
    result, _ = drawn(tmp_path)
    assert all("another grid" in region.refused and region.mask is None for region in result)


def test_a_polygon_is_filled_by_the_centres_of_pixels():
    shape = (40, 50)
    polygon = ring(13.3, (24.2, 19.6), 400)
    rows, columns = np.indices(shape)
    assert np.array_equal(filled(polygon, shape), (columns - 24.2) ** 2 + (rows - 19.6) ** 2 < 13.3**2)
    star = ring(15, (25, 20), 5)[[0, 2, 4, 1, 3]]
    assert not filled(star, shape)[20, 25], "even-odd: the middle of a pentagram is outside"
    assert not filled(polygon + 200, shape).any()


@pytest.mark.skipif(find_spec("plastimatch") is None, reason="plastimatch is not installed")
def test_masks_agree_with_plastimatch(tmp_path):
    """Dice at least 0.98 and volumes within 3 % on lesions over 100 mm3, round, lobed and hollow."""
    (size, spacing), rng = FINE, np.random.default_rng(0)
    grid = affine_of(AXIAL, spacing=spacing)
    images = write_series(tmp_path / "in", head(size), grid)
    regions = {}
    for number, radius in enumerate([4.0, 5.5, 8.0, 12.0]):
        centre, contours = np.array([24 + 16 * number, 30 + 9 * number]), []
        for z in range(5, 25):
            if (height := radius**2 - ((z - 14) * spacing[2]) ** 2) <= 0.5:
                continue
            across = np.sqrt(height) / spacing[0]
            wobble = 1 + 0.12 * np.sin(3 * np.linspace(0, 2 * np.pi, 80, endpoint=False) + rng.uniform(0, 6))
            contours.append(contour(centre + (ring(across, (0, 0), 80) * wobble[:, None]), grid, z))
            if number == 3 and across > 6:
                contours.append(contour(ring(across / 2, centre), grid, z))
        regions[f"GTV {number}"] = contours
    write_structures(tmp_path / "in" / "rt.dcm", regions, images)
    command = "import sys; from plastimatch import _program; sys.exit(_program('plastimatch', sys.argv[1:]))"
    words = ["convert", "--input", str(tmp_path / "in"), "--output-prefix", str(tmp_path / "out")]
    subprocess.run(
        [sys.executable, "-c", command, *words, "--prefix-format", "nii.gz", "--xor-contours"],
        check=True,
        capture_output=True,
    )
    result, image = drawn(tmp_path / "in")
    voxel = np.prod(spacing)
    for number, region in enumerate(result):
        (path,) = (tmp_path / "out").glob(f"GTV*{number}.nii.gz")
        reference = sitk.Resample(
            sitk.ReadImage(str(path)), image, sitk.Transform(), sitk.sitkNearestNeighbor
        )
        reference = sitk.GetArrayFromImage(reference) > 0
        assert reference.sum() * voxel > 100
        assert dice(region.mask, reference) >= 0.98
        assert abs(region.mask.sum() / reference.sum() - 1) <= 0.03
