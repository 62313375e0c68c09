"""Workbooks as they are read, and what a cell of theirs means."""

import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd
from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.utils import column_index_from_string, range_boundaries

from bcbm.cohort.cells import OddCell
from bcbm.errors import InputError, Problem

MOST = 2**28  # bytes that a workbook may unpack to; the collection's take a tenth of it
MOST_CELLS = 2**28  # of a sheet from its first to its last one, each of which takes memory
_CORNER = re.compile(rb'<dimension ref="[^"]*?:([A-Z]{1,3})(\d{1,7})"')
_MERGED = re.compile(rb'<mergeCell\s+ref="([A-Z]{1,3}\d{1,7}:[A-Z]{1,3}\d{1,7})"')


def read_workbook(
    root: Path,
    name: str,
    sheet: str,
    *,
    needed: Sequence[str],
    used: Callable[[str], bool],
    odd: list[OddCell],
    percentages: Callable[[str], bool] = lambda heading: False,
) -> pd.DataFrame:
    """A sheet, cells as they are stored, "" for an empty one, headings without blanks around them.

    The index counts all rows under the headings from 0; those without any value are left out.

    Args:
        root: the folder of the workbook.
        name: its file.
        sheet: to read.
        needed: headings that must be there.
        used: whether anything reads the column of a heading.
        odd: gets the cells of such columns that have no value: errors, and formulas that were never worked
            out, as programs that write workbooks leave them; they are "".
        percentages: whether of the column of a heading a cell that is shown as "20%" is that, and not 0.2.

    Raises:
        InputError: it cannot be read, unpacks to more than MOST, a column that is needed is missing, or two
            that are used have one heading.
    """
    path = root / name
    if not path.is_file():
        found = "is not a regular file" if path.exists() else "no such workbook"
        raise InputError(Problem(str(path), found, "put the workbook of the download there"))
    _require_bounded(path)
    try:
        frame, lacking = _read_sheet(path, sheet, percentages)
    except Exception as error:
        raise InputError(
            Problem(f"{path}", f"sheet {sheet} cannot be read ({error})", "download the workbook again")
        ) from error
    odd += [cell for cell in lacking if used(cell.column)]
    again = frame.columns.duplicated()
    twice = sorted(filter(used, set(frame.columns[again])))
    if twice:
        where, remedy = f"{path}, sheet {sheet}", "keep one of them; blanks around a heading do not count"
        raise InputError(*(Problem(where, f"has two columns '{name}'", remedy) for name in twice))
    missing = [column for column in needed if column not in frame.columns]
    if missing:
        raise InputError(
            *(
                Problem(
                    f"{path}, sheet {sheet}",
                    f"no column '{column}'",
                    f"restore it; there are {_first_columns(frame)}",
                )
                for column in missing
            )
        )
    return frame.loc[:, ~again]


def _require_bounded(path: Path) -> None:
    """InputError for a workbook that unpacks, or spreads over a sheet, beyond any table of lesions."""
    try:
        with ZipFile(path) as book:
            size = sum(part.file_size for part in book.infolist())
            sheets = [part for part in book.infolist() if part.filename.startswith("xl/worksheets/")]
            heads = [book.open(part).read(2**12) for part in sheets]
    except (BadZipFile, OSError, RuntimeError, zlib.error):  # whoever reads it says what it is
        return
    text = remedy = ""
    if size > MOST:
        text = f"unpacks to {size / 1e9:.1f} GB, more than the {MOST / 1e9:.1f} GB that are read"
        remedy = "save its sheet in a new workbook, without pictures and other sheets"
    for corner in [match for head in heads if (match := _CORNER.search(head))]:
        column, row = corner[1].decode(), int(corner[2])
        if column_index_from_string(column) * row > MOST_CELLS:
            text, remedy = f"has a cell at {column}{row}, far from the table", "delete it"
    if text:
        raise InputError(Problem(str(path), text, remedy))


