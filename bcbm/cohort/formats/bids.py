"""BIDS: post-contrast T1 images of subjects and sessions, masks beside them or in derivatives.

`sub-*/[ses-*/]anat/*_T1w.nii.gz` (one with the entity `ce-` before others), masks `*_mask.nii.gz` or
`*_dseg.nii.gz` (each label value a lesion) there or in `derivatives/*/`, and what `participants.tsv` and
`sub-*_sessions.tsv` say of subjects and sessions; `participants.json` says how labels are written.

Source: the Brain Imaging Data Structure 1.10 (Gorgolewski et al., Sci Data 3:160044, 2016).
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd

from bcbm.cohort.cells import READERS, OddCell, identifier, number, read_texts
from bcbm.cohort.download import Download
from bcbm.cohort.formats.base import Format
from bcbm.cohort.formats.description import citation_in
from bcbm.cohort.formats.manifest_rows import unread_acquisition
from bcbm.cohort.formats.sidecars import (
    PARTICIPANTS,
    SIDECARS,
    Meaning,
    column_meanings,
    described,
    disagreements,
    worded,
)
from bcbm.cohort.formats.subjects import NOT_LESIONS, study_of, unread_files
from bcbm.cohort.formats.tables import other_versions, read_rows, renamed, row_twice
from bcbm.cohort.labels import LabelReading, is_label_column, read_labels
from bcbm.cohort.patients import in_common
from bcbm.cohort.targets import TARGETS, Target
from bcbm.errors import InputError, Problem
from bcbm.system.words import counted, listed

NAMED = 5  # sessions that a message lists
MOST_VOXELS = 2**28  # of a segmentation whose label values are looked at
_CONTRAST = re.compile(r"_ce-(?!(0|false|no|non|none|pre|un|without|native|minus)[a-z]*_)", re.IGNORECASE)
_PART = re.compile(
    r"_part-(?!mag_)", re.IGNORECASE
)  # phase, real and imaginary parts are no image of a brain
_ENTITY = re.compile(r"_([a-z]+)-([A-Za-z0-9]+)")


def recognises(root: Path) -> bool:
    """Whether a folder holds subjects."""
    return root.is_dir() and any(path.is_dir() for path in root.glob("sub-*"))


def read_bids(root: Path, targets: Mapping[str, Target] = TARGETS, sequences: Sequence[str] = ()) -> Download:
    """Read the files and tables of a BIDS dataset.

    Args:
        root: its folder.
        targets: what may be predicted, by name; their columns stand in `participants.tsv`, or in
            `sub-*_sessions.tsv` where they differ between sessions.
        sequences: images that a study may have beside its post-contrast T1, by their suffix in lower case,
            such as flair.

    Raises:
        InputError: there is no table, image or mask, or no image of a sequence.
    """
    problems: list[Problem] = []
    odd: list[OddCell] = []
    readings: list[LabelReading] = []
    images = _images(root, "T1w", problems)
    if not images:
        remedy = "a study needs sub-*/anat/sub-*_T1w.nii.gz; see cohort.format for other layouts"
        raise InputError(Problem(str(root), "holds no T1w image of a subject", remedy))
    others = {sequence: _images(root, sequence, problems) for sequence in sequences}
    for sequence, paths in others.items():
        if not paths:
            remedy = f"add sub-*_{sequence}.nii.gz, or leave {sequence} out of task.sequences"
            raise InputError(Problem(str(root), f"no study has an image of {sequence}", remedy))
    rows = [
        (study, name, str(images.get(study, "")), str(mask), value)
        for study, mask, name, value in _masks(root, problems)
    ]
    if not rows:
        remedy = "put sub-*_mask.nii.gz or sub-*_dseg.nii.gz beside the images or into derivatives"
        raise InputError(Problem(str(root), "holds no mask of a lesion", remedy), *problems)
    columns = ["study_id", "name", "image_path", "mask_path", "mask_value"]
    segmentations = pd.DataFrame(rows, columns=columns).sort_values(["study_id", "name"], ignore_index=True)
    for study in sorted(set(segmentations["study_id"]) - set(images)):
        remedy = "add its T1w image; its lesions have no image"
        problems.append(Problem(study, "has masks and no T1w image", remedy, "study without image"))
    for sequence, paths in others.items():
        segmentations[f"image_{sequence}"] = [str(paths.get(s, "")) for s in segmentations["study_id"]]
    segmentations["in_workbook"] = False
    known = sorted({*images, *segmentations["study_id"]})
    studies = _studies(root, known, images, targets, problems, odd, readings)
    tables = [root / PARTICIPANTS, *(_sessions(root, patient) for patient in studies["patient_id"])]
    looked_at = {*tables, *_volumes(root, "T1w"), *(path for _, path in _mask_files(root))}
    problems += unread_files(root, looked_at, images, targets)
    return Download(
        root=root,
        clinical=PARTICIPANTS,
        images=root,
        has_images=True,
        segmentations=segmentations,
        features=pd.DataFrame(index=segmentations.index),
        studies=studies,
        targets=[name for name in targets if name in studies.select_dtypes("number")],
        problems=problems,
        odd_cells=odd,
        label_readings=readings,
        citation=citation_in(root),
    )


def _anatomy(folder: Path, pattern: str) -> list[Path]:
    """Files of the anatomy folders below a dataset or one of its derivatives."""
    return sorted([*folder.glob(f"sub-*/anat/{pattern}"), *folder.glob(f"sub-*/ses-*/anat/{pattern}")])


def _is_in_place(path: Path, problems: list[Problem]) -> bool:
    """Whether a file's name says the subject and the session in whose folder it lies."""
    inner, outer = path.parents[1].name, path.parents[2].name
    place = inner if inner.startswith("sub-") else f"{outer}_{inner}"
    if (study := study_of(path)) != place:
        found, remedy = f"is of {study or 'nobody'} by its name", "move or rename it; it is not read"
        problems.append(Problem(f"{path}, in {place}", found, remedy, "file in another's folder"))
    return study == place


