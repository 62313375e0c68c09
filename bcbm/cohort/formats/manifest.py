"""One's own table: a row a lesion or a study, in a file manifest.csv, .tsv, .xlsx or .parquet.

Columns, in any order and case; all but `patient` may be missing, if there is an image, a radiomics feature or
a name, and one target:

patient, study, image (and image_<sequence>), mask, label_value, name, the columns of the targets (ER, PR,
HER2 and those of `cohort.targets`), the acquisition columns, and `original_*`, PyRadiomics' features. Files
are named from the table's folder on. Whatever else the table holds is kept with the studies and never a
feature.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.cells import READERS, OddCell, number, read_numbers, read_texts
from bcbm.cohort.download import FEATURE, LABEL, Download
from bcbm.cohort.formats.base import Format
from bcbm.cohort.formats.description import citation_in
from bcbm.cohort.formats.manifest_rows import (
    lying_apart,
    misplaced,
    of_nobody,
    one_file,
    other_images,
    require_ids,
    several_lesions,
    unread_acquisition,
    unread_files,
    without_study,
)
from bcbm.cohort.formats.sequences import stem_of
from bcbm.cohort.formats.tables import (
    SUFFIXES,
    column_texts,
    legends,
    other_versions,
    read_rows,
    renamed,
    row_twice,
)
from bcbm.cohort.labels import PRIMARY, LabelReading, is_label_column, read_labels
from bcbm.cohort.targets import TARGETS, Target
from bcbm.config.checks import nearest
from bcbm.errors import InputError, Problem
from bcbm.system.content import file_key
from bcbm.system.words import listed

NAMES = tuple(f"manifest{suffix}" for suffix in SUFFIXES)
COLUMNS = ("patient", "study", "image", "mask", "label_value", "name")
NOBODY = (  # no id of a patient, but a missing one, or of a row of totals or of headings
    *("", "nan", "<na>", "na", "n/a", "none", "null", "unknown", "-", "?", "."),
    *("total", "sum", "mean", "average", "median", "sd", "gesamt", "summe", "mittelwert", "patient"),
)
HEADS = 3  # rows under the first that may hold headings
SEQUENCE = "image_"  # how the heading of a further sequence's image begins


def manifest_file(root: Path) -> Path | None:
    """The table of a folder, or the table itself; None where there is none, or more than one."""
    if root.is_file():
        return root if root.suffix in SUFFIXES else None
    tables = [root / name for name in NAMES if (root / name).is_file()]
    return tables[0] if len(tables) == 1 else None


def read_manifest(
    root: Path, targets: Mapping[str, Target] = TARGETS, sequences: Sequence[str] = ()
) -> Download:
    """Read a table of lesions and the names of their files.

    Args:
        root: the folder of the table, or the table.
        targets: what may be predicted, by name.
        sequences: images that a study may have beside its post-contrast T1, in columns `image_<sequence>`.

    Raises:
        InputError: the table cannot be read, has no row, lacks the column patient, every image, feature and
            name, or every image of a sequence; or an id holds a slash.
    """
    path = manifest_file(root)
    if path is None:
        tables = [name for name in NAMES if (root / name).is_file()]
        found = f"holds {' and '.join(tables)}" if tables else f"holds no {', '.join(NAMES)}"
        raise InputError(Problem(str(root), found, "keep one of them, or set cohort.root to the file"))
    problems = [*(other_versions(path) if root.is_dir() else []), *legends(path)]
    odd: list[OddCell] = []
    readings: list[LabelReading] = []
    known = _headings(targets, sequences)

    def labels(heading: str) -> bool:
        return is_label_column(known.get(heading.casefold(), heading), targets)

    def used(heading: str) -> bool:
        return heading.casefold() in known or heading.startswith(FEATURE) or labels(heading)

    table = read_rows(path, used=used, odd=odd, percentages=labels)
    _require_headings_first(path, table, known)
    table = renamed(path, table, known)
    if "patient" not in table or table.empty:
        found = "has no row" if "patient" in table else f"no column 'patient'; {nearest('patient', [*table])}"
        raise InputError(Problem(str(path), found, "write a row a lesion, with the id of its patient"))
    if "study_id" in table:
        remedy = "call it study: rows that agree on it are of one examination"
        raise InputError(Problem(str(path), "has a column 'study_id'", remedy))
    texts = {name: column_texts(table, name) for name in (*COLUMNS, *(f"image_{name}" for name in sequences))}
    nobody = texts["patient"].str.casefold().isin(NOBODY)
    for row in table.index[nobody]:
        cell, remedy = texts["patient"][row], "write the patient there; the row is not read"
        found = f"no patient ('{cell}')" if cell else "no patient"
        problems.append(Problem(f"{path.name} row {row}", found, remedy, "row without patient"))
    for row in table.index[((table != "").sum(axis=1) == 1) & (texts["patient"] != "") & ~nobody]:
        found = f"holds nothing but '{texts['patient'][row]}' as its patient"
        remedy = "remove it; if it heads the rows below, name those in cohort.exclude: they count as others"
        problems.append(Problem(f"{path.name} row {row}", found, remedy, "row of one cell"))
    table, texts = table[~nobody], {name: cells[~nobody] for name, cells in texts.items()}
    require_ids(path, table, texts)
    patients, studies = texts["patient"], _study_ids(texts)
    features = _features(table, path.name, odd)
    files = {name: _files(path, name, cells, problems) for name, cells in texts.items() if _is_file(name)}
    problems += misplaced(path.name, patients, {name: texts[name] for name in files})
    problems += of_nobody(path.name, patients, {name: texts[name] for name in files})
    problems += misplaced(path.name, patients, {"study": texts["study"]}, letters=True)
    problems += without_study(path.name, patients, texts["study"])
    problems += other_images(path.name, texts["image"])
    problems += lying_apart(path.name, texts["image"], texts["mask"])
    problems += one_file(path.name, texts["image"], texts["mask"])
    problems += several_lesions(path.name, table)
    sequenced = [name for name in map(str, table) if name.startswith(SEQUENCE)]
    problems += unread_files(path.name, table, [*known.values(), *sequenced])
    problems += unread_acquisition(path.name, map(str, table))
    places = [f"row {row} ({study})" for row, study in studies.items()]
    label_columns = read_labels(table, targets, path.name, places, problems, readings)
    segmentations = pd.DataFrame(
        {
            "study_id": studies,
            "name": _names(texts),
            "image_path": _shared(files["image"], studies, path.name, "images", problems),
            "mask_path": files["mask"],
            **{
                f"image_{name}": _shared(
                    files[f"image_{name}"], studies, path.name, f"{name} images", problems
                )
                for name in sequences
            },
            "mask_value": _label_values(table, texts["label_value"], path.name, odd),
            "in_workbook": features.notna().any(axis=1),
            **{
                f"{LABEL}{name}": label_columns[name]
                for name in map(str, label_columns)
                if _is_own(name, label_columns)
            },
        }
    )
    drawn = (texts["mask"] != "") | segmentations["in_workbook"] | (texts["name"] != "")
    segmentations, features = _distinct(path.name, segmentations[drawn], features[drawn], problems)
    _require_something(path, segmentations, features, sequences)
    cases, disagreements = _studies(path, table, patients, studies, label_columns, targets, problems, odd)
    return Download(
        root=path.parent,
        clinical=path.name,
        images=path.parent,
        has_images=bool((segmentations["image_path"] != "").any()),
        segmentations=segmentations,
        features=features,
        studies=cases,
        targets=[name for name in targets if name in label_columns],
        problems=problems,
        disagreements=disagreements,
        odd_cells=odd,
        label_readings=readings,
        citation=citation_in(path.parent),
    )


def content_hash(root: Path) -> str:
    """A name for the table's content and that of the files it names, without unpacking any."""
    path = manifest_file(root)
    assert path is not None
    digest = hashlib.sha256(path.read_bytes())
    table = read_rows(path, used=lambda _: False, odd=[])
    for heading in table:
        name = str(heading).casefold()
        if _is_file(name):
            for text in sorted(set(map(str, table[heading])) - {""}):
                digest.update(os.fsencode(text) + b"\0" + file_key(_place(path, text)))
    return digest.hexdigest()[:16]


