"""Tables as CSV for people, whose spreadsheet programs would run some texts as formulas."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a command's help loads no tables
    import pandas as pd

_NUMBER = r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?\Z"
# What starts a formula, full width too (OWASP, CSV injection), behind apostrophes that stop it.
_FORMULA = re.compile(rf"'*(?!{_NUMBER})[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]", re.ASCII)


def guarded(text: str) -> str:
    """A text as a cell that no spreadsheet takes for a formula: with an apostrophe before what begins as one.

    A number stays one.

    Example:
        >>> guarded("=1+1"), guarded("L-frontal"), unguarded(guarded("-left"))
        ("'=1+1", 'L-frontal', '-left')
    """
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text of which `guarded` made a cell; any other cell as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def spreadsheet_csv(table: "pd.DataFrame") -> str:
    """A table without its index as CSV (RFC 4180) for people to open; its texts are guarded."""
    from pandas.api.types import is_numeric_dtype

    cells = table.copy(deep=False)
    for place, (_, column) in enumerate(table.items()):  # by place: a name may stand twice
        if not is_numeric_dtype(column):
            texts = column.map(lambda cell: guarded(cell) if isinstance(cell, str) else cell)
            cells.isetitem(place, texts.array)
    return cells.to_csv(index=False, lineterminator="\r\n")  # a text that holds either of them is quoted