def _volumes(root: Path, suffix: str) -> list[Path]:
    """The volumes of a suffix, in any case, in the anatomy folders of a dataset."""
    paths = _anatomy(root, "sub-*.nii*")
    return [p for p in paths if p.name.partition(".")[0].rpartition("_")[2].casefold() == suffix.casefold()]


def _mask_files(root: Path) -> Iterator[tuple[Path, Path]]:
    """The masks and segmentations of a dataset and its derivatives, each with the one of these it lies in."""
    for folder in (root, *sorted(path for path in root.glob("derivatives/*") if path.is_dir())):
        for suffix in ("mask", "dseg"):
            for path in _anatomy(folder, f"sub-*_{suffix}.nii*"):
                yield folder, path


def _images(root: Path, suffix: str, problems: list[Problem]) -> dict[str, Path]:
    """The image of every study; of several the first with a contrast agent."""
    groups: dict[str, list[Path]] = {}
    paths = [path for path in _volumes(root, suffix) if not _PART.search(path.name)]
    for path in [path for path in paths if _is_in_place(path, problems)]:
        groups.setdefault(study_of(path), []).append(path)
    chosen = {}
    for study, paths in groups.items():
        enhanced = [path for path in paths if _CONTRAST.search(path.name)]
        chosen[study] = (enhanced or paths)[0]
        if len(enhanced or paths) > 1:
            found, remedy = f"has {len(enhanced or paths)} {suffix} images", "keep one"
            remedy += f"; {chosen[study].name} counts"
            problems.append(Problem(study, found, remedy, "study with more than one image"))
        elif "_space-mni" in chosen[study].name.casefold():
            found = f"{chosen[study].name} lies in a template's space by its name"
            remedy = (
                "give it as it was scanned: of one that was stretched volumes and shapes are the template's"
            )
            problems.append(Problem(study, found, remedy, "image in a template's space"))
        elif suffix == "T1w" and not enhanced:
            found = f"{chosen[study].name} has no entity ce- of an agent"
            remedy = "check that it shows contrast"
            problems.append(Problem(study, found, remedy, "image without contrast by its name"))
    return chosen


