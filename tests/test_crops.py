"""Crops and preparation: where voxels land, what a bad file costs, what is kept and what is made again."""

import gzip
import io
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bcbm.cohort.problems import InputError
from bcbm.cohort.tcia import IMAGE_FOLDER
from bcbm.config import compose
from bcbm.features import crops
from bcbm.features.crops import prepare_crops
from bcbm.prepare import prepare

GRID = (20, 22, 18)


def save(path, values, spacing=(1.0, 1.0, 1.0), flip=(-1, -1, 1), turn=None):
    """A NIfTI file; `flip` (-1, -1, 1) is LPS storage."""
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array(spacing) * flip)
    affine[:3, :3] = affine[:3, :3] if turn is None else turn @ affine[:3, :3]
    affine[:3, 3] = 7, -3, 11
    path.write_bytes(gzip.compress(nib.Nifti1Image(values.astype(np.float32), affine).to_bytes(), 1))
    return str(path)


def brain(seed=0):
    return np.random.default_rng(seed).uniform(50, 60, GRID)


def box(*corner, edge=3):
    mask = np.zeros(GRID)
    mask[tuple(slice(start, start + edge) for start in corner)] = 1
    return mask


def study(folder, masks, image=None, **grid):
    """One study on disk as rows for `prepare_crops`."""
    path = save(folder / "image.nii.gz", brain() if image is None else image, **grid)
    rows = [(f"S/{n}", "S", path, save(folder / f"{n}.nii.gz", m, **grid)) for n, m in masks.items()]
    return pd.DataFrame(rows, columns=["lesion_id", "study_id", "image_path", "mask_path"])


def made(lesions, folder, **changes):
    settings = {"size": 9, "spacing": 1.0, "jobs": 1, **changes}
    store, index, problems = prepare_crops(lesions, folder, **settings)
    return np.load(store), index.set_index("lesion_id")["crop"], problems


def test_a_crop_is_image_and_mask_centred_on_the_lesion(tmp_path):
    array, index, problems = made(study(tmp_path, {"a": box(8, 10, 7)}), tmp_path)
    assert array.shape == (1, 2, 9, 9, 9) and array.dtype == np.float16 and problems == []
    expected = np.zeros((9, 9, 9))
    expected[3:6, 3:6, 3:6] = 1
    np.testing.assert_array_equal(array[index["S/a"], 1], expected)


@pytest.mark.parametrize("flip", [(-1, -1, 1), (1, 1, 1), (1, -1, -1)])
def test_a_mark_to_the_left_back_top_stays_there_however_the_file_is_stored(tmp_path, flip):
    image = brain()
    lps = image[::-1, ::-1] if flip == (1, 1, 1) else image[::-1, :, ::-1] if flip[0] == 1 else image
    lps[11, 13, 9] = 1000  # x + 2 (left), y + 2 (back), z + 1 (up) of the centre; a view: changes `image`
    mask = box(8, 10, 7)
    mask = mask[::-1, ::-1] if flip == (1, 1, 1) else mask[::-1, :, ::-1] if flip[0] == 1 else mask
    array, _, _ = made(study(tmp_path, {"a": mask}, image, flip=flip), tmp_path)
    assert np.unravel_index(array[0, 0].argmax(), (9, 9, 9)) == (4 + 1, 4 + 2, 4 + 2)


