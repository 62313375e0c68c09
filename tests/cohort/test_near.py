"""Copies within rounding: clones with noise, rounded or blanked in part are linked, real lesions are not."""

import io
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from downloads import P
from rich.console import Console
from scipy.spatial.distance import pdist, squareform

from bcbm.cohort.duplicates import content_of
from bcbm.cohort.formats.tcia import CLINICAL_WORKBOOK, IMAGE_FOLDER, RADIOMICS_WORKBOOK, read_download
from bcbm.cohort.leaks import LeakError, check_leak
from bcbm.cohort.near import near_features, near_pairs
from bcbm.cohort.table import build_table, settle
from bcbm.config.compose import compose
from bcbm.features.fingerprints import near_fingerprints
from bcbm.preparation.prepare import prepare


def noisy(values, rng):
    return values * (1 + 1e-6 * rng.normal(size=values.shape))


def rounded(values, rng):
    digits = 3 - np.floor(np.log10(np.abs(values) + 1e-300)) - 1
    return np.round(values * 10.0**digits) / 10.0**digits


def blanked(values, rng):
    values = noisy(values, rng)
    values[:, 5] = np.nan
    return values


def cloned(root, change, patients, session=None):
    """The download in `root` with lesions of the first patients again: of a new patient, or in a session."""
    download = read_download(root)
    rng = np.random.default_rng(0)
    names = sorted(set(download.studies["patient_id"]))[:patients]
    studies = download.studies[download.studies["patient_id"].isin(names)]
    studies = studies[studies["study_id"].str.endswith("-0")]
    rows = download.segmentations["study_id"].isin(studies["study_id"])
    segmentations, features = download.segmentations[rows].copy(), download.features[rows].copy()
    features[:] = change(features.to_numpy(float), rng)
    number = studies["study_id"].str.extract(r"-(\d+)-0$")[0]
    other = number if session else (number.astype(int) + 900).astype(str)
    names = dict(zip(studies["study_id"], f"{P}-" + other + f"-{session or 0}", strict=True))
    segmentations["study_id"] = segmentations["study_id"].map(names)
    studies = studies.assign(study_id=studies["study_id"].map(names), patient_id=f"{P}-" + other)
    download.segmentations = pd.concat([download.segmentations, segmentations], ignore_index=True)
    download.features = pd.concat([download.features, features], ignore_index=True)
    download.studies = pd.concat([download.studies, studies], ignore_index=True)
    return download, set(segmentations["study_id"] + "/" + segmentations["name"])


@pytest.mark.parametrize("change", [noisy, rounded, blanked])
def test_clones_of_another_patient_enter_as_little_as_exact_ones(table_cohort, change):
    download, clones = cloned(table_cohort, change, patients=8)
    table, features, problems = build_table(download)
    exact = pd.Series(content_of(table, features))
    assert not exact[table["lesion_id"].isin(clones)].isin(exact[~table["lesion_id"].isin(clones)]).any()
    assert problems == []
    owners = table.groupby("content")["patient_id"].nunique()
    assert owners[table.loc[table["lesion_id"].isin(clones), "content"]].eq(2).all()
    entered = ~table["excluded"]
    parts = {"train": np.flatnonzero(table["lesion_id"].isin(clones) & entered)}
    parts |= {"validation": np.array([], int), "test": np.flatnonzero(~table["lesion_id"].isin(clones))}
    with pytest.raises(LeakError):
        check_leak(table, parts, leaky=False)
    foreign = settle(table, "lesions+targets", None)
    assert {problem.kind for problem in foreign} == {"same content in two patients"}
    assert not set(table.loc[~table["excluded"], "lesion_id"]) & clones
    shared = table.loc[table["lesion_id"].isin(clones), "content"]
    assert table.loc[table["content"].isin(shared), "excluded"].all()  # the originals too
    assert table.loc[~table["excluded"], "patient_id"].nunique() >= 40 - 8 - 1  # one has no label


