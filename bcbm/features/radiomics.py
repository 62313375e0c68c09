"""The 107 default PyRadiomics features of one lesion, of a study and of a cohort.

Definitions: van Griethuysen et al., Cancer Research 2017; defaults of the library (bin width 25, no
resampling), as the collection's own workbook was made.
"""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import SimpleITK as sitk
from joblib import Parallel, delayed

from bcbm.features.volumes import last_line, read_stored, require_same_grid

_FAMILIES = {
    "shape": "Elongation Flatness LeastAxisLength MajorAxisLength Maximum2DDiameterColumn "
    "Maximum2DDiameterRow Maximum2DDiameterSlice Maximum3DDiameter MeshVolume "
    "MinorAxisLength Sphericity SurfaceArea SurfaceVolumeRatio VoxelVolume",
    "firstorder": "10Percentile 90Percentile Energy Entropy InterquartileRange Kurtosis Maximum "
    "MeanAbsoluteDeviation Mean Median Minimum Range RobustMeanAbsoluteDeviation "
    "RootMeanSquared Skewness TotalEnergy Uniformity Variance",
    "glcm": "Autocorrelation ClusterProminence ClusterShade ClusterTendency Contrast Correlation "
    "DifferenceAverage DifferenceEntropy DifferenceVariance Id Idm Idmn Idn Imc1 Imc2 "
    "InverseVariance JointAverage JointEnergy JointEntropy MCC MaximumProbability "
    "SumAverage SumEntropy SumSquares",
    "gldm": "DependenceEntropy DependenceNonUniformity DependenceNonUniformityNormalized "
    "DependenceVariance GrayLevelNonUniformity GrayLevelVariance HighGrayLevelEmphasis "
    "LargeDependenceEmphasis LargeDependenceHighGrayLevelEmphasis "
    "LargeDependenceLowGrayLevelEmphasis LowGrayLevelEmphasis SmallDependenceEmphasis "
    "SmallDependenceHighGrayLevelEmphasis SmallDependenceLowGrayLevelEmphasis",
    "glrlm": "GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance "
    "HighGrayLevelRunEmphasis LongRunEmphasis LongRunHighGrayLevelEmphasis "
    "LongRunLowGrayLevelEmphasis LowGrayLevelRunEmphasis RunEntropy RunLengthNonUniformity "
    "RunLengthNonUniformityNormalized RunPercentage RunVariance ShortRunEmphasis "
    "ShortRunHighGrayLevelEmphasis ShortRunLowGrayLevelEmphasis",
    "glszm": "GrayLevelNonUniformity GrayLevelNonUniformityNormalized GrayLevelVariance "
    "HighGrayLevelZoneEmphasis LargeAreaEmphasis LargeAreaHighGrayLevelEmphasis "
    "LargeAreaLowGrayLevelEmphasis LowGrayLevelZoneEmphasis SizeZoneNonUniformity "
    "SizeZoneNonUniformityNormalized SmallAreaEmphasis SmallAreaHighGrayLevelEmphasis "
    "SmallAreaLowGrayLevelEmphasis ZoneEntropy ZonePercentage ZoneVariance",
    "ngtdm": "Busyness Coarseness Complexity Contrast Strength",
}

FEATURES: tuple[str, ...] = tuple(
    f"original_{family}_{name}" for family, names in _FAMILIES.items() for name in names.split()
)
"""The 107 columns, in the order of the collection's workbook."""

_MARGIN = 5  # voxels kept around the mask, PyRadiomics' own padding


def _extractor(settings: dict[str, Any]) -> Any:
    """PyRadiomics with its defaults and `settings`, its loggers silent."""
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    return featureextractor.RadiomicsFeatureExtractor(**settings)


def _crop(image: sitk.Image, mask: sitk.Image) -> tuple[sitk.Image, sitk.Image]:
    """Image and binary mask cut to the mask's bounding box and a margin; ValueError for an empty mask."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    if not shape.HasLabel(1):
        raise ValueError("the mask is empty: no voxel above 0.5")
    if shape.GetNumberOfPixels(1) == 1:
        raise ValueError("the mask is a single voxel: PyRadiomics needs at least two dimensions")
    box = shape.GetBoundingBox(1)  # x, y, z, size x, size y, size z
    start = [max(0, box[axis] - _MARGIN) for axis in range(3)]
    stop = [min(mask.GetSize()[axis], box[axis] + box[axis + 3] + _MARGIN) for axis in range(3)]
    size = [b - a for a, b in zip(start, stop, strict=True)]
    return sitk.RegionOfInterest(image, size, start), sitk.RegionOfInterest(mask, size, start)


def extract_lesion(
    image: sitk.Image, mask: sitk.Image, settings: dict[str, Any] | None = None
) -> dict[str, float]:
    """The 107 features of the voxels where `mask` > 0.5; the same values as from the uncropped volume.

    Args:
        image: 3D intensities, any scale (the features are not normalised).
        mask: on the grid of `image`, integer or float.
        settings: PyRadiomics settings by name, e.g. `{"binWidth": 25}`; None is its defaults.

    Raises:
        ValueError: the mask is empty, a single voxel or a line of voxels, or lies on another grid.
    """
    require_same_grid(image, mask)
    binary = sitk.Cast(mask > 0.5, sitk.sitkUInt8)
    binary.CopyInformation(image)
    crop, region = _crop(image, binary)
    values = _extractor(settings or {}).execute(crop, region, label=1)
    return {name: float(values[name]) for name in FEATURES}


def extract_study(
    image_path: Path, mask_paths: dict[str, Path]
) -> tuple[dict[str, dict[str, float]], dict[str, str]]:
    """Features of every lesion of one study; the image is read once.

    Args:
        image_path: the study's volume.
        mask_paths: mask file by lesion id.

    Returns:
        `{lesion_id: {feature: value}}` and `{lesion_id: why it has no features}`. A lesion is in exactly one.
    """
    try:
        image = read_stored(image_path)
    except ValueError as error:
        return {}, {lesion: str(error) for lesion in mask_paths}
    values, failures = {}, {}
    for lesion, path in mask_paths.items():
        try:
            values[lesion] = extract_lesion(image, read_stored(path))
        except (ValueError, RuntimeError) as error:
            failures[lesion] = f"{path}: {last_line(error)}"
    return values, failures


def extract_cohort(
    studies: list[tuple[Path, dict[str, Path]]],
    jobs: int = -1,
    progress: Callable[[int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Features of all lesions, in parallel over studies.

    Args:
        studies: `(image path, {lesion_id: mask path})` a study; lesion ids are unique over all of them.
        jobs: worker processes as joblib counts them (-1 is one a core, 1 is none).
        progress: called with the number of lesions each study brought, as it is done.

    Returns:
        A table (lesions with features, 107) indexed by `lesion_id`, in the order asked for (an empty list
        gives no rows and all columns), and `{lesion_id: reason}` for the rest.
    """
    values: dict[str, dict[str, float]] = {}
    failures: dict[str, str] = {}
    workers = Parallel(n_jobs=jobs, return_as="generator_unordered")
    results = workers(delayed(extract_study)(image, masks) for image, masks in studies)
    for good, bad in results:
        values |= good
        failures |= bad
        if progress:
            progress(len(good) + len(bad))
    order = [lesion for _, masks in studies for lesion in masks]
    kept = [lesion for lesion in order if lesion in values]
    table = pd.DataFrame(
        [values[lesion] for lesion in kept],
        columns=list(FEATURES),
        index=pd.Index(kept, name="lesion_id", dtype=str),
    )
    return table.astype(float), {lesion: failures[lesion] for lesion in order if lesion in failures}
