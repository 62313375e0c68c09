"""One reading of every image and mask: what it measures, overlaps, where it lies, what is wrong with it."""

from collections.abc import Callable, Iterable
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bcbm.cohort.measurements import MASK_COLUMNS, MNI_COLUMNS, Survey
from bcbm.errors import Problem
from bcbm.features.records import Record, Study, each_study
from bcbm.features.registration import register
from bcbm.features.volumes import (
    UnreadableError,
    Volume,
    bounding_box,
    last_line,
    open_volume,
    read_volume,
    require_same_grid,
)

BIN_WIDTH = 25.0  # grey levels as PyRadiomics counts them by default
_SETTINGS = {"survey": 1, "bin_width": BIN_WIDTH}  # counts up whenever a record changes


class _Region(NamedTuple):
    """The voxels of a mask inside its box: the box's start and a packed array of its shape."""

    start: np.ndarray
    shape: tuple[int, ...]
    packed: np.ndarray

    def voxels(self) -> np.ndarray:
        return np.unpackbits(self.packed, count=int(np.prod(self.shape))).reshape(self.shape).astype(bool)


def survey_cohort(
    studies: Iterable[Study], folder: Path, jobs: int, progress: Callable[[int], None] | None = None
) -> Survey:
    """Survey every study, in parallel; records are kept in `folder`, so a second call reads no volume."""
    masks: dict[str, dict[str, float]] = {}
    overlaps: list[list[Any]] = []
    problems: list[Problem] = []
    unusable: dict[str, str] = {}
    for study, _, record in each_study(
        studies, survey_study, folder, _SETTINGS, jobs=jobs, progress=progress
    ):
        masks |= record["masks"]
        overlaps += record["overlaps"]
        if record["image"]:
            kind, text, remedy = record["image"]
            problems.append(Problem(str(study.image), text, remedy, kind))
        for lesion, (kind, text, remedy) in record["failures"].items():
            unusable[lesion] = f"{kind}: {text}" if record["image"] else kind
            if not record["image"]:
                problems.append(Problem(lesion, text, remedy, kind))
    table = pd.DataFrame.from_dict(masks, orient="index", columns=list(MASK_COLUMNS), dtype=float)
    pairs = pd.DataFrame(sorted(overlaps), columns=["one", "other", "shared", "dice"])
    problems.sort(key=lambda problem: (problem.kind, problem.where))
    return Survey(table.rename_axis("lesion_id").sort_index(), pairs, unusable, problems)


