"""What the features of one lesion owe each other, whatever the settings: a row of radiomics that breaks it is
of two lesions, in two units, or under other headings.

Each follows from PyRadiomics' definitions (van Griethuysen et al., Cancer Res 77:e104, 2017); of 2,242 real
lesions none breaks one by more than rounding.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from bcbm.errors import Problem
from bcbm.features.survey import BIN_WIDTH
from bcbm.system.words import counted

KIND = "radiomics that contradict themselves"
LISTED = 6  # lesions that have a line each
ROUNDED, DIGIT = 1.25, 0.02  # factor and difference that two sides may lie apart by
BRACKETED = 3.0  # the factor of what is alike and not equal; of real lesions at most a factor of 1.7
FEW_ZONES = 0.05  # zones a voxel, up to which a table that is rounded says too little of them
VOXEL = (0.2, 10.0)  # mm, edge of a cube as large as a voxel; no head is scanned at less or more
NEEDLE = (0.95, 20.0)  # the largest diameter, by that of a ball of the same volume, which has the least
FRACTIONS = (  # none of which is below 0 or above 1, but for rounding
    *("firstorder_Uniformity", "glcm_Id", "glcm_Idm", "glcm_Idmn", "glcm_Idn", "glcm_Imc2", "glcm_MCC"),
    *("glcm_InverseVariance", "glcm_JointEnergy", "glcm_MaximumProbability"),
    *("gldm_DependenceNonUniformityNormalized", "gldm_LowGrayLevelEmphasis", "gldm_SmallDependenceEmphasis"),
    *("glrlm_GrayLevelNonUniformityNormalized", "glrlm_LowGrayLevelRunEmphasis", "glrlm_RunPercentage"),
    *("glrlm_RunLengthNonUniformityNormalized", "glrlm_ShortRunEmphasis"),
    *("glszm_GrayLevelNonUniformityNormalized", "glszm_LowGrayLevelZoneEmphasis", "glszm_SmallAreaEmphasis"),
    *("glszm_SizeZoneNonUniformityNormalized", "glszm_ZonePercentage"),
)
ABOVE_ZERO = (  # of which every lesion has some; 0 stands for a missing value
    *("firstorder_Uniformity", "glcm_JointEnergy", "glcm_MaximumProbability", "gldm_DependenceNonUniformity"),
    *("glrlm_RunPercentage", "glszm_ZonePercentage"),
)
ENTROPIES = (  # none of which is below 0, but for rounding, or has more bits than voxels have numbers
    *("firstorder_Entropy", "glcm_DifferenceEntropy", "glcm_JointEntropy", "glcm_SumEntropy"),
    *("gldm_DependenceEntropy", "glrlm_RunEntropy", "glszm_ZoneEntropy"),
)
MOST_BITS = 64.0
SLICES = 10.0  # mm: what is wider in two directions, and no disc, lies in several slices
SPREAD = 1.0  # variance of grey levels from which on they tell how wide they are, to a tenth
WIDTHS = 1.5  # factor that widths of grey levels may lie apart by


class Identity(NamedTuple):
    """Two ways to one number, from features of a lesion: in words, and how far they may lie apart."""

    first: str
    second: str
    sides: Callable[[Callable[[str], pd.Series]], tuple[pd.Series, pd.Series]]
    apart: float = ROUNDED


def _voxels(f: Callable[[str], pd.Series]) -> pd.Series:
    return f("gldm_DependenceNonUniformity") / f("gldm_DependenceNonUniformityNormalized")


def _ball(f: Callable[[str], pd.Series]) -> pd.Series:
    """The diameter of a ball with a lesion's volume."""
    return (6 * f("shape_MeshVolume") / np.pi) ** (1 / 3)


