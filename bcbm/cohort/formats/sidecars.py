"""What the JSON files beside the tables and images of BIDS say of them."""

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcbm.cohort.cells import READERS, Reading
from bcbm.cohort.formats.description import read_description
from bcbm.cohort.labels import PRIMARY
from bcbm.errors import Problem
from bcbm.pathology.receptors import read_statuses, receptor_of
from bcbm.pathology.statuses import Meanings
from bcbm.system.words import counted

PARTICIPANTS = "participants.tsv"
SIDECARS = "sidecars of the images (a row a study, from 2 on)"

# What a sidecar says of how an image was taken: the column and what its number is multiplied by.
SIDECAR = {
    "Manufacturer": ("manufacturer", 0.0),
    "MagneticFieldStrength": ("field_strength", 1.0),
    "RepetitionTime": ("tr", 1000.0),
    "EchoTime": ("te", 1000.0),
    "InstitutionName": ("site", 0.0),
}


# How BIDS's users write the units that the columns have anyway; of any other the cells get theirs.
UNITS = {
    "age": "y yr yrs year years",
    "field_strength": "t tesla",
    "tr": "ms",
    "te": "ms",
    "pixel_spacing": "mm",
}
LONGEST_ECHO = 0.03  # s, of a T1-weighted image; those of real ones have at most 0.02
_OTHER = re.compile(
    r"t2|dwi|adc|swi|(?<![a-z])(pre|native|non?)(?![a-z])[-_ ]?(gad|gd|contrast|km)?", re.IGNORECASE
)
_MADE = {"MIP", "MAX_IP", "PROJECTION IMAGE", "SUBTRACTION", "SUBTRACT"}  # image types of what is no scan
_NUMERIC = re.compile(r"\d+(\.\d+)?", re.ASCII)
_PRIMARY = re.compile(r"\bprim(ary|är|aire)|\b(breast|mamma)[- ](biopsy|tumou?r|surgery)", re.IGNORECASE)
_METASTASIS = re.compile(r"metast|brain|hirn|\bcns\b|\bzns\b", re.IGNORECASE)
_CODE = re.compile(r"(?<![\d.])[01](?![\d.])")


class Meaning(NamedTuple):
    """What a file says of a column: what its levels stand for, its unit, whether it speaks of codes such
    as 0 and 1, and whether of the primary tumour alone."""

    levels: dict[str, str]
    units: str
    codes: bool
    primary: bool


def column_meanings(path: Path) -> dict[str, Meaning]:
    """What is said of a table's columns, by heading in small letters, from the file that describes it."""
    meanings: dict[str, Meaning] = {}
    for column, description in read_description(path).items():
        if not isinstance(description, dict):
            continue
        description = {str(key).casefold(): value for key, value in description.items()}
        levels = description.pop("levels", None)
        words = {
            _level(str(level)): str(text.get("Description", level) if isinstance(text, dict) else text)
            for level, text in (levels.items() if isinstance(levels, dict) else ())
        }
        units = str(description.pop("units", "")) or _units_in(description)
        texts = [str(text) for key, text in description.items() if key != "termurl"]
        codes = bool(levels) or any(map(_CODE.search, texts))
        primary = any(map(_PRIMARY.search, texts)) and not any(map(_METASTASIS.search, texts))
        meanings[str(column).casefold()] = Meaning(words, units, codes, primary)
    return meanings


def _units_in(description: Mapping[str, object]) -> str:
    """The unit of a time that a column is described to be in, such as "age in months"; "" for none."""
    found = (re.search(r"\bin (days|weeks|months)\b", str(text)) for text in description.values())
    return next((match[1] for match in found if match), "")


def worded(
    table: pd.DataFrame, meanings: Mapping[str, Meaning], where: str, problems: list[Problem]
) -> pd.DataFrame:
    """Cells as their levels are described: by one word, or of a receptor by more that are understood; and
    numbers of another unit than the column has with theirs.

    Args:
        table: as read.
        meanings: of columns, by heading in small letters.
        where: what describes them, for messages.
        problems: gets the descriptions of a receptor's cells that are not understood, codes of one that
            are not described, and receptors that are described as the primary tumour's.
    """
    table = table.copy()
    for name in map(str, table):
        if (meaning := meanings.get(name.casefold())) is None:
            continue
        cells, levels = [str(cell) for cell in table[name]], meaning.levels
        words = {level: text for level, text in levels.items() if len(text.split()) == 1 or text == level}
        receptor = receptor_of(name.removeprefix(PRIMARY))
        for level in sorted({*map(_level, cells)} & set(levels) - set(words)) if receptor else ():
            if _is_understood(receptor, levels[level]):
                words[level] = levels[level]
            else:
                found = f"{name} {level} is '{levels[level]}', which is not understood"
                remedy = "describe it as positive or negative; the cells count as they stand"
                problems.append(Problem(where, found, remedy, "level not understood"))
        codes = sorted({*map(_level, cells)} & {"0", "1"} - set(levels))
        if receptor and meaning.codes and codes:
            found = f"speaks of {name}, and its Levels do not say what {' and '.join(codes)} mean"
            remedy = (
                'write {"Levels": {"0": "negative", "1": "positive"}}, or what they are; they count as that'
            )
            problems.append(Problem(where, found, remedy, "level not described"))
        if meaning.primary and receptor_of(name):
            found = f"describes {name} as that of the primary tumour, and it counts as the metastasis'"
            remedy = f"call the column {PRIMARY}{receptor}, or correct the description"
            problems.append(Problem(where, found, remedy, "labels of primary tumours"))
        units = meaning.units.casefold().rstrip(".")
        if name in UNITS and units and units not in UNITS[name].split():
            cells = [f"{cell} {meaning.units}" if _NUMERIC.fullmatch(cell) else cell for cell in cells]
        table[name] = [words.get(_level(text), text) for text in cells]
    return table


