"""Radiomics: reference values, crop equals volume, failures stay with their lesion, what is kept."""

import gzip
from pathlib import Path
from typing import Any, get_args

import joblib
import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import SimpleITK as sitk
from radiomics import featureextractor

from bcbm.features import files, radiomics
from bcbm.features.geometry import require_same_grid
from bcbm.features.radiomics import (
    DIAMETERS,
    FEATURES,
    Axes,
    compare_radiomics,
    differing_lesions,
    extract_cohort,
    extract_lesion,
    provenance,
)
from bcbm.features.volumes import UnreadableError, open_volume, read_stored

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"reference data not there: {SHARED}")


def volume(rng: np.random.Generator) -> tuple[sitk.Image, sitk.Image]:
    """A noisy image and an ellipsoid mask, 40 x 36 x 30 voxels of 1 x 1 x 2 mm."""
    z, y, x = np.mgrid[:30, :36, :40]
    inside = ((z - 14) / 4) ** 2 + ((y - 17) / 5) ** 2 + ((x - 25) / 7) ** 2 <= 1
    image = sitk.GetImageFromArray(rng.normal(300, 60, inside.shape).astype(np.float32))
    mask = sitk.GetImageFromArray(inside.astype(np.float32))
    for stored in (image, mask):
        stored.SetSpacing((1.0, 1.0, 2.0))
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
    inside = sitk.Cast(mask > 0.5, sitk.sitkUInt8)
    full = featureextractor.RadiomicsFeatureExtractor().execute(image, inside, label=1)
    assert extract_lesion(image, mask) == {name: float(full[name]) for name in FEATURES}


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_grey_levels_up_to_the_end_of_the_images_type_are_counted_as_they_are(kind: type[np.integer]) -> None:
    image, mask = volume(np.random.default_rng(0))
    values, top = sitk.GetArrayFromImage(image), int(np.iinfo(kind).max)
    values = top - 255 + (np.clip((values - 120) / 360, 0, 1) * 255).round()
    if kind is np.int16:
        values[14, 17, 20:30] = 0  # a lesion that spans more than half of what the type holds
    narrow, wide = (sitk.GetImageFromArray(values.astype(dtype)) for dtype in (kind, np.float64))
    for stored in (narrow, wide):
        stored.CopyInformation(image)
    assert extract_lesion(narrow, mask) == pytest.approx(extract_lesion(wide, mask), rel=1e-9)


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


def saved(folder: Path, **volumes: sitk.Image) -> dict[str, Path]:
    """Each as a compressed NIfTI file."""
    paths = {name: folder / f"{name}.nii.gz" for name in volumes}
    for name, image in volumes.items():
        sitk.WriteImage(image, str(paths[name]))
    return paths


@pytest.fixture
def study(tmp_path: Path) -> dict[str, Path]:
    """An image, a good mask, and one of a single voxel."""
    image, mask = volume(np.random.default_rng(0))
    dot = mask * 0
    dot[3, 3, 3] = 1.0
    return saved(tmp_path, image=image, good=mask, dot=dot)


def test_a_failing_lesion_leaves_its_neighbours_alone(study: dict[str, Path], tmp_path: Path) -> None:
    seen: list[int] = []
    studies = [
        (study["image"], {"dot": study["dot"], "good": study["good"]}),
        (study["image"], {"again": study["good"]}),
        (tmp_path / "gone.nii.gz", {"lost": study["good"]}),
    ]
    table, failures = extract_cohort(studies, jobs=1, progress=seen.append)
    assert list(table.index) == ["good", "again"] and tuple(table.columns) == FEATURES
    assert (table.loc["good"] == table.loc["again"]).all() and seen == [2, 1, 1]
    assert list(failures) == ["dot", "lost"]
    assert "single voxel" in failures["dot"] and "gone.nii.gz" in failures["lost"]


