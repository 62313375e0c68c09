"""Workbooks as they are read, and what a cell of theirs means."""

import re
import zlib
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import pandas as pd
from openpyxl import load_workbook
from openpyxl.utils import column_index_from_string

from bcbm.errors import InputError, Problem

MOST = 2**28  # bytes that a workbook may unpack to; the collection's take a tenth of it
MOST_CELLS = 2**28  # of a sheet from its first to its last one, each of which takes memory
_CORNER = re.compile(rb'<dimension ref="[^"]*?:([A-Z]{1,3})(\d{1,7})"')


def read_workbook(root: Path, name: str, sheet: str, needed: list[str]) -> pd.DataFrame:
    """A sheet, cells as they are stored, headings without blanks around them.

    Raises:
        InputError: it cannot be read, unpacks to more than MOST, a column that is needed is missing, or two
            have one heading.
    """
    path = root / name
    if not path.is_file():
        found = "is not a regular file" if path.exists() else "no such workbook"
        raise InputError(Problem(str(path), found, "put the workbook of the download there"))
    _require_bounded(path)
    try:
        frame = pd.read_excel(path, sheet_name=sheet, dtype=object, keep_default_na=False)
    except Exception as error:
        raise InputError(
            Problem(f"{path}", f"sheet {sheet} cannot be read ({error})", "download the workbook again")
        ) from error
    frame.columns = [str(column).strip() for column in frame.columns]
    twice = sorted(set(frame.columns[frame.columns.duplicated()]))
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
    return frame


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


def restore_percentages(root: Path, name: str, sheet: str, frame: pd.DataFrame, columns: set[str]) -> None:
    """Give, in place, cells that Excel shows as "20%" that value: it stores them as 0.2."""
    if not columns:
        return
    book = load_workbook(root / name, read_only=True, data_only=True)
    head, *rows = book[sheet].iter_rows(max_row=len(frame) + 1)
    for place, cell in enumerate(head):
        if (heading := str(cell.value).strip()) not in columns:
            continue
        for row, cells in zip(frame.index, rows, strict=False):
            value = cells[place].value if place < len(cells) else None
            if isinstance(value, int | float) and "%" in str(cells[place].number_format):
                frame.at[row, heading] = f"{100 * value:g} %"
    book.close()


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