IDENTITIES = (
    Identity(
        "SurfaceVolumeRatio",
        "SurfaceArea / MeshVolume",
        lambda f: (f("shape_SurfaceVolumeRatio"), f("shape_SurfaceArea") / f("shape_MeshVolume")),
    ),
    Identity(
        "Sphericity",
        "that of MeshVolume and SurfaceArea",
        lambda f: (f("shape_Sphericity"), np.pi * _ball(f) ** 2 / f("shape_SurfaceArea")),
    ),
    Identity(
        "Elongation",
        "MinorAxisLength / MajorAxisLength",
        lambda f: (f("shape_Elongation"), f("shape_MinorAxisLength") / f("shape_MajorAxisLength")),
    ),
    Identity(
        "Flatness",
        "LeastAxisLength / MajorAxisLength",
        lambda f: (f("shape_Flatness"), f("shape_LeastAxisLength") / f("shape_MajorAxisLength")),
    ),
    Identity(
        "VoxelVolume", "MeshVolume", lambda f: (f("shape_VoxelVolume"), f("shape_MeshVolume")), BRACKETED
    ),
    Identity(
        "Range",
        "Maximum - Minimum",
        lambda f: (f("firstorder_Range"), f("firstorder_Maximum") - f("firstorder_Minimum")),
    ),
    Identity(
        "TotalEnergy",
        "RootMeanSquared^2 x VoxelVolume",
        lambda f: (
            f("firstorder_TotalEnergy"),
            f("firstorder_RootMeanSquared") ** 2 * f("shape_VoxelVolume"),
        ),
    ),
    Identity(
        "Energy",
        "RootMeanSquared^2 x the voxels that gldm counts",
        lambda f: (f("firstorder_Energy"), f("firstorder_RootMeanSquared") ** 2 * _voxels(f)),
    ),
    Identity(
        "glcm_SumAverage",
        "2 x glcm_JointAverage",
        lambda f: (f("glcm_SumAverage"), 2 * f("glcm_JointAverage")),
    ),
    Identity(
        "glcm_ClusterTendency + glcm_Contrast",
        "4 x glcm_SumSquares",
        lambda f: (f("glcm_ClusterTendency") + f("glcm_Contrast"), 4 * f("glcm_SumSquares")),
    ),
    Identity(
        "glcm_Contrast",
        "DifferenceVariance + DifferenceAverage^2",
        lambda f: (
            f("glcm_Contrast"),
            f("glcm_DifferenceVariance") + f("glcm_DifferenceAverage") ** 2,
        ),
        BRACKETED,
    ),
    Identity(
        "glcm_Autocorrelation",
        "JointAverage^2 + Correlation x SumSquares",
        lambda f: (
            f("glcm_Autocorrelation"),
            f("glcm_JointAverage") ** 2 + f("glcm_Correlation") * f("glcm_SumSquares"),
        ),
        BRACKETED,
    ),
    Identity(
        "glszm_LargeAreaEmphasis",
        "ZoneVariance + 1 / ZonePercentage^2",
        lambda f: (
            f("glszm_LargeAreaEmphasis"),
            f("glszm_ZoneVariance") + f("glszm_ZonePercentage").where(lambda zones: zones > FEW_ZONES) ** -2,
        ),
    ),
    Identity(
        "the zones that glszm_SizeZoneNonUniformity counts",
        "those of glszm_GrayLevelNonUniformity",
        lambda f: (
            f("glszm_SizeZoneNonUniformity") / f("glszm_SizeZoneNonUniformityNormalized"),
            f("glszm_GrayLevelNonUniformity") / f("glszm_GrayLevelNonUniformityNormalized"),
        ),
    ),
)


def identity_problems(features: pd.DataFrame) -> list[Problem]:
    """Lesions whose row of radiomics contradicts itself, or is not measured as those of the others.

    Where most of them are so, it is one problem of the table.

    Args:
        features: published radiomics (`original_...`) by lesion_id; columns may lack.
    """
    columns = {str(name).removeprefix("original_"): features[name] for name in features}
    missing = pd.Series(np.nan, features.index)

    def column(name: str) -> pd.Series:
        return columns.get(name, missing)

    with np.errstate(all="ignore"):
        broken = pd.Series("", features.index)
        for text, rows in [*_impossible(column), *_broken(column), _other_mean(column)]:
            broken = broken.where((broken != "") | ~rows, text)
        known = features.index[features.notna().any(axis=1)]
        problems = _problems(broken[known], "a row is in two units, of two lesions, or under other headings")
        return problems + _problems(_other_widths(column)[known], "radiomics of two settings do not compare")


def _broken(f: Callable[[str], pd.Series]) -> Iterator[tuple[pd.Series, pd.Series]]:
    """Of each identity the words of each row, and which rows break it."""
    for first, second, sides, apart in IDENTITIES:
        left, right = sides(f)
        ratio = left.where(left > 0) / right.where(right > 0)
        words = [f"{first} is {a:.3g}, and {second} {b:.3g}" for a, b in zip(left, right, strict=True)]
        far = (ratio > apart) | (ratio < 1 / apart)
        yield pd.Series(words, far.index), far & ((left - right).abs() > DIGIT)


