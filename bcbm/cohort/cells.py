"""Cells as people write them: the plain value that each counts as, and why it is not one itself."""

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from bcbm.errors import Problem

if TYPE_CHECKING:
    import pandas as pd

FIRST_MRI = 1980  # the year before which nobody was scanned: it is one of birth, or of a shifted date
LISTED = 12  # cells of one kind in a table that have a line each; more are one line with an example
LONGEST = 60  # signs of a cell that a message shows
# Why a cell is not a plain value, and what to do about it.
REMEDIES = {
    "formula without a stored value": "open the workbook in a spreadsheet program and save it there",
    "formula that decides": "look what it gives where a cell is empty or not found; the saved values count",
    "fewer cells than headings": "write a cell for every heading; one that lacks shifts all behind it",
    "file that ends inside a row": "look whether it was copied whole, and end its last row with a line break",
    "line break in a cell": "write it on one line; it may come from a quotation mark too many",
    "hidden row": "it is read as any other; show it, or delete it if it is not to count",
    "hidden column": "it is read as any other; show it, or delete it if it is not to count",
    "struck-through cell": "empty it if it is not to count, or take the line away if it is",
    "cell with a comment": "read the comment: the cell counts as it stands",
    "coloured cell": "look what its colour says: it is not read, and the cell counts as it stands",
    "merged cells": "take the merge apart and write the value in each cell, if that is what it means",
    "error cell": "correct its formula, or empty the cell",
    "decimal comma": "write a decimal point",
    "comma of two meanings": "write the number without marks of thousands, with a decimal point",
    "digits of another script": "write the digits 0 to 9",
    "date": "write a plain value; a spreadsheet may have made a date of it",
    "number among other signs": "write the number alone",
    "bound in place of a number": "write the number alone, if it is to count as that",
    "number beyond belief": "correct it, or empty the cell",
    "not a number": "write a number, or empty the cell",
}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_SIMPLE = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_POWER = re.compile(r"\d([.,]\d+)?E\+\d+", re.ASCII)
_COMMA = re.compile(r"[-+]?\d*,\d+(?:e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}", re.ASCII)
_QUANTITY = re.compile(r"(>=?|≥)?\s*([-+]?[.,\d]+)\s*([a-z][a-z. ]*)?(\+)?", re.ASCII | re.IGNORECASE)
_PAIR = re.compile(r"\[([^\s,]+), ([^\s,]+)\]|([^\s\\]+)\\([^\s\\]+)")  # as pydicom and DICOM write a spacing
_DATES = [
    re.compile(r) for r in (r"(\d{4})[-/.]\d{1,2}\b.*", r"\d{1,2}[-/.]\d{1,2}[-/.](\d{4})", r"(\d{4})\d{4}")
]
_MONTH = "(?:jan|feb|mar|mär|mrz|apr|may|mai|jun|jul|aug|sep|sept|oct|okt|nov|dec|dez)[.]?"
_MADE_DATE = re.compile(
    rf"\d{{1,2}}[-. ]+{_MONTH}|{_MONTH}[- ]\d\d|\d{{4}}-\d\d-\d\d[ T]00:00:00", re.ASCII | re.IGNORECASE
)  # as a spreadsheet shows, and pandas writes, a date that it has made
_MARKS = re.compile(r"[\\;x\xd7]|,\s")  # between the numbers of a spacing
_UNITS = {1.0: "y yr yrs year years yo", 1 / 12: "m mo month months", 7 / 365.25: "w week weeks"}
_DAYS = {"d": 1 / 365.25, "day": 1 / 365.25, "days": 1 / 365.25}
# Least, most, and what a number with a unit is multiplied by.
_AGE = (0.01, 130.0, {word: factor for factor, text in _UNITS.items() for word in text.split()} | _DAYS)
_FIELD = (0.01, 12.0, {"t": 1.0, "tesla": 1.0})
_SPACING = (0.15, 25.0, {"mm": 1.0})  # below, no head is scanned: it is in centimetres
_TIME = {"ms": 1.0, "s": 1000.0}
# Below, they are in seconds; an echo above is in microseconds, or a repetition time.
_ECHO, _REPETITION = (0.05, 1e3, _TIME), (3.0, 1e5, _TIME)
_SIGNS = str.maketrans({"\u066b": ".", "\u2212": "-", "\u066c": ","})  # Arabic decimal mark, minus, thousands


