"""Radiomics of the tissue around a lesion, in shells by their distance from it.

Peritumoral regions after Braman et al., Breast Cancer Research 19:57, 2017, in 3D and in mm.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from bcbm.cohort.duplicates import SAME_LESION
from bcbm.features.files import Files
from bcbm.features.geometry import require_same_grid
from bcbm.features.masks import Region, region_in, spans
from bcbm.features.radiomics import FEATURES, feature_values, provenance
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.volumes import UnreadableError, Volume, last_line

# The shape of a shell is that of its lesion, of the skull and of its neighbours: no feature of the tissue.
SHELL_FEATURES = tuple(name for name in FEATURES if not name.startswith("original_shape_"))
LEAST = 30  # voxels of a shell below which its texture says nothing
RECORD = 2  # counts up whenever a record would look different


class Shells(NamedTuple):
    """What was measured around lesions.

    Attributes:
        values: (K, 93) by lesion_id, NaN where a shell has none.
        missing: why a shell has none, by lesion_id and by shell, such as "12 voxels, fewer than 30".
    """

    values: dict[str, npt.NDArray[np.float64]]
    missing: dict[str, dict[str, str]]


def shell_names(edges: Sequence[float]) -> list[str]:
    """Shells by their edges: 3 and 6 make "0-3" and "3-6"."""
    return [f"{low:g}-{high:g}" for low, high in zip([0, *edges], edges, strict=False)]


def shell_columns(edges: Sequence[float]) -> list[str]:
    """The columns of all shells, 93 each, such as `shell_0-3_firstorder_Mean`."""
    names = [name.removeprefix("original_") for name in SHELL_FEATURES]
    return [f"shell_{shell}_{name}" for shell in shell_names(edges) for name in names]


def shell_masks(
    lesion: npt.ArrayLike, allowed: npt.ArrayLike, spacing: npt.ArrayLike, edges: Sequence[float]
) -> list[npt.NDArray[np.bool_]]:
    """The voxels of each shell: those whose centre lies so far from that of the nearest voxel of the lesion.

    Args:
        lesion: booleans (D, H, W).
        allowed: booleans (D, H, W), what a shell may hold: the brain, and no other lesion.
        spacing: edges of a voxel in the same order, mm.
        edges: of the shells, mm, the innermost first; each begins behind the one before.
    """
    lesion = np.asarray(lesion, bool)
    distance = distance_transform_edt(~lesion, spacing)
    around = np.asarray(allowed, bool) & ~lesion
    bounds = zip([0.0, *edges], edges, strict=False)
    return [around & (distance > low) & (distance <= high) for low, high in bounds]


def shells_step(folder: Path, edges: Sequence[float]) -> Step:
    """What measures the shells around a study's lesions."""
    settings: dict[str, Any] = {"shells": RECORD, "edges": list(edges), "least": LEAST, **provenance()}
    return Step(partial(extract_study, edges=list(edges)), folder, settings)


def extract_shells(
    studies: Iterable[Study],
    edges: Sequence[float],
    folder: Path,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> Shells:
    """First-order and texture features of the shells around every mask of these studies.

    A shell holds what is brain (above 0 in the image) and no voxel of another of these masks. One that
    shares half of the smaller of the two is drawn over the same lesion and is no other. Records are kept in
    `folder`, so a second call reads no volume.

    Raises:
        OSError: `folder` cannot be written.
    """
    step, shells = shells_step(folder, edges), Shells({}, {})
    for _, _, record in each_study(studies, step, jobs=jobs, progress=progress):
        for lesion, rows in record["values"].items():
            shells.values[lesion] = np.array(rows, np.float64)
        shells.missing.update(record["missing"])
    return shells


def extract_study(study: Study, _path: Path, files: Files, *, edges: list[float]) -> Record:
    """The record of one study: `values`, 93 a shell and lesion, and `missing`, shells and why they have none.

    A lesion whose mask cannot be used has none of both; what extracts the lesion itself says so.
    """
    record: Record = {"values": {}, "missing": {}, "again": False}
    try:
        image = files.volume(study.image)
    except ValueError as error:
        return {**record, "again": isinstance(error, UnreadableError)}
    regions: dict[str, Region] = {}
    for lesion, path in study.masks.items():
        try:
            region = files.region(path, study.parts.get(lesion))
            require_same_grid(image.grid, region.grid)
        except ValueError as error:
            record["again"] |= isinstance(error, UnreadableError)
            continue
        if region.inside.size:
            regions[lesion] = region
    for lesion, region in regions.items():
        others = [other for name, other in regions.items() if name != lesion]
        rows: list[list[float]] = []
        reasons: dict[str, str] = {}
        for shell, values in zip(shell_names(edges), _measured(image, region, others, edges), strict=True):
            if isinstance(values, str):
                reasons[shell] = values
                values = [np.nan] * len(SHELL_FEATURES)
            rows.append(values)
        record["values"][lesion] = rows
        record["missing"] |= {lesion: reasons} if reasons else {}
    return record


def _measured(
    image: Volume, lesion: Region, others: list[Region], edges: list[float]
) -> Iterator[list[float] | str]:
    """The features of each shell, or why it has none."""
    spacing = np.array(image.grid.GetSpacing())[::-1]
    reach = np.ceil(edges[-1] / spacing).astype(int)
    low = np.maximum(lesion.start - reach, 0)
    high = np.minimum(lesion.stop + reach, image.values.shape)
    part = image.part(low[::-1].tolist(), (high - low)[::-1].tolist())
    values = image.values[spans(low, high)]
    allowed = values > 0
    for other in others:
        if other.meets(low, high) and not _same(lesion, other):
            allowed &= ~other.within(low, high)
    for mask in shell_masks(lesion.within(low, high), allowed, spacing, edges):
        if (count := int(mask.sum())) < LEAST:
            yield f"{count} voxels, fewer than {LEAST}"
            continue
        try:
            shell = region_in(Volume(mask, part))
            yield feature_values(Volume(values, part), shell, {}, "stored", SHELL_FEATURES)
        except (MemoryError, OSError):  # of the machine, not of the lesion
            raise
        except Exception as error:  # PyRadiomics raises nearly all there are, of a flat shell for example
            yield last_line(error)


def _same(first: Region, second: Region) -> bool:
    """Whether two masks are drawn over one lesion: they share half of the smaller one."""
    return first.shared(second) >= SAME_LESION * min(first.inside.sum(), second.inside.sum())