def _impossible(f: Callable[[str], pd.Series]) -> Iterator[tuple[pd.Series, pd.Series]]:
    """The same of what no lesion can have."""
    edges = (f("shape_VoxelVolume") / _voxels(f)) ** (1 / 3)
    slender = f("shape_Maximum3DDiameter") / _ball(f)
    for values, (least, most), text in (
        (edges, VOXEL, "VoxelVolume is of voxels of {:.3g} mm"),
        (slender, NEEDLE, "Maximum3DDiameter is {:.3g} times that of a ball of its volume"),
    ):
        yield values.map(text.format), (values < least) | (values > most)
    bounds = dict.fromkeys(FRACTIONS, (0.0, 1.0)) | dict.fromkeys(ENTROPIES, (0.0, MOST_BITS))
    for name, (least, most) in bounds.items():
        text = f"{name} is {{:.3g}}; of any lesion it lies between {least:g} and {most:g}"
        yield f(name).map(text.format), (f(name) < least - DIGIT) | (f(name) > most + DIGIT)
    yield _flat(f)
    for name in ABOVE_ZERO:
        yield pd.Series(f"{name} is 0; of any lesion it is more", f(name).index), f(name) == 0
    names = ("Minimum", "10Percentile", "Median", "90Percentile", "Maximum")
    levels = pd.concat([f(f"firstorder_{name}") for name in names], axis=1)
    words = [
        f"{', '.join(names)} are {', '.join(f'{level:.3g}' for level in row)}" for row in levels.to_numpy()
    ]
    falls = levels.diff(axis=1).min(axis=1) < -0.01 * (levels.abs().max(axis=1) + 1)
    yield pd.Series(words, levels.index), falls


def _flat(f: Callable[[str], pd.Series]) -> tuple[pd.Series, pd.Series]:
    """Words of each row whose lesion lies in one plane by its axes, and which are too thick for that."""
    minor = f("shape_MinorAxisLength")
    thick = f("shape_VoxelVolume") / (np.pi / 4 * f("shape_MajorAxisLength") * minor)
    zero = (f("shape_Flatness") == 0) | (f("shape_LeastAxisLength") == 0)
    words = thick.map("Flatness or LeastAxisLength is 0, and by its volume it is {:.3g} mm thick".format)
    return words, zero & (minor > SLICES) & (thick > minor / 2)


def _other_mean(f: Callable[[str], pd.Series]) -> tuple[pd.Series, pd.Series]:
    """Words of each row whose Mean is not that of its RootMeanSquared and Variance, and which rows are so.

    The root is taken of grey levels to which all rows may have added the same (`voxelArrayShift`).
    """
    mean, tolerance = f("firstorder_Mean"), DIGIT * (1 + f("firstorder_Mean").abs())
    size = (f("firstorder_RootMeanSquared") ** 2 - f("firstorder_Variance")).clip(lower=0) ** 0.5
    added = (size - mean).median()
    far = ((size - mean.abs()).abs() > tolerance) & ((size - added - mean).abs() > tolerance)
    words = [
        f"Mean is {a:.5g}, and by RootMeanSquared and Variance its size is {b:.5g}"
        for a, b in zip(mean, size, strict=True)
    ]
    return pd.Series(words, far.index), far


def _other_widths(f: Callable[[str], pd.Series]) -> pd.Series:
    """How wide the grey levels of each row are, in words; "" where as the others' and as are made here."""
    levels = f("gldm_GrayLevelVariance")
    width = (f("firstorder_Variance") / levels.where(levels > SPREAD)) ** 0.5
    usual = float(width.median())
    own = not (usual > BIN_WIDTH * WIDTHS or usual < BIN_WIDTH / WIDTHS)
    standard, whose = (usual, "the others'") if own else (BIN_WIDTH, "those that are extracted here")
    words = width.map(lambda value: f"its grey levels are about {value:.3g} wide, {whose} {standard:.3g}")
    return words.where((width > standard * WIDTHS) | (width < standard / WIDTHS), "")


def _problems(words: pd.Series, why: str) -> list[Problem]:
    """A problem a row that has words, or where most rows have some, or many, a single one."""
    odd = words[words != ""]
    remedy = f"correct the table, or extract the radiomics: {why}"
    if len(odd) > LISTED or (len(odd) > 1 and 2 * len(odd) > len(words)):
        text = f"rows of {counted(len(odd), 'lesion')} of {len(words)}, such as {odd.index[0]}: {odd.iloc[0]}"
        return [Problem("table of radiomics", text, remedy, KIND)]
    return [
        Problem(str(lesion), f"its row of radiomics: {text}", remedy, KIND) for lesion, text in odd.items()
    ]