def _masks(root: Path, problems: list[Problem]) -> list[tuple[str, Path, str, int]]:
    """Every lesion by its study: the mask, a name of its own, and its label value, 0 where it is the mask."""
    lesions: list[tuple[str, Path, str, int]] = []
    places: dict[str, set[str]] = {}
    touching: dict[Path, bool] = {}
    known: dict[Path, list[Path]] = {}  # tables of label values by folder,
    values: dict[Path, dict[int, str]] = {}  # and what each says
    for folder, path in _mask_files(root):
        entities = dict(_ENTITY.findall(path.name))
        words = [entities[name] for name in ("label", "desc") if name in entities]
        if not _is_in_place(path, problems) or any(word.casefold() in NOT_LESIONS for word in words):
            continue
        name = "-".join([*words, *([f"run{entities['run']}"] if "run" in entities else [])]) or "lesion"
        is_mask = "_mask.nii" in path.name
        table = None if is_mask else next(_inherited(root, path, "*dseg.tsv", known), None)
        if table and table not in values:
            values[table] = _table_values(table, problems)
        names = values[table] if table else {}
        named = {0: name} if is_mask else _named_values(path, table, names, problems, touching)
        lesions += [(study_of(path), path, own or f"{name}-{v}", v) for v, own in named.items()]
        places.setdefault(study_of(path), set()).add(folder.name if folder != root else "anat")
    for study, files in _doubled(lesions).items():
        found = f"has lesions of one name in {len(files)} files: {', '.join(files)}"
        remedy = "keep one, if one is an earlier drawing; lesions of all count"
        problems.append(Problem(study, found, remedy, "lesion in several segmentations"))
    for study, folders in places.items():
        if len(folders) > 1:
            found = f"has masks in {len(folders)} places: {', '.join(sorted(folders))}"
            remedy = "keep one reader's; lesions of all count, and of those that overlap one"
            problems.append(Problem(study, found, remedy, "masks in several places"))
    if 2 * sum(touching.values()) > len(touching):
        found = f"label values touch in {sum(touching.values())} of {counted(len(touching), 'segmentation')}"
        found += ", as classes of one lesion do (core, edema) or parts of a brain; each counts as a lesion"
        remedy = "write a table (index, name) beside each that lists its lesions alone"
        where = str(next(path for path, touch in touching.items() if touch))
        problems.append(Problem(where, found, remedy, "segmentation of classes"))
    return _numbered(lesions)


def _doubled(lesions: Iterable[tuple[str, Path, str, int]]) -> dict[str, list[str]]:
    """The files of a folder in which a study's lesions bear one name, by study."""
    files: dict[tuple[str, Path, str], set[str]] = {}
    for study, path, name, _ in lesions:
        files.setdefault((study, path.parent, name), set()).add(path.name)
    return {study: sorted(names) for (study, _, _), names in files.items() if len(names) > 1}


def _numbered(lesions: list[tuple[str, Path, str, int]]) -> list[tuple[str, Path, str, int]]:
    """Lesions with names that differ within a study."""
    seen: dict[tuple[str, str], int] = {}
    distinct = []
    for study, path, name, value in lesions:
        name = name.replace("/", "_")
        count = seen[study, name] = seen.get((study, name), 0) + 1
        distinct.append((study, path, f"{name}-{count}" if count > 1 else name, value))
    return distinct


def _named_values(
    path: Path,
    table: Path | None,
    names: dict[int, str],
    problems: list[Problem],
    touching: dict[Path, bool],
) -> dict[int, str]:
    """The label values of a segmentation and their names, from the table beside it or from its voxels, with
    the names of a table that it inherits; of several in the voxels without any also whether any touch."""
    if table and table.name.partition(".")[0] == path.name.partition(".")[0] and names:
        return names
    try:
        image = nibabel.Nifti1Image.from_filename(path)
        if not 0 < int(np.prod(image.shape, dtype=np.int64)) <= MOST_VOXELS:
            return {0: "dseg"}
        voxels = np.asanyarray(image.dataobj)
        numbers = np.unique(voxels)
    except Exception:  # whatever a library makes of a damaged file: the survey has words for it
        return {0: "dseg"}
    labels = [int(value) for value in numbers if value > 0.5 and float(value).is_integer()]
    if not labels:
        remedy = "write label values as whole numbers from 1 on"
        problems.append(Problem(str(path), "holds no label value", remedy, "segmentation without labels"))
    elif table and names:  # of all segmentations below: not each has each value
        if absent := not names.keys() & set(labels):
            found, remedy = f"holds none of the lesions of {table}", "add its label values there, or nothing"
            problems.append(Problem(str(path), found, remedy, "segmentation without labels"))
        return {} if absent else {label: names[label] for label in labels if label in names}
    elif len(labels) > 1:
        touching[path] = labels_touch(voxels)
    return dict.fromkeys(labels, "")


