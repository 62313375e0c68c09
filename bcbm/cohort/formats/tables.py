"""Tables of a cohort in any of the usual files: CSV, TSV, XLSX and Parquet."""

import csv
import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import pandas as pd
from openpyxl import Workbook, load_workbook

from bcbm.cohort.cells import OddCell, identifier, odd_cell_problems
from bcbm.cohort.formats.workbooks import read_workbook
from bcbm.cohort.label_findings import reversed_codes
from bcbm.errors import InputError, Note, Problem
from bcbm.system.spreadsheet import unguarded

SUFFIXES = (".csv", ".tsv", ".xlsx", ".parquet")
OTHERS = (".xls", ".xlsm", ".ods", ".txt")  # of tables that no reader knows
MOST = 2**28  # bytes of a text or Parquet file; a row a lesion takes some hundred
LEGEND = 200  # rows of another sheet that may explain numbers
SHARED = 2  # headings of a first sheet by which another one holds rows of the same kind
_SEPARATORS = ",;\t"


def read_rows(
    path: Path,
    *,
    used: Callable[[str], bool],
    odd: list[OddCell],
    percentages: Callable[[str], bool] = lambda heading: False,
) -> pd.DataFrame:
    """A table, "" for an empty cell, headings without blanks around them; of a workbook its first sheet
    that is not hidden.

    The index counts rows as a spreadsheet does: the first under the headings is 2.

    Args:
        path: a file of one of `SUFFIXES`.
        used: whether anything reads the column of a heading.
        odd: gets the cells of such columns that have no value; see `read_workbook`.
        percentages: whether in the column of a heading a workbook's 0.2 that is shown as "20%" is that.

    Raises:
        InputError: it cannot be read, or two columns that are used have one heading.
    """
    if not path.is_file():
        found = "is not a regular file" if path.exists() else "no such file"
        raise InputError(Problem(str(path), found, f"name a table: {', '.join(SUFFIXES)}"))
    if path.suffix == ".xlsx":
        sheet = _first_sheet(path, used)
        frame = read_workbook(
            path.parent, path.name, sheet, needed=(), used=used, odd=odd, percentages=percentages
        )
        return frame.set_axis(frame.index + 2)
    if path.stat().st_size > MOST:
        found = f"has {path.stat().st_size / 1e9:.1f} GB, more than the {MOST / 1e9:.1f} GB that are read"
        raise InputError(Problem(str(path), found, "leave out what is no row of a lesion or a study"))
    try:
        frame = _parquet(path) if path.suffix == ".parquet" else text_rows(path)
    except UnicodeDecodeError:
        raise InputError(Problem(str(path), "is not UTF-8", "save it as CSV in UTF-8")) from None
    except Exception as error:  # whatever the parsers make of such a file
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(Problem(str(path), f"cannot be read ({message})", "save it anew")) from error
    frame.columns = pd.Index([str(heading).strip() for heading in frame.columns])
    if twice := sorted(filter(used, set(frame.columns[frame.columns.duplicated()]))):
        raise InputError(*(Problem(str(path), f"has two columns '{name}'", "keep one") for name in twice))
    frame = frame.set_axis(range(2, len(frame) + 2))
    if path.suffix != ".parquet":
        odd += _slipped(path, frame, used)
        frame = frame.fillna("").map(unguarded)
    frame = frame.loc[:, ~frame.columns.duplicated() & (frame.columns != "")]
    return frame[(frame != "").any(axis=1)]


def _slipped(path: Path, frame: pd.DataFrame, used: Callable[[str], bool]) -> list[OddCell]:
    """What says that cells of a text may stand in other columns or rows than they should."""
    odd = []
    lacking = frame.isna()
    for row in frame.index[lacking.any(axis=1) & ~lacking.all(axis=1)]:
        heading = str(frame.columns[lacking.loc[row].argmax()])
        odd.append(OddCell(path.name, int(row), heading, "", "", "fewer cells than headings"))
    for heading in filter(used, dict.fromkeys(frame.columns)):
        for row, cell in frame[heading].items():
            if isinstance(cell, str) and len(cell.splitlines()) > 1:
                shown = " ".join(cell.split())
                odd.append(OddCell(path.name, int(str(row)), heading, shown, shown, "line break in a cell"))
    last = frame.iloc[-1].dropna() if len(frame) else pd.Series()
    broken_off = path.read_bytes()[-1:] not in (b"\n", b"\r")
    if broken_off and len(last) and last.iloc[-1] and used(heading := str(last.index[-1])):
        cell, row = str(last.iloc[-1]), int(frame.index[-1])
        odd.append(OddCell(path.name, row, heading, cell, cell, "file that ends inside a row"))
    return odd


