"""Radiomics: reference values, crop equals volume, failures stay with their lesion."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk

from bcbm.features.radiomics import FEATURES, _extractor, extract_cohort, extract_lesion, extract_study

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"reference data not there: {SHARED}")


def volume(rng: np.random.Generator) -> tuple[sitk.Image, sitk.Image]:
    """A noisy image and an ellipsoid mask, 40 x 36 x 30 voxels of 1 x 1 x 2 mm."""
    z, y, x = np.mgrid[:30, :36, :40]
    inside = ((z - 14) / 4) ** 2 + ((y - 17) / 5) ** 2 + ((x - 25) / 7) ** 2 <= 1
    image = sitk.GetImageFromArray(rng.normal(300, 60, inside.shape).astype(np.float32))
    mask = sitk.GetImageFromArray(inside.astype(np.float32))
    for each in (image, mask):
        each.SetSpacing((1.0, 1.0, 2.0))
    return image, mask


def test_names_are_the_107_of_the_workbook_in_its_order() -> None:
    families = [name.split("_")[1] for name in FEATURES]
    counts = {family: families.count(family) for family in dict.fromkeys(families)}
    assert counts == {
        "shape": 14,
        "firstorder": 18,
        "glcm": 24,
        "gldm": 14,
        "glrlm": 16,
        "glszm": 16,
        "ngtdm": 5,
    }
    if SHARED.is_dir():
        book = SHARED / "bcbm-radiogenomics" / "BCBM-RadioGenomic_Radiomics_Data.xlsx"
        assert list(pd.read_excel(book, nrows=1).columns[2:]) == list(FEATURES)


@needs_shared
def test_reference_values_of_pyradiomics_are_reproduced() -> None:
    folder = SHARED / "pyradiomics"
    reference = pd.read_csv(folder / "brain1_baseline.csv", index_col="feature")["value"]
    values = extract_lesion(
        sitk.ReadImage(str(folder / "brain1_image.nrrd")),
        sitk.ReadImage(str(folder / "brain1_label.nrrd")),
        {"binWidth": 25, "voxelArrayShift": 2000},
    )
    error = pd.Series({n: abs(values[n] / float(reference[n]) - 1) for n in FEATURES})
    loose = error[error > 1e-6]
    assert len(loose) <= 4 and all("_shape_" in name for name in loose.index) and error.max() < 1e-3


def test_crop_gives_the_values_of_the_full_volume() -> None:
    image, mask = volume(np.random.default_rng(0))
    full = _extractor({}).execute(image, sitk.Cast(mask > 0.5, sitk.sitkUInt8), label=1)
    assert extract_lesion(image, mask) == {name: float(full[name]) for name in FEATURES}


@pytest.mark.parametrize(
    ("voxels", "word"), [([], "empty"), ([(5, 5, 5)], "single voxel"), ([(5, 5, 5), (5, 5, 6)], "dimensions")]
)
def test_impossible_masks_are_refused_in_words(voxels: list[tuple[int, int, int]], word: str) -> None:
    image, _ = volume(np.random.default_rng(0))
    mask = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    mask.CopyInformation(image)
    for voxel in voxels:
        mask[voxel] = 1
    with pytest.raises(ValueError, match=word):
        extract_lesion(image, mask)


def test_mask_of_another_grid_is_refused() -> None:
    image, mask = volume(np.random.default_rng(0))
    mask.SetSpacing((1.0, 1.0, 1.0))
    with pytest.raises(ValueError, match="another grid"):
        extract_lesion(image, mask)


def test_a_failing_lesion_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    image, mask = volume(np.random.default_rng(0))
    dot = mask * 0
    dot[3, 3, 3] = 1.0
    for name, each in {"image": image, "good": mask, "dot": dot}.items():
        sitk.WriteImage(each, str(tmp_path / f"{name}.nii.gz"))
    paths = {"dot": tmp_path / "dot.nii.gz", "good": tmp_path / "good.nii.gz"}
    values, failures = extract_study(tmp_path / "image.nii.gz", paths)
    assert list(values) == ["good"] and "single voxel" in failures["dot"]

    seen: list[int] = []
    studies = [
        (tmp_path / "image.nii.gz", paths),
        (tmp_path / "image.nii.gz", {"again": paths["good"]}),
        (tmp_path / "gone.nii.gz", {"lost": paths["good"]}),
    ]
    table, failures = extract_cohort(studies, jobs=1, progress=seen.append)
    assert list(table.index) == ["good", "again"] and tuple(table.columns) == FEATURES
    assert (table.loc["good"] == table.loc["again"]).all() and seen == [2, 1, 1]
    assert set(failures) == {"dot", "lost"} and "gone.nii.gz" in failures["lost"]


@pytest.mark.parametrize("cut", ["image", "mask"])
def test_a_truncated_file_gives_no_features(tmp_path: Path, cut: str) -> None:
    paths = {name: tmp_path / f"{name}.nii.gz" for name in ("image", "mask")}
    for path, each in zip(paths.values(), volume(np.random.default_rng(0)), strict=True):
        sitk.WriteImage(each, str(path))
    assert list(extract_study(paths["image"], {"a": paths["mask"]})[0]) == ["a"]
    paths[cut].write_bytes(paths[cut].read_bytes()[:-20])
    values, failures = extract_study(paths["image"], {"a": paths["mask"]})
    assert values == {} and f"{cut}.nii.gz cannot be read" in failures["a"]


def test_no_studies_give_an_empty_table_with_all_columns() -> None:
    table, failures = extract_cohort([], jobs=1)
    assert table.shape == (0, 107) and table.index.name == "lesion_id" and failures == {}
