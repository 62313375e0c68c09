"""One reading of every image and mask: what it measures, overlaps, where it lies, what is wrong with it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.metadata import version
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bcbm.cohort.measurements import (
    BROKEN_OFF,
    CUT_OFF,
    DOUBLED,
    MASK_COLUMNS,
    MNI_COLUMNS,
    NOT_STRIPPED,
    NOWHERE,
    RESCALED,
    SCRAP,
    SHUFFLED,
    SPIKED,
    SPREAD,
    TOO_FINE,
    TURNED,
    UNPLACED,
    WRAPPED,
    Brain,
    Division,
    Survey,
    spread_columns,
    spread_matrix,
)
from bcbm.errors import Problem
from bcbm.features.brains import ENDING, save_brain, small_brain
from bcbm.features.files import Files
from bcbm.features.geometry import FORMS_APART, Grid, VolumeError, forms_apart, require_same_grid
from bcbm.features.masks import MaskPart, Region, foreground, label_values, no_lesion, separate, spans
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.registration import register
from bcbm.features.volumes import Box, UnreadableError, Volume, last_line, open_volume, point_of
from bcbm.system.words import counted

BIN_WIDTH = 25.0  # grey levels as PyRadiomics counts them by default
SURVEY, REGISTRATION = 9, 4  # each counts up whenever a record of its kind changes
_SETTINGS = {"survey": SURVEY, "bin_width": BIN_WIDTH}
_MOST_LABELS = 50  # of a mask of lesions; a map of probabilities has more values
_LISTED = 5  # label values of a mask that a message names
_HEAD = 2300.0  # ml above 0 beyond which more than a brain is left; the largest brains have 1900
_SCRAP = 500.0, 0.05  # ml above 0, and part of the voxels, below which both no brain is there
_FEW_BINS = 4  # grey levels of BIN_WIDTH in a whole brain that leave next to none in a lesion
_NEGATIVE = 0.01  # part of the voxels that resampling and bias correction bring below 0 at most
_SPIKE = 50.0  # times the brain's mean beyond which a voxel rules how it is scaled; real scans reach 8
_CUT = 0.005  # part of the brain with the brightest value, beyond which it was cut off; real scans reach 1e-5
_FEWEST_CUT = 100  # voxels of that value
_FINE = 0.15  # mm, an edge of a voxel below which its spacing is likely in centimetres
_LARGE, _ROWS = 0.5, 2  # part of the largest slice, and rows, that no brain loses from a slice to the next
_DIP = 0.25  # part of the largest slice by which none of 133 real brains shrinks before it grows again
_WRAP = 0.6, 0.002  # a step, in parts of the largest value, and part of such steps; real scans reach 0.0008
_TILTED = 60.0  # degrees beyond which nobody lies in a scanner


def survey_step(folder: Path, value: int = 0) -> Step:
    """What surveys a study; as `survey_cohort`."""
    settings = _SETTINGS | ({"value": value} if value else {})
    return Step(partial(survey_study, value=value), folder, settings)


def registration_step(folder: Path) -> Step:
    """What registers a study, of which it needs the image alone."""
    settings = {"registration": REGISTRATION} | {name: version(name) for name in ("SimpleITK", "nilearn")}
    return Step(register_study, folder, settings)


def survey_cohort(
    studies: Iterable[Study],
    folder: Path,
    jobs: int,
    progress: Callable[[int], None] | None = None,
    *,
    value: int = 0,
) -> Survey:
    """Survey every study, in parallel; records are kept in `folder`, so a second call reads no volume.

    Args:
        value: the label value of a lesion's voxels; 0: whatever is above 0.5, which has to be one value.
    """
    masks: dict[str, dict[str, float]] = {}
    overlaps: list[list[Any]] = []
    problems: list[Problem] = []
    notes: list[Problem] = []
    doubts: dict[str, list[str]] = {}
    unusable: dict[str, str] = {}
    divisions: dict[str, Division] = {}
    step = survey_step(folder, value)
    for study, _, record in each_study(studies, step, jobs=jobs, progress=progress):
        masks |= record["masks"]
        overlaps += record["overlaps"]
        if record["image"]:
            kind, text, remedy = record["image"]
            problems.append(Problem(str(study.image), text, remedy, kind))
        for kind, text, remedy in record["doubts"]:
            problems.append(Problem(str(study.image), text, remedy, kind))
            doubts.setdefault(str(study.image), []).append(kind)
        if record["forms"]:
            remedy = f"the files of its study are read by their {study.form} (cohort.form={study.form})"
            where, text = record["forms"]
            notes.append(Problem(where, text, remedy, FORMS_APART))
        for lesion, (kind, text, remedy) in record["failures"].items():
            unusable[lesion] = f"unusable image: {text}" if record["image"] else kind
            if not record["image"]:
                problems.append(Problem(lesion, text, remedy, kind))
        for lesion, (parts, strays) in record["divisions"].items():
            measured = [
                Problem(f"{lesion}/{number}", part[1], part[2], part[0]) if isinstance(part, list) else part
                for number, part in enumerate(parts, 1)
            ]
            divisions[lesion] = Division(measured, strays)
        for lesion, text in record["values"].items():
            remedy = f"cohort.label_value={value} counts"
            notes.append(Problem(lesion, text, remedy, "several label values"))
        for lesion, text in record["odd"].items():
            remedy = "check the mask: they count as background"
            problems.append(Problem(lesion, text, remedy, "mask with values that are no label"))
        for lesion, text in record["shapes"].items():
            remedy = "look at the mask; its volume, shape and texture are not the lesion's"
            problems.append(Problem(lesion, text, remedy, "mask of no lesion's shape"))
        for lesion, text in record["unused"].items():
            remedy = "nothing to do if these are no lesions; else give each a row, or a name"
            notes.append(Problem(lesion, text, remedy, "label values of no lesion"))
    table = pd.DataFrame.from_dict(masks, orient="index", columns=list(MASK_COLUMNS), dtype=float)
    pairs = pd.DataFrame(sorted(overlaps), columns=["one", "other", "shared", "dice"])
    for listed in (problems, notes):
        listed.sort(key=lambda problem: (problem.kind, problem.where))
    masks_table = table.rename_axis("lesion_id").sort_index()
    return Survey(masks_table, pairs, unusable, problems, divisions, notes, doubts)


def image_alone(study: Study) -> Study:
    """What a study's registration depends on."""
    return Study(study.image, {}, form=study.form)


