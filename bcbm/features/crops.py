"""Crops: a fixed cube around every lesion, a memory-mapped file a study that workers share without copies."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal, overload

import numpy as np
import SimpleITK as sitk
from scipy.ndimage import distance_transform_edt

from bcbm.errors import Problem
from bcbm.features.files import Files
from bcbm.features.geometry import VolumeError, require_same_grid
from bcbm.features.masks import Region
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.volumes import UnreadableError, Volume, read_volume
from bcbm.system.files import writing_whole

Intensity = Literal["zscore", "percentile", "none"]
RECORD = 3  # counts up whenever a crop or its record would look different
SHARED = 0.9  # Dice of a further sequence's brain with the image's, below which it may not be its own
_COARSE = 4.0  # mm, how far the points lie apart at which they are compared
OPEN = 256  # maps held open at once: each costs a file descriptor


@dataclass(frozen=True)
class CropSettings:
    """How lesions are cropped.

    Attributes:
        size: edge of the cube, voxels.
        spacing: edge of a voxel, mm.
        margin: mm around the mask beyond which the image is 0; None keeps the whole cube.
        intensity: of each image; see `normalised`.
    """

    size: int
    spacing: float
    margin: float | None = None
    intensity: Intensity = "zscore"


def crops_step(folder: Path, settings: CropSettings) -> Step:
    """What cuts the crops of a study."""
    return Step(partial(crop_study, settings=settings), folder, {"crops": RECORD, **asdict(settings)})


def prepare_crops(
    studies: Iterable[Study],
    folder: Path,
    settings: CropSettings,
    *,
    jobs: int,
    progress: Callable[[int], None] | None = None,
    doubts: list[Problem] | None = None,
) -> tuple[dict[str, tuple[Path, int]], list[Problem]]:
    """Make the crops of these lesions that `folder` does not hold yet; a killed call goes on.

    Args:
        studies: with the lesions.
        folder: where crops are kept.
        settings: how they are cut.
        jobs: processes, as joblib counts them.
        progress: called with the number of masks that are done.
        doubts: gets a problem for each further sequence whose brain is not where the image's is.

    Returns:
        Where each lesion's crop lies, in the order of `studies`: file and row, as `CropStore` reads it;
        a problem for each lesion without one.

    Raises:
        OSError: the folder cannot be written, or the disk is full; what was finished stays.
    """
    requested = list(studies)
    where: dict[str, tuple[Path, int]] = {}
    problems: dict[str, Problem] = {}
    doubts = [] if doubts is None else doubts
    step = crops_step(folder, settings)
    for study, path, record in each_study(requested, step, jobs=jobs, progress=progress):
        problems |= {lesion: Problem(lesion, *words) for lesion, words in record["problems"].items()}
        where |= {lesion: (_array(path), row) for row, lesion in enumerate(study.masks)}
        doubts += [_doubtful(study, *words) for words in record.get("doubts", {}).items()]
    order = [lesion for study in requested for lesion in study.masks]
    places = {lesion: where[lesion] for lesion in order if lesion not in problems}
    return places, [problems[lesion] for lesion in order if lesion in problems]


def _doubtful(study: Study, name: str, share: float) -> Problem:
    """That a further sequence may not be the study's own."""
    found = f"the brain of {name} and that of the image share {share:.2f} (Dice; below {SHARED:g})"
    remedy = "look whether it is this patient's, in the image's space, whole, and stripped of the skull"
    return Problem(next(iter(study.masks)).partition("/")[0], found, remedy, "sequence of another brain")


class CropStore:
    """Crops by number, each float16 (C, S, S, S): images, then mask (0 or 1), axes z, y, x in LPS.

    Files are mapped when a crop of theirs is first read, so that processes share their pages. Pickled or
    sent to a worker, a store is its list of places.

    Args:
        where: file and row of each crop, from `prepare_crops`; None where a lesion has none: zeros.
        size: S.
        channels: C.
    """

    def __init__(self, where: Sequence[tuple[Path, int] | None], size: int, channels: int = 2) -> None:
        self.where, self.size, self.channels = list(where), size, channels
        self.maps: dict[Path, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.where)

    @overload
    def __getitem__(self, number: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, number: np.ndarray) -> "CropStore": ...

    def __getitem__(self, number: int | np.ndarray) -> "np.ndarray | CropStore":
        """A crop, or the store of some rows alone."""
        if isinstance(number, np.ndarray):
            places = [self.where[row] for row in np.arange(len(self))[number]]
            return CropStore(places, self.size, self.channels)
        place = self.where[number]
        if place is None:
            return np.zeros((self.channels, *[self.size] * 3), np.float16)
        path, row = place
        if path not in self.maps:
            if len(self.maps) >= OPEN:
                self.maps.pop(next(iter(self.maps)))
            self.maps[path] = np.load(path, mmap_mode="r").view(np.ndarray)
        return self.maps[path][row]

    def __getstate__(self) -> dict[str, object]:
        return {"where": self.where, "size": self.size, "channels": self.channels, "maps": {}}