def test_clones_in_another_session_of_the_patient_stand_for_one_lesion(table_cohort):
    download, clones = cloned(table_cohort, noisy, patients=8, session=9)
    table, _, _ = build_table(download)
    assert settle(table, "lesions+targets", None) == []
    linked = table[table["lesion_id"].isin(clones) & (table["duplicate_of"] != "")]
    assert set(linked["lesion_id"]) == clones
    assert not set(table.loc[~table["excluded"], "lesion_id"]) & clones


def test_no_lesion_of_the_invented_cohort_is_near_another(table_cohort, cohort):
    for root in (table_cohort, cohort):
        table, features, _ = build_table(read_download(root))
        assert table["content"].tolist() == content_of(table, features)


def test_no_lesion_of_the_real_table_is_near_another(shared):
    table, features, _ = build_table(read_download(shared / "bcbm-radiogenomics"))
    assert table["content"].tolist() == content_of(table, features)


def test_few_features_agree_by_chance_and_make_no_copies():
    values = np.random.default_rng(0).normal(size=(2000, 19))
    values[1] = values[0]
    assert list(near_features(values)) == []
    wide = np.random.default_rng(0).normal(size=(2000, 20))
    wide[1] = wide[0] + 1e-6
    assert list(near_features(wide)) == [(0, 1)]


def test_rows_that_lack_different_features_are_compared_by_what_both_have():
    values = np.random.default_rng(0).normal(size=(50, 40))
    values[7] = values[3]
    values[7, :4] = np.nan
    assert list(near_features(values)) == [(3, 7)]
    values[11] = values[10]
    values[11, 4:] += 1  # agrees in the features that 7 lacks, and in no other
    assert list(near_features(values)) == [(3, 7)]


def test_near_pairs_are_those_of_all_distances():
    rng = np.random.default_rng(1)
    points = rng.normal(size=(700, 12)) * np.linspace(3, 0.1, 12)
    distances = squareform(pdist(points))
    radius = float(np.quantile(distances[np.triu_indices(700, 1)], 0.002))
    expected = set(zip(*np.nonzero(np.triu(distances <= radius, 1)), strict=True))
    assert len(expected) > 400
    assert set(near_pairs(points, radius)) == expected


def test_brightness_and_contrast_make_no_other_crop():
    prints = np.random.default_rng(2).normal(size=(30, 8, 8, 8))
    prints[9] = 3 * prints[4] + 7 + np.random.default_rng(3).normal(0, 0.02, (8, 8, 8))
    prints[20] = prints[21] = 5.0  # no contrast: like no other
    assert list(near_fingerprints(prints)) == [(4, 9)]


@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_a_mirror_image_is_the_same_crop_and_a_symmetric_one_no_copy_of_itself(axes):
    prints = np.random.default_rng(2).normal(size=(30, 8, 8, 8))
    prints[9] = 2 * np.flip(prints[4], axes) + 1
    prints[12] += np.flip(prints[12], axes)
    assert set(near_fingerprints(prints)) == {(4, 9)}