def register_cohort(
    studies: Sequence[Study],
    survey: Survey,
    folder: Path,
    jobs: int,
    progress: Callable[[int], None] | None = None,
    *,
    overlap: float,
) -> None:
    """Register every study to the template, and give `survey` the lesions' points there, the brains and the
    failures.

    Args:
        overlap: of a brain with the template's, below which a registration has failed.
    """
    masks = {study.image: list(study.masks) for study in studies}
    images = [image_alone(study) for study in studies]
    step, count = registration_step(folder), (lambda _: progress(1)) if progress else None
    for study, path, record in each_study(images, step, jobs=jobs, progress=count):
        if record["files"]:
            survey.brains[str(study.image)] = Brain(Path(f"{path}{ENDING}"), record["overlap"])
        lesions = survey.masks.index.intersection(masks[study.image])
        if failure := record["failure"] or _too_little(record["overlap"], overlap):
            remedy = "look at the image; the position of its lesions counts as missing, unless "
            remedy += "cohort.position=name reads it from their names"
            survey.problems.append(Problem(str(study.image), failure, remedy, UNPLACED))
            survey.doubts.setdefault(str(study.image), []).append(UNPLACED)
            continue
        if record["turn"] > _TILTED:
            text = f"its head lies turned by {record['turn']:.0f} degrees"
            remedy = "check the orientation in its header; positions follow the head, crops do not"
            survey.problems.append(Problem(str(study.image), text, remedy, TURNED))
            survey.doubts.setdefault(str(study.image), []).append(TURNED)
        if len(lesions):
            centres = survey.masks.loc[lesions, ["x", "y", "z"]].to_numpy()
            to_mni = np.array(record["to_mni"])
            points = np.c_[centres, np.ones(len(centres))] @ to_mni.T
            points[:, 3] = record["overlap"]
            spread = spread_matrix(survey.masks.loc[lesions, list(SPREAD)].to_numpy())
            spread = spread_columns(to_mni[:3, :3] @ spread @ to_mni[:3, :3].T)
            placed = pd.DataFrame(np.c_[points, spread], index=lesions, columns=[*MNI_COLUMNS, *SPREAD])
            survey.points = pd.concat([survey.points, placed]) if len(survey.points) else placed
    survey.problems.sort(key=lambda problem: (problem.kind, problem.where))