def _headings(targets: Mapping[str, Target], sequences: Sequence[str]) -> dict[str, str]:
    """How each known heading is written, by its letters in lower case; `image_t1c` is the image."""
    own = (*COLUMNS, *READERS, *(target.column for target in targets.values()))
    names = {name.casefold(): name for name in (*own, *(f"{SEQUENCE}{name}" for name in sequences))}
    return names | {f"{SEQUENCE}t1c": "image"}


def _require_headings_first(path: Path, table: pd.DataFrame, known: Mapping[str, str]) -> None:
    """InputError for headings that stand in a row under the first, as where that groups them."""
    for row, cells in table.head(HEADS).iterrows():
        names = [text for cell in cells if (text := str(cell).strip()).casefold() in known]
        if len(names) > 1:
            found = f"its row {row} holds the headings {listed(names, HEADS)}"
            remedy = "leave one row of headings, the first"
            raise InputError(Problem(str(path), found, remedy))


def _is_file(name: str) -> bool:
    return name in ("image", "mask") or name.startswith(SEQUENCE)


def _study_ids(texts: Mapping[str, pd.Series]) -> pd.Series:
    """The study of each row, which belongs to one patient: the patient's id goes before what lacks it."""
    patients, studies = texts["patient"], texts["study"]
    longer = [f"{p}-{s}" if s else p for p, s in zip(patients, studies, strict=True)]
    own = [s if _begins(s, p) else n for p, s, n in zip(patients, studies, longer, strict=True)]
    owners = patients.groupby(own).nunique()
    own = [n if owners[s] > 1 else s for s, n in zip(own, longer, strict=True)]
    return pd.Series(own, index=patients.index, dtype=str)


