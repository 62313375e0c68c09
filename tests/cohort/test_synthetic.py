"""The synthetic cohort: the real layout, the same bytes, a known ceiling, signals where they were planted."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from bcbm.cohort.phantom import REGION_BOXES, render
from bcbm.cohort.synthetic import GENERATOR, IMAGES, draw_labels, draw_patients, write_cohort
from bcbm.features.radiomics import FEATURES, extract_cohort

CLINICAL = [
    "ID",
    "Age",
    "Year",
    "Pixel Spacing",
    "Manufacturer",
    "Magnetic Field Strength ID",
    "Sex",
    "ER",
    "PR",
]


def serial(studies: list[tuple[Path, dict[str, Path]]]) -> tuple[pd.DataFrame, dict[str, str]]:
    return extract_cohort(studies, jobs=1)


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(f.relative_to(root)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def write(root: Path, *, patients: int = 6, images: bool = True, signal: float = 1.0, seed: int = 3) -> Path:
    write_cohort(root, patients=patients, signal=signal, images=images, seed=seed, extract=serial, jobs=1)
    return root


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("synthetic") / "cohort")


def sheets(root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    features = pd.read_excel(root / "BCBM-RadioGenomic_Radiomics_Data.xlsx", sheet_name="merged_orig")
    clinical = pd.read_excel(root / "BCBM-RadioGenomics-Clinical-data.xlsx", sheet_name="Clinical+Genetics")
    return features, clinical


def test_layout_is_that_of_the_download(cohort: Path) -> None:
    features, clinical = sheets(cohort)
    assert list(features.columns) == ["FilenamePrefix", "Segmentation_Name", *FEATURES]
    assert " ER" in clinical.columns and [c.strip() for c in clinical.columns] == [*CLINICAL, "HER2"]
    assert not features[list(FEATURES)].isna().any().any()
    assert set(clinical[" ER"].dropna()) <= {"+", "-"}
    folders = {path.name for path in (cohort / IMAGES).iterdir()}
    assert folders == set(clinical["ID"]) == set(features["FilenamePrefix"])
    expected = {f"{s}_{m}.nii.gz" for s, m in features.iloc[:, :2].itertuples(index=False)}
    expected |= {f"{s}_image_ss_n4.nii.gz" for s in folders}
    assert {path.name for path in (cohort / IMAGES).rglob("*.nii.gz")} == expected


def test_volumes_are_lps_with_binary_float_masks(cohort: Path) -> None:
    study = next((cohort / IMAGES).iterdir())
    image = nib.load(study / f"{study.name}_image_ss_n4.nii.gz")
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S") and image.get_data_dtype() == np.int16
    assert np.allclose(image.header.get_zooms(), (1.5, 1.5, 2))
    for path in study.glob("*_mask_*"):
        mask = nib.load(path)
        assert mask.get_data_dtype() == np.float32 and set(np.unique(mask.get_fdata())) == {0.0, 1.0}
        assert np.isnan(mask.header["scl_slope"])


def test_same_seed_writes_the_same_bytes(cohort: Path, tmp_path: Path) -> None:
    assert digest(cohort) == digest(write(tmp_path / "again"))


def test_an_examination_is_published_twice(cohort: Path) -> None:
    twin = next(p for p in draw_patients(6, 3) if p.twin)
    first, second = (
        {name.replace(study, ""): hash_ for name, hash_ in digest(cohort / IMAGES / study).items()}
        for study in twin.studies()[-2:]
    )
    assert first == second
    features, _ = sheets(cohort)
    a, b = (features[features["FilenamePrefix"] == s].iloc[:, 1:].to_numpy() for s in twin.studies()[-2:])
    assert (a == b).all()


def test_a_full_folder_is_refused_and_no_partial_one_is_left(cohort: Path, tmp_path: Path) -> None:
    with pytest.raises(FileExistsError, match="not empty"):
        write(cohort)

    def broken(studies: list[tuple[Path, dict[str, Path]]]) -> tuple[pd.DataFrame, dict[str, str]]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path / "c", patients=6, signal=1, images=False, seed=0, extract=broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("images", [True, False])
def test_best_auroc_is_high_with_signal_and_a_half_without(images: bool) -> None:
    ceilings = []
    for seed in range(4):
        hidden = np.array([patient.hidden() for patient in draw_patients(120, seed)])
        _, labels, best = draw_labels(hidden, 1.0, seed, images)
        ceilings.append(list(best.values()))
        assert (np.abs(np.nanmean(labels, axis=0) - 0.5) < 0.2).all()
        assert np.isnan(labels).all(axis=1).any()
        assert set(draw_labels(hidden, 0.0, seed, images)[2].values()) == {0.5}
    assert 0.88 < np.mean(ceilings) < 0.99 and (np.mean(ceilings, axis=0) > 0.88).all()
    assert all(0.88 <= value <= 0.99 for value in ceilings[0])  # the default cohort


def test_lesions_lie_apart_and_where_their_region_says() -> None:
    for patient in draw_patients(30, 0):
        lesions = [blob for blob in patient.blobs if blob.kind == "lesion"]
        for n, blob in enumerate(lesions):
            assert all(other.level(blob.surface(1.0)).min() > 1 for other in lesions[:n])
            assert blob.score in {score for score, *_ in REGION_BOXES.values()}
            side = 1 if blob.name.lower().startswith("l") else -1
            assert blob.name.startswith("Plan") or blob.centre[0] * side > 0  # x grows to the patient's left
        assert len({blob.name for blob in patient.blobs}) == len(patient.blobs)


def test_radiomics_reads_the_elongation(cohort: Path) -> None:
    features, _ = sheets(cohort)
    features.index = (
        features["FilenamePrefix"] + "/" + features["Segmentation_Name"].str.removeprefix("mask_")
    )
    lesions = {
        f"{patient.studies()[0]}/{blob.name}": blob
        for patient in draw_patients(6, 3)
        for blob in patient.blobs
        if blob.kind == "lesion"
    }
    elongation = features.loc[list(lesions), "original_shape_Elongation"]
    values = np.array([blob.shape for blob in lesions.values()])
    assert np.corrcoef(elongation, values)[0, 1] < -0.9


def test_the_ring_leaves_every_voxel_under_the_mask_alone() -> None:
    patient = next(p for p in draw_patients(6, 3) if len(p.blobs) == 1)
    plain = replace(patient, blobs=[replace(patient.blobs[0], ring=0.0)])
    (image, masks), (flat, _) = render(patient, 0), render(plain, 0)
    changed, mask = image != flat, masks[patient.blobs[0].name]
    assert changed.sum() > 100 and not (changed & mask).any()
    assert not changed[flat == 0].any()


def test_table_only_cohort_has_workbooks_and_no_images(tmp_path: Path) -> None:
    root = write(tmp_path / "tables", patients=60, images=False, seed=0)
    assert sorted(path.suffix for path in root.iterdir()) == [".json", ".xlsx", ".xlsx"]
    features, clinical = sheets(root)
    assert (
        list(features.columns[2:]) == list(FEATURES) and features["FilenamePrefix"].isin(clinical["ID"]).all()
    )
    assert (features.filter(like="shape") > 0).all().all()
    truth = json.loads((root / "cohort.json").read_text())
    assert truth["generator"] == GENERATOR
    assert truth["seed"] == 0 and len(truth["probability"]) == 60 and not truth["images"]
    assert all(0.88 <= value <= 0.99 for value in truth["best"].values())


def test_the_second_site_has_other_patients_fewer_positives_and_another_scanner(tmp_path: Path) -> None:
    first, second = (draw_patients(200, 3, site) for site in (1, 2))
    places = [{tuple(blob.centre) for patient in site for blob in patient.blobs} for site in (first, second)]
    assert len(places[0] & places[1]) <= 3, "the fixed structures alone"
    shares = [
        np.nanmean(draw_labels(np.array([p.hidden() for p in site]), 1.0, 3, True, number)[1])
        for number, site in enumerate((first, second), start=1)
    ]
    assert shares[1] < shares[0] - 0.1
    contrasts = []
    for site in (first, second):
        patient = next(p for p in site if len(p.blobs) == 1)
        image, masks = render(patient, 0)
        (mask,) = (mask for name, mask in masks.items() if name == patient.blobs[0].name)
        assert image.shape == patient.scanner.grid
        size = mask.sum() * patient.scanner.spacing.prod()
        assert size == pytest.approx(4 / 3 * np.pi * patient.blobs[0].radius ** 3, rel=0.1)
        contrasts.append(image[mask].mean() / np.median(image[image > 0]))
    assert contrasts[0] > 1.35 and 1 < contrasts[1] < 1.6
    write_cohort(tmp_path / "two", patients=4, signal=1, images=False, seed=3, extract=serial, site=2)
    assert json.loads((tmp_path / "two" / "cohort.json").read_text())["site"] == 2
    _, clinical = sheets(tmp_path / "two")
    assert set(clinical["Pixel Spacing"]) == {"1.2\\1.2"}