def _too_little(overlap: float, least: float) -> str:
    """That a brain overlaps the template's by less than it has to, in words; "" where it does not."""
    if overlap >= least:
        return ""
    text = f"overlap {overlap:.2f} with the template's brain, below cohort.overlap={least:g}"
    return f"registration to MNI failed: {text} (is the scan skull-stripped, with a background of 0?)"


def register_study(study: Study, path: Path, files: Files) -> Record:
    """The record of one study: `to_mni`, the matrix (4, 4) from LPS mm to the template's RAS mm, `overlap`,
    `turn` (degrees) and, where there is none of them, `failure`; the small brain is a file beside it."""
    try:
        image = files.volume(study.image).whole()
        registration = register(image)
    except ValueError as error:
        again, failure = isinstance(error, UnreadableError), last_line(error)
        return {"to_mni": [], "overlap": 0.0, "turn": 0.0, "failure": failure, "again": again, "files": []}
    save_brain(Path(f"{path}{ENDING}"), small_brain(image, registration.to_mni))
    to_mni, turn, overlap = registration.to_mni.tolist(), registration.turn, registration.overlap
    return {"to_mni": to_mni, "overlap": overlap, "turn": turn, "failure": "", "files": [ENDING]}


def survey_study(study: Study, _path: Path, files: Files, *, value: int = 0) -> Record:
    """The record of one study: `image` (kind, text, remedy; empty when it is sound), `doubts` (the same of
    what may be wrong with it), `forms` (the first file whose forms disagree, and how), `masks`, `divisions`
    (parts and stray voxels of masks in several pieces), `values` (of masks in which one of several counts),
    `odd` (of masks with voxels that are no label), `shapes` (of masks that no lesion has the shape of),
    `unused` (of files with label values of no lesion, by its first lesion), `overlaps`, `failures` (kind,
    text, remedy by lesion), and `again` where a file could not be read."""
    record: Record = {"image": [], "masks": {}, "overlaps": [], "failures": {}, "again": False}
    record |= {"divisions": {}, "values": {}, "doubts": [], "forms": []}
    record |= {"odd": {}, "shapes": {}, "unused": {}}
    try:
        image = files.volume(study.image)
        _require_brain(image)
    except VolumeError as error:
        kind, remedy = error.kind or "unusable image", f"{error.remedy}; its lesions are excluded"
        record["image"] = [kind, str(error), remedy]
        record["failures"] = dict.fromkeys(study.masks, record["image"])
        record["again"] = isinstance(error, UnreadableError)
        return record
    brain = int((image.values > 0).sum())
    record["doubts"] = _doubts(image, brain)
    if study.form != "agree":
        apart = ([str(path), forms_apart(path)] for path in (study.image, *study.masks.values()))
        record["forms"] = next((words for words in apart if words[1]), [])
    regions: dict[str, tuple[str, Region, float]] = {}  # of masks and parts: the mask, where, how large
    unused: dict[Path, tuple[str, dict[float, int]]] = {}  # a lesion of the file, and what none has yet
    for lesion, path in study.masks.items():
        own = study.parts.get(lesion, MaskPart()).value  # a label value of its own, as a table may give it
        try:
            box = _drawn(image, path, files)
            odd = _no_labels(box, path.name)
            record["odd"] |= {lesion: odd} if odd else {}
            if own:
                unused.setdefault(path, (lesion, dict(label_values(box.values))))[1].pop(own, None)
            region, text = _chosen(box, own or value, path.name)
            measures = _measure(image, brain, region, path.name)
        except MaskError as error:
            record["failures"][lesion] = [error.kind, str(error), f"{error.remedy}; the lesion is excluded"]
            record["again"] |= error.kind == "unreadable mask"
            continue
        drawn = {"drawn": int((region.inside if own else box.values > 0.5).sum())}
        record["masks"][lesion] = measures | drawn
        record["values"] |= {lesion: text} if text and not own else {}
        shape = no_lesion(region.inside, image.grid)
        record["shapes"] |= {lesion: f"{path.name} is {shape}"} if shape else {}
        regions[lesion] = lesion, region, measures["voxels"]
        numbers, count, strays = separate(region.inside, box.start, image.grid)
        if count == 1 and not strays:
            continue
        parts: list[dict[str, float] | list[str]] = []
        for number in range(1, count + 1):
            part = region._replace(inside=numbers == number)
            try:
                measures = _measure(image, brain, part, path.name)
            except MaskError as error:
                remedy = f"{error.remedy}; the lesion is excluded"
                parts.append([error.kind, f"part {number} of {error}", remedy])
            else:
                parts.append(measures | drawn)
                regions[f"{lesion}/{number}"] = lesion, part, measures["voxels"]
        record["divisions"][lesion] = [parts, strays]
    for path, (lesion, counts) in unused.items():
        if counts:
            record["unused"][lesion] = f"{path.name} holds {_labels_text(list(counts.items()))} too"
    for first, second in combinations(sorted(regions), 2):
        (mask, one, a), (other_mask, other, b) = regions[first], regions[second]
        if mask != other_mask and (common := one.shared(other)):
            record["overlaps"].append([first, second, common / min(a, b), 2 * common / (a + b)])
    return record