class Reading(NamedTuple):
    """What a cell counts as.

    Attributes:
        text: as the lesion table has it; "" where it counts as missing.
        value: as a number, of several the first; NaN where it is none.
        kind: why the cell is not a plain value, a key of REMEDIES; "" where it is one, or empty.
    """

    text: str = ""
    value: float = math.nan
    kind: str = ""


@dataclass(frozen=True)
class OddCell:
    """A cell that is not read as a plain value.

    Attributes:
        table: its file and sheet.
        row: as a spreadsheet counts, 1 is that of the headings.
        column: its heading.
        content: what it holds, a formula without a value as the formula.
        counts_as: what it is read as, empty where it counts as missing.
        kind: a key of REMEDIES.
    """

    table: str
    row: int
    column: str
    content: str
    counts_as: str
    kind: str


def number(cell: object) -> Reading:
    """A cell that should hold a number.

    Example:
        >>> number("0,5"), number("1,234").kind
        (Reading(text='0.5', value=0.5, kind='decimal comma'), 'comma of two meanings')
    """
    if type(cell) is float and math.isfinite(cell):
        return Reading(str(cell), cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float | str | None):
        return Reading(kind="date" if hasattr(cell, "isoformat") else "not a number")
    text = "" if cell is None else str(cell).strip()
    if not text:
        return Reading()
    kind = "" if text.isascii() else "digits of another script"
    plain = text if text.isascii() else _latin(text)
    if _COMMA.fullmatch(plain):
        if _THOUSANDS.fullmatch(plain):
            return Reading(kind="comma of two meanings")
        plain, kind = plain.replace(",", "."), kind or "decimal comma"
    if not _NUMBER.fullmatch(plain) or not math.isfinite(float(plain)):
        return Reading(kind="not a number")
    value = float(plain)
    return Reading(text if _SIMPLE.fullmatch(text) else f"{value:.10g}", value, kind)


def identifier(cell: object) -> str:
    """A cell of a name or a number that names, blanks collapsed; "" for an empty one.

    Workbooks and Parquet may hold 7 as 7.0, which names what 7 does.

    Example:
        >>> identifier(7.0), identifier(" P 7 "), identifier(None)
        ('7', 'P 7', '')
    """
    if isinstance(cell, float):
        cell = None if math.isnan(cell) else int(cell) if cell.is_integer() else cell
    return "" if cell is None else " ".join(str(cell).split())


def digits_lost(cell: object) -> bool:
    """Whether an id that is a number has lost digits in a spreadsheet, so that two may be one.

    It shows long ones in powers of ten, and keeps 15 digits.

    Example:
        >>> digits_lost("1.23457E+12"), digits_lost(12345678901234500), digits_lost("12345678901234567")
        (True, True, False)
    """
    if isinstance(cell, int | float):
        return abs(cell) >= 1e15
    return bool(_POWER.fullmatch(str(cell).strip()))


def made_a_date(cell: object) -> bool:
    """Whether a spreadsheet has made a date of what was something else, as of the id 1-2.

    Example:
        >>> made_a_date("2-Jan"), made_a_date("2026-01-02 00:00:00"), made_a_date("1-2")
        (True, True, False)
    """
    text = "" if cell is None else str(cell).strip()
    return hasattr(cell, "isoformat") or bool(_MADE_DATE.fullmatch(text))


def words(cell: object) -> Reading:
    """A cell that should hold words; whatever it holds counts as its text."""
    kind = "date" if hasattr(cell, "isoformat") else ""
    return Reading("" if cell is None else str(cell).strip(), kind=kind)


