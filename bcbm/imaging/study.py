"""One study: from its series and drawings to an image, a mask a lesion, a picture and a record."""

import errno
import gzip
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import SimpleITK as sitk

from bcbm.errors import out_of_memory
from bcbm.imaging import brain as brains
from bcbm.imaging.drawings import DrawingError, Region, as_image, read_drawing
from bcbm.imaging.headers import Drawing, Series
from bcbm.imaging.pseudonyms import age_at
from bcbm.imaging.volume import SeriesError, read_series, stack
from bcbm.report.figures.ingest import study_figure
from bcbm.system.content import file_sum
from bcbm.system.files import strict_json, write_whole
from bcbm.system.words import counted

VERSION = 8  # counts up whenever what is made of a study changes
RECORD = "study.json"
MEASURED = "and what is said of it here is of what was made"
HOLLOW = 0.1  # part of what a lesion encloses, from which on its holes are said
LOSSY = "was compressed with loss once (LossyImageCompression): its texture is not what was scanned"
BrainMethod = Literal["deepbet", "mask", "none"]
_MAKERS = ("GE", "Siemens", "Philips", "Canon", "Toshiba", "Hitachi", "United Imaging", "Fujifilm")


class Plan(NamedTuple):
    """What a study is made of.

    Attributes:
        study: its pseudonym.
        series: the one that was chosen, and `number`, its place among the study's.
        drawings: what is drawn on it.
        brain: how its brain is found.
    """

    study: str
    series: Series
    number: int
    drawings: list[Drawing]
    brain: BrainMethod


class StudyError(ValueError):
    """A study that is not taken; the message says why, and names nobody."""


def ingest_study(plan: Plan, folder: Path) -> dict[str, Any]:
    """Make a study's files in a folder, unless they are there already, and return its record.

    The record holds `study`, `inputs`, `image`, `lesions` (name, mask, volume in ml), `refused` (what, why),
    `organs` (regions that are no lesions), `doubts`, `facts` (of the scanner and the patient), `brain`
    (volume in ml, overlap with the template's) and `sums`; of a study that is refused whole, `refused`
    counts alone, and no file is written. `redrawn`, which no file holds, names lesions whose masks were
    others before.
    """
    inputs = _fingerprint(plan)
    if (record := _finished(folder, inputs)) is not None:
        return record
    aside = _set_aside(folder)
    before = _remove(folder)
    record = {"study": plan.study, "inputs": inputs, "lesions": [], "refused": [], "doubts": [], "organs": []}
    record["doubts"] += [f"{name} was changed by hand: kept as {kept}" for name, kept in aside.items()]
    try:
        record |= _made(plan, folder, record)
    except (SeriesError, StudyError) as error:
        return record | {"refused": [["study", str(error)], *record["refused"]], "lesions": [], "image": ""}
    except Exception as error:
        if out_of_memory(error) or isinstance(error, OSError):
            raise
        reason = f"it cannot be worked on ({type(error).__name__}): please report it"
        return record | {"refused": [["study", reason]], "lesions": [], "image": ""}
    names = [record["image"], *(lesion["mask"] for lesion in record["lesions"]), f"{plan.study}.png"]
    record["sums"] = {name: file_sum(folder / name) for name in names}
    write_whole(folder / RECORD, strict_json(record))
    masks = {lesion["name"]: lesion["mask"] for lesion in record["lesions"]}
    redrawn = [
        name for name, mask in masks.items() if before.get(mask, record["sums"][mask]) != record["sums"][mask]
    ]
    return record | {"redrawn": redrawn}


