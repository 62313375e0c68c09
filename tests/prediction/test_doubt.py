"""Patients who are unlike those of the training are told, and those who are like them are left alone."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load, save
from scipy.ndimage import gaussian_filter, shift
from sklearn.covariance import LedoitWolf

from bcbm.features.appearance import APPEARANCE, INTENSITIES, measure_appearance
from bcbm.features.records import Study
from bcbm.prediction.doubt import MEASURES, doubt_from, fit_doubt, fit_reference
from bcbm.preparation.lesions import Lesions

WIDTH = 24  # radiomics of drawn lesions
SIZE = 36  # voxels of a head
GRID = np.indices((SIZE,) * 3) - (SIZE - 1) / 2


def lesions_of(table, **values):
    """Lesions of a table, with what else is known of them."""
    table = table.reset_index(drop=True)
    return Lesions(table, table, values, np.ones((len(table), 1)), "", None)


def drawn(patients, seed, moved=0.0):
    """Patients of one to six lesions: radiomics of few causes, that of a patient alike, and scanners."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    own = rng.normal(size=(patients, 8))[owner] + rng.normal(size=(len(owner), 8))
    causes = np.random.default_rng(99).normal(size=(8, WIDTH))
    radiomics = 3 + 0.3 * (own @ causes + rng.normal(size=(len(owner), WIDTH))) + moved
    table = pd.DataFrame({"patient_id": [f"P{number}" for number in owner]})
    table["volume"] = np.exp(rng.normal(7, 1.5, len(owner)))
    table["manufacturer"] = rng.choice(["GE", "Siemens", "Philips"], patients, p=[0.6, 0.3, 0.1])[owner]
    return lesions_of(table, radiomics=np.expm1(radiomics))


def seen(lesions, seed):
    """What two networks see in them, and the rows that each was trained on and tested on."""
    rng, count = np.random.default_rng(seed), len(lesions.entering)
    features = np.maximum(rng.normal(size=(2, count, 6)), 0)
    halves = np.array_split(np.arange(count), 2)
    return [(features[0], halves[0], halves[1]), (features[1], halves[1], halves[0])]


def judged(doubt, lesions, seed):
    return doubt.judged(lesions, [features for features, *_ in seen(lesions, seed)])


def test_of_patients_like_those_of_the_training_one_in_twenty_at_most_is_called_unlike():
    alike, foreign = [], []
    for seed in range(4):
        training = drawn(60, seed)
        doubt = fit_doubt(training, seen(training, seed))
        doubt = doubt_from(load(save(doubt.arrays)), doubt.kinds)
        table = judged(doubt, drawn(100, 1000 + seed), 1000 + seed)
        assert list(table) == ["radiomics", "volume", "scanner", "encoder", "doubt", "odd"]
        alike.append((table["odd"] != "").mean())
        moved = np.random.default_rng(seed).normal(size=WIDTH)
        table = judged(doubt, drawn(100, 2000 + seed, moved), 2000 + seed)
        foreign.append(table["odd"].str.contains(MEASURES["radiomics"]).mean())
    assert np.mean(alike) <= 0.05 and np.mean(foreign) > 0.95


def scanned(patients, rng):
    """Patients of one to six lesions, all that is told of them but radiomics; few are far from the others."""
    owner = np.repeat(np.arange(patients), rng.integers(1, 7, patients))
    table = pd.DataFrame({"patient_id": [f"P{number}" for number in owner]})
    table["volume"] = np.exp(7 + 1.5 * rng.standard_t(3, len(owner)))
    table["manufacturer"] = rng.choice(["GE", "Siemens", "Philips"], patients, p=[0.6, 0.3, 0.1])[owner]
    table["mni_overlap"] = (0.9 + 0.02 * rng.standard_t(3, patients))[owner]
    appearance = rng.standard_t(3, (patients, len(APPEARANCE)))[owner]
    return lesions_of(table, appearance=appearance + 0.3 * rng.standard_t(3, (len(owner), len(APPEARANCE))))


def test_several_measures_together_call_no_more_than_one_in_twenty_unlike():
    """Of 1,600 patients of 20 cohorts; 6 % where a patient's own score had a part in the scale of it."""
    called = []
    for seed in range(20):
        rng = np.random.default_rng([seed, 0])
        doubt = fit_doubt(scanned(45, rng), [])
        table = doubt.judged(scanned(80, rng), [])
        assert list(table)[:5] == ["intensities", "geometry", "volume", "registration", "scanner"]
        called.append((table["odd"] != "").mean())
    assert 0.01 < np.mean(called) <= 0.05


def test_of_few_training_patients_nobody_is_called_unlike_them():
    doubt = fit_doubt(drawn(18, 0), [])
    assert not doubt.judged(drawn(50, 1, moved=9.0), [])["odd"].any()


def test_an_unknown_measure_and_an_unknown_scanner_are_told_apart():
    doubt = fit_doubt(drawn(60, 0), [])
    new = drawn(4, 1).entering
    new["manufacturer"] = new["patient_id"].map({"P0": "", "P1": "Fonar"}).fillna("GE")
    table = doubt.judged(lesions_of(new), [])
    assert table["radiomics"].isna().all() and table["scanner"].isna().tolist() == [True, False, False, False]
    assert table.loc["P1", "scanner"] == 1 and table.loc["P2", "scanner"] < 0.9