def crop_study(study: Study, path: Path, files: Files, *, settings: CropSettings) -> Record:
    """Write the crops of a study, a row a mask (0 where it has none), with the problems in the record.

    Row by row and not through a map: a full disk is then an OSError and not the end of the process.
    """
    try:
        image = files.volume(study.image)
        levels = _levels(image.values, settings.intensity)
        others = {name: _sequence(name, path, study, settings) for name, path in study.others.items()}
    except VolumeError as error:
        words = [str(error), f"{error.remedy}; its lesions are excluded"]
        problems = dict.fromkeys(study.masks, words)
        return {"problems": problems, "again": isinstance(error, UnreadableError)}
    shares = {name: _shared(image, other) for name, other in others.items()}
    record: Record = {"problems": {}, "files": [".npy"], "again": False}
    if doubtful := {name: share for name, share in shares.items() if share < SHARED}:
        record["doubts"] = doubtful
    shape = (2 + len(others), settings.size, settings.size, settings.size)
    header = {"descr": "<f2", "fortran_order": False, "shape": (len(study.masks), *shape)}
    with writing_whole(_array(path)) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for lesion, mask in study.masks.items():
            row = np.zeros(shape, np.float16)
            try:
                region = files.region(mask, study.parts.get(lesion))
                row = _cut(image, levels, region, mask.name, settings, others)
            except ValueError as error:
                remedy = error.remedy if isinstance(error, VolumeError) else "correct the mask"
                record["problems"][lesion] = [str(error), f"{remedy}; the lesion is excluded"]
                record["again"] |= isinstance(error, UnreadableError)
            file.write(row.astype("<f2").tobytes())
    return record


def normalised(image: sitk.Image, intensity: Intensity = "zscore") -> sitk.Image:
    """The image (float32, LPS) rescaled inside the brain, the voxels that skull stripping left above 0.

    Args:
        intensity: `zscore`: mean 0 and standard deviation 1; `percentile`: 1st and 99th percentile become 0
            and 1, beyond is cut; outside the brain is 0 with both. `none`: as it is.

    Raises:
        ValueError: no brain, or a single intensity in it.
    """
    return _rescaled(image, _levels(sitk.GetArrayViewFromImage(image), intensity), intensity)


def _levels(values: np.ndarray, intensity: Intensity) -> tuple[float, float]:
    """The intensity that becomes 0, and how much becomes 1."""
    inside = values[values > 0].astype(np.float32)
    finite = values.dtype.kind != "f" or np.isfinite(values).all()
    if not finite or not inside.size or inside.min() == inside.max():
        raise VolumeError("the image holds no brain: nothing above 0, one intensity only, or not finite")
    if intensity == "zscore":
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = float(inside.mean()), float(inside.std())
        if not (np.isfinite(mean) and 0 < deviation < np.inf):
            raise VolumeError("the intensities of the image are too large or too small to be rescaled")
        return mean, deviation
    low, high = np.percentile(inside, [1, 99])
    return float(low), float(max(high - low, np.finfo(np.float32).tiny))


def _rescaled(image: sitk.Image, levels: tuple[float, float], intensity: Intensity) -> sitk.Image:
    values = sitk.GetArrayViewFromImage(image).astype(np.float32)
    if intensity != "none":
        brain = values > 0
        values -= np.float32(levels[0])
        values /= np.float32(levels[1])
        if intensity == "percentile":
            np.clip(values, 0, 1, out=values)
        values[~brain] = 0
    result = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return sitk.DICOMOrient(result, "LPS")


def _sequence(name: str, path: Path, study: Study, settings: CropSettings) -> sitk.Image:
    """A further image of a study, on its own grid; VolumeError as `read_volume`, naming it."""
    try:
        return normalised(read_volume(path, study.form), settings.intensity)
    except VolumeError as error:
        raise type(error)(f"{name}: {error}", error.remedy) from None


