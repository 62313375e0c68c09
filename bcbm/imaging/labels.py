"""A hospital's own table of labels, by its own ids of patients, for the rows of a manifest."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcbm.cohort.cells import READERS, OddCell, identifier, number
from bcbm.cohort.exclusions import marking_remarks, marks
from bcbm.cohort.formats.manifest_rows import unread_acquisition
from bcbm.cohort.formats.tables import read_rows
from bcbm.cohort.label_findings import from_elsewhere, of_primaries
from bcbm.cohort.labels import (
    PRIMARY,
    is_label_column,
    label_columns,
    label_statuses,
)
from bcbm.cohort.patients import bare
from bcbm.cohort.spelling import cell_text
from bcbm.cohort.targets import Target
from bcbm.errors import InputError, Problem
from bcbm.pathology.hybridisation import (
    companion_kind,
    companion_texts,
    read_hybridisation,
    with_companions,
)
from bcbm.pathology.receptors import RECEPTORS, explicit, receptor_of, version_of
from bcbm.pathology.statuses import KINDS, Meanings, Status, plain, words_of
from bcbm.system.words import counted, listed

# Headings of the column of ids, letters alone, the surest first.
IDS = ("patient", "patientid", "patid", "mrn", "pid", "patientenid", "patientennummer", "patientenr", "id")
NAME = "table of labels"  # how messages name it: a file's own name may be somebody's
MISSING, STRANGE = "missing", "strange"  # the meaning of a cell such as "not done", and of one that has none
_WORDS = {"alter": "age", "geschlecht": "sex", "gender": "sex"}  # other headings of acquisition columns
_SHOWN = 5  # rows or patients that a message lists


class GivenLabels(NamedTuple):
    """What a table says of the patients.

    Attributes:
        cells: by patient and column of the manifest.
        remarks: what of it is not used, and whom it lacks: where, and what; nothing of it names anyone.
    """

    cells: dict[str, dict[str, str]]
    remarks: list[tuple[str, str]]


class Reading(NamedTuple):
    """A cell as the manifest is to have it, what it means, alike for one meaning, and `low` as of Status."""

    text: str
    meaning: str
    low: float = math.nan


def read_given_labels(
    path: Path, patients: Mapping[str, str], targets: Mapping[str, Target], private: bool
) -> GivenLabels:
    """The labels of a table with a row a patient.

    Ids agree as they stand, else up to case, blanks, dashes and leading zeros, which spreadsheets drop.
    Several rows of a patient have to agree.

    Args:
        path: CSV, TSV, XLSX or Parquet.
        patients: what each is called in the manifest, by the hospital's id.
        targets: whose columns are taken, with those of the primary and of ISH.
        private: take nothing else, and of these only cells that are understood to the last word; otherwise
            age, sex and the other acquisition columns too.

    Raises:
        InputError: the table cannot be read, has no column of ids, two that disagree, none of these
            patients, no column of labels, or the numbers of a column may mean two things.
    """
    odd: list[OddCell] = []

    def labels(heading: str) -> bool:
        return is_label_column(heading, targets)

    table = read_rows(path, used=labels, odd=odd, percentages=labels)
    headings = [str(heading) for heading in table.columns]
    owners, remarks = _owners(path, table, patients)
    remarks += [(f"{NAME}, row {cell.row}", f"{cell.column}: {cell.kind}") for cell in odd]
    columns = label_columns(headings, targets, str(path))
    columns = {name: heading for name, heading in columns.items() if _target(name, targets).positive}
    columns |= {heading: heading for heading in headings if companion_kind(heading)}
    if not columns:
        found = f"has the columns {', '.join(headings)}, and none of labels"
        remedy = f"call its columns {', '.join(RECEPTORS)}, or name others in cohort.targets"
        raise InputError(Problem(str(path), found, remedy))
    remarks += _unread(table, columns)
    for heading in [heading for heading in headings if heading not in columns.values()]:
        if of_primaries(table[heading]):
            text = "says that some labels are of the primary tumour: they count as the metastasis'"
            remarks.append((NAME, f"its column '{heading}' {text}"))
        elif places := from_elsewhere(heading, table[heading]):
            text = f"is not read: labels from {places} count as those of the brain"
            remarks.append((NAME, f"its column '{heading}' {text}"))
    if not private:
        renamed = {heading: _WORDS.get(heading.casefold(), heading.casefold()) for heading in headings}
        columns |= {name: heading for heading, name in renamed.items() if name in READERS}
        read_as = [name if name in READERS else heading for heading, name in renamed.items()]
        remarks += [(NAME, f"{odd.found}; {odd.remedy}") for odd in unread_acquisition(NAME, read_as)]
    cells: dict[str, dict[str, str]] = {patient: {} for patient in dict.fromkeys(filter(None, owners))}
    together = [name for name in columns if name == "HER2" or companion_kind(name)]
    for names in [[name] for name in columns if name not in together] + [together] * bool(together):
        read: dict[str, list[Reading]] = {}
        for name in names:
            texts = [cell_text(cell) for cell in table[columns[name]]]
            try:
                read[name] = _read(name, columns[name], texts, targets, private)
            except Meanings as error:
                where = f"{path}, column {columns[name]}"
                raise InputError(Problem(where, f"{name}: {error}", error.remedy)) from None
        rows = [dict(zip(names, row, strict=True)) for row in zip(*read.values(), strict=True)]
        meanings = _together(rows, targets["HER2"]) if names == together else [*read[names[0]]]
        frame = pd.DataFrame({"owner": owners, "place": range(len(rows))}, index=table.index)
        for patient, own in frame[frame["owner"] != ""].groupby("owner"):
            pairs = {row: (rows[n], meanings[n]) for row, n in own["place"].items()}
            own_remarks, own_cells = _agreed(pairs, "HER2" if names == together else names[0])
            remarks += own_remarks
            cells[str(patient)] |= own_cells
    return GivenLabels(cells, remarks)


def _together(rows: Sequence[Mapping[str, Reading]], her2: Target) -> list[Reading]:
    """What HER2 and ISH of each row say together."""
    texts = [
        with_companions(
            row["HER2"].text if "HER2" in row else "", [row[name].text for name in row if name != "HER2"]
        )
        for row in rows
    ]
    return [
        Reading(text, _meaning(status), status.low)
        for text, status in zip(texts, label_statuses("HER2", her2, texts), strict=True)
    ]


def _agreed(
    rows: Mapping[object, tuple[Mapping[str, Reading], Reading]], name: str
) -> tuple[list[tuple[str, str]], dict[str, str]]:
    """What the rows of one patient say together: remarks, and cells by column.

    Args:
        rows: of the table, by number: the cells that belong together, and what they mean.
        name: of the column that says what they are of.
    """
    remarks = []
    for column in dict.fromkeys(column for cells, _ in rows.values() for column in cells):
        if strange := [str(row) for row, (cells, _) in rows.items() if cells[column].meaning == STRANGE]:
            text = f"{column} is not understood, and left out"
            remarks.append((f"{NAME}, row {listed(strange)}", text))
    understood_rows = {
        row: (cells, meaning)
        for row, (cells, meaning) in rows.items()
        if any(cell.text for cell in cells.values())
        and not any(cell.meaning == STRANGE for cell in cells.values())
    }
    known = {
        row: pair for row, pair in understood_rows.items() if pair[1].meaning != MISSING
    } or understood_rows
    where = f"{NAME}, rows {listed([*map(str, known)])}"
    if len({meaning.meaning for _, meaning in known.values()}) > 1:
        return [*remarks, (where, f"one patient with two {name}: it is left out")], {}
    if not known:
        return remarks, {}
    cells, meaning = next(iter(known.values()))
    grades = {other.low for _, other in known.values() if not math.isnan(other.low)}
    if len(grades) > 1 and meaning.meaning != MISSING:
        text = f"one patient with two degrees of {name}: its sign alone is taken"
        return [*remarks, (where, text)], {name: "+" if meaning.meaning == "1" else "-"}
    return remarks, {column: cell.text for column, cell in cells.items() if cell.text}


def _unread(table: pd.DataFrame, columns: Mapping[str, str]) -> list[tuple[str, str]]:
    """Receptors of which there is no column, or one more than is read; columns that leave patients out."""
    headings, absent = [str(heading) for heading in table.columns], []
    remarks = [
        (NAME, f"its column '{name}' is not read: name whom it leaves out in a table, cohort.exclude=FILE")
        for name in (*marks(table), *marking_remarks(table))
    ]
    for receptor in RECEPTORS:
        own = [name for name in headings if receptor in (receptor_of(name), version_of(name))]
        read = columns.get(receptor)
        others = [name for name in own if read is None or not table[name].equals(table[read])]
        remarks += [(NAME, f"its column '{name}' of {receptor} is not read") for name in others]
        if not own and not (receptor == "HER2" and any(map(companion_kind, columns))):
            absent.append(receptor)
    return [*remarks, (NAME, f"it has no column of {listed(absent)}")] if absent else remarks


def _id_columns(path: Path, headings: Sequence[str]) -> list[str]:
    """The columns that may hold ids of patients, the surest first."""
    letters = {re.sub(r"[\W_]", "", heading.casefold()): heading for heading in reversed(headings)}
    if names := [letters[name] for name in IDS if name in letters]:
        return names
    found = f"has the columns {', '.join(headings)}, and none of patients"
    raise InputError(Problem(str(path), found, "call the one of the patients' ids 'patient'"))


def _owners(
    path: Path, table: pd.DataFrame, patients: Mapping[str, str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The patient of every row, "" for none of these, and what is to be said of that.

    Raises:
        InputError: no column has an id of these, or two have, and of different ones.
    """
    columns = _id_columns(path, [str(heading) for heading in table.columns])
    read = {column: _owners_by(table[column].map(identifier), patients) for column in columns}
    fitting = {column: pair for column, pair in read.items() if any(pair[0])}
    if not fitting:
        found = f"no id in its column '{columns[0]}' is one of the {counted(len(patients), 'patient')}"
        raise InputError(Problem(str(path), found, "give the ids that the files have"))
    if len({tuple(owners) for owners, _ in fitting.values()}) > 1:
        found = f"its columns {' and '.join(map(repr, fitting))} hold ids of different patients"
        raise InputError(
            Problem(str(path), found, "call the one of the patients' ids 'patient', and it alone")
        )
    owners, remarks = next(iter(fitting.values()))
    if without := sorted(set(patients.values()) - set(owners)):
        remarks = [*remarks, (listed(without, _SHOWN), f"no row in the {NAME}")]
    return owners, remarks