class MaskError(ValueError):
    """A mask that cannot be used; `kind` says what is wrong with it in a few words, `remedy` what to do."""

    def __init__(self, kind: str, text: str, remedy: str = "correct the mask") -> None:
        self.kind, self.remedy = kind, remedy
        super().__init__(text)


def _require_brain(image: Volume) -> None:
    """VolumeError unless there is a brain in a known orientation."""
    values, low, high = image.values, float(image.values.min()), float(image.values.max())
    if not np.isfinite([low, high]).all():
        raise VolumeError("holds values that are not finite")
    if high <= 0:
        raise VolumeError("holds no brain: nothing is above 0")
    if not (values[values > 0] < high).any():
        raise VolumeError(f"holds one intensity only ({high:g})")
    keys = [key for key in ("qform_code", "sform_code") if image.grid.HasMetaDataKey(key)]
    codes = [image.grid.GetMetaData(key) for key in keys]
    if codes and all(code == "0" for code in codes):
        text = "has no orientation (qform and sform code 0): left and right are unknown"
        raise VolumeError(text, "convert it again from what the scanner wrote")


def _doubts(image: Volume, brain: int) -> list[list[str]]:
    """What makes it doubtful that an image is a brain, of so many voxels, as the scanner has measured it:
    kind, text, remedy."""
    doubts, values = [], image.values
    inside = values > 0
    below = int((values < 0).sum())
    high = float(values.max())
    millilitres = brain * float(np.prod(image.grid.GetSpacing())) / 1000
    if millilitres > _HEAD:
        text = f"is not skull-stripped: {millilitres:.0f} ml lie above 0, a brain has less than {_HEAD:.0f}"
        remedy = "strip the skull and set the background to 0; its positions and intensities are off"
        doubts.append([NOT_STRIPPED, text, remedy])
    elif millilitres < _SCRAP[0] and brain < _SCRAP[1] * values.size:
        text = (
            f"holds {millilitres:.3g} ml above 0, {brain / values.size:.2%} of its voxels: next to no brain"
        )
        remedy = "strip the skull again, or correct its spacing; intensities are scaled by what is left"
        doubts.append([SCRAP, text, remedy])
    finest = float(min(image.grid.GetSpacing()))
    if finest < _FINE:
        text = f"has voxels of {finest:.3g} mm: no head is scanned so finely, they may be centimetres"
        doubts.append([TOO_FINE, text, "correct the spacing in the header, of image and masks alike"])
    if _says_nothing(image.grid):
        text = "lies from 0 mm on in voxels of 1 mm, as in a file whose writer has lost the header"
        remedy = "look at what the scanner wrote; its spacing may be another, and left be right"
        doubts.append([NOWHERE, text, remedy])
    if broken := _broken_off(inside):
        text = f"is 0 from row {broken[1]} of slice {broken[0]} on, as a copy that was broken off leaves it"
        doubts.append([BROKEN_OFF, text, "copy the file again"])
    if (peaks := max(_peaks(inside, axis) for axis in range(3))) > 1:
        text = f"its brain grows and shrinks {peaks} times from slice to slice"
        remedy = "look at the image: its slices are out of order, or some were lost"
        doubts.append([SHUFFLED, text, remedy])
    if doubled := _doubled(values):
        text = f"{counted(doubled, 'slice')} of its brain repeat the one before, voxel by voxel"
        remedy = "look at the image: slices were written twice, or it was enlarged; sizes may be off"
        doubts.append([DOUBLED, text, remedy])
    if any(0.98 * 2**bits <= high < 2**bits for bits in (8, 16)) and (share := _wrapped(values)) > _WRAP[1]:
        text = f"{share:.1%} of the steps in its brain go over most of its range, to {high:.5g}: what lay "
        text += "above began again at 0"
        doubts.append([WRAPPED, text, "convert it again, to numbers of more bits"])
    mean = float(np.sum(values, where=inside, dtype=np.float64) / brain)
    if high > _SPIKE * mean:
        text = f"its brightest voxel has {high / mean:.0f} times the mean of the brain, and rules its scale"
        doubts.append([SPIKED, text, "look at the image; features.crop_intensity=percentile heeds no spike"])
    remedy = "give it as it was before; its radiomics are not those of other images"
    cut = int((values == high).sum())
    if cut > max(_CUT * brain, _FEWEST_CUT):
        text = f"{cut / brain:.1%} of what is above 0 has its largest value, {high:.3g}: it was cut off there"
        doubts.append([CUT_OFF, text, remedy])
    if below > _NEGATIVE * (brain + below):
        share = below / (brain + below)
        text = f"{share:.0%} of its voxels lie below 0, and count as no brain: it was normalised before"
        doubts.append([RESCALED, text, remedy])
    elif high < _FEW_BINS * BIN_WIDTH:
        text = f"its intensities reach {high:.3g}, {_FEW_BINS} grey levels of {BIN_WIDTH:g} or fewer: it was "
        doubts.append([RESCALED, f"{text}rescaled before", remedy])
    return doubts