def _begins(study: str, patient: str) -> bool:
    """Whether a study's id begins with its patient's, in any case: 1 is in 1 and 1-2, and not in 12."""
    start, rest = study[: len(patient)], study[len(patient) :]
    return start.casefold() == patient.casefold() and not rest[:1].isalnum()


def _names(texts: Mapping[str, pd.Series]) -> list[str]:
    """The name of each row's lesion: as it is written, or by the file of its mask and the label value."""
    names = []
    for name, mask, value, image in zip(
        texts["name"], texts["mask"], texts["label_value"], texts["image"], strict=True
    ):
        stem, other = stem_of(mask).split("_"), stem_of(image).split("_")
        shared = next((place for place, word in enumerate(stem) if word not in other[place : place + 1]), 0)
        written = "_".join(stem[shared:]).removeprefix("mask_")
        names.append(name or (f"{written}-{value}" if value else written) or "lesion")
    return names


def _place(path: Path, text: str) -> Path:
    """The file that a cell names, from the table's folder on; a table of Windows may have backslashes."""
    place = path.parent / text
    return place if place.exists() or "\\" not in text else path.parent / text.replace("\\", "/")


def _files(path: Path, column: str, cells: pd.Series, problems: list[Problem]) -> list[str]:
    """The file of each cell, "" where none is named or there."""
    places = {text: _place(path, text) for text in cells.unique() if text}
    for text in [text for text, place in places.items() if not place.exists()]:
        rows = cells.index[cells == text]
        found, remedy = f"{column} {text} is not there", "put it there, or correct the row"
        problems.append(Problem(f"{path.name} row {rows[0]}", found, remedy, "file that is not there"))
    return [str(places[text]) if text and places[text].exists() else "" for text in cells]


def _shared(
    files: list[str], studies: pd.Series, table: str, noun: str, problems: list[Problem]
) -> list[str]:
    """The image of every row's study: the first that any of its rows names."""
    frame = pd.DataFrame({"study": studies, "file": files}, index=studies.index)
    chosen = frame[frame["file"] != ""].groupby("study")["file"]
    for study, others in chosen.unique().items():
        if len(others) > 1:
            found, remedy = f"its rows name {len(others)} {noun}", "keep one; the first counts"
            where = f"{table}, study {study}"
            problems.append(Problem(where, found, remedy, "study with more than one image"))
    return studies.map(chosen.first()).fillna("").tolist()


def _label_values(table: pd.DataFrame, cells: pd.Series, name: str, odd: list[OddCell]) -> list[int]:
    """The label value of every row's mask, 0 where it has none of its own."""
    values = []
    for row, cell in cells.items():
        value = number(cell).value if cell else 0.0
        whole = value >= 0 and value.is_integer()
        if cell and (not whole or value == 0):
            odd.append(OddCell(name, int(str(row)), "label_value", cell, "", "not a number"))
        values.append(int(value) if whole else 0)
    return values


def _features(table: pd.DataFrame, name: str, odd: list[OddCell]) -> pd.DataFrame:
    columns = [heading for heading in table.columns if heading.startswith(FEATURE)]
    numbers = {heading: read_numbers(table[heading], name, odd) for heading in columns}
    return pd.DataFrame(numbers, index=table.index, dtype="float64")


