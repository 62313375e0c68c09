"""Workbooks as they are read, and what a cell of theirs means."""

import posixpath
import re
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile, is_zipfile

import pandas as pd
from openpyxl import load_workbook
from openpyxl.cell.cell import ERROR_CODES
from openpyxl.cell.read_only import ReadOnlyCell
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.utils import column_index_from_string, range_boundaries
from openpyxl.utils.cell import coordinate_to_tuple

from bcbm.cohort.cells import OddCell
from bcbm.errors import InputError, Problem
from bcbm.system.content import file_sum

MOST = 2**28  # bytes that a workbook may unpack to; the collection's take a tenth of it
SHOWN = 40  # signs of a file that is no workbook
HIDDEN = "hidden row"  # a kind of odd cell: its first one stands for the row
HIDDEN_COLUMN, STRUCK, COMMENTED = "hidden column", "struck-through cell", "cell with a comment"
DECIDED, COLOURED = "formula that decides", "coloured cell"
COLOURED_ROWS = 1 / 3  # part of the rows beyond which colours are how the table is laid out
# What gives something for a cell that is empty or not found, too, another value tomorrow, or another file's.
_DECIDING = re.compile(r"\b(IF\w*|[VHX]?LOOKUP|MATCH|INDEX|SWITCH|CHOOSE|TODAY|NOW|RAND\w*)\(|\[|#REF!")
_TEXT = re.compile(r'"[^"]*"|\\.')  # of a format of numbers: it stands beside them as it is
SHEETS = 8  # that a process keeps: two of a download, of a few sites
LAST_COLUMN = 2**14  # of a sheet
MOST_CELLS = 2**28  # of a sheet from its first to its last one, each of which takes memory
_CORNER = re.compile(rb'<dimension ref="[^"]*?:([A-Z]{1,3})(\d{1,7})"')
_OLE = bytes.fromhex("d0cf11e0a1b11ae1")  # how an .xls begins, and a workbook that a password locks
_STRICT = b"http://purl.oclc.org/ooxml/"


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
        odd: gets the cells of such columns that have no value: errors, what somebody has struck through, and
            formulas that were never worked out, as programs that write workbooks leave them; they are "". Of
            a text of which a part is struck through the rest counts.
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
        _require_workbook(path)
        content = _read_sheet(path, file_sum(path), sheet)
        frame, lacking = _frame(content, percentages)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            Problem(f"{path}", f"sheet {sheet} cannot be read ({error})", "download the workbook again")
        ) from error
    odd += [cell for cell in lacking if cell.kind == HIDDEN or used(cell.column)]
    odd += _coloured(content, used)
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


def _require_workbook(path: Path) -> None:
    """InputError, with what to do about it, for a file that only its name makes a workbook of this kind."""
    with path.open("rb") as file:
        head = file.read(2**9)
    found, remedy = (
        "",
        "save it as an .xlsx workbook in a spreadsheet program, or download the workbook again",
    )
    if head.startswith(_OLE):
        found = "is locked by a password, or a workbook of an old kind (.xls)"
        remedy = "open it in a spreadsheet program and save it as .xlsx, without a password"
    elif not head.startswith(b"PK"):
        text = "".join(sign for sign in head.decode("utf-8", "replace") if sign.isprintable())
        found = f"is no workbook: it begins with '{text[:SHOWN]}'" if text else "is no workbook: it is empty"
    elif is_zipfile(path):
        with ZipFile(path) as book:
            if "xl/workbook.xml" in book.namelist() and _STRICT in book.read("xl/workbook.xml"):
                found = "is saved as Strict Open XML, which is not read"
                remedy = "open it in a spreadsheet program and save it as a plain .xlsx workbook"
    if found:
        raise InputError(Problem(str(path), found, remedy))


def _part(path: Path, sheet: str) -> str:
    """The file of a sheet inside its workbook.

    Raises:
        InputError: it is not there; with the sheets that there are.
    """
    book = load_workbook(path, read_only=True)
    try:
        if sheet in book.sheetnames:
            part: str = book[sheet]._worksheet_path  # which openpyxl tells nowhere else
            return part
    finally:
        book.close()
    text = f"has no sheet {sheet}; there are {', '.join(map(repr, book.sheetnames))}"
    raise InputError(Problem(str(path), text, f"name the sheet {sheet}, or download the workbook again"))