def _inherited(root: Path, path: Path, pattern: str, known: dict[Path, list[Path]]) -> Iterator[Path]:
    """The files that describe another one, the nearest first: in its folder or one above, up to the root,
    those that say nothing of its name (`desc-`, `run-`) which it does not, as BIDS has it.

    Args:
        root: of the dataset.
        path: of a segmentation or an image.
        pattern: of the names of such files.
        known: those in a folder; those of further ones are added.
    """

    def entities(file: Path) -> set[tuple[str, str]]:
        return set(_ENTITY.findall(f"_{file.name}"))

    for folder in [path.parent, *path.parent.parents]:
        if folder not in known:
            known[folder] = sorted(folder.glob(pattern))
        fitting = [file for file in known[folder] if entities(file) <= entities(path)]
        yield from sorted(fitting, key=lambda file: -len(entities(file)))
        if folder == root:
            return


def labels_touch(voxels: np.ndarray) -> bool:
    """Whether voxels of two label values lie side by side, as those of classes of one lesion do."""
    for axis in range(voxels.ndim):
        first, second = np.swapaxes(voxels, 0, axis)[:-1], np.swapaxes(voxels, 0, axis)[1:]
        if ((first != second) & (first > 0.5) & (second > 0.5)).any():
            return True
    return False


def _table_values(table: Path, problems: list[Problem]) -> dict[int, str]:
    """The label values of lesions and their names, from the table of a segmentation."""
    rows = read_rows(table, used=lambda _: True, odd=[])
    if not {"index", "name"} <= set(rows):
        found = f"has the columns {', '.join(map(str, rows))}"
        remedy = "BIDS names them index and name; it is not read"
        problems.append(Problem(str(table), found, remedy, "table of labels"))
        return {}
    names: dict[int, str] = {}
    for row, cell, name in rows[["index", "name"]].itertuples():
        value = number(cell).value
        if not (value >= 0 and value.is_integer()):
            found, remedy = f"index '{cell}' is no label value", "write a whole number; the row is not read"
            problems.append(Problem(f"{table} row {row}", found, remedy, "table of labels"))
        elif value in names:
            problems.append(row_twice(f"{table} row {row}", f"label value {value:g}"))
        elif value and identifier(name).casefold() not in NOT_LESIONS:
            names[int(value)] = identifier(name)
    return names