def _distinct(
    table: str, rows: pd.DataFrame, features: pd.DataFrame, problems: list[Problem]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows by study and name, each lesion once: the same mask again is left out, other masks are numbered,
    and so are rows without a mask whose features differ."""
    measured = pd.util.hash_pandas_object(features, index=False).where(rows["mask_path"] == "", 0)
    named = ["study_id", "name", "mask_path", "mask_value", "measured"]
    same = rows.assign(measured=measured).duplicated(named)
    for row, study, name in rows.loc[same, ["study_id", "name"]].itertuples():
        problems.append(row_twice(f"{table} row {row}", f"{study} {name}"))
    rows, features = rows[~same].copy(), features[~same]
    taken = set(zip(rows["study_id"], rows["name"], strict=True))
    again = rows.duplicated(["study_id", "name"])
    for row, study, name in rows.loc[again, ["study_id", "name"]].itertuples():
        own = next(other for n in count(2) if (study, other := f"{name}-{n}") not in taken)
        taken.add((study, own))
        found = f"{study} has another lesion named {name}"
        remedy = f"give each a name; this one counts as {own}"
        problems.append(Problem(f"{table} row {row}", found, remedy, "name twice in a study"))
        rows.loc[row, "name"] = own
    order = rows.sort_values(["study_id", "name"]).index
    return rows.loc[order].reset_index(drop=True), features.loc[order].reset_index(drop=True)


def _studies(
    path: Path,
    table: pd.DataFrame,
    patients: pd.Series,
    studies: pd.Series,
    labels: pd.DataFrame,
    targets: Mapping[str, Target],
    problems: list[Problem],
    odd: list[OddCell],
) -> tuple[pd.DataFrame, list[Problem]]:
    """A row a study: what its rows say, which has to be one thing; and where they do not, of their labels."""
    columns = {"patient_id": patients, **{name: labels[name] for name in labels}}
    for name, read in READERS.items():
        if name in table:
            texts = read_texts(table[name], read, path.name, odd)
            columns[name] = pd.Series(texts, index=table.index, dtype=str)
        else:
            columns[name] = pd.Series("", index=table.index, dtype=str)
    used = {*COLUMNS, *READERS, *(target.column for target in targets.values()), *columns}
    for name in table.columns:
        own = name.startswith((FEATURE, SEQUENCE)) or is_label_column(name, targets)
        if name not in used and not own:
            columns[name] = column_texts(table, name)
    frame = pd.DataFrame(columns, index=table.index)
    names = pd.Index(sorted(studies.unique()))
    rows: dict[str, object] = {"study_id": names}
    clashes: list[tuple[str, int, np.ndarray]] = []
    for place, name in enumerate(frame.columns):
        cells = frame[name].dropna() if name in labels else frame.loc[frame[name] != "", name]
        groups = cells.groupby(studies[cells.index])
        value, several = groups.first(), groups.nunique() > 1
        clashes += [(study, place, groups.get_group(study).unique()) for study in several.index[several]]
        rows[name] = (value.mask(several) if name in labels else value).reindex(
            names, fill_value=np.nan if name in labels else ""
        )
    disagreements: list[Problem] = []
    for study, place, values in sorted(clashes, key=lambda clash: clash[:2]):
        name = frame.columns[place]
        problem = _disagreement(path.name, study, name, values, name in labels)
        (disagreements if _is_own(name, labels) else problems).append(problem)
    cases = pd.DataFrame(rows, index=names).reset_index(drop=True)
    return cases.astype(dict.fromkeys(labels, float)), disagreements


def _is_own(name: str, labels: pd.DataFrame) -> bool:
    """Whether a lesion may have a label of its own in a column: the primary tumour's is its patient's."""
    return name in labels and not name.startswith(PRIMARY)


def _disagreement(table: str, study: str, name: str, values: np.ndarray, label: bool) -> Problem:
    words = " and ".join(f"{value:g}" if label else f"'{value}'" for value in values[:3])
    remedy = f"correct them; {'it counts as missing' if label else 'the first counts'}"
    if label and not name.startswith(PRIMARY):
        remedy += ". With cohort.labels=lesion each lesion keeps its own"
    if name == "patient_id":
        remedy = "give each patient's study an id of its own; the first counts"
    found = f"its rows disagree on {name}: {words}"
    return Problem(f"{table}, study {study}", found, remedy, "rows of a study disagree")


def _require_something(
    path: Path, segmentations: pd.DataFrame, features: pd.DataFrame, sequences: Sequence[str]
) -> None:
    """InputError for a table without lesions, or without an image of a sequence that is needed."""
    if segmentations.empty:
        found = "names no lesion: every mask, name and feature is empty"
        remedy = "fill the column mask, or columns of radiomics (original_...)"
        raise InputError(Problem(str(path), found, remedy))
    for sequence in sequences:
        if not (segmentations[f"image_{sequence}"] != "").any():
            remedy = f"add a column image_{sequence}, or leave {sequence} out of task.sequences"
            raise InputError(Problem(str(path), f"no study has an image of {sequence}", remedy))


MANIFEST = Format(
    words=f"a table {', '.join(NAMES)}, a row a lesion, with the column patient",
    recognises=lambda root: manifest_file(root) is not None,
    read=read_manifest,
    content=content_hash,
    lesion_labels=True,
)
