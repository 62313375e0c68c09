"""Where a lesion lies, from its coordinates: registration to MNI, side and region of a point, the name."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from scipy.spatial.transform import Rotation
from warped import Warped, warped_brain

import bcbm.cohort.position
from bcbm.cohort.names import HEMISPHERES, REGIONS, NameReading, read_name
from bcbm.cohort.position import disagreement, place_of
from bcbm.features.registration import register
from bcbm.features.volumes import read_volume

LANDMARKS = {  # well-known places, MNI RAS mm
    "Broca's area": ((-50, 18, 16), "left", "frontal"),
    "frontal eye field": ((28, -4, 54), "right", "frontal"),
    "ventromedial prefrontal cortex": ((2, 48, -10), "midline", "frontal"),
    "intraparietal sulcus": ((38, -52, 50), "right", "parietal"),
    "precuneus": ((-6, -58, 46), "left", "parietal"),
    "hippocampal head": ((-24, -14, -20), "left", "temporal"),
    "anterior middle temporal gyrus": ((58, -8, -20), "right", "temporal"),
    "primary visual cortex": ((10, -88, 2), "right", "occipital"),
    "occipital pole": ((-20, -98, 2), "left", "occipital"),
    "dentate nucleus": ((-16, -58, -34), "left", "cerebellum"),
    "vermis": ((1, -62, -20), "midline", "cerebellum"),
    "pons": ((2, -26, -34), "midline", "brainstem"),
    "left half of the pons": ((-9, -24, -32), "left", "brainstem"),
    "putamen": ((-26, 2, 4), "left", "deep"),
    "thalamus": ((8, -16, 10), "right", "deep"),
    "superior colliculus": ((6, -30, -3), "right", "brainstem"),
    "white matter under the angular gyrus": ((38, -51, 30), "right", "parietal"),
    "temporal stem": ((43, -3, -15), "right", "temporal"),
    "white matter beside the trigone": ((31, -38, 23), "right", "parietal"),
}


@pytest.fixture(scope="module")
def brain() -> Warped:
    return warped_brain(seed=0)


@pytest.mark.parametrize(("seed", "grid"), [(1, 0), (2, 2), (3, 3)])
def test_a_warped_brain_comes_to_lie_where_it_belongs(seed: int, grid: int) -> None:
    scan = warped_brain(seed, grid)
    registration = register(scan.image)
    error = scan.error(registration.to_mni)
    assert error.mean() < 2.2 and np.percentile(error, 95) < 3.7
    assert 0.95 < registration.overlap <= 1


def test_the_same_scan_gives_the_same_bits_whatever_the_threads(brain: Warped) -> None:
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    registrations = []
    try:
        for threads in (1, 2, 2):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            registrations.append(register(brain.image))
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)
    assert len({registration.to_mni.tobytes() for registration in registrations}) == 1
    assert len({registration.overlap for registration in registrations}) == 1


@pytest.mark.parametrize("stored", ["RAS", "PIR", "LAI", "ASL"])
def test_left_stays_left_however_the_scan_is_stored(brain: Warped, stored: str) -> None:
    to_mni = register(sitk.DICOMOrient(brain.image, stored)).to_mni
    points = brain.points(300, seed=1)
    truth = brain.truth(points)
    sure = np.abs(truth[:, 0]) > 8
    placed = (points @ to_mni[:3, :3].T + to_mni[:3, 3])[sure]
    for place, point in zip(map(place_of, placed), truth[sure], strict=True):
        assert place.hemisphere == ("right" if point[0] > 0 else "left")


@pytest.mark.parametrize("tilt", [(-35, 0, 0), (0, 60, 0), (-35, 30, 40), (90, 0, 0)], ids=str)
def test_a_tilted_head_comes_to_lie_where_it_belongs(brain: Warped, tilt: tuple[int, int, int]) -> None:
    turn = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    image = sitk.Image(brain.image)
    image.SetDirection((turn @ np.reshape(image.GetDirection(), (3, 3))).ravel().tolist())
    image.SetOrigin((turn @ image.GetOrigin()).tolist())
    registration = register(sitk.DICOMOrient(image, "LPS"))
    to_mni = registration.to_mni.copy()
    to_mni[:3, :3] = to_mni[:3, :3] @ turn  # from where the head lay before
    assert np.percentile(brain.error(to_mni), 95) < 4
    assert registration.overlap > 0.95
    upright = register(brain.image)
    lean = Rotation.from_matrix(turn).magnitude() * 180 / np.pi
    assert upright.turn < 30 and abs(registration.turn - lean) < 30


def test_a_head_without_a_front_is_taken_to_be_upright(cohort: Path) -> None:
    for path in sorted(cohort.rglob("*_image_*.nii.gz"))[:3]:
        assert register(read_volume(path)).turn < 30


def _image(values: np.ndarray) -> sitk.Image:
    image = sitk.GetImageFromArray(values.astype(np.float32))
    image.SetSpacing((2.0, 2.0, 2.0))
    return image


def test_what_is_no_brain_is_refused() -> None:
    noise = np.random.default_rng(0).uniform(1, 2, (80, 100, 80))
    assert register(_image(noise)).overlap < 0.87
    small = np.zeros((80, 100, 80))
    small[30:40, 40:42, 40:41] = 1
    with pytest.raises(ValueError, match="registration to MNI failed"):
        register(_image(small))


def test_an_empty_scan_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        register(_image(np.zeros((20, 20, 20))))


@pytest.mark.parametrize("name", LANDMARKS)
def test_a_landmark_lies_where_anatomy_has_it(name: str) -> None:
    point, hemisphere, region = LANDMARKS[name]
    place = place_of(point)
    assert (place.hemisphere, place.region) == (hemisphere, region)
    assert 0 < place.confidence <= 1


def test_the_landmarks_are_not_the_atlas_itself() -> None:
    table = pd.read_csv(Path(bcbm.cohort.position.__file__).with_name("atlas.csv"))
    seeds = set(zip(table.x, table.y, table.z, strict=True))
    assert not seeds & {point for point, _, _ in LANDMARKS.values()}
    assert set(table.region) == set(REGIONS) - {"unknown"}
    assert not table.duplicated(["x", "y", "z"]).any() and (table.source != "").all()


def test_confidence_falls_towards_a_border_and_outside_is_answered() -> None:
    inside, border = place_of((44, 28, 30)), place_of((50, -17, 42))  # middle frontal; central sulcus
    assert inside.confidence > border.confidence
    assert place_of((-90, -120, 10)).region == "occipital"


def test_a_lesion_lies_where_most_of_it_does() -> None:
    """Its centre lies on a spur of the parietal lobe, most of it before the central sulcus."""
    centre = (-53, -5, 37)
    assert place_of(centre).region == "parietal"
    lesion = place_of(centre, np.diag([30.0, 50, 60]))
    assert (lesion.hemisphere, lesion.region) == ("left", "frontal")
    assert place_of(centre, np.eye(3) / 12) == place_of(centre)


def test_the_confidence_in_a_lesion_is_the_mean_over_its_points() -> None:
    inside, border = (44, 28, 30), (50, -17, 42)
    sizes = [place_of(inside, np.eye(3) * width**2).confidence for width in (0.3, 5, 15)]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] == pytest.approx(
        place_of(inside).confidence, abs=0.01
    )
    assert 0.4 < place_of(border, np.eye(3) * 100).confidence < sizes[1]


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("L-frontal-met", (-30, 40, 20)),
        ("L-met", (-30, -60, 45)),  # no region in the name
        ("frontal-met", (-30, 40, 20)),  # no side in it
        ("met", (30, -50, 41)),
        ("vermis-met", (7, -62, -24)),  # midline by name, a little to the right
        ("R-cerebellar-met", (2, -70, -30)),  # the other way round
    ],
)
def test_a_name_that_agrees_or_does_not_tell_raises_nothing(name: str, point: tuple[int, int, int]) -> None:
    assert disagreement(read_name(name), place_of(point), point) == ""


def test_a_contradiction_is_told_in_words() -> None:
    point = (32, -50, 41)
    text = disagreement(read_name("L-frontal-met"), place_of(point), point)
    assert all(fact in text for fact in ("left frontal", "right parietal", "MNI 32 -50 41"))
    side_only = disagreement(read_name("L-parietal-met"), place_of(point), point)
    assert "left parietal" in side_only and "right parietal" in side_only


def test_an_unsure_name_is_not_held_against_the_region() -> None:
    point = (32, -50, 41)
    unsure = NameReading("lesion", "right", "frontal", 0.4)
    assert disagreement(unsure, place_of(point), point) == ""


def test_the_synthetic_lesions_lie_where_their_names_say(cohort: Path) -> None:
    images = sorted(cohort.rglob("*_image_*.nii.gz"))[:3]
    checked = same_side = same_region = 0
    for path in images:
        to_mni = register(read_volume(path)).to_mni
        for mask_path in path.parent.glob("*_mask_*.nii.gz"):
            reading = read_name(mask_path.name.split("_mask_")[1].removesuffix(".nii.gz"))
            if reading.category != "lesion" or reading.confidence < 0.9:
                continue
            mask = read_volume(mask_path)
            index = np.argwhere(sitk.GetArrayViewFromImage(mask).T > 0.5).mean(0)
            centre = mask.TransformContinuousIndexToPhysicalPoint(index.tolist())
            place = place_of((to_mni @ [*centre, 1])[:3])
            assert place.hemisphere in HEMISPHERES
            checked += 1
            same_side += place.hemisphere == reading.hemisphere
            same_region += place.region == reading.region
    assert checked >= 3
    assert same_side == checked and same_region >= 0.75 * checked
