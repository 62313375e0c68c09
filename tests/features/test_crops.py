"""Crops: where voxels land, what a bad file costs, what is kept, made again or left by a killed call."""

import copy
import gzip
import os
import pickle
import signal
import subprocess
import sys
import time

import nibabel as nib
import numpy as np
import pytest

from bcbm.features import crops, files
from bcbm.features.crops import CropSettings, CropStore, prepare_crops
from bcbm.features.masks import read_mask
from bcbm.features.records import Study
from bcbm.features.volumes import read_volume

GRID = (20, 22, 18)
SETTINGS = CropSettings(size=9, spacing=1.0)


def save(path, values, spacing=(1.0, 1.0, 1.0), flip=(-1, -1, 1), turn=None):
    """A NIfTI file; `flip` (-1, -1, 1) is LPS storage."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(spacing) * flip)
    affine[:3, :3] = affine[:3, :3] if turn is None else turn @ affine[:3, :3]
    affine[:3, 3] = 7, -3, 11
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(nib.Nifti1Image(values.astype(np.float32), affine).to_bytes(), 1))
    return path


def brain(seed=0):
    return np.random.default_rng(seed).uniform(50, 60, GRID)


def box(*corner, edge=3):
    mask = np.zeros(GRID)
    mask[tuple(slice(start, start + edge) for start in corner)] = 1
    return mask


def study(folder, masks, image=None, name="S", **grid):
    """One study on disk."""
    path = save(folder / "image.nii.gz", brain() if image is None else image, **grid)
    return Study(path, {f"{name}/{n}": save(folder / f"{n}.nii.gz", m, **grid) for n, m in masks.items()})


def made(studies, folder, **changes):
    """The crops by lesion, and the problems."""
    settings = CropSettings(**{"size": 9, "spacing": 1.0, **changes})
    where, problems = prepare_crops(studies, folder / "kept", settings, jobs=1)
    store = CropStore(list(where.values()), settings.size)
    return {lesion: store[number] for number, lesion in enumerate(where)}, problems


def test_a_crop_is_image_and_mask_centred_on_the_lesion(tmp_path):
    cropped, problems = made([study(tmp_path, {"a": box(8, 10, 7)})], tmp_path)
    assert problems == [] and list(cropped) == ["S/a"]
    assert cropped["S/a"].shape == (2, 9, 9, 9) and cropped["S/a"].dtype == np.float16
    expected = np.zeros((9, 9, 9))
    expected[3:6, 3:6, 3:6] = 1
    np.testing.assert_array_equal(cropped["S/a"][1], expected)


@pytest.mark.parametrize("flip", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
def test_a_mark_to_the_left_back_top_stays_there_however_the_file_is_stored(tmp_path, flip):
    image = brain()
    lps = image[::-1, ::-1] if flip == (1, 1, 1) else image[::-1, :, ::-1] if flip[0] == 1 else image
    lps[11, 13, 9] = 1000  # x + 2 (left), y + 2 (back), z + 1 (up) of the centre; a view: changes `image`
    mask = box(8, 10, 7)
    mask = mask[::-1, ::-1] if flip == (1, 1, 1) else mask[::-1, :, ::-1] if flip[0] == 1 else mask
    cropped, _ = made([study(tmp_path, {"a": mask}, image, flip=flip)], tmp_path)
    assert np.unravel_index(cropped["S/a"][0].argmax(), (9, 9, 9)) == (4 + 1, 4 + 2, 4 + 2)


def test_anisotropic_spacing_becomes_cubic(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7, edge=4)}, spacing=(0.5, 0.5, 1.0))
    cropped, _ = made([lesions], tmp_path, size=16, spacing=0.5)
    mask = cropped["S/a"][1]
    extent = [np.ptp(np.flatnonzero(mask.any(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]
    assert extent[1:] == [4, 4] and extent[0] in (7, 8, 9)  # z, y, x: 4 mm, 2 mm, 2 mm


def test_an_oblique_scan_is_centred_too(tmp_path):
    c, s = np.cos(0.4), np.sin(0.4)
    lesions = study(tmp_path, {"a": box(8, 10, 7)}, turn=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    cropped, problems = made([lesions], tmp_path)
    assert problems == []
    centre = np.argwhere(cropped["S/a"][1] > 0).mean(axis=0)
    np.testing.assert_allclose(centre, [4, 4, 4], atol=0.1)


def test_beyond_the_volume_is_zero_and_the_brain_is_standardised(tmp_path):
    cropped, _ = made([study(tmp_path, {"a": box(0, 0, 0)})], tmp_path, size=31)
    assert not cropped["S/a"][:, 0].any()
    assert abs(cropped["S/a"][0].astype(float)).max() < 4


@pytest.mark.parametrize("flip", [(-1, -1, 1), (1, -1, -1)])
@pytest.mark.parametrize("place", [(8, 10, 7), (0, 17, 12)])
def test_the_part_that_is_cut_gives_what_the_volume_gives(tmp_path, flip, place):
    c, s = np.cos(0.3), np.sin(0.3)
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    lesions = study(tmp_path, {"a": box(*place, edge=5)}, flip=flip, turn=turn, spacing=(0.7, 1.1, 1.6))
    cropped, _ = made([lesions], tmp_path, size=7, spacing=0.9)
    image = read_volume(lesions.image)
    mask = read_mask(lesions.masks["S/a"], image)
    expected = crops.crop(crops.normalised(image), mask, CropSettings(7, 0.9))
    np.testing.assert_array_equal(cropped["S/a"][1], expected[1])
    np.testing.assert_allclose(cropped["S/a"][0], expected[0], atol=2e-3)


def test_intensities_are_scaled_inside_the_brain_as_asked(tmp_path):
    image = np.random.default_rng(0).gamma(2, 100, GRID)
    image[:, :, :9] = 0
    lesions = [study(tmp_path, {"a": box(8, 10, 10)}, image)]
    values = image[image > 0].astype(np.float32)
    low, high = np.percentile(values, [1, 99])
    scalings = {
        "zscore": lambda v: (v - values.mean()) / values.std(),
        "percentile": lambda v: np.clip((v - low) / (high - low), 0, 1),
        "none": lambda v: v,
    }
    raw = image[5:14, 7:16, 7:16].T
    for intensity, scaled in scalings.items():
        cropped, _ = made(lesions, tmp_path, intensity=intensity)
        np.testing.assert_allclose(cropped["S/a"][0], np.where(raw > 0, scaled(raw), 0), rtol=2e-3, atol=2e-3)


def test_an_intensity_that_float16_cannot_hold_is_a_problem(tmp_path):
    lesions = [study(tmp_path, {"a": box(8, 10, 7)}, brain() * 2000)]
    _, problems = made(lesions, tmp_path, intensity="none")
    assert "do not fit float16" in problems[0].found


@pytest.mark.parametrize("scale", [1e36, 1e-44])
def test_an_intensity_beyond_what_can_be_rescaled_is_a_problem(tmp_path, scale):
    """Of 1e36 the mean is infinite, of 1e-44 the deviation is 0: every voxel would be NaN."""
    _, problems = made([study(tmp_path, {"a": box(8, 10, 7)}, brain() * scale)], tmp_path)
    assert [problem.where for problem in problems] == ["S/a"] and "rescaled" in problems[0].found


def test_a_crop_with_a_voxel_that_is_not_finite_is_refused(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7)})
    image = read_volume(lesions.image)
    mask = read_mask(lesions.masks["S/a"], image)
    image[9, 11, 8] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        crops.crop(image, mask, SETTINGS)


@pytest.mark.parametrize("margin", [0.0, 1.0, 2.5])
def test_a_margin_in_mm_blanks_the_image_beyond_it_and_not_the_mask(tmp_path, margin):
    lesions = [study(tmp_path, {"a": box(8, 10, 7, edge=4)})]
    settings = {"size": 16, "spacing": 0.5, "intensity": "none"}
    whole, _ = made(lesions, tmp_path, **settings)
    cut, _ = made(lesions, tmp_path, margin=margin, **settings)
    inside = np.argwhere(whole["S/a"][1])
    points = np.indices((16, 16, 16)).reshape(3, -1).T
    distance = np.linalg.norm(points[:, None] - inside, axis=2).min(axis=1).reshape(16, 16, 16) * 0.5
    np.testing.assert_array_equal(cut["S/a"][0], np.where(distance <= margin, whole["S/a"][0], 0))
    np.testing.assert_array_equal(cut["S/a"][1], whole["S/a"][1])


def test_a_lesion_between_coarse_voxels_keeps_the_one_at_its_centre(tmp_path):
    cropped, _ = made(
        [study(tmp_path, {"a": box(8, 10, 7, edge=1)})], tmp_path, size=8, spacing=3.0, margin=1.0
    )
    assert np.argwhere(cropped["S/a"][1]).tolist() == [[4, 4, 4]] == np.argwhere(cropped["S/a"][0]).tolist()


def truncate(folder):
    path = folder / "b.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])


BAD = {
    "cannot be read": truncate,
    "another grid": lambda folder: save(folder / "b.nii.gz", box(8, 10, 7)[:-1]),
    "is empty": lambda folder: save(folder / "b.nii.gz", np.zeros(GRID)),
    "4 dimensions": lambda folder: save(folder / "b.nii.gz", np.zeros((*GRID, 2))),
}


@pytest.mark.parametrize("fact", BAD)
def test_a_bad_mask_is_one_problem_and_its_neighbours_survive(tmp_path, fact):
    lesions = study(tmp_path, {"a": box(8, 10, 7), "b": box(4, 4, 4), "c": box(12, 12, 9)})
    BAD[fact](tmp_path)
    cropped, problems = made([lesions], tmp_path)
    assert [problem.where for problem in problems] == ["S/b"]
    assert fact in problems[0].found and problems[0].remedy
    assert [crop[1].sum() for crop in cropped.values()] == [27, 27] and list(cropped) == ["S/a", "S/c"]


@pytest.mark.parametrize(
    "values", [np.zeros(GRID), np.full(GRID, 7), np.full(GRID, np.nan), np.ones((*GRID, 2))]
)
def test_a_bad_image_is_a_problem_of_each_of_its_lesions_only(tmp_path, values):
    bad = study(tmp_path / "bad", {"a": box(8, 10, 7), "b": box(4, 4, 4)})
    save(bad.image, values)
    good = study(tmp_path / "good", {"a": box(8, 10, 7)}, name="T")
    cropped, problems = made([bad, good], tmp_path)
    assert [problem.where for problem in problems] == ["S/a", "S/b"]
    assert list(cropped) == ["T/a"] and cropped["T/a"][1].sum() == 27


# what is kept


def test_a_changed_setting_or_file_makes_another_crop(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7)})

    def place(**changes):
        settings = CropSettings(**{"size": 9, "spacing": 1.0, **changes})
        return prepare_crops([lesions], tmp_path / "kept", settings, jobs=1)[0]["S/a"][0]

    first = place()
    places = {first, place(size=7), place(spacing=2.0), place(margin=3.0), place(intensity="percentile")}
    save(lesions.masks["S/a"], box(8, 10, 8))
    places.add(place())
    assert len(places) == 6 and first.is_file()


def refuse(*_):
    raise AssertionError("a volume was read")


def test_the_second_call_reads_no_volume(tmp_path, monkeypatch):
    lesions = [study(tmp_path, {"a": box(8, 10, 7), "b": np.zeros(GRID)})]
    first, problems = made(lesions, tmp_path)
    monkeypatch.setattr(files, "open_volume", refuse)
    again, same = made(lesions, tmp_path)
    np.testing.assert_array_equal(first["S/a"], again["S/a"])
    assert problems == same and len(same) == 1


def test_deleted_crops_are_made_again(tmp_path):
    lesions = [study(tmp_path, {"a": box(8, 10, 7)})]
    first, _ = made(lesions, tmp_path)
    for path in (tmp_path / "kept").glob("*.npy"):
        path.unlink()
    again, _ = made(lesions, tmp_path)
    np.testing.assert_array_equal(first["S/a"], again["S/a"])


def test_a_file_damaged_in_the_middle_is_read_again_once_it_is_whole(tmp_path):
    lesions = study(tmp_path, {"a": brain() - 55})  # noise: does not pack
    content = lesions.masks["S/a"].read_bytes()
    half = len(content) // 2
    lesions.masks["S/a"].write_bytes(content[:half] + bytes(9) + content[half + 9 :])
    assert "cannot be read" in made([lesions], tmp_path)[1][0].found
    lesions.masks["S/a"].write_bytes(content)
    assert made([lesions], tmp_path)[1] == []


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_nothing_that_passes_for_crops(tmp_path, monkeypatch, error):
    lesions = [study(tmp_path, {"a": box(8, 10, 7)})]

    def interrupt(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(crops, "crop", interrupt)
        with pytest.raises(error):
            made(lesions, tmp_path)
    assert not list((tmp_path / "kept").iterdir())
    assert made(lesions, tmp_path)[0]["S/a"][1].sum() == 27


CHILD = """
import pickle, resource, sys, time
from bcbm.features import crops