def age(cell: object) -> Reading:
    """An age in years; DICOM's 018M is 1.5, and 89+ counts as 89. Of a date of birth none is worked out."""
    return _quantity(cell, *_AGE)


def field_strength(cell: object) -> Reading:
    """A field strength in tesla."""
    return _quantity(cell, *_FIELD)


def echo_time(cell: object) -> Reading:
    """An echo time in ms."""
    return _quantity(cell, *_ECHO)


def repetition_time(cell: object) -> Reading:
    """A repetition time in ms."""
    return _quantity(cell, *_REPETITION)


def year(cell: object) -> Reading:
    """A year of an examination, from FIRST_MRI to the present; of a date, its year."""
    reading, present = number(cell), date.today().year
    if FIRST_MRI <= reading.value <= present and reading.value.is_integer():
        return reading
    text = cell.isoformat() if isinstance(cell, date) else _latin(str(cell)).strip()
    matches = [match for pattern in _DATES if (match := pattern.fullmatch(text))]
    if matches and FIRST_MRI <= int(matches[0][1]) <= present:
        return Reading(matches[0][1], float(matches[0][1]), "date")
    beyond = matches or not math.isnan(reading.value)
    return Reading(kind="number beyond belief" if beyond else reading.kind)


def pixel_spacing(cell: object) -> Reading:
    r"""A pixel spacing in mm, of which the first number counts.

    Example:
        >>> pixel_spacing("0,5\\0,5").text, pixel_spacing("[0.5, 0.5]").kind
        ('0.5\\0.5', '')
    """
    if not isinstance(cell, str):
        return _quantity(cell, *_SPACING)
    text = cell.strip()
    pair = _PAIR.fullmatch(text)
    parts = [part for part in pair.groups() if part] if pair else _MARKS.split(text.strip("[]()"))
    readings = [_quantity(part, *_SPACING) for part in parts]
    kind = next((reading.kind for reading in readings if reading.kind), "")
    if len(parts) > 3 or any(math.isnan(reading.value) for reading in readings):
        return Reading(kind=kind or ("not a number" if text else ""))
    if not kind and not pair and len(parts) > 1:
        kind = "number among other signs"
    changed = kind or [reading.text for reading in readings] != parts
    joined = "\\".join(reading.text for reading in readings)
    return Reading(joined if changed else text, readings[0].value, kind)


PLACEHOLDERS = (-99.0, -999.0, -9999.0, -99999.0)  # that stand for a missing number in many tables
LARGEST = 1e30  # a feature of radiomics; the largest of real lesions have 1e11
_LEAST = 1e-9  # mm, mm2, mm3 and fractions of what is there at all
# Least and most of features of shape; a sphericity may round to a little more than 1.
FEATURE_BOUNDS = {
    f"original_shape_{name}": (least, most)
    for names, least, most in (
        ("VoxelVolume MeshVolume SurfaceArea SurfaceVolumeRatio", _LEAST, LARGEST),
        ("Sphericity", _LEAST, 1.000001),
        ("MajorAxisLength MinorAxisLength LeastAxisLength Maximum3DDiameter", 0.0, LARGEST),
    )
    for name in names.split()
}
# How the acquisition columns of a study are read.
READERS: dict[str, Callable[[object], Reading]] = {
    "age": age,
    "year": year,
    "pixel_spacing": pixel_spacing,
    "manufacturer": words,
    "field_strength": field_strength,
    "sex": words,
    "site": words,
    "tr": repetition_time,
    "te": echo_time,
}


def read_texts(
    cells: "pd.Series", read: Callable[[object], Reading], table: str, odd: list[OddCell]
) -> list[str]:
    """Read a column as the lesion table has it, and add its cells that are no plain values to `odd`.

    Args:
        cells: indexed by their row in a spreadsheet, named by their heading.
        read: how.
        table: the file and sheet, as messages name them.
        odd: to add to.
    """
    return [reading.text for reading in _read(cells, read, table, odd)]