def _shared(image: Volume, other: sitk.Image) -> float:
    """Dice of the voxels above 0 of an image, and those of another one, `normalised`, that are not 0."""
    strides = [max(1, int(_COARSE // edge)) for edge in image.grid.GetSpacing()]
    brain = image.values[tuple(slice(None, None, stride) for stride in reversed(strides))] > 0
    grid = sitk.Image(brain.shape[::-1], sitk.sitkUInt8)
    grid.SetSpacing((np.array(image.grid.GetSpacing()) * strides).tolist())
    grid.SetDirection(image.grid.GetDirection())
    grid.SetOrigin(image.grid.GetOrigin())
    inside = sitk.Resample(other != 0, grid, sitk.Transform(), sitk.sitkNearestNeighbor)
    beside = sitk.GetArrayViewFromImage(inside) > 0
    return float(2 * (brain & beside).sum() / max(1, int(brain.sum() + beside.sum())))


def _cut(
    image: Volume,
    levels: tuple[float, float],
    region: Region,
    name: str,
    settings: CropSettings,
    others: Mapping[str, sitk.Image],
) -> np.ndarray:
    """The crop of a lesion from a mask of that name; only what its cube, or the lesion itself, reaches is
    rescaled."""
    require_same_grid(image.grid, region.grid, name)
    if not region.inside.size:
        raise ValueError(f"{name} is empty")
    low, high = region.start[::-1], region.stop[::-1]  # x, y, z
    centre = low + np.argwhere(region.inside).mean(axis=0)[::-1]
    half = settings.size * settings.spacing / 2 / np.array(image.grid.GetSpacing()) + 1
    start = np.clip(np.minimum(low, np.floor(centre - half)), 0, None).astype(int)
    stop = np.minimum(np.maximum(high, np.ceil(centre + half) + 1), image.grid.GetSize()).astype(int)
    part = image.part(start.tolist(), (stop - start).tolist())
    mask = sitk.DICOMOrient(region.image(start[::-1], stop[::-1]), "LPS")
    return crop(_rescaled(part, levels, settings.intensity), mask, settings, others)


def crop(
    image: sitk.Image,
    mask: sitk.Image,
    settings: CropSettings,
    others: Mapping[str, sitk.Image] | None = None,
) -> np.ndarray:
    """Resample a cube centred on the lesion: float16 (C, S, S, S), images and mask; 0 beyond a volume.

    Image (`normalised`) and mask (0 and 1) are on one grid in LPS orientation, other sequences of the study
    each on its own, in the same space. A lesion that falls between the voxels of the cube has those that hold
    a voxel of it; one smaller than a voxel of the cube has one.

    Raises:
        ValueError: an intensity beyond float16 or not finite, another sequence that does not reach the
            lesion, or a lesion of which nothing lies in the cube around its centroid.
    """
    others = others or {}
    size, spacing = settings.size, settings.spacing
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(mask)
    axes = np.reshape(image.GetDirection(), (3, 3))  # columns; oblique scans are not along x, y, z
    centre = shape.GetCentroid(1)
    for name, other in others.items():
        place = np.array(other.TransformPhysicalPointToContinuousIndex(centre))
        if not ((place > -0.5) & (place < np.array(other.GetSize()) - 0.5)).all():
            raise ValueError(f"{name} does not reach the lesion; it must lie in the space of the mask")
    origin = np.array(centre) - axes @ np.full(3, (size - 1) / 2 * spacing)
    grid = sitk.ResampleImageFilter()
    grid.SetSize([size] * 3)
    grid.SetOutputSpacing([spacing] * 3)
    grid.SetOutputOrigin(origin.tolist())
    grid.SetOutputDirection(image.GetDirection())
    grid.SetOutputPixelType(sitk.sitkFloat32)
    grid.SetInterpolator(sitk.sitkLinear)
    *images, inside = (
        sitk.GetArrayFromImage(grid.Execute(volume)) for volume in (image, *others.values(), mask)
    )
    values, inside = np.stack(images), inside > 0.5
    if not inside.any():
        inside = _between(mask, axes, origin, settings)
    if settings.margin is not None:
        values[:, distance_transform_edt(~inside, sampling=spacing) > settings.margin] = 0
    if not np.isfinite(values).all():
        raise ValueError("the crop holds intensities that are not finite")
    if np.abs(values).max() > np.finfo(np.float16).max:
        raise ValueError(
            f"intensities up to {np.abs(values).max():g} do not fit float16; set features.crop_intensity"
        )
    return np.concatenate([values, inside[None]]).astype(np.float16)


def _between(mask: sitk.Image, axes: np.ndarray, origin: np.ndarray, settings: CropSettings) -> np.ndarray:
    """The voxels of a cube, booleans (S, S, S), that hold a voxel of the lesion, or one of them."""
    voxels = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1]  # x, y, z
    points = mask.GetOrigin() + (voxels * mask.GetSpacing()) @ axes.T
    places = np.floor(((points - origin) @ axes / settings.spacing).round(6) + 0.5).astype(int)
    places = places[((places >= 0) & (places < settings.size)).all(axis=1)]
    if not len(places):
        edge = settings.size * settings.spacing
        raise ValueError(
            f"nothing of it lies in the {edge:g} mm around its centroid; raise features.crop_size"
        )
    if len(voxels) * np.prod(mask.GetSpacing()) < settings.spacing**3:
        far = np.abs(places - (settings.size - 1) / 2).sum(axis=1)
        places = places[[far.argmin()]]
    inside = np.zeros((settings.size,) * 3, bool)
    inside[tuple(places[:, ::-1].T)] = True
    return inside


def _array(path: Path) -> Path:
    return Path(f"{path}.npy")
