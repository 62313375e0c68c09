"""What an image looks like, in a few numbers that need no label: to tell whether it is like others."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from bcbm.features.files import Files
from bcbm.features.geometry import require_same_grid
from bcbm.features.masks import spans
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.volumes import Volume, bounding_box

QUANTILES = (0.05, 0.25, 0.75, 0.95, 0.995)
# Against the median of the brain: quantiles, mean steps from voxel to voxel along the three axes, sorted, and
# the mean of the lesion; and how far steps turn back. All are logarithms.
INTENSITIES = (
    *(f"quantile_{share:g}" for share in QUANTILES),
    *("step_low", "step_middle", "step_high", "grain", "lesion"),
)
# Edges of a voxel, edges of the brain's box, both sorted, mm, and the brain, ml. All are logarithms.
GEOMETRY = (
    *("voxel_low", "voxel_middle", "voxel_high"),
    *("brain_low", "brain_middle", "brain_high", "brain"),
)
APPEARANCE = (*INTENSITIES, *GEOMETRY)
_RECORD = 1  # counts up whenever a record would look different
_LEAST = 1e-6  # of what a logarithm is taken of


def appearance_step(folder: Path) -> Step:
    """What measures a study; as `measure_appearance`."""
    return Step(appearance_of, folder, {"appearance": _RECORD})


def measure_appearance(
    studies: Iterable[Study], folder: Path, jobs: int, progress: Callable[[int], None] | None = None
) -> dict[str, np.ndarray]:
    """The numbers APPEARANCE of the lesions of these studies, by lesion_id.

    All but `lesion` are those of its study. A lesion whose files cannot be read has none. Records are kept in
    `folder`, so a second call reads no volume.
    """
    numbers: dict[str, np.ndarray] = {}
    for _, _, record in each_study(studies, appearance_step(folder), jobs=jobs, progress=progress):
        for lesion, contrast in record["lesions"].items():
            row = [*record["intensities"], contrast, *record["geometry"]]
            numbers[lesion] = np.array(row, np.float64)
    return numbers


def appearance_of(study: Study, _path: Path, files: Files) -> Record:
    """The record of one study: `intensities` without `lesion`, `geometry`, and the contrast of `lesions`."""
    record: Record = {"intensities": [], "geometry": [], "lesions": {}, "again": False}
    try:
        image = files.volume(study.image)
    except ValueError:
        return {**record, "again": True}
    if (box := bounding_box((image.values > 0).view(np.uint8))) is None:
        return record
    values = image.values[box].astype(np.float32)
    brain = values > 0
    median = float(np.median(values[brain]))
    quantiles = np.quantile(values[brain], QUANTILES) / median
    steps = sorted(_step(values, brain, axis, 1) for axis in range(3))
    grain = sum(_step(values, brain, axis, 2) for axis in range(3)) / max(sum(steps), _LEAST)
    record["intensities"] = _logs([*quantiles, *(step / median for step in steps), grain])
    record["geometry"] = _geometry(image, brain)
    for lesion, path in study.masks.items():
        try:
            region = files.region(path, study.parts.get(lesion))
            require_same_grid(image.grid, region.grid)
        except ValueError:
            record["again"] = True
            continue
        inside = image.values[spans(region.start, region.stop)][region.inside]
        if inside.size:
            record["lesions"][lesion] = _logs([float(inside.mean(dtype=np.float64)) / median])[0]
    return record


def _step(values: np.ndarray, brain: np.ndarray, axis: int, order: int) -> float:
    """The mean absolute difference, of an order, between neighbours in the brain along an axis; 0: none."""
    size = values.shape[axis] - order
    parts = [[slice(None)] * 3 for _ in range(order + 1)]
    for start, span in enumerate(parts):
        span[axis] = slice(start, start + max(size, 0))
    inside = np.logical_and.reduce([brain[tuple(span)] for span in parts])
    differences = np.abs(np.diff(values, order, axis=axis)[inside]) if size > 0 else np.empty(0)
    return float(differences.mean(dtype=np.float64)) if differences.size else 0.0


def _geometry(image: Volume, brain: np.ndarray) -> list[float]:
    spacing = np.array(image.grid.GetSpacing())[::-1]
    edges = np.array(brain.shape) * spacing
    millilitres = float(brain.sum() * spacing.prod() / 1000)
    return _logs([*sorted(spacing), *sorted(edges), millilitres])


def _logs(numbers: list[float]) -> list[float]:
    logs: list[float] = np.log(np.maximum(numbers, _LEAST)).tolist()
    return logs