def _says_nothing(grid: Grid) -> bool:
    """Whether a grid is what nibabel and SimpleITK give an array about which they are told nothing."""
    turn = np.reshape(grid.GetDirection(), (3, 3))
    usual = any(np.array_equal(turn, np.diag([side, side, 1])) for side in (1, -1))
    return usual and not any(grid.GetOrigin()) and np.array_equal(grid.GetSpacing(), np.ones(3))


def _doubled(values: np.ndarray) -> int:
    """How many slices, of the axis with the most, are what the one before is, and hold more than 0."""
    middles = [size // 2 for size in values.shape]
    most = 0
    for axis in range(3):
        across = (axis + 1) % 3
        plane = np.moveaxis(values.take(middles[across], across), axis if axis < across else axis - 1, 0)
        alike = (plane[1:] == plane[:-1]).all(axis=1) & (plane[1:] > 0).any(axis=1)
        pairs = [[values.take(place + step, axis) for step in (0, 1)] for place in np.flatnonzero(alike)]
        most = max(most, sum(np.array_equal(one, other) for one, other in pairs))
    return most


def _wrapped(values: np.ndarray) -> float:
    """The part of the steps from voxel to voxel along rows of a brain that are most of its largest value."""
    values = values[::4].astype(np.float32)  # of some slices: it is a share
    brain = values > 0
    steps = np.abs(np.diff(values, axis=2))[brain[..., 1:] & brain[..., :-1]]
    return float((steps > _WRAP[0] * values.max()).mean()) if steps.size else 0.0


def _peaks(brain: np.ndarray, axis: int) -> int:
    """How often a brain grows and shrinks again along an axis, in slices: once, as whole ones do, or more."""
    areas = brain.sum(axis=tuple(other for other in range(3) if other != axis), dtype=float)
    least, extreme, grows, peaks = _DIP * areas.max(), 0.0, True, 1
    for area in areas:
        if (extreme - area if grows else area - extreme) > least:
            grows, extreme = not grows, area
            peaks += grows
        extreme = max(extreme, area) if grows else min(extreme, area)
    return peaks


def _broken_off(brain: np.ndarray) -> tuple[int, int] | None:
    """The slice, and its row, as they are stored, behind which nothing is left of a brain that was still
    large before it; None where it ends as brains do."""
    areas = brain.sum(axis=(1, 2))
    last = int(areas.nonzero()[0][-1])
    if not 0 < last < len(areas) - 1 or areas[last - 1] < _LARGE * areas.max():
        return None
    rows, before = (int(brain[place].any(axis=1).nonzero()[0][-1]) for place in (last, last - 1))
    return (last, rows + 1) if before - rows > _ROWS else None


def _drawn(image: Volume, path: Path, files: Files) -> Box:
    """What is drawn in a mask; MaskError where it cannot be used."""
    try:
        box = files.box(path)
    except VolumeError as error:
        raise MaskError(error.kind or "unreadable mask", str(error), error.remedy) from None
    try:
        require_same_grid(image.grid, box.grid, path.name)
    except VolumeError as error:
        raise MaskError("mask on another grid", str(error), error.remedy) from None
    if not box.values.size:
        values = open_volume(path, files.form).values
        text = f"holds no voxel above 0.5 (values from {values.min():g} to {values.max():g})"
        raise MaskError("empty mask", f"{path.name} {text}")
    return box


def _no_labels(box: Box, name: str) -> str:
    """How many voxels of a mask are below 0 or not finite, in words; "" where none is, but for rounding."""
    counts = ((box.below, "below 0"), (box.wild, "not finite"))
    words = [f"{count} voxels {what}" for count, what in counts if count]
    return f"{name} holds {' and '.join(words)}" if words else ""


def _labels_text(labels: list[tuple[float, int]]) -> str:
    words = [f"{label:g} ({count} voxels)" for label, count in labels[:_LISTED]]
    return f"the label values {', '.join(words)}" + " ..." * (len(labels) > _LISTED)


def _chosen(box: Box, value: int, name: str) -> tuple[Region, str]:
    """The voxels of the lesion, in all that is drawn, and where they have one of several values all of these
    in words."""
    labels = label_values(box.values)
    text = f"{name} holds {_labels_text(labels)}"
    if len(labels) > 1 and not value:
        remedy = "set cohort.label_value, or draw each in a mask of its own"
        if len(labels) > _MOST_LABELS:
            remedy = "it looks like a map of probabilities: cut it at half of its largest value"
        raise MaskError("several label values", text, remedy)
    inside = foreground(box.values, value)
    if not inside.any():
        remedy = "correct the mask, or cohort.label_value"
        raise MaskError("mask without the label value", f"{text} and not {value}", remedy)
    return Region(inside, box.start, box.grid), text if len(labels) > 1 else ""


def _measure(image: Volume, brain: int, region: Region, name: str) -> dict[str, float]:
    """What a mask's region measures in an image with so many voxels of brain; MaskError if it cannot be
    used."""
    values = image.values[spans(region.start, region.stop)][region.inside]
    if len(values) == 1:
        raise MaskError("single-voxel mask", f"{name} is a single voxel")
    if not (values > 0).any():
        raise MaskError("mask outside the brain", f"{name} lies outside the stripped brain")
    places = np.argwhere(region.inside)
    x, y, z = point_of(image.grid, np.mean(places, axis=0) + region.start)
    axes = np.reshape(image.grid.GetDirection(), (3, 3)) * image.grid.GetSpacing()
    spread = np.cov(places.T, bias=True)[::-1, ::-1] + np.eye(3) / 12  # a voxel is a box, not a point
    measures = {
        "voxels": len(values),
        "volume": len(values) * float(np.prod(image.grid.GetSpacing())),
        "x": x,
        "y": y,
        "z": z,
        "outside": float(np.mean(values <= 0)),
        "brain_share": float((values > 0).sum() / brain),
        "grey_levels": len(np.unique(np.floor(values / BIN_WIDTH))),
        "mean": float(values.mean(dtype=np.float64)),
    }
    measures |= dict(zip(SPREAD, spread_columns(axes @ spread @ axes.T).tolist(), strict=True))
    return measures
