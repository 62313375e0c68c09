"""Lesions that were drawn together: a mask whose parts do not touch becomes as many lesions, or none."""

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.measurements import SEVERAL, SPLIT, Division, Survey
from bcbm.cohort.names import NameReading, read_name
from bcbm.cohort.table import LESIONS
from bcbm.errors import Problem

Policy = Literal["split", "largest", "refuse"]


def divide(
    download: Download, survey: Survey, policy: Policy, names: Mapping[str, NameReading], value: int = 0
) -> tuple[Download, Survey]:
    """Let every lesion be one part of its mask.

    With `split` the parts of a mask follow it as rows of their own, named NAME/1, NAME/2, the largest first;
    the row of the mask stays, with what the workbook says of it, and is unusable. With `largest` its row
    stands for the largest part, with `refuse` it is unusable. Stray voxels go in any case. Masks of what is
    no lesion, by its name, stay as they are.

    Args:
        names: readings that replace the program's own.
        value: the label value that counts; 0: any.

    Returns:
        The download, its segmentations with the columns `mask_value`, `mask_part` (see `MaskPart`) and
        `part_of` (the lesion_id of the mask's own row); the survey of these lesions, with notes of what was
        done.
    """
    rows = download.segmentations
    ids = rows["study_id"] + "/" + rows["name"]
    taken = set(ids)
    masks: dict[Any, Any] = survey.masks.to_dict("index")
    unusable = dict(survey.unusable)
    problems, notes = list(survey.problems), list(survey.notes)
    renamed = dict(zip(ids, ids, strict=True))  # from masks and parts, as surveyed, to lesions
    numbers, parts = (
        np.zeros(len(rows), int),
        np.zeros(len(rows), int),
    )  # the part that a row is; rows it adds
    for row, (lesion, name) in enumerate(zip(ids, rows["name"], strict=True)):
        division = survey.divisions.get(lesion)
        if division is None or (names.get(name) or read_name(name)).category not in LESIONS:
            continue
        del masks[lesion], renamed[lesion]
        own = part_numbers(lesion, len(division.parts), policy, taken)
        if not own:
            unusable[lesion] = SEVERAL
            problems.append(_refused(lesion, division, policy, taken))
            continue
        if lesion in own:
            numbers[row] = 1
        else:
            unusable[lesion], parts[row] = SPLIT, len(own)
        notes += _notes(lesion, division, policy)
        for name, number in own.items():
            renamed[f"{lesion}/{number}"], part = name, division.parts[number - 1]
            if isinstance(part, Problem):
                unusable[name] = part.kind
                problems.append(replace(part, where=name))
            else:
                masks[name] = part
    pairs = {column: survey.overlaps[column].map(renamed) for column in ("one", "other")}
    table = pd.DataFrame.from_dict(masks, orient="index", columns=survey.masks.columns, dtype=float)
    changed = replace(
        survey,
        masks=table.rename_axis("lesion_id").sort_index(),
        overlaps=survey.overlaps.assign(**pairs).dropna(),
        unusable=unusable,
        problems=sorted(problems, key=lambda problem: (problem.kind, problem.where)),
        divisions={},
        notes=sorted(notes, key=lambda note: (note.kind, note.where)),
    )
    return _with_rows(download, numbers, parts, value), changed


def part_numbers(lesion: str, count: int, policy: Policy, taken: Set[str]) -> dict[str, int]:
    """The lesions that a mask in pieces becomes, and which of its parts, the largest is 1, each one is.

    Args:
        lesion: its lesion_id.
        count: how many parts it has, beside stray voxels.
        taken: the lesion_ids of all masks; with `split` no part may have one of them.

    Returns:
        Numbers by lesion_id; none where the mask is refused.
    """
    if count == 1 or policy == "largest":
        return {lesion: 1}
    own = {f"{lesion}/{number}": number for number in range(1, count + 1)}
    return {} if policy == "refuse" or own.keys() & taken else own


def _refused(lesion: str, division: Division, policy: Policy, taken: Set[str]) -> Problem:
    """Why a mask of several parts is not used."""
    remedy = "set cohort.parts=split or largest, or draw each in a mask of its own"
    if policy == "split":
        own = part_numbers(lesion, len(division.parts), policy, set())
        remedy = f"rename {min(own.keys() & taken)}, whose name a part would have"
    return Problem(lesion, _parts_text(division), f"{remedy}; the lesion is excluded", SEVERAL)


def _notes(lesion: str, division: Division, policy: Policy) -> list[Problem]:
    """What becomes of a mask in several pieces."""
    notes = []
    if division.strays:
        text = f"voxels apart from it, in pieces too small to be a lesion: {division.strays}"
        notes.append(Problem(lesion, text, "they are dropped; look at the mask", "stray voxels"))
    if (count := len(division.parts)) > 1:
        remedy = "the largest alone counts (cohort.parts=largest)"
        if policy == "split":
            name = lesion.partition("/")[2]
            remedy = f"each is a lesion of its own, {name}/1 to {name}/{count} (cohort.parts=split); the "
            remedy += "workbook's row is of all of them"
        notes.append(Problem(lesion, _parts_text(division), remedy, SEVERAL))
    return notes


def _parts_text(division: Division) -> str:
    volumes = [f"{part['volume']:.0f}" for part in division.parts if not isinstance(part, Problem)]
    return f"its mask holds {len(division.parts)} parts that do not touch ({', '.join(volumes)} mm3)"


def _with_rows(download: Download, numbers: np.ndarray, parts: np.ndarray, value: int) -> Download:
    """The download with `parts` more rows behind each row, and the part that each is."""
    taken = np.repeat(np.arange(len(numbers)), 1 + parts)
    number = np.arange(len(taken)) - np.searchsorted(taken, taken)  # 0 for the mask's own row
    rows = download.segmentations.iloc[taken].reset_index(drop=True)
    features = download.features.iloc[taken].reset_index(drop=True)
    added = number > 0
    own = rows["mask_value"] if "mask_value" in rows else pd.Series(0, index=rows.index)
    rows["mask_value"] = own.where(own > 0, value)
    rows["mask_part"] = np.where(added, number, numbers[taken])
    rows["part_of"] = (rows["study_id"] + "/" + rows["name"]).where(added, "")
    rows["name"] += [f"/{part}" if part else "" for part in number]
    rows["in_workbook"] &= ~added
    features[added] = np.nan
    return replace(download, segmentations=rows, features=features)
