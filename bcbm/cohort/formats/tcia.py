"""The real layout: read the TCIA download of BCBM-RadioGenomics as it is, with or without its images.

Source: doi 10.7937/RRSE-W278. Nothing here writes into the download.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from bcbm.cohort.cells import READERS, OddCell, read_numbers, read_texts, words
from bcbm.cohort.download import FEATURE, Download, patient_of
from bcbm.cohort.formats.base import Format
from bcbm.cohort.formats.manifest_rows import unread_acquisition
from bcbm.cohort.formats.tables import further_sheets, legends, other_versions, row_twice
from bcbm.cohort.formats.workbooks import identified, read_workbook, segmentation_name
from bcbm.cohort.labels import LabelReading, is_label_column, read_labels
from bcbm.cohort.targets import TARGETS, Target
from bcbm.config.checks import misspelt, nearest
from bcbm.errors import InputError, Problem
from bcbm.system.content import file_key

RADIOMICS_WORKBOOK = ("BCBM-RadioGenomic_Radiomics_Data.xlsx", "merged_orig")
CLINICAL_WORKBOOK = ("BCBM-RadioGenomics-Clinical-data.xlsx", "Clinical+Genetics")
CITATION = "BCBM-RadioGenomics (TCIA, doi 10.7937/RRSE-W278). Licence CC BY 4.0."
IMAGE_FOLDER = "BCBM-RadioGenomics_Images_Masks_Dec2024"
# Headings of the clinical workbook, and the acquisition columns that they become.
ACQUIRED = {
    "Age": "age",
    "Year": "year",
    "Pixel Spacing": "pixel_spacing",
    "Manufacturer": "manufacturer",
    "Magnetic Field Strength ID": "field_strength",
    "Sex": "sex",
}
# Not in the published workbook; the supplement of its paper has them (ms), for whoever adds them to it.
ADDED = {"Repetition Time": "tr", "Echo Time": "te"}


def recognises(root: Path) -> bool:
    """Whether a folder holds any file of the download, so that a half of it is missed by its name."""
    return any((root / name).exists() for name in (RADIOMICS_WORKBOOK[0], CLINICAL_WORKBOOK[0], IMAGE_FOLDER))


def read_download(
    root: Path, targets: Mapping[str, Target] = TARGETS, sequences: Sequence[str] = ()
) -> Download:
    """Read workbooks and file names of a download.

    Args:
        root: its folder.
        targets: what may be predicted, by name.
        sequences: images that a study may have beside its post-contrast T1, as
            `<study>_image_<sequence>.nii.gz` or `<study>_image_<sequence>_*.nii.gz`.

    Raises:
        InputError: a workbook missing, unreadable or empty, a needed column missing, or a sequence that no
            study has.
    """
    problems = [
        problem
        for name, _ in (CLINICAL_WORKBOOK, RADIOMICS_WORKBOOK)
        for problem in other_versions(root / name)
    ]
    odd: list[OddCell] = []
    readings: list[LabelReading] = []

    def used(heading: str) -> bool:
        return heading in ("ID", *ACQUIRED, *ADDED) or is_label_column(heading, targets)

    names = ["FilenamePrefix", "Segmentation_Name"]

    def measured(heading: str) -> bool:
        return heading in names or heading.startswith(FEATURE)

    clinical = read_workbook(
        root,
        *CLINICAL_WORKBOOK,
        needed=["ID", *(name for name in TARGETS if name in targets)],
        used=used,
        odd=odd,
        percentages=lambda heading: is_label_column(heading, targets),
    )
    radiomics = read_workbook(
        root,
        *RADIOMICS_WORKBOOK,
        needed=names,
        used=measured,
        odd=odd,
    )
    for (name, sheet), is_used in ((CLINICAL_WORKBOOK, used), (RADIOMICS_WORKBOOK, measured)):
        problems += further_sheets(root / name, sheet, is_used)
    problems += legends(root / CLINICAL_WORKBOOK[0], CLINICAL_WORKBOOK[1])
    studies = _studies(clinical, targets, problems, odd, readings)
    rows = _workbook_rows(radiomics, problems, odd)
    images = root / IMAGE_FOLDER
    files = _files(images, sequences, problems) if images.is_dir() else None
    for other in sorted(root.glob("*[Ii]mages*")) if files is None else []:
        text, remedy = f"is not named {IMAGE_FOLDER}, so no image is read", f"rename it to {IMAGE_FOLDER}"
        problems.append(Problem(str(other), text, remedy, "image folder by another name"))
    segmentations, features = _join(rows, files, problems)
    _require_rows(root, studies, segmentations)
    for study in sorted(set(segmentations["study_id"]) - set(studies["study_id"])):
        problems.append(
            Problem(
                study,
                f"no row in {CLINICAL_WORKBOOK[0]}",
                "it has no labels of its own; add the row",
                "study without clinical row",
            )
        )
        studies.loc[len(studies), ["study_id", "patient_id"]] = [study, patient_of(study)]
    for study in sorted(set(segmentations["study_id"]) | set(studies["study_id"])):
        if patient_of(study) == study:
            problems.append(
                Problem(
                    study,
                    "does not end in -<patient>-<session>",
                    "it counts as a patient of its own; rename the study if it is not",
                    "study without session number",
                )
            )
    return Download(
        root=root,
        clinical=CLINICAL_WORKBOOK[0],
        images=images,
        has_images=files is not None,
        segmentations=segmentations,
        features=features,
        studies=studies,
        targets=[name for name in targets if name in studies],
        problems=problems,
        odd_cells=odd,
        label_readings=readings,
        further=clinical[[heading for heading in clinical if not used(str(heading))]],
        citation=CITATION,
    )


def content_hash(root: Path) -> str:
    """A name for the content of a download, without reading its volumes.

    Workbooks are read whole; for volumes see `file_key`.
    """
    digest = hashlib.sha256()
    for name in (RADIOMICS_WORKBOOK[0], CLINICAL_WORKBOOK[0]):
        digest.update(name.encode() + b"\0" + (root / name).read_bytes())
    for path in sorted((root / IMAGE_FOLDER).glob("*/*.nii*")):
        digest.update(os.fsencode(path.relative_to(root)) + b"\0" + file_key(path))
    return digest.hexdigest()[:16]


def _require_rows(root: Path, studies: pd.DataFrame, segmentations: pd.DataFrame) -> None:
    """Refuse a download that names no study, or no segmentation by a row or a file."""
    remedy = "restore its rows, or download it again"
    for table, (name, sheet), found in (
        (studies, CLINICAL_WORKBOOK, "has no row that names a study"),
        (segmentations, RADIOMICS_WORKBOOK, "has no row that names a segmentation, and there is no mask"),
    ):
        if table.empty:
            raise InputError(Problem(f"{root / name}, sheet {sheet}", found, remedy))


def _studies(
    clinical: pd.DataFrame,
    targets: Mapping[str, Target],
    problems: list[Problem],
    odd: list[OddCell],
    readings: list[LabelReading],
) -> pd.DataFrame:
    book, sheet = CLINICAL_WORKBOOK
    table = f"{book}, sheet {sheet}"
    clinical = identified(clinical, "ID", book, problems)
    cells = clinical.set_axis(clinical.index + 2)
    frame = pd.DataFrame({"study_id": read_texts(cells["ID"], words, table, odd)}, index=clinical.index)
    frame["patient_id"] = [patient_of(study) for study in frame["study_id"]]
    rows = [f"row {row} ({study})" for row, study in zip(frame.index + 2, frame["study_id"], strict=True)]
    frame = frame.join(read_labels(clinical, targets, table, rows, problems, readings))
    for column, name in ACQUIRED.items():
        frame[name] = read_texts(cells[column], READERS[name], table, odd) if column in cells else ""
    for column in [heading for heading in ADDED if heading in cells]:
        frame[ADDED[column]] = read_texts(cells[column], READERS[ADDED[column]], table, odd)
    headings = [str(heading) for heading in clinical]
    problems += unread_acquisition(table, headings, {**ACQUIRED, **ADDED})
    for heading, column in misspelt(headings, ACQUIRED | ADDED).items():
        text, remedy = (
            f"no column '{column}', and '{heading}' is not read",
            f"call it {column}, if that is it",
        )
        problems.append(Problem(table, text, remedy, "column by another name"))
    twice = frame.duplicated("study_id", keep="first")
    for row, study in zip(frame.index[twice] + 2, frame.loc[twice, "study_id"], strict=True):
        problems.append(row_twice(f"{book} row {row}", f"study {study}", "workbook"))
    return frame[~twice].reset_index(drop=True)


def _workbook_rows(radiomics: pd.DataFrame, problems: list[Problem], odd: list[OddCell]) -> pd.DataFrame:
    book, sheet = RADIOMICS_WORKBOOK
    radiomics = identified(radiomics, "FilenamePrefix", book, problems)
    radiomics = identified(radiomics, "Segmentation_Name", book, problems, "segmentation")
    table = f"{book}, sheet {sheet}"
    cells = radiomics.set_axis(radiomics.index + 2)
    features = [column for column in cells.columns if column.startswith(FEATURE)]
    columns = {name: read_numbers(cells[name], table, odd) for name in features}
    numbers = pd.DataFrame(columns, index=radiomics.index, dtype="float64")
    names = read_texts(cells["Segmentation_Name"], words, table, odd)
    numbers.insert(0, "study_id", read_texts(cells["FilenamePrefix"], words, table, odd))
    numbers.insert(1, "name", [segmentation_name(name) for name in names])
    twice = numbers.duplicated(["study_id", "name"], keep="first")
    for row, study, name in numbers.loc[twice, ["study_id", "name"]].itertuples():
        problems.append(row_twice(f"{book} row {row + 2}", f"{study} {name}", "workbook"))
    return numbers[~twice].reset_index(drop=True)


def _files(images: Path, sequences: Sequence[str], problems: list[Problem]) -> pd.DataFrame:
    rows = []
    folders = sorted(path for path in images.iterdir() if path.is_dir())
    if not folders:
        raise InputError(
            Problem(str(images), "holds no study folder", "unpack the images there, or remove it")
        )
    if (nested := images / images.name).is_dir():
        remedy = "move the study folders up into the outer one"
        raise InputError(Problem(str(nested), "lies in a folder of the same name", remedy))
    for folder in folders:
        study = folder.name
        others = {sequence: _sequence_images(folder, sequence, problems) for sequence in sequences}
        known = {path for paths in others.values() for path in paths}
        published = folder / f"{study}_image_ss_n4.nii.gz"  # before a sequence that nobody names
        image_files = sorted(
            {*folder.glob(f"{study}_image*.nii.gz")} - known, key=lambda path: (path != published, path)
        )
        if len(image_files) != 1:
            problems.append(
                Problem(
                    str(folder),
                    f"{len(image_files)} files named {study}_image*.nii.gz",
                    "keep exactly one; its lesions have no image"
                    if not image_files
                    else f"keep one, or name its sequence in task.sequences; {image_files[0].name} counts",
                    "study with more than one image" if image_files else "study without image",
                )
            )
        elif image_files[0] not in (published, folder / f"{study}_image.nii.gz"):
            text = f"its only image is {image_files[0].name}, which counts as the post-contrast T1"
            remedy = f"rename it to {published.name}, or take it out if it is another sequence"
            problems.append(Problem(str(folder), text, remedy, "image by another name"))
        masks = sorted(folder.glob(f"{study}_mask_*.nii.gz"))
        named = (path for path in folder.iterdir() if not path.name.startswith("._"))  # as macOS writes them
        volumes = {path for path in named if ".nii" in path.name.lower()}
        for stray in sorted(volumes - {*image_files, *masks, *known}):
            text, remedy = "is neither an image nor a mask by its name", _rename(stray)
            problems.append(Problem(str(stray), text, remedy, "file that fits no pattern"))
        for mask in masks:
            if not _writable(mask.name):
                problems.append(
                    Problem(
                        str(folder),
                        f"a mask's name is not UTF-8: {mask.name!r}",
                        "rename the file; it is not read",
                        "file that fits no pattern",
                    )
                )
                continue
            name = mask.name.removeprefix(f"{study}_mask_").removesuffix(".nii.gz")
            paths = [str(files[0]) if files else "" for files in (image_files, *others.values())]
            rows.append((study, name, paths[0], str(mask), *paths[1:]))
    columns = ["study_id", "name", "image_path", "mask_path", *(f"image_{name}" for name in sequences)]
    files = pd.DataFrame(rows, columns=columns)
    _require_sequences(files, images, sequences)
    return files


def _rename(stray: Path) -> str:
    """What to do with a file that fits no pattern."""
    study = stray.parent.name
    start = stray.name[: len(study)]
    if start != study and start.lower() == study.lower():
        return f"give folder and file the same spelling: the folder is {study}, the file {start}"
    pack = "" if stray.name.lower().endswith(".gz") else "pack it with gzip, and "
    return f"{pack}rename it to {study}_image_ss_n4.nii.gz or {study}_mask_NAME.nii.gz, or remove it"


def _sequence_images(folder: Path, sequence: str, problems: list[Problem]) -> list[Path]:
    """The images of a sequence in a study's folder, of which the first counts."""
    start = f"{folder.name}_image_{sequence}"
    paths = sorted([*folder.glob(f"{start}.nii.gz"), *folder.glob(f"{start}_*.nii.gz")])
    if len(paths) > 1:
        text, remedy = f"{len(paths)} images of {sequence}", "keep one; the first counts"
        problems.append(Problem(str(folder), text, remedy, "study with more than one image"))
    return paths


