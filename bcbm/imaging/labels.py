"""A hospital's own table of labels, by its own ids of patients, for the rows of a manifest."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcbm.cohort.cells import READERS, OddCell, identifier, number
from bcbm.cohort.formats.tables import read_rows
from bcbm.cohort.labels import PRIMARY, cell_text, is_label_column, label_columns, label_statuses
from bcbm.cohort.patients import bare
from bcbm.cohort.targets import Target
from bcbm.errors import InputError, Problem
from bcbm.pathology.hybridisation import companion_kind, companion_texts, read_hybridisation
from bcbm.pathology.receptors import RECEPTORS, explicit
from bcbm.pathology.statuses import KINDS, Meanings, plain, words_of
from bcbm.system.words import counted
from bcbm.terminal.words import listed

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
        InputError: the table cannot be read, has no column of ids or none of these patients, or the numbers
            of a column may mean two things.
    """
    odd: list[OddCell] = []

    def labels(heading: str) -> bool:
        return is_label_column(heading, targets)

    table = read_rows(path, used=labels, odd=odd, percentages=labels)
    headings = [str(heading) for heading in table.columns]
    column = _id_column(path, headings)
    owners, remarks = _owners(path, table[column].map(identifier), column, patients)
    remarks += [(f"{NAME}, row {cell.row}", f"{cell.column}: {cell.kind}") for cell in odd]
    columns = label_columns(headings, targets, str(path))
    columns = {name: heading for name, heading in columns.items() if _target(name, targets).positive}
    columns |= {heading: heading for heading in headings if companion_kind(heading)}
    if not private:
        renamed = {heading: _WORDS.get(heading.casefold(), heading.casefold()) for heading in headings}
        columns |= {name: heading for heading, name in renamed.items() if name in READERS}
    cells: dict[str, dict[str, str]] = {patient: {} for patient in dict.fromkeys(filter(None, owners))}
    for name, heading in columns.items():
        try:
            read = _read(name, heading, [cell_text(cell) for cell in table[heading]], targets, private)
        except Meanings as error:
            raise InputError(Problem(f"{path}, column {heading}", f"{name}: {error}", error.remedy)) from None
        frame = pd.DataFrame(read, columns=["text", "meaning"], index=table.index).assign(owner=owners)
        for patient, rows in frame[(frame["text"] != "") & (frame["owner"] != "")].groupby("owner"):
            strange = rows["meaning"] == STRANGE
            if strange.any():
                places = listed([*map(str, rows.index[strange])])
                remarks.append((f"{NAME}, row {places}", f"{name} is not understood, and left out"))
            known = rows[~strange & (rows["meaning"] != MISSING)]
            known = known if len(known) else rows[~strange]
            if known["meaning"].nunique() > 1:
                places = listed([*map(str, known.index)])
                remarks.append((f"{NAME}, rows {places}", f"one patient with two {name}: it is left out"))
            elif len(known):
                cells[str(patient)][name] = known["text"].iloc[0]
    return GivenLabels(cells, remarks)


def _id_column(path: Path, headings: Sequence[str]) -> str:
    letters = {re.sub(r"[\W_]", "", heading.casefold()): heading for heading in reversed(headings)}
    for name in IDS:
        if name in letters:
            return letters[name]
    found = f"has the columns {', '.join(headings)}, and none of patients"
    raise InputError(Problem(str(path), found, "call the one of the patients' ids 'patient'"))


def _owners(
    path: Path, ids: pd.Series, column: str, patients: Mapping[str, str]
) -> tuple[list[str], list[tuple[str, str]]]:
    """The patient of every row, "" for none of these, and what is to be said of that."""
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
    if not any(owners):
        found = f"no id in its column '{column}' is one of the {counted(len(patients), 'patient')}"
        raise InputError(Problem(str(path), found, "give the ids that the files have"))
    if strangers:
        remarks.append((f"{NAME}, row {listed(strangers, _SHOWN)}", "no patient of this export has that id"))
    if without := sorted(set(patients.values()) - set(owners)):
        remarks.append((listed(without, _SHOWN), f"no row in the {NAME}"))
    return owners, remarks


def _target(name: str, targets: Mapping[str, Target]) -> Target:
    return targets[name.removeprefix(PRIMARY)]


def _read(
    name: str, heading: str, texts: Sequence[str], targets: Mapping[str, Target], private: bool
) -> list[tuple[str, str]]:
    """What the manifest is to say for each cell of a column, and what that means, alike for one meaning.

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
            (text, STRANGE if private and text and not _is_hybridisation(text) else text)
            for text in companion_texts(heading, texts)
        ]
    if name.removeprefix(PRIMARY) not in targets:
        return [(text, text) for text in texts]
    target = _target(name, targets)
    rules = {rule.casefold() for rule in (*target.positive, *target.negative)}
    read = []
    for text, status in zip(texts, label_statuses(name, target, texts), strict=True):
        meaning = MISSING if math.isnan(status.label) else f"{status.label:g}"
        understood = status.readable
        if name.removeprefix(PRIMARY) in RECEPTORS:
            text = explicit(text, status)
        else:  # where any other word is a negative, it may be a name
            understood &= text.casefold() in rules or not math.isnan(number(text.rstrip("% ")).value)
        read.append((text, meaning if understood else STRANGE if private else text))
    return read


def _is_hybridisation(text: str) -> bool:
    """Whether every word of a text of ISH is one of the field."""
    hybridisation, rest = read_hybridisation(plain(text))
    return hybridisation.examined and all(word in KINDS for word in words_of(rest))
