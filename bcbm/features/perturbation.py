"""Features of the same lesion as others might have drawn it: how much of a value is the contour.

After Zwanenburg et al., Scientific Reports 9:614, 2019: the mask is moved, grown or shrunk, and its boundary
randomised; a feature that then changes as much as between lesions is not to be built upon.
"""

import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt, gaussian_filter, shift

from bcbm.features.files import Files
from bcbm.features.geometry import require_same_grid
from bcbm.features.masks import Region, region_in, spans
from bcbm.features.radiomics import FEATURES, Axes, feature_values, provenance
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.volumes import UnreadableError, Volume

DRAWS = 4  # contours of a lesion
MOVED, GROWN = 0.5, 0.2  # at most: voxels along each axis, and the share of the volume, more or less
ROOM = 8  # voxels around a mask: the change, and PyRadiomics' own padding
ROUGH, SMOOTH = 0.5, 2.0  # of the boundary's noise: standard deviation and width, in edges of a voxel
_RECORD = 4  # counts up whenever a record would look different


def perturbed_mask(
    mask: npt.ArrayLike, spacing: npt.ArrayLike, drawable: npt.ArrayLike, rng: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """A mask moved by up to half a voxel, up to a fifth larger or smaller, its boundary roughened.

    The voxels that lie deepest in the moved and roughened lesion, as many as the new volume has.

    Args:
        mask: booleans (D, H, W), some true, with room around them.
        spacing: edges of a voxel in the same order, mm.
        drawable: booleans (D, H, W), the voxels that may belong to it.
        rng: draws the change.
    """
    mask, spacing = np.asarray(mask, bool), np.asarray(spacing, np.float64)
    depth = distance_transform_edt(mask, spacing) - distance_transform_edt(~mask, spacing)
    depth = shift(depth, rng.uniform(-MOVED, MOVED, 3), order=1, mode="nearest")
    noise = gaussian_filter(rng.normal(size=mask.shape), SMOOTH * spacing.min() / spacing)
    depth += noise * ROUGH * spacing.min() / noise.std()
    depth[~np.asarray(drawable, bool)] = -np.inf
    size = max(1, round(float(mask.sum() * (1 + rng.uniform(-GROWN, GROWN)))))
    result = np.zeros(mask.size, bool)
    result[np.argsort(-depth, axis=None, kind="stable")[:size]] = True
    return result.reshape(mask.shape)


def perturbed_features(
    studies: Iterable[Study],
    folder: Path,
    jobs: int,
    progress: Callable[[int], None] | None = None,
    *,
    axes: Axes = "patient",
) -> dict[str, npt.NDArray[np.float64]]:
    """The features of DRAWS perturbed masks a lesion, (DRAWS, 107) by lesion id, in parallel over studies.

    NaN where PyRadiomics has no value for a contour; a lesion whose files cannot be read has no entry.
    Records are kept in `folder`, so a second call reads no volume.

    Args:
        axes: across which 2D diameters are measured, see `extract_lesion`.

    Raises:
        OSError: `folder` cannot be written.
    """
    settings = {"perturbed": _RECORD, "draws": DRAWS, "axes": axes, **provenance()}
    step = Step(partial(perturb_study, axes=axes), folder, settings)
    values: dict[str, npt.NDArray[np.float64]] = {}
    for _, _, record in each_study(studies, step, jobs=jobs, progress=progress):
        values |= {lesion: np.array(rows, np.float64) for lesion, rows in record["values"].items()}
    return values


def perturb_study(study: Study, _path: Path, files: Files, *, axes: Axes) -> Record:
    """The record of one study: `values`, DRAWS rows of 107 a lesion."""
    record: Record = {"values": {}, "again": False}
    try:
        image = files.volume(study.image)
    except ValueError as error:
        return {**record, "again": isinstance(error, UnreadableError)}
    for lesion, path in study.masks.items():
        try:
            region = files.region(path, study.parts.get(lesion))
            record["values"][lesion] = _lesion(image, region, zlib.crc32(lesion.encode()), axes)
        except UnreadableError:
            record["again"] = True
        except ValueError:  # an empty mask or another grid, which preparation has said
            continue
    return record


def _lesion(image: Volume, region: Region, seed: int, axes: Axes) -> list[list[float]]:
    """DRAWS rows of 107; ValueError for an empty mask or one on another grid."""
    require_same_grid(image.grid, region.grid)
    if not region.inside.size:
        raise ValueError("the mask is empty")
    low, high = np.maximum(region.start - ROOM, 0), np.minimum(region.stop + ROOM, image.values.shape)
    part, values = image.part(low[::-1].tolist(), (high - low)[::-1].tolist()), image.values[spans(low, high)]
    inside = region.within(low, high)
    drawable = inside | (values > 0)  # nobody draws into what was stripped off
    cut = Volume(values, part)
    draws = [np.random.default_rng([seed, draw]) for draw in range(DRAWS)]
    return [_drawn(cut, inside, drawable, rng, axes) for rng in draws]


def _drawn(
    image: Volume, mask: np.ndarray, drawable: np.ndarray, rng: np.random.Generator, axes: Axes
) -> list[float]:
    """The features inside one contour, NaN where PyRadiomics has none for it."""
    contour = perturbed_mask(mask, image.grid.GetSpacing()[::-1], drawable, rng)
    try:
        return feature_values(image, region_in(Volume(contour, image.grid)), {}, axes)
    except (MemoryError, OSError):
        raise
    except Exception:  # PyRadiomics raises nearly all there are, of a line of voxels for example
        return [np.nan] * len(FEATURES)