studies, folder, settings, jobs, hang = pickle.load(sys.stdin.buffer)
done, crop = [], crops.crop

def rest(*_):
    done.append(1)
    while len(done) >= hang:
        time.sleep(1)

def crop_and_rest(*given):
    rest()
    return crop(*given)

progress = None
if isinstance(hang, str):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(hang), int(hang)))
elif hang > 1:
    crops.crop = crop_and_rest
elif hang == 1:
    progress = rest
crops.prepare_crops(studies, folder, settings, jobs=jobs, progress=progress)
"""


def child(studies, folder, jobs, hang):
    """`prepare_crops` in a process of its own: it rests after its first study (hang 1) or before the crop
    number `hang`; or its files may only have so many bytes (a text)."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # its workers die with it, as when the machine does
    )
    process.stdin.write(pickle.dumps((studies, folder, SETTINGS, jobs, hang)))
    process.stdin.close()
    return process


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize(
    ("jobs", "hang", "sign", "records"), [(1, 1, "*.json", 1), (2, 1, "*.json", 3), (1, 5, ".*.partial", 1)]
)
def test_a_killed_call_is_gone_on_with_and_ends_the_same(tmp_path, jobs, hang, sign, records):
    masks = {name: box(place, 9, 7) for name, place in zip("abc", (3, 8, 12), strict=True)}
    studies = [study(tmp_path / name, masks, brain(i), name) for i, name in enumerate("STU")]
    prepare_crops(studies, tmp_path / "unbroken", SETTINGS, jobs=1)
    expected = content(tmp_path / "unbroken")

    folder = tmp_path / "broken"
    process = child(studies, folder, jobs, hang)
    while not list(folder.glob(sign)) or (sign != "*.json" and not list(folder.glob("*.json"))):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    before = content(folder)
    assert 1 <= sum(name.endswith(".json") for name in before) <= records
    assert before.items() <= expected.items()

    for partial in folder.glob(".*.partial"):
        os.utime(partial, (0, 0))  # long ago
    prepare_crops(studies, folder, SETTINGS, jobs=1)
    assert content(folder) == expected and not list(folder.glob(".*"))