def _studies(
    root: Path,
    studies: list[str],
    images: Mapping[str, Path],
    targets: Mapping[str, Target],
    problems: list[Problem],
    odd: list[OddCell],
    readings: list[LabelReading],
) -> pd.DataFrame:
    """What the tables and sidecars say of every study."""
    patients = [study.partition("_")[0] for study in studies]
    frame = pd.DataFrame({"study_id": studies, "patient_id": patients})

    known = ("participant_id", "session_id", *READERS, *(target.column for target in targets.values()))
    headings = {name.casefold(): name for name in known}

    def used(heading: str) -> bool:
        return heading.casefold() in headings or is_label_column(heading, targets)

    def rows_of(path: Path) -> pd.DataFrame:
        table = renamed(path, read_rows(path, used=used, odd=odd), headings)
        problems.extend(unread_acquisition(path.name, map(str, table)))
        return table

    problems += other_versions(root / PARTICIPANTS)
    persons = rows_of(root / PARTICIPANTS)
    if "participant_id" not in persons:
        raise InputError(Problem(str(root / PARTICIPANTS), "no column 'participant_id'", "BIDS names it so"))
    persons = _distinct(persons, "participant_id", "sub-", root / PARTICIPANTS, problems)
    meanings = column_meanings(root / "participants.json")
    persons = worded(persons, meanings, "participants.json", problems)
    unlisted = sorted(set(patients) - set(persons["participant_id"]))
    if absent := [name for name in persons["participant_id"] if name not in patients]:
        found = f"has rows of {listed(absent, NAMED)}, of whom there is no image"
        remedy = "nothing to do if none was taken"
        if in_common(absent, unlisted):
            remedy = "write them as their folders are called: zeros may be lost, or letters large"
        problems.append(Problem(PARTICIPANTS, found, remedy, "row without study"))
    cells = persons.set_index("participant_id").reindex(patients)
    for patient in unlisted:
        remedy = "its labels count as missing; add the row"
        problems.append(Problem(patient, f"no row in {PARTICIPANTS}", remedy, "study without clinical row"))
    cells = cells.set_axis(pd.Index(studies, name="study_id")).fillna("")
    for patient in sorted(set(patients)):
        _add_sessions(_sessions(root, patient), patient, cells, meanings, rows_of, problems)
    cells = cells.reset_index(drop=True).replace("n/a", "")
    labels = read_labels(cells, targets, PARTICIPANTS, studies, problems, readings)
    lying: dict[Path, list[Path]] = {}
    above = {study: [*_inherited(root, image, "*T1w.json", lying)] for study, image in images.items()}
    sidecars = [described(images.get(study), above.get(study, ()), study, problems) for study in studies]
    problems += disagreements(cells.set_axis(studies), dict(zip(studies, sidecars, strict=True)))
    for name, read in READERS.items():
        own = cells[name] if name in cells else pd.Series("", index=cells.index)
        beside = ["" if cell else item.get(name, "") for cell, item in zip(own, sidecars, strict=True)]
        columns = [
            read_texts(pd.Series(list(texts), cells.index + 2, object, name), read, table, odd)
            for table, texts in ((PARTICIPANTS, own), (SIDECARS, beside))
        ]
        frame[name] = [first or second for first, second in zip(*columns, strict=True)]
    others = [name for name in cells if not used(str(name)) and name not in labels]
    return frame.join(labels).join(cells[others].astype(str))


def _distinct(
    table: pd.DataFrame, column: str, prefix: str, path: Path, problems: list[Problem]
) -> pd.DataFrame:
    """The first row of every id, which may be written without its prefix."""
    ids = table[column].map(identifier)
    ids = ids.where(ids.str.casefold().str.startswith(prefix) | (ids == ""), prefix + ids)
    again = ids.duplicated() & (ids != "")
    problems += [row_twice(f"{path.name} row {row}", str(ids[row])) for row in ids.index[again]]
    return table.assign(**{column: ids})[~again & (ids != "")]


def _sessions(root: Path, patient: str) -> Path:
    """Where the table of a subject's sessions lies."""
    return root / patient / f"{patient}_sessions.tsv"


def _add_sessions(
    path: Path,
    patient: str,
    cells: pd.DataFrame,
    meanings: dict[str, Meaning],
    rows_of: Callable[[Path], pd.DataFrame],
    problems: list[Problem],
) -> None:
    """Let what is said of a session count before what is said of its subject, in place."""
    if not path.is_file():
        return
    table = rows_of(path)
    if "session_id" not in table:
        raise InputError(Problem(str(path), "no column 'session_id'", "BIDS names it so"))
    table = _distinct(table, "session_id", "ses-", path, problems)
    description = path.with_suffix(".json")
    table = worded(table, meanings | column_meanings(description), description.name, problems).replace(
        "n/a", ""
    )
    known = [study for study in map(str, cells.index) if study.partition("_")[0] == patient]
    strangers = [name for name in table["session_id"] if f"{patient}_{name}" not in known]
    if strangers:
        rows, studies = (listed(names, NAMED) for names in (strangers, known))
        found = f"has rows of {rows}, and there are images or masks of {studies}"
        remedy = "give folders and files the names of sessions, or correct the rows; they are not read"
        problems.append(Problem(path.name, found, remedy, "table of sessions"))
    for row in table.to_dict("records"):
        study = f"{patient}_{row['session_id']}"
        if study not in known:
            continue
        for name, cell in row.items():
            if name == "session_id" or cell == "":
                continue
            if name not in cells:
                cells[name] = ""
            cells.at[study, name] = cell


BIDS = Format(
    words="BIDS: sub-*/anat/*_T1w.nii.gz, masks beside them or in derivatives, participants.tsv",
    recognises=recognises,
    read=read_bids,
)