@pytest.mark.parametrize("error", [IndexError("odd"), ZeroDivisionError("odd"), RuntimeError("a\nodd")])
def test_whatever_pyradiomics_raises_is_the_lesions_failure(
    study: dict[str, Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(featureextractor.RadiomicsFeatureExtractor, "execute", fail)
    table, failures = extract_cohort([(study["image"], {"a": study["good"]})], jobs=1)
    assert table.empty and failures == {"a": "good.nii.gz: odd"}


@pytest.mark.parametrize("error", [MemoryError(), OSError("no space")])
def test_what_the_machine_lacks_is_no_failure_of_the_lesion(
    study: dict[str, Path], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(featureextractor.RadiomicsFeatureExtractor, "execute", fail)
    with pytest.raises(type(error)):
        extract_cohort([(study["image"], {"a": study["good"]})], jobs=1)


@pytest.mark.parametrize("cut", ["image", "good"])
@pytest.mark.parametrize("damage", ["end", "middle"])
def test_a_damaged_file_gives_no_features_until_it_is_whole(
    study: dict[str, Path], tmp_path: Path, cut: str, damage: str
) -> None:
    def extract() -> tuple[pd.DataFrame, dict[str, str]]:
        studies = [(study["image"], {"a": study["good"]})]
        return extract_cohort(studies, jobs=1, folder=tmp_path / "kept")

    content = study[cut].read_bytes()
    half = len(content) // 2
    bad = content[:-20] if damage == "end" else content[:half] + bytes(9) + content[half + 9 :]
    study[cut].write_bytes(bad)
    table, failures = extract()
    assert table.empty and f"{cut}.nii.gz cannot be read" in failures["a"]
    study[cut].write_bytes(content)  # damaged in the middle: same size, same checksum on file
    assert list(extract()[0].index) == ["a"]


def test_no_studies_give_an_empty_table_with_all_columns() -> None:
    table, failures = extract_cohort([], jobs=1)
    assert table.shape == (0, 107) and table.index.name == "lesion_id" and failures == {}


def test_a_mask_whose_grid_is_rounded_counts_as_on_the_images() -> None:
    image, mask = volume(np.random.default_rng(0))
    expected = extract_lesion(image, mask)
    mask.SetOrigin((4e-4, 0, 0))
    assert extract_lesion(image, mask) == expected


@pytest.mark.parametrize("stored", ["PIR", "SAL", "RAI"])
def test_features_do_not_depend_on_how_a_file_is_stored(stored: str) -> None:
    image, mask = volume(np.random.default_rng(0))
    expected = pd.Series(extract_lesion(image, mask))
    image, mask = (sitk.DICOMOrient(each, stored) for each in (image, mask))
    apart = (pd.Series(extract_lesion(image, mask)) / expected - 1).abs()
    assert apart.max() < 1e-9
    along_the_file = (pd.Series(extract_lesion(image, mask, axes="stored")) / expected - 1).abs()
    differing = set(along_the_file.index[along_the_file > 0.01])
    assert differing <= set(DIAMETERS) and bool(differing) == (stored != "RAI")


def test_records_of_other_axes_are_not_read(study: dict[str, Path], tmp_path: Path) -> None:
    for name in ("image", "good"):
        sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(study[name])), "PIR"), str(study[name]))
    studies = [(study["image"], {"a": study["good"]})]
    patient, stored = (
        extract_cohort(studies, jobs=1, folder=tmp_path / "kept", axes=axes)[0] for axes in get_args(Axes)
    )
    assert (patient[DIAMETERS] != stored[DIAMETERS]).any(axis=None)


def test_lesions_that_differ_are_listed_with_their_worst_feature() -> None:
    names = [f"S/L{i}" for i in range(4)]
    book = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 107)), index=names, columns=list(FEATURES))
    own = book.iloc[::-1].copy()
    own.loc["S/L1", FEATURES[40]] *= 1.3
    own.loc["S/L1", FEATURES[50]] *= 1.1
    own.loc["S/L2", DIAMETERS[0]] *= 1.01
    own.loc["S/L3"] *= 1 + 1e-5  # another compiler
    own.loc["S/L0", FEATURES[7]] = np.nan
    table = differing_lesions(book, own)
    assert table.index.tolist() == ["S/L1", "S/L2"]
    assert table["features"].tolist() == [2, 1] and table["diameters"].tolist() == [False, True]
    assert table.loc["S/L1", "feature"] == FEATURES[40]
    assert table.loc["S/L1", "largest_difference"] == pytest.approx(0.3 / 1.3)
    assert differing_lesions(book, own.iloc[:0]).empty