@dataclass(frozen=True)
class _Sheet:
    """What a sheet holds, before anything is made of it.

    Attributes:
        where: its workbook and name, as messages have them.
        head: the headings.
        rows: by number from 0 under the headings, those with any value; "" for none.
        shares: what is shown as "20%" and stored as 0.2, by number of the row and place in it.
        odd: cells without a value.
        filled: places of cells whose ground is coloured, by number of the row.
        layout: how it stands in its file.
        height: its rows, with that of the headings.
    """

    where: str
    head: list[str]
    rows: dict[int, list[object]]
    shares: dict[tuple[int, int], str]
    odd: list[OddCell]
    filled: dict[int, set[int]]
    layout: "_Layout"
    height: int


@lru_cache(maxsize=SHEETS)
def _read_sheet(path: Path, content: str, sheet: str) -> _Sheet:
    """A sheet of a workbook, read once by a process that comes back to it, as a comparison of experiments.

    Args:
        path: of the workbook.
        content: its sum, as it may be another one by then.
        sheet: to read.
    """
    layout = _layout(path, sheet, _part(path, sheet))
    written = _rows(path, sheet, stored=False, by_row=layout.by_row)
    worked_out = any(cell.data_type == "f" for row in written for cell in row)
    stored = _rows(path, sheet, stored=True, by_row=layout.by_row) if worked_out else written
    first = stored[0] if stored else ()
    head = ["" if cell.value is None else str(cell.value).strip() for cell in first]
    head = [heading or f"Unnamed: {place}" for place, heading in enumerate(head)]
    where = f"{path.name}, sheet {sheet}"
    table: dict[int, list[object]] = {}
    shares: dict[tuple[int, int], str] = {}
    filled: dict[int, set[int]] = {}
    odd = []
    formulas: dict[int, OddCell] = {}  # the first of each column
    for number, cells in enumerate(zip(written[1:], stored[1:], strict=True), start=2):
        row: list[object] = [""] * len(head)
        for place, (heading, formula, cell) in enumerate(zip(head, *cells, strict=False)):
            held, valid, kind = *_contents(cell), ""
            if held is not None and _is_filled(cell):
                filled.setdefault(number - 2, set()).add(place)
            if cell.data_type == "e" or held in ERROR_CODES:
                kind = "error cell"
            elif held is not None:
                row[place], kind = _whole(valid), STRUCK if valid != held else ""
                if isinstance(valid, int | float) and "%" in _TEXT.sub("", str(cell.number_format)):
                    shares[number - 2, place] = f"{100 * valid:g} %"
            elif formula.data_type == "f":
                held, kind = formula.value, "formula without a stored value"
            if kind:
                odd.append(OddCell(where, number, heading, _text(held), f"{row[place]}", kind))
            elif formula.data_type == "f" and _DECIDING.search(text := _text(formula.value)):
                formulas.setdefault(place, OddCell(where, number, heading, text, f"{held}", DECIDED))
        if any(cell.value is not None for cell in cells[1]):
            table[number - 2] = row
    odd += formulas.values()
    return _Sheet(where, head, table, shares, odd, filled, layout, len(written))


def _is_filled(cell: ReadOnlyCell) -> bool:
    """Whether the ground of a cell has a colour."""
    ground = cell.fill
    return ground.fill_type == "solid" and str(ground.fgColor.rgb)[-6:] != "FFFFFF"


def _coloured(sheet: _Sheet, used: Callable[[str], bool]) -> list[OddCell]:
    """The first coloured cell of each row that has one in a column that is used, where few rows do."""
    places = {place for place, heading in enumerate(sheet.head) if used(heading)}
    first = {row: min(places & own) for row, own in sheet.filled.items() if places & own}
    if len(first) > COLOURED_ROWS * len(sheet.rows):
        return []
    cells = [(row, sheet.head[place], f"{sheet.rows[row][place]}") for row, place in first.items()]
    return [OddCell(sheet.where, row + 2, heading, text, text, COLOURED) for row, heading, text in cells]


