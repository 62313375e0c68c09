"""The 107 default PyRadiomics features of one lesion, of a study and of a cohort.

Definitions: van Griethuysen et al., Cancer Research 2017; defaults of the library (bin width 25, no
resampling), as the collection's own workbook was made.
"""

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import pandas as pd
import SimpleITK as sitk

from bcbm.features.files import Files
from bcbm.features.geometry import require_same_grid
from bcbm.features.masks import Region, region_in
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.volumes import UnreadableError, Volume, last_line

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

Axes = Literal["patient", "stored"]
AGREEING = 1e-3  # relative difference up to which two values are the same measurement, rounded or meshed anew
DIAMETERS = [name for name in FEATURES if "Maximum2DDiameter" in name]  # measured in planes across an axis
_LIBRARY = "pyradiomics-bhklab"
FEW = 32  # lesions that are measured before a worker process has started
RECORD = 4  # counts up whenever a kept record would look different
_PAIRS = ("LR", "PA", "SI")  # the ends of the patient's axes x, y, z
_MARGIN = 5  # voxels kept around the mask, PyRadiomics' own padding
_NARROW = (sitk.sitkUInt8, sitk.sitkInt8, sitk.sitkUInt16, sitk.sitkInt16)  # types of images
_SPLINE = 40  # voxels beyond which a B-spline coefficient does not reach: its poles are below 0.44


def provenance(settings: dict[str, Any] | None = None) -> dict[str, str]:
    """What made the features: PyRadiomics settings other than the defaults as JSON, library, version."""
    words = json.dumps(settings or {}, sort_keys=True)
    return {"settings": words, "library": _LIBRARY, "version": version(_LIBRARY)}


def extract_lesion(
    image: sitk.Image, mask: sitk.Image, settings: dict[str, Any] | None = None, axes: Axes = "patient"
) -> dict[str, float]:
    """The 107 features of the voxels where `mask` > 0.5; the same values as from the uncropped volume.

    Slice, row and column of the Maximum2DDiameter features are planes across an axis: of the patient, so that
    they do not depend on how the file is stored, or as stored. No other feature depends on it.

    With `normalize` and with `resampledPixelSpacing` too: the volume is normalised whole, and resampling
    starts from its corner. B-splines, which reach over the whole volume, then differ by less than 1e-9.

    Args:
        image: 3D intensities, any scale (the features are not normalised).
        mask: on the grid of `image`, integer or float.
        settings: PyRadiomics settings by name, e.g. `{"binWidth": 25}`; None is its defaults.
        axes: across which 2D diameters are measured.

    Raises:
        ValueError: the mask is empty, a single voxel or a line of voxels, or lies on another grid.
        Exception: whatever else PyRadiomics raises; its message is the reason.
    """
    volume, drawn = (Volume(sitk.GetArrayViewFromImage(stored), stored) for stored in (image, mask))
    volume, settings = _normalised(volume, settings or {})
    return dict(zip(FEATURES, feature_values(volume, region_in(drawn), settings, axes), strict=True))


def radiomics_step(folder: Path, settings: dict[str, Any] | None = None, axes: Axes = "patient") -> Step:
    """What extracts the features of a study's lesions; as `extract_cohort`."""
    work = partial(extract_study, settings=settings or {}, axes=axes)
    return Step(work, folder, {"radiomics": RECORD, "axes": axes, **provenance(settings)})