@pytest.fixture
def rescanned(cohort, tmp_path):
    """Three studies of the cohort, and the first again as another patient's, brighter and with noise: ids."""
    root = tmp_path / "cohort"
    clinical = pd.read_excel(cohort / CLINICAL_WORKBOOK[0], dtype=object, keep_default_na=False)
    labelled = clinical["ID"].str.endswith("-0") & (clinical["HER2"] != "")
    study, *others = clinical.loc[labelled, "ID"].head(3)
    other = f"{P}-77-0"
    kept = clinical[clinical["ID"].isin([study, *others])]
    clinical = pd.concat([kept, kept[kept["ID"] == study].assign(ID=other)])
    radiomics = pd.read_excel(cohort / RADIOMICS_WORKBOOK[0], dtype=object, keep_default_na=False)
    radiomics = radiomics[radiomics["FilenamePrefix"].isin([study, *others])]
    root.mkdir()
    for frame, (name, sheet) in ((clinical, CLINICAL_WORKBOOK), (radiomics, RADIOMICS_WORKBOOK)):
        frame.to_excel(root / name, sheet_name=sheet, index=False)
    for name in (study, *others):
        shutil.copytree(cohort / IMAGE_FOLDER / name, root / IMAGE_FOLDER / name)
    (root / IMAGE_FOLDER / other).mkdir()
    rng = np.random.default_rng(0)
    for path in (root / IMAGE_FOLDER / study).iterdir():
        volume = nib.load(path)
        values = np.asarray(volume.dataobj).astype(np.float32)
        if "_image_" in path.name:
            values = np.where(values > 0, values * (1.2 + 0.01 * rng.normal(size=values.shape)), 0)
        copy = root / IMAGE_FOLDER / other / path.name.replace(study, other)
        nib.save(nib.Nifti1Image(values.astype(np.float32), volume.affine), copy)
    return root, study, other


def prepared(root, folder, *words):
    words = [f"cohort.root={root}", f"prepared.root={folder}", "prepared.jobs=1", *words]
    return prepare(compose(words), Console(file=io.StringIO())).table


def test_a_scan_with_noise_under_another_patient_is_known_by_its_crops(rescanned, tmp_path):
    root, study, other = rescanned
    crops = ("features.crop_size=16", "features.crop_spacing=2", "task.modalities=[image,position]")
    table = prepared(root, tmp_path / "out", *crops)
    lesions = table[table["study_id"].isin([study, other]) & (table["category"] == "lesion")]
    assert lesions["study_id"].nunique() == 2 and lesions["excluded"].all()
    assert lesions.groupby("content")["patient_id"].nunique().eq(2).all()
    rest = table[~table["study_id"].isin([study, other])]
    assert rest["patient_id"].nunique() == 2 and not rest["content"].duplicated().any()


def test_a_mirrored_study_under_another_patient_is_known_by_its_crops(rescanned, tmp_path):
    root, study, other = rescanned
    for path in (root / IMAGE_FOLDER / study).iterdir():
        volume = nib.load(path)
        mirrored = nib.Nifti1Image(np.asarray(volume.dataobj)[::-1], volume.affine)
        nib.save(mirrored, root / IMAGE_FOLDER / other / path.name.replace(study, other))
    crops = ("features.crop_size=20", "features.crop_spacing=2", "task.modalities=[image]")
    table = prepared(root, tmp_path / "out", "cohort.position=name", *crops)
    lesions = table[table["study_id"].isin([study, other]) & (table["category"] == "lesion")]
    assert lesions["study_id"].nunique() == 2 and lesions["excluded"].all()
    rest = table[~table["study_id"].isin([study, other])]
    assert rest["patient_id"].nunique() == 2 and not rest["content"].duplicated().any()


def test_a_scan_that_was_packed_again_is_known_by_what_is_extracted(rescanned, tmp_path):
    root, study, other = rescanned
    for path in (root / IMAGE_FOLDER / study).glob("*_image_*"):
        volume = nib.load(path)  # the same values, other bytes
        values = np.asarray(volume.dataobj).astype(np.float32) * np.float32(1 + 1e-6)
        nib.save(
            nib.Nifti1Image(values, volume.affine),
            root / IMAGE_FOLDER / other / path.name.replace(study, other),
        )
    table = prepared(root, tmp_path / "out", "features.radiomics=extract", "task.modalities=[radiomics]")
    lesions = table[table["study_id"].isin([study, other]) & (table["category"] == "lesion")]
    assert lesions.groupby("content")["patient_id"].nunique().eq(2).all() and lesions["excluded"].all()
    assert not table.loc[~table["study_id"].isin([study, other]), "content"].duplicated().any()