def _contents(cell: ReadOnlyCell) -> tuple[object, object]:
    """What a cell holds, and what of it nobody has struck through."""
    content = cell.value
    if content is not None and cell.font.strike:
        return content, ""
    if isinstance(content, CellRichText):
        valid = [part for part in content if not (isinstance(part, TextBlock) and part.font.strike)]
        whole = str(content)
        return whole, "".join(map(str, valid)).strip() if len(valid) < len(content) else whole
    return content, content


def _text(content: object) -> str:
    """What a cell holds, of an array formula too."""
    return str(getattr(content, "text", content))


def _frame(sheet: _Sheet, percentages: Callable[[str], bool]) -> tuple[pd.DataFrame, list[OddCell]]:
    """A sheet as a table, and its cells without a value; `percentages` as of `read_workbook`."""
    where, head, layout = sheet.where, sheet.head, sheet.layout
    table, odd = {number: [*row] for number, row in sheet.rows.items()}, [*sheet.odd]
    for (number, place), text in sheet.shares.items():
        if number in table and percentages(head[place]):
            table[number][place] = text
    for left, top, right, bottom in layout.merged:
        value = table.get(top - 2, [""] * len(head))[left - 1] if top > 1 and left <= len(head) else ""
        if value == "":
            continue
        right, bottom = min(right, len(head)), min(bottom, sheet.height)
        for number in range(top, bottom + 1):
            row = table.setdefault(number - 2, [""] * len(head))
            row[left - 1 : right] = [value] * (right - left + 1)
        content = f"{value} (rows {top} to {bottom})" if bottom > top else f"{value}"
        for heading in head[left - 1 : right]:
            odd.append(OddCell(where, top, heading, content, f"{value}", "merged cells"))
    for number in sorted(layout.hidden):
        filled = [pair for pair in zip(head, table.get(number - 2, []), strict=False) if pair[1] != ""]
        for heading, value in filled[:1]:
            text = f"{value}"
            odd.append(OddCell(where, number, heading, text, text, HIDDEN))
    for place in sorted(layout.hidden_columns):
        below = [(line + 2, row[place - 1]) for line, row in sorted(table.items()) if place <= len(row)]
        for number, value in [pair for pair in below if pair[1] != ""][:1]:
            odd.append(OddCell(where, number, head[place - 1], f"{value}", f"{value}", HIDDEN_COLUMN))
    for number, place in sorted(pair for pair in layout.commented if pair[1] <= len(head)):
        row = table.get(number - 2, [""] * len(head)) if number > 1 else [*head]
        text = f"{row[place - 1]}"
        odd.append(OddCell(where, number, head[place - 1], text, text, COMMENTED))
    ordered = dict(sorted(table.items()))
    return pd.DataFrame.from_dict(ordered, orient="index", columns=head, dtype=object), odd


@dataclass
class _Layout:
    """How the cells of a sheet stand in its file.

    Attributes:
        merged: areas of merged cells: first column and row, last column and row, from 1.
        by_row: whether it can be read row by row: rows follow one another, and cells in them, and no part
            of a text in them is struck through; whoever reads it so loses what is otherwise.
        hidden: numbers of rows that a filter or a person hides, and `hidden_columns`, from 1; they are read.
        commented: row and column, from 1, of each cell that somebody has written a comment on.
    """

    merged: list[tuple[int, int, int, int]] = field(default_factory=list)
    by_row: bool = True
    hidden: set[int] = field(default_factory=set)
    hidden_columns: set[int] = field(default_factory=set)
    commented: set[tuple[int, int]] = field(default_factory=set)


