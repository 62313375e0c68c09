"""A row of radiomics that contradicts itself is named; those of lesions that were measured are not."""

import numpy as np
import pandas as pd
import pytest

from bcbm.cohort.formats.tcia import RADIOMICS_WORKBOOK
from bcbm.features.identities import identity_problems
from bcbm.features.radiomics import FEATURES

LESION = 3
OWED = (
    *(
        "SurfaceArea",
        "MeshVolume",
        "VoxelVolume",
        "Sphericity",
        "SurfaceVolumeRatio",
        "Elongation",
        "Flatness",
    ),
    *("MajorAxisLength", "Range", "Energy", "TotalEnergy", "RootMeanSquared", "SumAverage", "JointAverage"),
    *("SumSquares", "SizeZoneNonUniformityNormalized", "DependenceNonUniformity", "10Percentile"),
    *("ZoneVariance", "LargeAreaEmphasis", "DifferenceAverage", "Autocorrelation"),
)


@pytest.fixture(scope="module")
def measured(cohort):
    """Radiomics of a synthetic cohort, extracted, by lesion_id."""
    book, sheet = RADIOMICS_WORKBOOK
    table = pd.read_excel(cohort / book, sheet_name=sheet)
    return table.set_index(table["FilenamePrefix"] + "/" + table["Segmentation_Name"])[list(FEATURES)]


def test_rows_of_measured_lesions_are_not_named(measured):
    assert identity_problems(measured) == []
    assert identity_problems(measured.round(3)) == []


def test_without_its_columns_nothing_is_said(measured):
    assert identity_problems(measured[[]]) == []
    assert identity_problems(measured * float("nan")) == []


@pytest.mark.parametrize("name", OWED)
def test_a_feature_that_does_not_fit_the_others_of_its_row_is_named(measured, name):
    (column,) = [other for other in FEATURES if other.rpartition("_")[2] == name]
    changed = measured.copy()
    changed.loc[changed.index[LESION], column] *= 5
    (problem,) = identity_problems(changed)
    assert problem.where == changed.index[LESION]


def test_the_mean_is_that_of_the_other_features_whatever_was_added_to_all_grey_levels(measured):
    mean, median, root = (f"original_firstorder_{name}" for name in ("Mean", "Median", "RootMeanSquared"))
    exchanged = measured.rename(columns={mean: median, median: mean})
    problems = identity_problems(exchanged)
    assert problems and all("Mean is" in problem.found for problem in problems)
    variance, levels = measured["original_firstorder_Variance"], measured[mean]
    middle = levels.median()
    centred = {mean: levels - middle, root: ((levels - middle) ** 2 + variance) ** 0.5}  # as z-scores are
    few = [name for name in measured if "firstorder" not in name]
    assert identity_problems(measured[few].assign(**centred, original_firstorder_Variance=variance)) == []
    rows = ((levels + 2000) ** 2 + variance) ** 0.5
    factor = (rows / measured[root]) ** 2
    energies = {
        name: measured[name] * factor for name in measured if "firstorder" in name and name.endswith("Energy")
    }
    assert identity_problems(measured.assign(**{root: rows}, **energies)) == []


@pytest.mark.parametrize("name", ["glcm_Idmn", "glrlm_RunPercentage", "glszm_ZoneEntropy"])
def test_what_lost_its_decimal_point_or_is_another_column_is_named(measured, name):
    column = f"original_{name}"
    changed = measured.copy()
    changed.loc[changed.index[LESION], column] *= 1e5
    (problem,) = identity_problems(changed)
    assert problem.where == changed.index[LESION] and name in problem.found
    (problem,) = identity_problems(measured.assign(**{column: -measured["original_glszm_ZoneEntropy"]}))
    assert f"{len(measured)} lesions" in problem.found and name in problem.found


def test_a_column_in_another_unit_is_one_problem_with_how_many_lesions_it_has(measured):
    changed = measured.assign(original_shape_MeshVolume=measured["original_shape_MeshVolume"] / 1000)
    (problem,) = identity_problems(changed)
    assert f"{len(measured)} lesions" in problem.found and changed.index[0] in problem.found


def test_grey_levels_of_another_width_than_are_extracted_here_are_said(measured):
    levels = [name for name in measured if name.endswith("gldm_GrayLevelVariance")]
    (problem,) = identity_problems(measured.assign(**{levels[0]: measured[levels[0]] * 25}))
    assert float(problem.found.split("about ")[1].split()[0]) == pytest.approx(5, rel=0.1)
    assert f"{len(measured)} lesions" in problem.found and "25" in problem.found


def test_features_of_texture_that_are_0_for_a_missing_value_are_named(measured):
    changed = measured.copy()
    textures = [name for name in FEATURES if "_shape_" not in name]
    changed.loc[changed.index[LESION], textures] = 0.0
    (problem,) = identity_problems(changed)
    assert problem.where == changed.index[LESION] and "is 0; of any lesion it is more" in problem.found


def test_axes_that_are_0_are_named_where_the_lesion_is_thick(measured):
    shapes = {
        name: f"original_shape_{name}"
        for name in ("Flatness", "LeastAxisLength", "MajorAxisLength", "MinorAxisLength")
    }
    changed = measured.copy()
    changed[[shapes["Flatness"], shapes["LeastAxisLength"]]] = 0.0
    wide = changed[shapes["MinorAxisLength"]] > 10
    (problem,) = identity_problems(changed[wide])
    assert f"rows of {wide.sum()} lesions" in problem.found and "by its volume it is" in problem.found
    assert wide.sum() > 1 and identity_problems(changed[changed[shapes["MinorAxisLength"]] < 10]) == []
    disc = changed[wide].iloc[[0]].copy()  # a single slice, 5 mm thick
    major, minor = (float(disc[shapes[f"{name}AxisLength"]].iloc[0]) for name in ("Major", "Minor"))
    disc["original_shape_VoxelVolume"] = np.pi / 4 * major * minor * 4.9
    names = [shapes["Flatness"], shapes["LeastAxisLength"], *list(shapes.values())[2:]]
    assert identity_problems(disc[[*names, "original_shape_VoxelVolume"]]) == []