def test_a_distance_is_that_of_mahalanobis_under_the_covariance_of_ledoit_and_wolf():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(40, 12)) @ rng.normal(size=(12, 12))
    reference = fit_reference(vectors, pd.Series(range(40)))
    standard = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    known = LedoitWolf(assume_centered=True).fit(standard)
    assert reference.shrinkage == pytest.approx(known.shrinkage_)
    expected = np.log(np.sqrt(known.mahalanobis(standard) / 12))
    assert reference.distance(vectors) == pytest.approx(expected)
    # A patient weighs the same with its lesion written once and ten times.
    often = np.concatenate([vectors, np.repeat(vectors[:1], 9, axis=0)])
    owners = pd.Series([*range(40), *[0] * 9])
    assert fit_reference(often, owners).mean == pytest.approx(reference.mean)


def head(rng):
    """A brain of two tissues with a lesion that takes up contrast, and the lesion; in units of a scanner."""
    radii = SIZE * rng.uniform(0.36, 0.42, 3)
    brain = (GRID**2 / radii[:, None, None, None] ** 2).sum(axis=0) < 1
    texture = gaussian_filter(rng.normal(size=brain.shape), 2)
    values = np.where(texture > 0, 1.0, 0.75)
    centre = rng.uniform(-5, 5, 3)[:, None, None, None]
    lesion = ((GRID - centre) ** 2).sum(axis=0) < rng.uniform(2, 4) ** 2
    values = gaussian_filter(np.where(lesion, rng.uniform(1.5, 1.8), values), 0.6)
    values = values + rng.normal(0, 0.03, brain.shape)
    return np.where(brain, np.maximum(values, 0.01) * 400 * np.exp(rng.normal(0, 0.3)), 0), lesion


def written(folder, name, values, lesion, spacing):
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    for kind, array in (("image", values.astype(np.float32)), ("mask", lesion.astype(np.uint8))):
        nib.save(nib.Nifti1Image(array, affine), folder / f"{name}_{kind}.nii.gz")
    return Study(folder / f"{name}_image.nii.gz", {name: folder / f"{name}_mask.nii.gz"})


def looked_at(folder, studies):
    numbers = measure_appearance(studies, folder / "appearance", 1)
    names = [name for study in studies for name in study.masks]
    table = pd.DataFrame({"patient_id": names, "volume": 100.0})
    return lesions_of(table, appearance=np.stack([numbers[name] for name in names]))


DAMAGES = {
    "another contrast": lambda values, lesion, rng: np.where(values > 0, values.max() * 1.05 - values, 0),
    "motion": lambda values, lesion, rng: np.where(
        values > 0, np.mean([shift(values, (0, step, 0), order=1) for step in (-3, -1, 0, 2, 4)], axis=0), 0
    ),
    "no contrast": lambda values, lesion, rng: np.where(
        lesion & (values > 0), np.median(values[values > 0]), values
    ),
    "a cube of noise": lambda values, lesion, rng: rng.uniform(1, 500, values.shape),
}


def test_other_contrast_motion_spacing_a_head_without_contrast_and_noise_are_called_unlike(tmp_path):
    rng = np.random.default_rng(0)
    heads = [(*head(rng), rng.uniform(3.6, 4.4)) for _ in range(60)]
    studies = [written(tmp_path, f"T{number}", *each) for number, each in enumerate(heads[:40])]
    training = looked_at(tmp_path, studies)
    doubt = fit_doubt(training, [])
    alike = [written(tmp_path, f"N{number}", *each) for number, each in enumerate(heads[40:])]
    table = doubt.judged(looked_at(tmp_path, alike), [])
    assert (table["odd"] != "").sum() <= 3  # of 20; the rule itself is counted above
    for name, damage in DAMAGES.items():
        changed = [
            written(tmp_path, f"{name}{number}", damage(values, lesion, rng), lesion, spacing)
            for number, (values, lesion, spacing) in enumerate(heads[40:43])
        ]
        odd = doubt.judged(looked_at(tmp_path, changed), [])["odd"]
        assert odd.str.contains(MEASURES["intensities"]).all(), name
    values, lesion, spacing = heads[40]
    wrong = [written(tmp_path, "spacing", values, lesion, 2 * spacing)]
    assert doubt.judged(looked_at(tmp_path, wrong), [])["odd"].item() == MEASURES["geometry"]


def test_an_image_looks_the_same_in_other_units_and_turned(tmp_path):
    values, lesion = head(np.random.default_rng(1))
    plain = looked_at(tmp_path, [written(tmp_path, "plain", values, lesion, 2.0)])
    turned = written(tmp_path, "turned", 7 * values.transpose(2, 0, 1), lesion.transpose(2, 0, 1), 2.0)
    other = looked_at(tmp_path, [turned])
    assert plain.values["appearance"].shape == (1, len(APPEARANCE))
    assert other.values["appearance"] == pytest.approx(plain.values["appearance"], abs=1e-5)
    contrast = plain.values["appearance"][0, INTENSITIES.index("lesion")]
    expected = np.log(values[lesion].mean() / np.median(values[values > 0]))
    assert contrast == pytest.approx(expected, abs=1e-5)
