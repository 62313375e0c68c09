"""A table in words, for a page, a spreadsheet, and an article: LaTeX with `booktabs`."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bcbm.system.files import write_whole
from bcbm.system.spreadsheet import spreadsheet_csv

SPECIAL = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "²": r"\textsuperscript{2}",
    "³": r"\textsuperscript{3}",
    "†": r"\textdagger{}",
    "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
    "\N{EM SPACE}": r"\quad ",
}


class TextTable(NamedTuple):
    """A table in words.

    Attributes:
        headings: of each column the group above it, or none, and its own.
        rows: a cell a column; one cell alone is a heading of the rows that follow.
        notes: under it, a paragraph each.
    """

    headings: list[tuple[str, str]]
    rows: list[list[str]]
    notes: Sequence[str]

    @property
    def groups(self) -> list[tuple[str, int]]:
        """Groups in order, each with the number of its columns; none where no column has one."""
        parts = [(name, len(list(part))) for name, part in groupby(name for name, _ in self.headings)]
        return parts if any(name for name, _ in parts) else []


def write_text_table(table: TextTable, path: Path) -> None:
    """Write a table as `<path>.csv` and, with its notes, as `<path>.tex`."""
    columns = [" ".join(filter(None, heading)) for heading in table.headings]
    rows = [row + [""] * (len(columns) - len(row)) for row in table.rows]
    write_whole(path.with_suffix(".csv"), spreadsheet_csv(pd.DataFrame(rows, columns=columns)))
    write_whole(path.with_suffix(".tex"), booktabs(table))


def booktabs(table: TextTable, alarm: str = "") -> str:
    r"""A `tabular` to be taken into a document by `\input`, which needs `\usepackage{booktabs}`.

    Args:
        table: its first column is set left, the others right.
        alarm: above it and in bold, where its figures are no result.
    """
    columns = len(table.headings)
    lines = [r"% needs \usepackage{booktabs}", *([rf"\textbf{{{escaped(alarm)}}}\par"] if alarm else [])]
    lines += [rf"\begin{{tabular}}{{@{{}}l{'r' * (columns - 1)}@{{}}}}", r"\toprule"]
    if groups := table.groups:
        cells, rules, start = [], "", 1
        for name, width in groups:
            cells += [rf"\multicolumn{{{width}}}{{c}}{{{escaped(name)}}}"] if name else [""] * width
            rules += rf"\cmidrule(lr){{{start}-{start + width - 1}}}" if name else ""
            start += width
        lines += [_line(cells), rules]
    lines += [_line([escaped(heading) for _, heading in table.headings]), r"\midrule"]
    lines += [_line([escaped(cell) for cell in row] + [""] * (columns - len(row))) for row in table.rows]
    lines += [r"\bottomrule", r"\end{tabular}"]
    return (
        "\n".join([*lines, *(rf"\par {{\footnotesize {escaped(note)}\par}}" for note in table.notes)]) + "\n"
    )


def escaped(text: str) -> str:
    r"""A text as LaTeX prints it; letters of any language stay, as UTF-8, and what cannot be printed goes.

    Example:
        >>> print(escaped("-0.5 % of A_B"))
        $-$0.5 \% of A\_B
    """
    sign, rest = ("$-$", text[1:]) if text[:1] == "-" and text[1:2].isdigit() else ("", text)
    return sign + "".join(SPECIAL.get(letter, letter if letter.isprintable() else " ") for letter in rest)


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