def extract_cohort(
    studies: Iterable[Study | tuple[Path, dict[str, Path]]],
    jobs: int = -1,
    progress: Callable[[int], None] | None = None,
    *,
    folder: Path | None = None,
    settings: dict[str, Any] | None = None,
    axes: Axes = "patient",
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Features of all lesions, in parallel over studies.

    Args:
        studies: `Study`, or `(image path, {lesion_id: mask path})`; lesion ids are unique over all of them.
        jobs: worker processes as joblib counts them (-1 is one a core, 1 is none); none up to FEW lesions.
        progress: called with the number of lesions each study brought, as it is done.
        folder: keeps what each study brought, so that a killed call goes on; None keeps nothing.
        settings: PyRadiomics settings by name; None is its defaults.
        axes: across which 2D diameters are measured, see `extract_lesion`.

    Returns:
        A table (lesions with features, 107) indexed by `lesion_id`, in the order of `studies` (an empty list
        gives no rows and all columns), and `{lesion_id: reason}` for all other lesions.

    Raises:
        OSError: `folder` cannot be written.
    """
    requested = [Study(*study) for study in studies]
    values: dict[str, list[float]] = {}
    failures: dict[str, str] = {}
    jobs = jobs if sum(len(study.masks) for study in requested) > FEW else 1
    with TemporaryDirectory() as passing:
        step = radiomics_step(folder or Path(passing), settings, axes)
        for _, _, record in each_study(requested, step, jobs=jobs, progress=progress):
            values |= record["values"]
            failures |= record["failures"]
    order = [lesion for study in requested for lesion in study.masks]
    measured = [lesion for lesion in order if lesion in values]
    index = pd.Index(measured, name="lesion_id", dtype=str)
    table = pd.DataFrame([values[lesion] for lesion in measured], columns=list(FEATURES), index=index)
    return table.astype(float), {lesion: failures[lesion] for lesion in order if lesion in failures}


def compare_radiomics(workbook: pd.DataFrame, extracted: pd.DataFrame) -> pd.DataFrame:
    """How two tables of the same lesions agree, a row a feature.

    Args:
        workbook: indexed by lesion_id, with the columns FEATURES, as `extracted`.

    Returns:
        Indexed by `feature`: `lesions` with a finite value in both, of these the share `within_1e-6`,
        `median_difference` and `largest_difference` (of the larger of the two values), and Spearman's
        `correlation`; NaN where it is undefined.
    """
    shared = workbook.index.intersection(extracted.index)
    rows = []
    for name in FEATURES:
        published, own = (table.loc[shared, name].to_numpy(float) for table in (workbook, extracted))
        finite = np.isfinite(published) & np.isfinite(own)
        pair = pd.DataFrame({"published": published[finite], "own": own[finite]})
        larger = pair.abs().max(axis=1).replace(0.0, 1.0)
        apart = (pair["published"] - pair["own"]).abs() / larger
        varied = bool((pair.nunique() > 1).all())
        rows.append(
            {
                "feature": name,
                "lesions": len(apart),
                "within_1e-6": (apart <= 1e-6).mean(),
                "median_difference": apart.median(),
                "largest_difference": apart.max(),
                "correlation": pair["published"].corr(pair["own"], method="spearman") if varied else np.nan,
            }
        )
    return pd.DataFrame(rows).set_index("feature")


def differing_lesions(workbook: pd.DataFrame, extracted: pd.DataFrame) -> pd.DataFrame:
    """The lesions of two tables of which any feature differs by more than 0.1 %, the worst first.

    Args:
        workbook: indexed by lesion_id, with the columns FEATURES, as `extracted`.

    Returns:
        Indexed by `lesion_id`: how many `features` differ, whether these are 2D `diameters` only, and the
        `largest_difference` (of the larger of the two values) with its `feature`.
    """
    shared = workbook.index.intersection(extracted.index)
    published, own = (table.loc[shared, list(FEATURES)] for table in (workbook, extracted))
    larger = published.abs().where(published.abs() >= own.abs(), own.abs()).replace(0.0, 1.0)
    apart = ((published - own).abs() / larger).where(np.isfinite(published) & np.isfinite(own), 0.0)
    differs = apart > AGREEING
    table = pd.DataFrame(
        {
            "features": differs.sum(axis=1),
            "diameters": ~differs.drop(columns=DIAMETERS).any(axis=1),
            "largest_difference": apart.max(axis=1),
            "feature": apart.idxmax(axis=1),
        }
    )
    table = table[table["features"] > 0].rename_axis("lesion_id")
    return table.sort_values("largest_difference", ascending=False, kind="stable")


def extract_study(study: Study, _path: Path, files: Files, *, settings: dict[str, Any], axes: Axes) -> Record:
    """The record of one study: `values`, 107 a lesion, or `failures`, the reasons."""
    record: Record = {"values": {}, "failures": {}, "again": False}
    try:
        image, settings = _normalised(files.volume(study.image), settings)
    except ValueError as error:
        record["failures"] = dict.fromkeys(study.masks, str(error))
        record["again"] = isinstance(error, UnreadableError)
        return record
    for lesion, path in study.masks.items():
        try:
            region = files.region(path, study.parts.get(lesion))
            record["values"][lesion] = feature_values(image, region, settings, axes)
        except (MemoryError, OSError):  # of the machine, not of the lesion: never kept as its failure
            raise
        except UnreadableError as error:
            record["failures"][lesion], record["again"] = str(error), True
        except Exception as error:  # PyRadiomics raises nearly all there are
            record["failures"][lesion] = f"{path.name}: {last_line(error)}"
    return record


def _extractor(settings: dict[str, Any]) -> Any:
    """PyRadiomics with its defaults and `settings`, its loggers silent."""
    from radiomics import featureextractor

    logging.getLogger("radiomics").setLevel(logging.CRITICAL)
    # What it says of the image beside the features, sums of all voxels among it, takes a third of its time.
    return featureextractor.RadiomicsFeatureExtractor(**{**settings, "additionalInfo": False})


def _normalised(image: Volume, settings: dict[str, Any]) -> tuple[Volume, dict[str, Any]]:
    """The volume normalised if `settings` say so, by its own mean, and the other settings."""
    if not settings.get("normalize"):
        return image, settings
    from radiomics import imageoperations

    normalised = imageoperations.normalizeImage(image.part([0, 0, 0], image.grid.GetSize()), **settings)
    return Volume(sitk.GetArrayViewFromImage(normalised), normalised), {**settings, "normalize": False}


def feature_values(
    image: Volume,
    region: Region,
    settings: dict[str, Any],
    axes: Axes,
    names: Sequence[str] = FEATURES,
) -> list[float]:
    """The values of these features, in that order, of a lesion's voxels; raises as `extract_lesion`."""
    require_same_grid(image.grid, region.grid)
    extractor = _extractor(settings)
    if names is not FEATURES:
        extractor.disableAllFeatures()
        for family in {name.split("_")[1] for name in names}:
            extractor.enableFeatureClassByName(family)
    crops = _crop(image, region, extractor.settings)
    if axes == "patient":
        code = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(image.grid.GetDirection())
        order = [next(place for place, letter in enumerate(code) if letter in pair) for pair in _PAIRS]
        crops = sitk.PermuteAxes(crops[0], order), sitk.PermuteAxes(crops[1], order)
    values = extractor.execute(*crops, label=1)
    # From NumPy 2.5 on eigenvalues, which the MCC is made of, are complex numbers even where they are real.
    return [float(np.real(values[name])) for name in names]


def _crop(image: Volume, region: Region, settings: dict[str, Any]) -> tuple[sitk.Image, sitk.Image]:
    """Image and binary mask cut to the lesion's bounding box and a margin.

    Under resampling they are cut at their far ends only: PyRadiomics lays the lattice from the corner, and a
    value or mask half way between voxels falls to the side that the last digit of a coordinate says.

    Raises:
        ValueError: an empty mask, or one of a single voxel.
    """
    if not region.inside.size:
        raise ValueError("the mask is empty: no voxel above 0.5")
    if region.inside.shape == (1, 1, 1):
        raise ValueError("the mask is a single voxel: PyRadiomics needs at least two dimensions")
    low, high = region.start[::-1], region.stop[::-1]  # x, y, z
    margin, resampled = np.full(3, _MARGIN), settings["resampledPixelSpacing"]
    start = np.maximum(low - margin, 0)
    if resampled is not None and settings["interpolator"] is not None:
        ratio = np.array(resampled) / image.grid.GetSpacing()
        margin = np.ceil((settings["padDistance"] + 2) * np.maximum(ratio, 1)).astype(int) + _SPLINE
        start = np.zeros(3, int)
    stop = np.minimum(high + margin, image.grid.GetSize())
    crop = image.part(start.tolist(), (stop - start).tolist())
    if (
        crop.GetPixelID() in _NARROW
    ):  # PyRadiomics counts in it, from 0 on where an edge of levels lies beyond
        crop = sitk.Cast(crop, sitk.sitkInt32)
    mask = region.image(start[::-1], stop[::-1])
    mask.CopyInformation(crop)  # the image's grid to the last digit
    return crop, mask
