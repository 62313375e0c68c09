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
    MASK_COLUMNS,
    MNI_COLUMNS,
    SPREAD,
    TURNED,
    UNPLACED,
    Brain,
    Division,
    Survey,
    spread_columns,
    spread_matrix,
)
from bcbm.errors import Problem
from bcbm.features.brains import ENDING, save_brain, small_brain
from bcbm.features.doubts import BIN_WIDTH, image_doubts, require_brain
from bcbm.features.files import Files
from bcbm.features.geometry import FORMS_APART, VolumeError, forms_apart, require_same_grid
from bcbm.features.masks import MaskPart, Region, foreground, label_values, no_lesion, separate, spans
from bcbm.features.records import Record, Step, Study, each_study
from bcbm.features.registration import register
from bcbm.features.volumes import Box, UnreadableError, Volume, last_line, open_volume, point_of

SURVEY, REGISTRATION = 12, 4  # each counts up whenever a record of its kind changes
_SETTINGS = {"survey": SURVEY, "bin_width": BIN_WIDTH}
_MOST_LABELS = 50  # of a mask of lesions; a map of probabilities has more values
_LISTED = 5  # label values of a mask that a message names
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
        require_brain(image)
    except VolumeError as error:
        kind, remedy = error.kind or "unusable image", f"{error.remedy}; its lesions are excluded"
        record["image"] = [kind, str(error), remedy]
        record["failures"] = dict.fromkeys(study.masks, record["image"])
        record["again"] = isinstance(error, UnreadableError)
        return record
    brain = int((image.values > 0).sum())
    record["doubts"] = image_doubts(image, brain)
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
        shape = no_lesion(region)
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