def register_cohort(
    studies: Iterable[Study],
    survey: Survey,
    folder: Path,
    jobs: int,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Register every study to the template, and give `survey` the lesions' points there and the failures."""
    settings = {"registration": 1} | {name: version(name) for name in ("SimpleITK", "nilearn")}
    count = (lambda _: progress(1)) if progress else None
    for study, _, record in each_study(studies, register_study, folder, settings, jobs=jobs, progress=count):
        lesions = survey.masks.index.intersection(list(study.masks))
        if record["failure"]:
            remedy = "look at the image; the position of its lesions is read from their names"
            survey.problems.append(Problem(str(study.image), record["failure"], remedy, "not registered"))
        elif len(lesions):
            centres = survey.masks.loc[lesions, ["x", "y", "z"]].to_numpy()
            points = np.c_[centres, np.ones(len(centres))] @ np.array(record["to_mni"]).T
            points[:, 3] = record["overlap"]
            placed = pd.DataFrame(points, index=lesions, columns=list(MNI_COLUMNS))
            survey.points = pd.concat([survey.points, placed]) if len(survey.points) else placed


def register_study(study: Study, _path: Path) -> Record:
    """The record of one study: `to_mni`, the matrix (4, 4) from LPS mm to the template's RAS mm, `overlap`
    and `failure`, one of the two being empty."""
    try:
        registration = register(read_volume(study.image))
    except ValueError as error:
        again = isinstance(error, UnreadableError)
        return {"to_mni": [], "overlap": 0.0, "failure": last_line(error), "again": again}
    return {"to_mni": registration.to_mni.tolist(), "overlap": registration.overlap, "failure": ""}


def survey_study(study: Study, _path: Path) -> Record:
    """The record of one study: `image` (kind, text, remedy; empty when it is sound), `masks`, `overlaps`,
    `failures` (kind, text, remedy by lesion), and `again` where a file could not be read."""
    record: Record = {"image": [], "masks": {}, "overlaps": [], "failures": {}, "again": False}
    try:
        image = open_volume(study.image)
        _require_brain(image)
    except ValueError as error:
        record["image"] = ["unusable image", str(error), "download it again; its lesions are excluded"]
        record["failures"] = dict.fromkeys(study.masks, record["image"])
        record["again"] = isinstance(error, UnreadableError)
        return record
    regions: dict[str, _Region] = {}
    for lesion, path in study.masks.items():
        try:
            region, measures = _measure(image, path)
        except MaskError as error:
            record["failures"][lesion] = [error.kind, str(error), "correct the mask; the lesion is excluded"]
            record["again"] |= error.kind == "unreadable mask"
        else:
            regions[lesion], record["masks"][lesion] = region, measures
    sizes = {lesion: measures["voxels"] for lesion, measures in record["masks"].items()}
    for first, second in combinations(sorted(regions), 2):
        if common := _common(regions[first], regions[second]):
            a, b = sizes[first], sizes[second]
            record["overlaps"].append([first, second, common / min(a, b), 2 * common / (a + b)])
    return record


class MaskError(ValueError):
    """A mask that cannot be used; `kind` says what is wrong with it in a few words."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        super().__init__(text)


def _require_brain(image: Volume) -> None:
    """ValueError unless there is a brain in a known orientation."""
    values, low, high = image.values, float(image.values.min()), float(image.values.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("holds values that are not finite")
    if high <= 0:
        raise ValueError("holds no brain: nothing is above 0")
    if not (values[values > 0] < high).any():
        raise ValueError(f"holds one intensity only ({high:g})")
    keys = [key for key in ("qform_code", "sform_code") if image.grid.HasMetaDataKey(key)]
    codes = [image.grid.GetMetaData(key) for key in keys]
    if codes and all(code == "0" for code in codes):
        raise ValueError("has no orientation (qform and sform code 0): left and right are unknown")


def _measure(image: Volume, path: Path) -> tuple[_Region, dict[str, float]]:
    """Where a mask is and what it measures on its image; MaskError where it cannot be used."""
    try:
        mask = open_volume(path)
    except ValueError as error:
        raise MaskError("unreadable mask", str(error)) from None
    try:
        require_same_grid(image.grid, mask.grid, path.name)
    except ValueError as error:
        raise MaskError("mask on another grid", str(error)) from None
    if (box := bounding_box(mask.values)) is None:
        raise MaskError("empty mask", f"{path.name} holds no voxel above 0.5")
    region = mask.values[box] > 0.5
    values = image.values[box][region]
    if len(values) == 1:
        raise MaskError("single-voxel mask", f"{path.name} is a single voxel")
    if not (values > 0).any():
        raise MaskError("mask outside the brain", f"{path.name} lies outside the stripped brain")
    start = np.array([part.start for part in box])
    centre = np.mean(np.argwhere(region), axis=0) + start
    spacing, axes = image.grid.GetSpacing(), np.reshape(image.grid.GetDirection(), (3, 3))
    x, y, z = (image.grid.GetOrigin() + axes @ (centre[::-1] * spacing)).tolist()
    measures = {
        "voxels": len(values),
        "volume": len(values) * float(np.prod(spacing)),
        "x": x,
        "y": y,
        "z": z,
        "outside": float(np.mean(values <= 0)),
        "grey_levels": len(np.unique(np.floor(values / BIN_WIDTH))),
    }
    return _Region(start, region.shape, np.packbits(region)), measures


def _common(first: _Region, second: _Region) -> int:
    """Voxels that two masks share."""
    low = np.maximum(first.start, second.start)
    high = np.minimum(first.start + first.shape, second.start + second.shape)
    if (low >= high).any():
        return 0
    parts = []
    for region in (first, second):
        span = zip(low - region.start, high - region.start, strict=True)
        parts.append(region.voxels()[tuple(slice(a, b) for a, b in span)])
    return int((parts[0] & parts[1]).sum())