def test_what_is_kept_is_read_and_settings_and_files_have_their_own(
    study: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extract(**settings: object) -> tuple[pd.DataFrame, dict[str, str]]:
        studies = [(study["image"], {"a": study["good"], "b": study["dot"]})]
        return extract_cohort(studies, jobs=1, folder=tmp_path / "kept", settings=settings)

    first, failures = extract()
    coarse, _ = extract(binWidth=50)
    name = "original_firstorder_Entropy"
    assert coarse.loc["a", name] < first.loc["a", name]
    with monkeypatch.context() as patch:
        patch.setattr(files, "open_volume", None)
        again, same = extract()
        pd.testing.assert_frame_equal(again, first, check_exact=True)
        assert same == failures and extract(binWidth=50)[0].equals(coarse)
    image, mask = volume(np.random.default_rng(1))
    saved(tmp_path, image=image)
    assert extract()[0].loc["a"].to_dict() == extract_lesion(image, mask)


def test_a_volume_is_opened_as_itk_reads_it(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 100, (7, 6, 5))
    affine = np.array([[-0.5, 0.1, 0, 7], [0.1, 0.5, 0, -3], [0, 0, 1.5, 11], [0, 0, 0, 1]])
    files = {
        str(kind): nib.Nifti1Image(values.astype(kind), affine) for kind in ("u1", "i2", "f4", "f8", "u2")
    }
    files["extended"] = nib.Nifti1Image(values.astype("i2"), affine)
    files["extended"].header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"here"))
    files["five"] = nib.Nifti1Image(values.astype("i2")[..., None, None], affine)
    files["big"] = nib.Nifti1Image(values.astype(">i2"), affine, nib.Nifti1Header(endianness=">"))
    for name, slope, intercept in (("scaled", 2, 1), ("zero", 0, 1), ("none", np.nan, np.nan)):
        files[name] = nib.Nifti1Image(values.astype("i2"), affine)
        files[name].header["scl_slope"], files[name].header["scl_inter"] = slope, intercept
    for name, file in files.items():
        path = tmp_path / f"{name}.nii.gz"
        header = file.header.copy()
        content = bytearray(file.to_bytes())
        if name in ("scaled", "zero", "none"):  # what nibabel does not write
            content[112:120] = np.array([header["scl_slope"], header["scl_inter"]], "<f4").tobytes()
        path.write_bytes(gzip.compress(content + bytes(3)))
        opened, expected = open_volume(path), read_stored(path)
        np.testing.assert_array_equal(opened.values, sitk.GetArrayViewFromImage(expected), err_msg=name)
        part, same = opened.part([1, 2, 3], [4, 3, 2]), expected[1:5, 2:5, 3:5]
        assert part.GetPixelID() == same.GetPixelID() and part.GetSize() == same.GetSize()
        require_same_grid(part, same)
        for value in ("GetOrigin", "GetSpacing", "GetDirection", "GetSize"):
            assert getattr(opened.grid, value)() == getattr(expected, value)()
    path.write_bytes(gzip.compress(files["i2"].to_bytes()[:-8]))
    with pytest.raises(UnreadableError, match="fewer voxels"):
        open_volume(path)
    path.write_bytes(gzip.compress(files["i2"].to_bytes()[:100]))
    with pytest.raises(UnreadableError, match=path.name):
        open_volume(path)


# cropping under every setting


