"""A row of radiomics and the files beside it are of one lesion, or are named."""

import numpy as np
import pandas as pd
import pytest

from bcbm.features.contradictions import contradictions

STUDIES = 20
LESIONS = [f"P-{study}-0/{name}" for study in range(STUDIES) for name in ("left", "right")]


@pytest.fixture
def cohort():
    """A lesion table, its radiomics and what the survey measured: 40 lesions that agree."""
    rng = np.random.default_rng(0)
    index = pd.Index(LESIONS, name="lesion_id")
    volume, mean = rng.lognormal(6, 2, len(LESIONS)), rng.lognormal(6, 0.5, len(LESIONS))
    masks = pd.DataFrame({"volume": volume, "mean": mean, "voxels": 99.0, "drawn": 99.0}, index)
    columns = {"original_shape_VoxelVolume": volume, "original_firstorder_Mean": mean}
    return pd.DataFrame({"lesion_id": LESIONS}), pd.DataFrame(columns, index), masks


def exchanged(masks, first, second, columns):
    masks.loc[[first, second], columns] = masks.loc[[second, first], columns].to_numpy()


def test_lesions_that_agree_but_for_rounding_are_not_named(cohort):
    table, features, masks = cohort
    masks["volume"] *= np.random.default_rng(1).uniform(0.97, 1.03, len(masks))
    assert contradictions(table, features.round(1), masks) == []


@pytest.mark.parametrize(
    "other", ["P-7-0/left", "P-3-0/right"], ids=["another patient's", "the study's other"]
)
def test_exchanged_masks_are_named_with_both_values_and_whose_they_are(cohort, other):
    table, features, masks = cohort
    exchanged(masks, "P-3-0/left", other, ["volume"])
    problems = contradictions(table, features, masks)
    assert {problem.where for problem in problems} == {"P-3-0", other.partition("/")[0]}
    found = " ".join(problem.found for problem in problems)
    for name in ("P-3-0/left", other):
        assert f"as the mask of {name} has" in found
        assert f"{features.loc[name, 'original_shape_VoxelVolume']:.4g} mm3 in its row" in found
        assert f"{masks.loc[name, 'volume']:.4g} mm3 in its files" in found


def test_an_exchanged_image_is_named_by_its_brightness_for_each_lesion_in_it(cohort):
    table, features, masks = cohort
    masks.loc[["P-3-0/left", "P-3-0/right"], "mean"] *= 1.6
    (problem,) = contradictions(table, features, masks)
    assert problem.where == "P-3-0" and "mean intensity" in problem.found
    assert "left has" in problem.found and "right has" in problem.found


def test_a_cohort_whose_values_differ_more_is_judged_by_its_own_measure(cohort):
    table, features, masks = cohort
    masks["volume"] *= np.random.default_rng(1).uniform(0.9, 1.1, len(masks))
    assert contradictions(table, features, masks) == []
    masks.loc["P-5-0/left", "volume"] *= 2.5
    assert [problem.where for problem in contradictions(table, features, masks)] == ["P-5-0"]


def test_a_table_in_another_unit_or_of_other_lesions_is_one_problem(cohort):
    table, features, masks = cohort
    masks["mean"] = np.roll(masks["mean"], 1) * np.geomspace(1, 1e6, len(masks))
    features["original_shape_VoxelVolume"] /= 1000
    problems = contradictions(table, features, masks)
    assert [problem.where for problem in problems] == ["table of radiomics"] * 2
    assert "1e+03 times" in problems[0].found and "mean intensity" in problems[1].found


def test_of_masks_that_were_mostly_drawn_anew_those_that_were_not_are_not_blamed(cohort):
    table, features, masks = cohort
    masks.loc[masks.index[3:], "volume"] *= np.random.default_rng(1).uniform(1.5, 1.55, len(masks) - 3)
    (problem,) = contradictions(table, features, masks)
    assert problem.where == "table of radiomics" and "1.52 times" in problem.found
    assert "of which 3 have the same in both" in problem.found


def test_parts_of_masks_and_lesions_without_a_row_or_a_mask_are_not_compared(cohort):
    table, features, masks = cohort
    masks.loc["P-1-0/left", ["volume", "voxels"]] /= 3
    features.loc["P-2-0/left"] = np.nan
    masks = masks.drop("P-4-0/left")
    assert contradictions(table, features, masks) == []
    assert contradictions(table, features[[]], masks) == []