def _made(plan: Plan, folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    image = read_series(plan.series)
    record["doubts"] += [plan.series.lacking] if plan.series.lacking else []
    record["doubts"] += [LOSSY] if plan.series.lossy == "01" else []
    regions = _regions(plan, image, record)
    lesions = [region for region in regions if region.role == "lesion" and region.mask is not None]
    measured: dict[str, float | None] | None = None
    inside = _brain_mask(plan, image, regions)
    if inside is not None:
        image = brains.bias_corrected(image, inside)
        texts, measured = brains.doubts(image, inside)
        record["doubts"] += texts
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{plan.study}_image.nii.gz"
    _write(image, folder / name)
    rows: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for lesion in lesions:
        assert lesion.mask is not None
        taken[lesion.name] = count = taken.get(lesion.name, 0) + 1
        label = lesion.name if count == 1 else f"{lesion.name}-{count}"
        while count > 1 and label in {row["name"] for row in rows}:
            taken[lesion.name] = count = count + 1
            label = f"{lesion.name}-{count}"
        mask = as_image(lesion.mask, image)
        file = f"{plan.study}_mask_{label}.nii.gz"
        _write(mask, folder / file)
        rows.append({"name": label, "mask": file, "volume": round(brains.volume(mask), 6)})
        if inside is not None:
            share = float(lesion.mask[sitk.GetArrayViewFromImage(inside) > 0].sum() / lesion.mask.sum())
            if share < brains.INSIDE:
                record["doubts"].append(
                    f"{share:.0%} of the mask {label} lies in the brain that was extracted"
                )
    masks = [lesion.mask for lesion in lesions if lesion.mask is not None]
    study_figure(image, masks, folder / f"{plan.study}.png")
    return {"image": name, "lesions": rows, "facts": _facts(plan.series), "brain": measured}


def _regions(plan: Plan, image: sitk.Image, record: dict[str, Any]) -> list[Region]:
    """The regions of all drawings; the record is told what is not read, and which are organs or aids."""
    regions: list[Region] = []
    before = np.zeros(image.GetSize()[::-1], bool)  # what the drawings before have of lesions
    for number, drawing in enumerate(plan.drawings, 1):
        try:
            drawn = read_drawing(drawing, plan.series, image, plan.brain == "mask")
        except DrawingError as error:
            record["refused"].append([f"drawing {number}", str(error)])
            continue
        for region in drawn:
            if region.refused:
                record["refused"].append([f"drawing {number}, {region.name}", region.refused])
            elif region.role == "other":
                record["organs"].append(region.name)
        lesions = [region for region in drawn if region.role == "lesion" and region.mask is not None]
        if unnamed := sum(not region.named for region in lesions):
            text = f"drawing {number}: {counted(unnamed, 'region')} without a word of the field in the name"
            record["doubts"].append(f"{text}, taken for a lesion each")
        called = [region.called for region in lesions if region.named]
        if any(called) and (count := called.count(False)):
            text = f"drawing {number}: {counted(count, 'region')} named by a place alone, beside others that"
            record["doubts"].append(f"{text} are called tumours: taken for a lesion each")
        masks = [region.mask for region in lesions if region.mask is not None]
        if again := [mask for mask in masks if 2 * (mask & before).sum() > mask.sum()]:
            text = f"drawing {number}: {counted(len(again), 'region')} over lesions of another drawing"
            record["doubts"].append(f"{text}; keep the one that counts, the older may stand for both")
        if hollow := sum(_holes(mask) >= HOLLOW for mask in masks):
            text = f"drawing {number}: holes in {counted(hollow, 'lesion')}, which contours within others cut"
            record["doubts"].append(f"{text}; if two are versions of one outline, keep one")
        for mask in masks:
            before |= mask
        regions += drawn
    return regions


def _holes(mask: np.ndarray) -> float:
    """The part of what a mask (z, y, x) encloses, slice by slice, that is not of it."""
    from scipy.ndimage import binary_fill_holes

    enclosed = sum(int(binary_fill_holes(area).sum()) for area in mask if area.any())
    return 1 - float(mask.sum()) / enclosed


def _brain_mask(plan: Plan, image: sitk.Image, regions: list[Region]) -> sitk.Image | None:
    if plan.brain == "none":
        return None
    if plan.brain == "mask":
        drawn = [region.mask for region in regions if region.role == "brain" and region.mask is not None]
        if len(drawn) != 1:
            raise StudyError(f"{len(drawn)} regions of it are called brain, and ingest.brain=mask needs one")
        return as_image(drawn[0], image)
    try:
        mask = brains.brain_mask(image)
    except ValueError as error:
        raise StudyError(str(error)) from None
    if not sitk.GetArrayViewFromImage(mask).any():
        raise StudyError("no brain is found in it")
    return mask


def _facts(series: Series) -> dict[str, Any]:
    """What the headers say that names nobody: numbers, and words of closed lists."""
    numbers = {"field_strength": series.field_strength, "tr": series.tr, "te": series.te}
    return {
        "age": age_at(series),
        "sex": series.sex.upper() if series.sex.upper() in ("F", "M", "O") else None,
        "manufacturer": maker(series),
        **{name: None if math.isnan(value) else value for name, value in numbers.items()},
        "pixel_spacing": stack(series.frames).frames[0].spacing[0],
    }


def maker(series: Series) -> str | None:
    """Who made the scanner, of those that are known, by whole words: `IMAGE` is no GE."""
    text = series.manufacturer.lower().replace("_", " ")
    forms = {name: name.lower() for name in _MAKERS} | {"GE": "ge|gems|general electric"}
    forms |= {"United Imaging": "united imaging|uih", "Fujifilm": "fuji(?:film)?"}
    names = (name for name, form in forms.items() if re.search(rf"(?<![a-z])(?:{form})(?![a-z])", text))
    return next(names, None)


def _write(image: sitk.Image, path: Path) -> None:
    """Write a volume in one step; its header holds the grid and nothing else.

    Raises:
        OSError: the disk, or a limit of the size of files, has not taken all of it, which ITK does not tell.
    """
    partial = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with suppress(RuntimeError):  # a file that is not there is no whole one, either
            sitk.WriteImage(image, str(partial), useCompression=True, compressionLevel=5)
        if not _is_whole(partial):
            raise OSError(errno.ENOSPC, "the disk has not taken all of it", str(path))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _is_whole(packed: Path) -> bool:
    """Whether a file unpacks to its end, and that is right by its sum (RFC 1952)."""
    with suppress(OSError, EOFError, zlib.error), gzip.open(packed) as file:
        while file.read(2**20):
            pass
        return True
    return False


def _fingerprint(plan: Plan) -> str:
    """What a study is made of: the content of its files and the settings; nothing that names anyone.

    The times of files say too little: exports that are made again, and programs that take names away, may
    give a corrected file the size and the time of the first.
    """
    paths = {*(frame.path for frame in plan.series.frames), *(drawing.path for drawing in plan.drawings)}
    files = sorted(file_sum(Path(path)) for path in paths)
    text = json.dumps([VERSION, plan.brain, plan.number, len(plan.drawings), files])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def facts_of(folder: Path) -> dict[str, Any]:
    """What headers said of the scanner and the patient when a study was made; nothing of one that was not."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return dict(json.loads((folder / RECORD).read_text(encoding="utf-8"))["facts"])
    return {}


def _by_hand(folder: Path, sums: Mapping[str, str]) -> list[str]:
    """The volumes that are others than were written, and whole, as where a person has corrected a mask."""
    there = [name for name in sums if name.endswith(".nii.gz") and (folder / name).is_file()]
    return [name for name in there if file_sum(folder / name) != sums[name] and _is_whole(folder / name)]


def _set_aside(folder: Path) -> dict[str, str]:
    """Keep the volumes that a person has changed under other names, by those that they had."""
    kept: dict[str, str] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        sums = json.loads((folder / RECORD).read_text(encoding="utf-8"))["sums"]
        for name in _by_hand(folder, {Path(name).name: digest for name, digest in sums.items()}):
            number = next(n for n in count(1) if not (folder / f"by-hand-{n}-{name}").exists())
            kept[name] = f"by-hand-{number}-{name}"
            (folder / name).replace(folder / kept[name])
    return kept


def _remove(folder: Path) -> dict[str, str]:
    """Remove what an earlier call has made of other inputs, and return its sums; what a person has added
    stays."""
    sums: dict[str, str] = {}
    with suppress(OSError, ValueError, KeyError, TypeError):
        sums = dict(json.loads((folder / RECORD).read_text(encoding="utf-8"))["sums"])
        (folder / RECORD).unlink()
        for name in sums:
            (folder / Path(name).name).unlink(missing_ok=True)
    return sums


def _finished(folder: Path, inputs: str) -> dict[str, Any] | None:
    """The record of a study that was made of these inputs and whose files are as they were written, or as a
    person has corrected them, which it says."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["inputs"] != inputs:
            return None
        others = {name: own for name, own in record["sums"].items() if file_sum(folder / name) != own}
        if set(others) != set(_by_hand(folder, others)):
            return None
        said = [f"{name} was changed by hand: it counts as it lies, {MEASURED}" for name in others]
        return record | {"doubts": [*record["doubts"], *said]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