def read_numbers(cells: "pd.Series", table: str, odd: list[OddCell]) -> list[float]:
    """The same as numbers, NaN where a cell is none, or one that its feature of radiomics cannot be."""
    least, most = FEATURE_BOUNDS.get(str(cells.name), (-LARGEST, LARGEST))

    def read(cell: object) -> Reading:
        reading = number(cell)
        possible = least <= reading.value <= most and reading.value not in PLACEHOLDERS
        if math.isnan(reading.value) or possible:
            return reading
        return Reading(kind="number beyond belief")

    plain = [type(cell) is float and least <= cell <= most and cell not in PLACEHOLDERS for cell in cells]
    others = iter(_read(cells[[not is_plain for is_plain in plain]], read, table, odd))
    return [cell if is_plain else next(others).value for cell, is_plain in zip(cells, plain, strict=True)]


def _read(
    cells: "pd.Series", read: Callable[[object], Reading], table: str, odd: list[OddCell]
) -> list[Reading]:
    readings = [read(cell) for cell in cells]
    for (row, cell), reading in zip(cells.items(), readings, strict=True):
        if reading.kind:
            place = (table, int(str(row)), str(cells.name))
            odd.append(OddCell(*place, str(cell), reading.text, reading.kind))
    return readings


def odd_cells_table(odd: Iterable[OddCell]) -> "pd.DataFrame":
    """A row a cell, columns as OddCell's attributes."""
    import pandas as pd

    return pd.DataFrame([asdict(cell) for cell in odd], columns=list(OddCell.__dataclass_fields__))


def odd_cell_problems(odd: Iterable[OddCell]) -> list[Problem]:
    """A problem a cell; of more than LISTED of a kind in a table a single one, with an example."""
    problems = []
    ordered = sorted(odd, key=lambda cell: (cell.table, cell.kind))
    for (table, kind), group in groupby(ordered, key=lambda cell: (cell.table, cell.kind)):
        cells = list(group)
        if len(cells) > LISTED:
            columns = list(dict.fromkeys(cell.column for cell in cells))
            shown = ", ".join(columns[:LISTED]) + ", ..." * (len(columns) > LISTED)
            text = f"{len(cells)} cells of {shown}: {kind}, such as row {cells[0].row}, {_content(cells[0])}"
            problems.append(Problem(table, text, f"{REMEDIES[kind]}; cells.csv lists them", kind))
            continue
        for cell in cells:
            where = f"{table}, row {cell.row}, column {cell.column}"
            problems.append(Problem(where, f"{kind}: {_content(cell)}", REMEDIES[kind], kind))
    return problems


def _content(cell: OddCell) -> str:
    content = " ".join(cell.content.split())
    content = content[:LONGEST] + "..." * (len(content) > LONGEST)
    return f"{cell.column} is '{content}' and counts as {cell.counts_as or 'missing'}"


def _latin(text: str) -> str:
    """Digits, decimal marks and minus of any script as those of ASCII."""
    return "".join(str(unicodedata.decimal(sign, sign)) for sign in text).translate(_SIGNS)


def _quantity(cell: object, least: float, most: float, units: Mapping[str, float]) -> Reading:
    """A number between two bounds, perhaps with a unit, by which it is multiplied, or as a lower bound."""
    reading = number(cell)
    match = _QUANTITY.fullmatch(_latin(cell).strip()) if isinstance(cell, str) else None
    if reading.kind == "not a number" and match:
        bound, digits, unit, more = match.groups()
        factor = units.get((unit or "").casefold().rstrip(". ").removesuffix(" old"), None if unit else 1.0)
        inner = number(digits)
        if factor is None or math.isnan(inner.value):
            return Reading(kind=inner.kind or reading.kind)
        value = inner.value * factor
        kind = "bound in place of a number" if bound or more else "number among other signs"
        reading = Reading(f"{value:.10g}", value, kind)
    if not math.isnan(reading.value) and not least <= reading.value <= most:
        return Reading(kind="number beyond belief")
    return reading