def test_anisotropic_spacing_becomes_cubic(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7, edge=4)}, spacing=(0.5, 0.5, 1.0))
    array, _, _ = made(lesions, tmp_path, size=16, spacing=0.5)
    extent = [np.ptp(np.flatnonzero(array[0, 1].any(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]
    assert extent[1:] == [4, 4] and extent[0] in (7, 8, 9)  # z, y, x: 4 mm, 2 mm, 2 mm


def test_an_oblique_scan_is_centred_too(tmp_path):
    c, s = np.cos(0.4), np.sin(0.4)
    lesions = study(tmp_path, {"a": box(8, 10, 7)}, turn=np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]))
    array, _, problems = made(lesions, tmp_path)
    assert problems == []
    centre = np.argwhere(array[0, 1] > 0).mean(axis=0)
    np.testing.assert_allclose(centre, [4, 4, 4], atol=0.1)


def test_beyond_the_volume_is_zero_and_the_brain_is_standardised(tmp_path):
    array, _, _ = made(study(tmp_path, {"a": box(0, 0, 0)}), tmp_path, size=31)
    assert not array[0, :, 0].any()
    inside = array[0, 0].astype(float)
    assert abs(inside).max() < 4


def truncate(folder):
    path = folder / "b.nii.gz"
    path.write_bytes(path.read_bytes()[:-40])


BAD = {
    "cannot be read": truncate,
    "another grid": lambda folder: save(folder / "b.nii.gz", box(8, 10, 7)[:-1]),
    "is empty": lambda folder: save(folder / "b.nii.gz", np.zeros(GRID)),
    "4 dimensions": lambda folder: save(folder / "b.nii.gz", np.zeros((*GRID, 2))),
}


@pytest.mark.parametrize("found", BAD)
def test_a_bad_mask_is_one_problem_and_its_neighbours_survive(tmp_path, found):
    lesions = study(tmp_path, {"a": box(8, 10, 7), "b": box(4, 4, 4), "c": box(12, 12, 9)})
    BAD[found](tmp_path)
    array, index, problems = made(lesions, tmp_path)
    assert [problem.where for problem in problems] == ["S/b"]
    assert found in problems[0].found and problems[0].remedy
    assert index["S/b"] == -1
    assert array[index["S/a"], 1].sum() == array[index["S/c"], 1].sum() == 27


@pytest.mark.parametrize(
    "values", [np.zeros(GRID), np.full(GRID, 7), np.full(GRID, np.nan), np.ones((*GRID, 2))]
)
def test_a_bad_image_is_a_problem_of_each_of_its_lesions_only(tmp_path, values):
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    bad = study(tmp_path / "bad", {"a": box(8, 10, 7), "b": box(4, 4, 4)})
    save(tmp_path / "bad" / "image.nii.gz", values)
    good = study(tmp_path / "good", {"a": box(8, 10, 7)}).assign(lesion_id="T/a", study_id="T")
    array, index, problems = made(pd.concat([bad, good]), tmp_path)
    assert [problem.where for problem in problems] == ["S/a", "S/b"]
    assert array[index["T/a"], 1].sum() == 27


def test_a_changed_setting_or_file_makes_another_store(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7)})

    def store(**changes):
        return prepare_crops(lesions, tmp_path, **{"size": 9, "spacing": 1.0, "jobs": 1, **changes})[0]

    first = store()
    stores = {first, store(size=7), store(spacing=2.0)}
    save(tmp_path / "a.nii.gz", box(8, 10, 8))
    stores.add(store())
    assert len(stores) == 4 and first.is_file()


def refuse(*_):
    raise AssertionError("a volume was read")


def test_the_second_call_reads_no_volume(tmp_path, monkeypatch):
    lesions = study(tmp_path, {"a": box(8, 10, 7), "b": np.zeros(GRID)})
    first, _, problems = made(lesions, tmp_path)
    monkeypatch.setattr(crops.sitk, "ReadImage", refuse)
    again, _, same = made(lesions, tmp_path)
    np.testing.assert_array_equal(first, again)
    assert problems == same and len(same) == 1


def test_a_deleted_store_is_made_again(tmp_path):
    lesions = study(tmp_path, {"a": box(8, 10, 7)})
    store, _, _ = prepare_crops(lesions, tmp_path, size=9, spacing=1.0, jobs=1)
    store.unlink()
    assert made(lesions, tmp_path)[0].any()


@pytest.mark.parametrize("where", ["crop", "to_parquet"])
def test_an_interruption_leaves_nothing_that_passes_for_a_store(tmp_path, monkeypatch, where):
    lesions = study(tmp_path, {"a": box(8, 10, 7)})

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crops if where == "crop" else pd.DataFrame, where, interrupt)
        with pytest.raises(KeyboardInterrupt):
            made(lesions, tmp_path)
    assert not list(tmp_path.glob("crops-*.parquet")) and not list(tmp_path.glob(".crops-*"))
    array, index, problems = made(lesions, tmp_path)
    assert array[index["S/a"], 1].sum() == 27 and problems == []


# the whole preparation


def prepared(root, folder, *words):
    console = Console(file=io.StringIO(), width=200)
    base = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", "features.crop_size=8"]
    return prepare(compose([*base, *words]), console), console.file.getvalue()