def _owners_by(ids: pd.Series, patients: Mapping[str, str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The patient of every row by a column of ids, and the rows that have none."""
    alike: dict[str, set[str]] = {}
    for name, patient in patients.items():
        alike.setdefault(bare(name), set()).add(patient)
    owners, remarks, strangers = [], [], []
    for row, name in ids.items():
        names = {patients[name]} if name in patients else alike.get(bare(name), set())
        owners.append(next(iter(names)) if len(names) == 1 else "")
        if len(names) > 1:
            remarks.append((f"{NAME}, row {row}", "its id may be that of several patients"))
        elif not names:
            strangers.append(str(row))
    if strangers:
        remarks.append((f"{NAME}, row {listed(strangers, _SHOWN)}", "no patient of this export has that id"))
    return owners, remarks


def _target(name: str, targets: Mapping[str, Target]) -> Target:
    return targets[name.removeprefix(PRIMARY)]


def _read(
    name: str, heading: str, texts: Sequence[str], targets: Mapping[str, Target], private: bool
) -> list[Reading]:
    """What the manifest is to say for each cell of a column, and what that means.

    Args:
        name: of the column in the manifest.
        heading: in the table.
        texts: of its cells.
        targets: by name.
        private: a cell that is not understood to the last word is STRANGE.

    Raises:
        Meanings: the numbers of a receptor's column may mean two things.
    """
    if companion_kind(name):
        return [
            Reading(text, STRANGE if private and text and not _is_hybridisation(text) else text)
            for text in companion_texts(heading, texts)
        ]
    if name.removeprefix(PRIMARY) not in targets:
        return [Reading(text, text) for text in texts]
    target = _target(name, targets)
    rules = {rule.casefold() for rule in (*target.positive, *target.negative)}
    read = []
    for text, status in zip(texts, label_statuses(name, target, texts), strict=True):
        understood = status.readable
        if name.removeprefix(PRIMARY) in RECEPTORS:
            text = explicit(text, status)
        else:  # where any other word is a negative, it may be a name
            understood &= text.casefold() in rules or not math.isnan(number(text.rstrip("% ")).value)
        meaning = _meaning(status) if understood or not text else STRANGE if private else text
        read.append(Reading(text, meaning, status.low))
    return read


def _meaning(status: Status) -> str:
    return MISSING if math.isnan(status.label) else f"{status.label:g}"


def _is_hybridisation(text: str) -> bool:
    """Whether every word of a text of ISH is one of the field."""
    hybridisation, rest = read_hybridisation(plain(text))
    return hybridisation.examined and all(word in KINDS for word in words_of(rest))