SETTINGS: list[dict[str, Any]] = [
    {"normalize": True, "normalizeScale": 100, "removeOutliers": 3},
    {"resampledPixelSpacing": [1, 1, 1]},
    {"resampledPixelSpacing": [1, 1, 1], "interpolator": "sitkLinear"},  # halves: ties
    {"resampledPixelSpacing": [0, 0, 1.3], "padDistance": 9, "binWidth": 10},
    {"resampledPixelSpacing": [0.7] * 3, "normalize": True, "normalizeScale": 100, "binWidth": 5},
    {"preCrop": True, "resegmentRange": [-2, 2], "resegmentMode": "sigma", "binCount": 16},
]
GRIDS = [
    ((80, 74, 50), (0.5, 0.5, 1.0)),
    ((71, 65, 33), (0.9375, 0.9375, 1.5)),
    ((99, 37, 22), (0.43, 0.43, 3)),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(("shape", "spacing"), GRIDS)
def test_settings_see_the_full_volume(
    settings: dict[str, Any], shape: tuple[int, int, int], spacing: tuple[float, float, float]
) -> None:
    rng = np.random.default_rng(0)
    turn = sitk.Euler3DTransform((0, 0, 0), 0.37, -0.2, 0.5).GetMatrix()
    x, y, z = np.indices(shape)
    for kind, oblique, place, radius in (
        (np.float32, False, 0.5, 2.2),
        (np.int16, True, 0.02, 4.0),
        (np.float32, True, 0.9, 6.0),
    ):
        axes = zip((x, y, z), shape, spacing, strict=True)
        inside = sum(((axis - place * count) * step) ** 2 for axis, count, step in axes) <= radius**2
        image = sitk.GetImageFromArray(rng.normal(300, 60, shape).astype(kind).T)
        mask = sitk.GetImageFromArray(np.asarray(inside, np.uint8).T)
        for stored in (image, mask):
            stored.SetSpacing(spacing)
            stored.SetOrigin((-101.3, 77.77, -12.1))
            stored.SetDirection(turn if oblique else np.eye(3).ravel().tolist())
        full = featureextractor.RadiomicsFeatureExtractor(**settings).execute(image, mask, label=1)
        expected = np.array([float(full[name]) for name in FEATURES])
        np.testing.assert_allclose(list(extract_lesion(image, mask, settings).values()), expected, rtol=1e-9)


# other machines, other tables


def test_dask_workers_give_the_same_values(study: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(radiomics, "FEW", 0)
    studies = [(study["image"], {name: study["good"], f"{name}/dot": study["dot"]}) for name in "ab"]
    expected, failures = extract_cohort(studies, jobs=1)
    seen: list[int] = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config(backend="dask"),
    ):
        table, same = extract_cohort(studies, progress=seen.append)
    pd.testing.assert_frame_equal(table, expected, check_exact=True)
    assert same == failures and seen == [2, 2]


def test_the_comparison_says_where_and_how_far_tables_differ() -> None:
    rng = np.random.default_rng(0)
    names = [f"L{i}" for i in range(10)]
    book = pd.DataFrame(rng.normal(size=(10, 107)), index=names, columns=list(FEATURES))
    ours = book.iloc[::-1].drop("L9")
    same, shifted, missing, constant, zero = FEATURES[:5]
    ours[shifted] *= 1 + 1e-3 * (ours.index == "L0")
    ours.loc[["L1", "L2"], missing] = np.nan
    ours[constant] = book[constant] = 7.0
    ours[zero] = book[zero] = 0.0
    table = compare_radiomics(book, ours)
    assert list(table.index) == list(FEATURES)
    assert table.loc[same].tolist() == [9, 1, 0, 0, pytest.approx(1)]
    assert table.loc[shifted, "within_1e-6"] == pytest.approx(8 / 9)
    assert table.loc[shifted, "largest_difference"] == pytest.approx(1e-3, rel=1e-2)
    assert table.loc[missing, "lesions"] == 7
    assert table.loc[constant, "within_1e-6"] == table.loc[zero, "within_1e-6"] == 1
    assert np.isnan(table.loc[constant, "correlation"])
    assert len(compare_radiomics(book, ours.iloc[:0])) == 107


def test_provenance_names_settings_library_and_version() -> None:
    source = provenance({"binWidth": 10})
    assert source["settings"] == '{"binWidth": 10}' and source["library"] == "pyradiomics-bhklab"
    assert source["version"][0].isdigit() and provenance()["settings"] == "{}"