def _layout(path: Path, sheet: str, part: str) -> _Layout:
    """The layout of a sheet, whatever program wrote its XML.

    Raises:
        InputError: a row or a cell stands in it twice, or a cell in a row that is not its own.
    """
    layout = _Layout()
    rows: set[int] = set()
    columns: set[int] = set()
    row = column = 0

    def begin(tag: str, attributes: dict[str, str]) -> None:
        nonlocal row, column, columns
        name, place = tag.rpartition("}")[2], attributes.get("r")
        if name == "row":
            before, row = row, int(float(place)) if place else row + 1
            layout.by_row &= row > before
            if row in rows:
                raise _doubled(path, sheet, f"row {row}")
            rows.add(row)
            if attributes.get("hidden") in ("1", "true"):
                layout.hidden.add(row)
            column, columns = 0, set()
        elif name == "c":
            before = column
            own, column = coordinate_to_tuple(place) if place else (row, column + 1)
            layout.by_row &= column > before
            if own != row or column in columns:
                raise _doubled(path, sheet, f"cell {place}")
            columns.add(column)
        elif name == "col" and attributes.get("hidden") in ("1", "true"):
            last = min(int(attributes["max"]), LAST_COLUMN)
            layout.hidden_columns.update(range(int(attributes["min"]), last + 1))
        elif name == "strike":  # in a text that stands in its cell, and not in the table of texts
            layout.by_row = False
        elif name == "mergeCell":
            layout.merged.append(range_boundaries(attributes["ref"]))

    with ZipFile(path) as parts:
        _parse(parts, part, begin)
        layout.commented = _commented(parts, part)
    return layout


def _commented(parts: ZipFile, part: str) -> set[tuple[int, int]]:
    """Row and column of each cell of a sheet's file that has a comment, which lies in a file beside it."""
    cells: set[tuple[int, int]] = set()
    files: list[str] = []
    folder, name = posixpath.split(part)

    def related(tag: str, attributes: dict[str, str]) -> None:
        if attributes.get("Type", "").endswith("/comments"):
            files.append(posixpath.normpath(posixpath.join("/", folder, attributes["Target"]))[1:])

    def begin(tag: str, attributes: dict[str, str]) -> None:
        if tag.rpartition("}")[2] == "comment":
            cells.add(coordinate_to_tuple(attributes["ref"]))

    known = set(parts.namelist())
    if (relations := f"{folder}/_rels/{name}.rels") in known:
        _parse(parts, relations, related)
    for file in known.intersection(files):
        _parse(parts, file, begin)
    return cells


def _parse(parts: ZipFile, part: str, begin: Callable[[str, dict[str, str]], None]) -> None:
    """Call a function for each element that begins in a file of a workbook, with its name and attributes."""
    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = begin
    with parts.open(part) as file:
        parser.ParseFile(file)


def _doubled(path: Path, sheet: str, place: str) -> InputError:
    remedy = "open it in a spreadsheet program, look at that row, and save it there"
    return InputError(Problem(f"{path}, sheet {sheet}", f"{place} stands twice, or in another row", remedy))


def _rows(path: Path, sheet: str, *, stored: bool, by_row: bool) -> list[Sequence[ReadOnlyCell]]:
    """The rows of a sheet; formulas as they are written or, `stored`, with what they gave when last saved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of rules and styles, and of errors, which are listed
        book = load_workbook(path, read_only=by_row, data_only=stored, rich_text=True)
        try:
            page = book[sheet]
            if by_row:
                page.reset_dimensions()  # a program may have written them wrong
            return list(page.iter_rows())
        finally:
            book.close()


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def segmentation_name(text: str) -> str:
    """The name of a segmentation from what a table calls it: its mask's file, or the end of that."""
    return re.sub(r"^mask_|\.nii(\.gz)?$", "", text, flags=re.IGNORECASE)


def identified(
    frame: pd.DataFrame, column: str, book: str, problems: list[Problem], noun: str = "study"
) -> pd.DataFrame:
    """The rows that name a study, or another noun, with their old index; each other one is a problem.

    A row without any value is none.
    """
    text = frame.map(lambda cell: "" if cell is None else str(cell).strip())
    blank = text[column] == ""
    for row in frame.index[blank & (text != "").any(axis=1)]:
        remedy = f"write the {noun} there; the row is not read"
        problems.append(Problem(f"{book} row {row + 2}", f"no {column}", remedy, f"row without {noun}"))
    return frame[~blank]


def _first_columns(frame: pd.DataFrame) -> str:
    names = [str(column) for column in frame.columns if not str(column).startswith("Unnamed: ")]
    return (", ".join(names[:8]) or "none in its first row") + " ..." * (len(names) > 8)