def renamed(path: Path, table: pd.DataFrame, known: Mapping[str, str]) -> pd.DataFrame:
    """A table whose known headings are written as they are read.

    Args:
        path: of it, for messages.
        table: as read.
        known: how each known heading is written, by its letters in lower case.

    Raises:
        InputError: two columns have one of them.
    """
    names = [known.get(str(heading).casefold(), str(heading)) for heading in table.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(
            *(Problem(str(path), f"has several columns for '{name}'", "keep one") for name in twice)
        )
    return table.set_axis(names, axis=1)


def read_corrected(path: Path, key: str) -> pd.DataFrame:
    """A table that a person has corrected, as the listings of a preparation are; as `read_rows`.

    Args:
        path: of it.
        key: of the configuration that names it.

    Raises:
        InputError: it cannot be read, or two columns have one heading.
    """
    try:
        return read_list(path)
    except InputError as error:
        remedies = [f"{problem.remedy}, or set {key} to another" for problem in error.problems]
        problems = zip(error.problems, remedies, strict=True)
        raise InputError(*(replace(problem, remedy=remedy) for problem, remedy in problems)) from None


def read_list(path: Path) -> pd.DataFrame:
    """A table that a person has written for one key, all its columns; a note for each of its odd cells.

    Raises:
        InputError: as `read_rows`.
    """
    odd: list[OddCell] = []
    table = read_rows(path, used=bool, odd=odd)
    for problem in odd_cell_problems(odd):
        warnings.warn(str(problem), Note, stacklevel=2)
    return table


def other_versions(path: Path) -> list[Problem]:
    """Files beside a table that are versions of it by their names, and that a program has it open; none is
    read."""
    problems = []
    for other in sorted(path.parent.iterdir()):
        if other == path or path.stem.casefold() not in other.name.casefold():
            continue
        if other.name.startswith(("~$", ".~lock.")):
            found, remedy = f"is open in a program ({other.name})", "save it there: it is read as it lies"
            problems.append(Problem(str(path), found, remedy, "table that is open"))
        elif other.suffix.casefold() in (*SUFFIXES, *OTHERS):
            found, remedy = f"is not read: {path.name} is", "move the one away that does not count"
            problems.append(Problem(str(other), found, remedy, "another version of a table"))
    return problems


def row_twice(where: str, name: str, table: str = "table") -> Problem:
    """That a row is not the first of its name.

    Args:
        where: the row.
        name: of what has a row already.
        table: what it stands in.
    """
    return Problem(
        where, f"{name} has a row already", "remove one; the first counts", f"row twice in a {table}"
    )


def _first_sheet(path: Path, used: Callable[[str], bool]) -> str:
    """The first sheet of a workbook that is not hidden.

    Raises:
        InputError: it cannot be read, or another one that is not hidden has headings of its that are read.
    """
    try:
        book = load_workbook(path, read_only=True)
    except Exception as error:
        found = f"cannot be read ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise InputError(Problem(str(path), found, "save it as .xlsx in a spreadsheet program")) from error
    try:
        headings = _headings(book)
        first = str([*headings, *book.sheetnames][0])
    finally:
        book.close()
    fitting = [title for title, row in headings.items() if sum(map(used, row)) >= SHARED]
    if fitting and not any(map(used, headings.get(first, ()))):
        found = f"its first sheet {first} has none of the columns that are read, and {fitting[0]} has"
        raise InputError(Problem(str(path), found, f"move {fitting[0]} to the front, or hide {first}"))
    if others := _alike(headings, first, used):
        alike = [first, *others]
        found = f"has {len(alike)} sheets of such rows: {', '.join(alike)}"
        raise InputError(Problem(str(path), found, "keep the one that counts, or hide the others"))
    return first


def further_sheets(path: Path, sheet: str, used: Callable[[str], bool]) -> list[Problem]:
    """One for each sheet of a workbook that is not hidden and has headings of the one that is read."""
    book = load_workbook(path, read_only=True)
    try:
        others = _alike(_headings(book), sheet, used)
    finally:
        book.close()
    remedy = f"move rows that count to {sheet}, or hide the sheet"
    return [
        Problem(str(path), f"its sheet {other} holds such rows, and is not read", remedy, "further sheet")
        for other in others
    ]


def legends(path: Path, sheet: str = "") -> list[Problem]:
    """What other sheets of a workbook than one, by default the first, say of numbers that are labels."""
    if path.suffix != ".xlsx":
        return []
    book = load_workbook(path, read_only=True)
    try:
        own = sheet or next((page.title for page in book.worksheets if page.sheet_state == "visible"), "")
        pages = [page for page in book.worksheets if page.title != own]
        rows = {page.title: [*page.iter_rows(max_row=LEGEND, values_only=True)] for page in pages}
    finally:
        book.close()
    return [
        problem
        for title, cells in rows.items()
        for problem in reversed_codes(f"{path.name}, sheet {title}", chain.from_iterable(cells))
    ]


def _headings(book: Workbook) -> dict[str, list[str]]:
    """The first row of every sheet that is not hidden, by its title."""
    shown = [page for page in book.worksheets if page.sheet_state == "visible"]
    rows = [next(page.iter_rows(max_row=1, values_only=True), ()) for page in shown]
    texts = [[str(cell).strip() for cell in row if cell is not None] for row in rows]
    return {page.title: text for page, text in zip(shown, texts, strict=True)}


def _alike(headings: Mapping[str, Sequence[str]], sheet: str, used: Callable[[str], bool]) -> list[str]:
    """Other sheets that have SHARED of the headings of one that are used, or all where it has fewer."""
    own = {heading.casefold() for heading in headings.get(sheet, ()) if used(heading)}
    least = min(SHARED, len(own)) or 1
    return [
        title
        for title, other in headings.items()
        if title != sheet and len(own & {heading.casefold() for heading in other}) >= least
    ]


def _parquet(path: Path) -> pd.DataFrame:
    frame = pd.read_parquet(path)
    named = [name for name in frame.index.names if name is not None and name not in frame]  # are columns too
    frame = frame.reset_index(named).reset_index(drop=True).astype(object)
    return frame.where(frame.notna(), "")


def text_rows(path: Path) -> pd.DataFrame:
    """A CSV or TSV, its cells as they stand; commas, semicolons or tabs part them; None behind a short row.

    Raises:
        ValueError: it holds zero bytes, there are no headings, a row has more cells than there are of them,
            or a quotation mark is not closed where its cell ends: it would swallow the rows up to the next.
    """
    text = path.read_bytes().decode().lstrip("\ufeff")
    if "\0" in text:
        raise ValueError("it holds zero bytes: a part of it was never copied, or it is UTF-16")
    told = re.match(r"sep=(.)\r?\n", text, re.IGNORECASE)  # which Excel reads, and does not count as a row
    text = text[told.end() :] if told else text
    head = text.splitlines()[0] if text else ""
    separator = "\t" if path.suffix == ".tsv" else max(_SEPARATORS, key=head.count)
    separator = told[1] if told else separator
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows: list[list[str | None]] = []
    try:
        for cells in reader:
            rows.append([*cells])
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num}: {error}; look for a quotation mark too many") from None
    if not any(cell and cell.strip() for row in rows[:1] for cell in row):
        raise ValueError("there are no headings in its first row")
    width = len(rows[0])
    for number, row in enumerate(rows, 1):
        if len(row) > width:
            text = f"row {number} has {len(row)} cells, and there are {width} headings in the first row"
            raise ValueError(text)
        row += [None] * (width - len(row))
    return pd.DataFrame(rows[1:], columns=rows[0], dtype=object)


def column_texts(table: pd.DataFrame, name: str) -> pd.Series:
    """The cells of a column as text without blanks around them, "" where it is not there."""
    cells = table[name] if name in table else pd.Series("", index=table.index)
    return cells.map(identifier).astype(str)