def _read_sheet(
    path: Path, sheet: str, percentages: Callable[[str], bool]
) -> tuple[pd.DataFrame, list[OddCell]]:
    """A sheet, and its cells without a value."""
    written = _rows(path, sheet, stored=False)
    worked_out = any(cell.data_type == "f" for row in written for cell in row)
    stored = _rows(path, sheet, stored=True) if worked_out else written
    first = stored[0] if stored else ()
    head = ["" if cell.value is None else str(cell.value).strip() for cell in first]
    head = [heading or f"Unnamed: {place}" for place, heading in enumerate(head)]
    table: dict[int, list[object]] = {}
    odd = []
    for number, cells in enumerate(zip(written[1:], stored[1:], strict=True), start=2):
        row: list[object] = [""] * len(head)
        for place, (heading, formula, cell) in enumerate(zip(head, *cells, strict=False)):
            content, kind = cell.value, ""
            if cell.data_type == "e" or content in ERROR_CODES:
                kind = "error cell"
            elif content is not None:
                row[place] = _percentage(cell) if percentages(heading) else _whole(content)
            elif formula.data_type == "f":
                content, kind = formula.value, "formula without a stored value"
            if kind:
                text = str(getattr(content, "text", content))  # of an array formula too
                odd.append(OddCell(f"{path.name}, sheet {sheet}", number, heading, text, "", kind))
        if any(cell.value is not None for cell in cells[1]):
            table[number - 2] = row
    for left, top, right, bottom in _merged(path, sheet):
        value = table.get(top - 2, [""] * len(head))[left - 1] if top > 1 and left <= len(head) else ""
        if value == "":
            continue
        right, bottom = min(right, len(head)), min(bottom, len(written))
        for number in range(top, bottom + 1):
            row = table.setdefault(number - 2, [""] * len(head))
            row[left - 1 : right] = [value] * (right - left + 1)
        content = f"{value} (rows {top} to {bottom})" if bottom > top else f"{value}"
        for heading in head[left - 1 : right]:
            odd.append(
                OddCell(f"{path.name}, sheet {sheet}", top, heading, content, f"{value}", "merged cells")
            )
    ordered = dict(sorted(table.items()))
    return pd.DataFrame.from_dict(ordered, orient="index", columns=head, dtype=object), odd


def _merged(path: Path, sheet: str) -> list[tuple[int, int, int, int]]:
    """Merged areas of a sheet: first column and row, last column and row, from 1."""
    book = load_workbook(path, read_only=True)
    try:
        with ZipFile(path) as parts:
            content = parts.read(book[sheet]._worksheet_path)  # which openpyxl tells nowhere else
    finally:
        book.close()
    return [range_boundaries(area.decode()) for area in _MERGED.findall(content)]


def _rows(path: Path, sheet: str, *, stored: bool) -> list[Sequence[ReadOnlyCell]]:
    """The rows of a sheet; formulas as they are written or, `stored`, with what they gave when last saved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rules and styles, and of errors, which are listed
        book = load_workbook(path, read_only=True, data_only=stored)
        try:
            page = book[sheet]
            page.reset_dimensions()  # a program may have written them wrong
            return list(page.iter_rows())
        finally:
            book.close()


def _percentage(cell: ReadOnlyCell) -> object:
    """What Excel shows as "20%" and stores as 0.2; any other cell as it is."""
    if isinstance(cell.value, int | float) and "%" in str(cell.number_format):
        return f"{100 * cell.value:g} %"
    return _whole(cell.value)


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def identified(frame: pd.DataFrame, column: str, book: str, problems: list[Problem]) -> pd.DataFrame:
    """The rows that name a study, with their old index; each other row that is not blank is a problem."""
    text = frame.map(lambda cell: "" if cell is None else str(cell).strip())
    blank = text[column] == ""
    for row in frame.index[blank & (text != "").any(axis=1)]:
        remedy = "write the study there; the row is not read"
        problems.append(Problem(f"{book} row {row + 2}", f"no {column}", remedy, "row without study"))
    return frame[~blank]


def _first_columns(frame: pd.DataFrame) -> str:
    names = [str(column) for column in frame.columns[:8]]
    return ", ".join(names) + (" ..." if frame.shape[1] > 8 else "")