def test_a_full_disk_is_an_error_and_leaves_nothing_half(tmp_path):
    studies = [study(tmp_path, {name: box(8, 10, 7) for name in "abc"})]
    process = child(studies, tmp_path / "kept", 1, "5000")  # the array has 8876 bytes
    assert process.wait() == 1 and b"OSError" in process.stderr.read()
    assert not list((tmp_path / "kept").iterdir())


# the store


def stored(folder, count=4):
    studies = [study(folder / str(i), {"a": box(8, 10, 7)}, brain(i), str(i)) for i in range(count)]
    where, _ = prepare_crops(studies, folder / "kept", SETTINGS, jobs=1)
    return CropStore(list(where.values()), SETTINGS.size)


def test_a_pickled_store_is_its_places_and_not_its_data(tmp_path):
    store = stored(tmp_path)
    expected = [np.array(store[i]) for i in range(len(store))]
    assert len(pickle.dumps(store)) < expected[0].nbytes / 4
    same = copy.copy(store)  # by way of what is pickled
    assert store.maps and not same.maps
    np.testing.assert_array_equal([same[i] for i in range(4)], expected)


def test_a_lesion_without_a_crop_reads_as_zeros(tmp_path):
    places = stored(tmp_path, 1).where
    store = CropStore([*places, None], SETTINGS.size)
    assert store[1].shape == store[0].shape and store[1].dtype == store[0].dtype and not store[1].any()