def _level(text: str) -> str:
    """A level as it is compared: 1.0 is 1."""
    return f"{float(text):g}" if _NUMERIC.fullmatch(text) else text


def _is_understood(receptor: str, text: str) -> bool:
    try:
        return read_statuses(receptor, [text])[0].readable
    except Meanings:
        return False


def described(
    image: Path | None, inherited: Sequence[Path], study: str, problems: list[Problem]
) -> dict[str, str]:
    """Acquisition columns from the sidecars of an image; that it is no post-contrast T1 is a problem.

    Args:
        image: of the study, if it has one.
        inherited: sidecars that apply to it, too, the nearest first.
        study: for messages.
        problems: to add to.
    """
    if image is None:
        return {}
    content: dict[str, object] = {}
    for path in dict.fromkeys(
        (*reversed(inherited), image.with_name(f"{image.name.partition('.')[0]}.json"))
    ):
        content |= read_description(path)
    columns = {}
    for key, (name, factor) in SIDECAR.items():
        value = content.get(key)
        if isinstance(value, int | float) and factor and not isinstance(value, bool):
            columns[name] = f"{value * factor:.10g}"
        elif isinstance(value, str) and not factor:
            columns[name] = value
        elif value is not None:
            found, remedy = f"{key} is {value!r} in its sidecar", "write a number; it counts as missing"
            problems.append(Problem(study, found, remedy, "sidecar without a number"))
    if words := ", ".join(f"{key} {content[key]}" for key in content if _is_other(key, content[key])):
        found, remedy = (
            f"its image is no post-contrast T1 by its sidecar ({words})",
            "check which image it is",
        )
        problems.append(Problem(study, found, remedy, "image that is no post-contrast T1"))
    return columns


def _is_other(key: str, value: object) -> bool:
    """Whether an entry of a sidecar is of another image than a post-contrast T1."""
    if key == "EchoTime":
        return isinstance(value, int | float) and LONGEST_ECHO < value < 1  # from 1 on it is in ms
    if key == "ImageType":
        return isinstance(value, list) and not _MADE.isdisjoint(map(str, value))
    text = str(value).strip().casefold()
    if key == "ContrastBolusIngredient":
        return text in ("none", "no", "n/a", "false")
    return key in ("SeriesDescription", "ProtocolName") and bool(_OTHER.search(text) or text == "flair")


def disagreements(cells: pd.DataFrame, sidecars: Mapping[str, Mapping[str, str]]) -> list[Problem]:
    """Where the sidecars of images say otherwise than a table, a problem a column.

    Args:
        cells: of the table, by study.
        sidecars: what `described` says, by study.
    """
    problems = []
    for name in READERS.keys() & set(cells):
        pairs = {
            study: (cell, sidecars[study].get(name, ""))
            for study, cell in zip(map(str, cells.index), cells[name], strict=True)
        }
        odd = {study: pair for study, pair in pairs.items() if _differ(*map(READERS[name], pair))}
        for study, (own, other) in [*odd.items()][:1]:
            found = (
                f"{name} of {counted(len(odd), 'study', 'studies')} is another in the sidecars of images, "
            )
            found += f"such as {study}: {own} here, {other} there"
            problems.append(
                Problem(PARTICIPANTS, found, "correct one; these count", "table against sidecars")
            )
    return sorted(problems, key=lambda problem: problem.found)


def _differ(own: Reading, other: Reading) -> bool:
    """Whether two readings are both there and not one, but for rounding, or letters around the other's."""
    if not own.text or not other.text:
        return False
    if not math.isnan(other.value):
        return not abs(own.value - other.value) <= 0.1 * abs(other.value)
    first, second = (re.sub(r"[\W_]", "", reading.text.casefold()) for reading in (own, other))
    return first not in second and second not in first
