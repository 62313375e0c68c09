"""How and of whom a study was taken, as groups: one spelling of a cell, one group of a patient."""

import re
from collections.abc import Iterator

import pandas as pd

from bcbm.cohort.download import Download
from bcbm.cohort.duplicates import session_of
from bcbm.cohort.patients import bare
from bcbm.cohort.spelling import cell_text, folded, letters
from bcbm.errors import InputError, Problem
from bcbm.pathology.statuses import is_unknown

# A number with its unit, or a pixel spacing such as 0.5\0.5, whose first number counts.
NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?:\s*(?:t|tesla|mm|y)|\\.*)?")
NAMED = ("site", "manufacturer", "sex")  # columns of which one value may stand there under several names
TESLA, NEAR = (0.5, 1.0, 1.5, 3.0, 7.0), 0.1  # what scanners are called by; part that headers are off it
NEITHER = "dnoux"  # how a sex begins that is divers, none of two, other, unknown or X
IN_FULL = re.compile("^general electric")  # what others write as GE


def require_column(key: str, column: str, download: Download) -> None:
    """Refuse a key that names no acquisition column of a download, or one with a value under several names.

    Raises:
        InputError: naming the columns that there are, or the names.
    """
    labels = download.studies.select_dtypes("number")
    columns = download.studies.drop(columns=["study_id", "patient_id", *labels])
    filled = [str(name) for name in columns if (groups(columns[name]) != "").any()]
    if column not in filled:
        text = f"{key}={column}, and of its studies none has a value of that"
        raise InputError(Problem(download.clinical, text, f"write one of {', '.join(filled) or 'none'}"))
    if problems := list(several_names(download.studies[column], f"{key}={column}")):
        raise InputError(*problems)


def several_names(cells: pd.Series, where: str) -> Iterator[Problem]:
    """Groups that are one but for accents, blanks, signs, leading zeros or letters that look alike; of makers
    also those of one first word, as GE, General Electric and GE MEDICAL SYSTEMS are; of sexes those of one
    first letter, and all where they are more than two, as F, M and W are.

    Args:
        cells: of an acquisition column, by its name.
        where: what the problems are said of.
    """
    spelt: dict[str, dict[str, str]] = {}
    for cell, group in zip(cells.fillna("").astype(str), groups(cells), strict=True):
        if group and (cells.name == "sex" or not NUMBER.fullmatch(group)):
            name = bare(group)
            if cells.name == "manufacturer":
                name = re.split(r"[\W_]", IN_FULL.sub("ge", group))[0]
            if cells.name == "sex":
                name = group[0].replace("w", "f")  # of weiblich
            spelt.setdefault(letters(name) or group, {}).setdefault(group, cell.strip())
    if cells.name == "sex" and len(sexes := {name: spelt[name] for name in spelt if name not in NEITHER}) > 2:
        spelt = {"all": {group: cell for names in sexes.values() for group, cell in names.items()}}
    if cells.name == "field_strength":
        spelt |= {f"{nominal:g}": names for nominal, names in _strengths(cells).items()}
    for names in (list(names.values()) for names in spelt.values() if len(names) > 1):
        text = f"{cells.name} is written as {' and '.join(map(repr, names))}, which may be one"
        remedy = "write one of them everywhere, or, where they are several, names that differ in more"
        yield Problem(where, text, remedy, f"one {cells.name} under several names")


def _strengths(cells: pd.Series) -> dict[float, dict[str, str]]:
    """The field strengths of headers, such as 1.494, by what scanners are called by, such as 1.5 T."""
    spelt: dict[float, dict[str, str]] = {}
    for group in sorted(set(groups(cells)) - {""}):
        if number := NUMBER.fullmatch(group):
            nominal = min(TESLA, key=lambda tesla: abs(tesla - float(number[1])))
            if abs(1 - float(number[1]) / nominal) < NEAR:
                spelt.setdefault(nominal, {})[group] = group
    return spelt


def groups(cells: pd.Series) -> pd.Series:
    """The group of every cell: "3", "3.0" and "3 T" are 3, "GE" and "ge " are ge, "" and "n/a" missing."""
    return cells.fillna("").astype(str).map(_group).astype(str)


def patient_groups(lesions: pd.DataFrame, column: str) -> pd.Series:
    """The group of every patient, by patient_id: that of the first study that has one, "" where none has.

    Args:
        lesions: rows of the lesion table.
        column: an acquisition column.
    """
    session, group = session_of(lesions["study_id"]), groups(lesions[column])
    rows = pd.DataFrame({"patient_id": lesions["patient_id"].astype(str), "session": session, "group": group})
    rows["missing"] = rows["group"] == ""
    order = rows.sort_values(["missing", "session", "group"], kind="stable")
    return order.groupby("patient_id")["group"].first()


def other_groups(lesions: pd.DataFrame, column: str) -> pd.Series:
    """Which lesions carry another group than their patient, (N,) booleans; arguments as `patient_groups`."""
    own, patient = groups(lesions[column]), lesions["patient_id"].astype(str)
    return (own != "") & (own != patient.map(patient_groups(lesions, column)))


def ordered(names: set[str]) -> list[str]:
    """Groups in order: by number where all are numbers, else by name."""
    numeric = all(NUMBER.fullmatch(name) for name in names)
    return sorted(names, key=(lambda name: (float(name), name)) if numeric else (lambda name: (0.0, name)))


def _group(cell: str) -> str:
    text = folded(cell_text(cell))
    if is_unknown(text):
        return ""
    number = NUMBER.fullmatch(text)
    return f"{float(number[1]):g}" if number else text