def test_a_crop_is_a_read_only_piece_of_the_map(tmp_path):
    crop = stored(tmp_path, 1)[0]
    assert type(crop) is np.ndarray and not crop.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        crop[:] = 0


def test_more_studies_than_files_may_be_open_are_read(tmp_path, monkeypatch):
    store = stored(tmp_path)
    monkeypatch.setattr(crops, "OPEN", 2)
    expected = [np.array(np.load(path)[row]) for path, row in store.where]
    for number in (0, 1, 2, 3, 0, 3, 1):
        np.testing.assert_array_equal(store[number], expected[number])
        assert len(store.maps) <= 2


def test_no_voxel_is_invented_where_the_lesion_is_not(tmp_path):
    """Two lesions drawn together: nothing of them lies in a small cube between them."""
    lesions = study(tmp_path, {"a": box(1, 10, 7) + box(16, 10, 7)})
    cropped, problems = made([lesions], tmp_path, size=8)
    assert cropped == {} and "features.crop_size" in problems[0].found


def test_a_thin_lesion_between_coarse_voxels_has_those_that_hold_it(tmp_path):
    plate = np.zeros(GRID)
    plate[4:13, 5:14, 9] = 1
    cropped, _ = made([study(tmp_path, {"a": plate})], tmp_path, size=8, spacing=3.0)
    mask = cropped["S/a"][1]
    assert mask.sum() in (9, 12, 16) and np.ptp(np.argwhere(mask)[:, 0]) == 0


def test_the_one_voxel_of_a_tiny_lesion_lies_in_it(tmp_path):
    """A ring smaller than a voxel of the cube: its centroid lies beside it."""
    ring = np.zeros(GRID)
    ring[8, 10:13, 7] = ring[8:11, 10, 7] = 1
    cropped, _ = made([study(tmp_path, {"a": ring})], tmp_path, size=8, spacing=4.0, margin=0.0)
    assert cropped["S/a"][1].sum() == 1