def _require_sequences(files: pd.DataFrame, images: Path, sequences: Sequence[str]) -> None:
    """InputError for a sequence that no study has an image of."""
    for sequence in sequences:
        if not (files[f"image_{sequence}"] != "").any():
            words = [
                re.search(r"_image_([A-Za-z0-9-]+)", path.name) for path in images.glob("*/*_image_*.nii.gz")
            ]
            hint = nearest(sequence, sorted({word[1] for word in words if word}))
            remedy = f"{hint} Add STUDY_image_{sequence}.nii.gz, or leave {sequence} out of task.sequences"
            raise InputError(Problem(str(images), f"no study has an image of {sequence}", remedy))


def _writable(name: str) -> bool:
    return os.fsencode(name).decode(errors="replace") == name


def _letters(name: str) -> str:
    """What is left of a name without signs, but for a plus and those between two digits: 1-1 is not 11.

    Letters with marks are one however a disk writes them (NFC).
    """
    plain = unicodedata.normalize("NFC", name).lower()
    return re.sub(r"(?<!\d)-|-(?!\d)", "", re.sub(r"[^\w+]+|_+", "-", plain))


def _join(
    rows: pd.DataFrame, files: pd.DataFrame | None, problems: list[Problem]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Match workbook rows with mask files: by the exact name, else by its letters if unique on both sides."""
    rows = rows.assign(in_workbook=True)
    if files is None:
        paths = ["image_path", "mask_path"]
        joined = rows.assign(image_path="", mask_path="")
    else:
        exact = set(zip(files["study_id"], files["name"], strict=True))
        loose_files = _unmatched(files, set(zip(rows["study_id"], rows["name"], strict=True)))
        loose_rows = _unmatched(rows, exact)
        for fold_key, row_index in loose_rows.items():
            file_index = loose_files.get(fold_key, [])
            if len(row_index) == 1 and len(file_index) == 1:
                rows.at[row_index[0], "name"] = str(files.at[file_index[0], "name"])
            elif file_index:
                names = ", ".join(sorted(rows.loc[row_index, "name"]))
                problems.append(
                    Problem(
                        fold_key[0],
                        f"more than one file could be {names}",
                        "rename row or file to match",
                        "ambiguous name",
                    )
                )
        joined = rows.merge(files, on=["study_id", "name"], how="outer")
        joined["in_workbook"] = joined["in_workbook"].eq(True)
        paths = files.columns.drop(["study_id", "name"]).tolist()
        joined[paths] = joined[paths].fillna("")
    joined = joined.sort_values(["study_id", "name"], ignore_index=True)
    base = ["study_id", "name", *paths, "in_workbook"]
    return joined[base], joined.drop(columns=base)


def _unmatched(frame: pd.DataFrame, matched: set[tuple[str, str]]) -> dict[tuple[str, str], list[int]]:
    loose: dict[tuple[str, str], list[int]] = {}
    for index, (study, name) in enumerate(zip(frame["study_id"], frame["name"], strict=True)):
        if (study, name) not in matched:
            loose.setdefault((study, _letters(name)), []).append(index)
    return loose


TCIA = Format(
    words=f"{CLINICAL_WORKBOOK[0]}, {RADIOMICS_WORKBOOK[0]} and, with images, {IMAGE_FOLDER}",
    recognises=recognises,
    read=read_download,
    content=content_hash,
)