@pytest.fixture
def broken(cohort, tmp_path):
    """The cohort with one empty mask and one truncated mask, both of lesions that enter: root, lesion ids."""
    root = shutil.copytree(cohort, tmp_path / "broken")
    masks = sorted((root / IMAGE_FOLDER).rglob("*_mask_*-tumor*.nii.gz"))
    masks = [mask for mask in masks if "margin" not in mask.name and mask.parent.name.endswith("-0")]
    empty, cut = masks[0], masks[-1]
    image = nib.load(empty)
    values = np.zeros(image.shape, np.float32)
    empty.write_bytes(gzip.compress(nib.Nifti1Image(values, image.affine).to_bytes(), 1))
    cut.write_bytes(cut.read_bytes()[:-200])
    return root, [
        f"{m.parent.name}/{m.name.split('_mask_')[1].removesuffix('.nii.gz')}" for m in (empty, cut)
    ]


def test_what_enters_has_crop_radiomics_and_label(cohort, tmp_path):
    lesions, text = prepared(cohort, tmp_path)
    assert "problem" not in text and "analysed" in text
    store = np.load(lesions.crops, mmap_mode="r")
    assert lesions.radiomics.shape == (len(lesions.entering), 107)
    assert np.isfinite(lesions.radiomics).all()
    assert store[lesions.entering["crop"].to_numpy(), 1].any(axis=(1, 2, 3)).all()
    assert lesions.entering["reason"].eq("").all()


def test_bad_files_are_excluded_with_reasons_and_reported(broken, tmp_path):
    root, bad = broken
    lesions, text = prepared(root, tmp_path / "out")
    reasons = lesions.table.set_index("lesion_id")["reason"]
    assert "is empty" in reasons[bad[0]] and "cannot be read" in reasons[bad[1]]
    assert not set(bad) & set(lesions.entering["lesion_id"])
    assert text.count("problem ") == 2 and all(lesion in text for lesion in bad)


def test_strict_stops_with_every_problem(broken, tmp_path):
    root, bad = broken
    with pytest.raises(InputError) as caught:
        prepared(root, tmp_path / "out", "cohort.strict=true")
    assert sorted(problem.where for problem in caught.value.problems) == sorted(bad)


@pytest.mark.parametrize(
    "words", [["task.modalities=[image]"], ["task.modalities=[radiomics]", "features.radiomics=extract"]]
)
def test_a_cohort_without_images_says_what_to_switch(table_cohort, tmp_path, words):
    with pytest.raises(InputError, match="has no images") as caught:
        prepared(table_cohort, tmp_path, *words)
    assert "task.modalities=[radiomics,position]" in str(caught.value)


def test_the_tables_alone_need_no_crop(table_cohort, tmp_path):
    lesions, _ = prepared(table_cohort, tmp_path, "task.modalities=[radiomics,position]")
    assert lesions.crops is None and lesions.radiomics.shape == (len(lesions.entering), 107)
    lesions, _ = prepared(table_cohort, tmp_path, "task.modalities=[position]")
    assert lesions.radiomics is None


def test_nothing_left_to_analyse_is_said(cohort, tmp_path):
    root = shutil.copytree(cohort, tmp_path / "empty")
    for mask in root.rglob("*_mask_*"):
        mask.unlink()
    with pytest.raises(InputError, match="no lesion is left"):
        prepared(root, tmp_path / "out")


def test_extraction_is_kept_and_follows_the_categories(cohort, tmp_path, monkeypatch):
    asked = []

    def extract(studies, jobs, progress):
        names = [lesion for _, masks in studies for lesion in masks]
        asked.append(names)
        values = pd.DataFrame(
            np.ones((len(names), 107)), columns=list(FEATURES), index=pd.Index(names, dtype=str)
        )
        return values, {}

    from bcbm import prepare as module
    from bcbm.features.radiomics import FEATURES

    monkeypatch.setattr(module, "extract_cohort", extract)
    words = ["task.modalities=[radiomics]", "features.radiomics=extract"]
    few, _ = prepared(cohort, tmp_path, *words)
    prepared(cohort, tmp_path, *words)
    assert len(asked) == 1
    more, _ = prepared(cohort, tmp_path, *words, "cohort.categories=[lesion,target,retreatment,margin]")
    assert len(asked) == 2 and not set(asked[0]) & set(asked[1])
    assert len(more.entering) == len(few.entering) + len(asked[1])


def test_a_failed_extraction_is_one_problem_and_the_reason(broken, tmp_path):
    root, bad = broken
    words = ["task.modalities=[radiomics]", "features.radiomics=extract"]
    lesions, text = prepared(root, tmp_path / "out", *words)
    reasons = lesions.table.set_index("lesion_id")["reason"]
    assert reasons[bad[0]].startswith("radiomics failed")
    assert text.count(f"problem {bad[0]}") == 1
