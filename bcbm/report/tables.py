"""The tables of an article, in words and in the run folder."""

import math
from collections.abc import Sequence

from bcbm.report.text_table import TextTable, write_text_table
from bcbm.report.words import share, signed, thousands
from bcbm.runs.finished import FinishedRun
from bcbm.statistics.table_one import Row, TableOne, table_one

TABLES = "tables"  # folder of a run that holds them
DASH = "\N{EN DASH}"  # where there is nothing to say
COHORT_NOTES = (
    "Number (share of those known), mean (standard deviation) or median [quartiles]. SMD: standardised mean "
    "difference, positive less negative, in units of the root of their mean variance (Austin 2009, doi "
    "10.1002/sim.3697); of logarithms where medians stand. A patient's age, sex and scanner are those of the "
    "first study that enters.",
    "† Of lesions, each with its own label: lesions of one patient are not independent.",
)


def cohort_in_words(table: TableOne) -> TextTable:
    """The first table of an article: who enters, by target, with standardised differences."""
    headings, groups = [("", "")], table["groups"]
    for place, group in enumerate(groups):
        headings.append((group["target"], group["status"]))
        is_last = place + 1 == len(groups) or groups[place + 1]["target"] != group["target"]
        if group["target"] and is_last:
            headings.append((group["target"], "SMD"))
    return TextTable(headings, [_cells(row, headings) for row in table["rows"]], COHORT_NOTES)


def write_cohort_table(run: FinishedRun) -> TextTable:
    """Write the first table of a run's article as `tables/table1.csv` and `.tex`; returns it."""
    table = cohort_in_words(table_one(run.entering, run.config["task"]["targets"]))
    write_text_table(table, run.folder / TABLES / "table1")
    return table


def _cells(row: Row, headings: Sequence[tuple[str, str]]) -> list[str]:
    mark = " †" if row["lesions"] and not row["level"] else ""
    label = ("\N{EM SPACE}" if row["level"] else "") + row["label"] + mark
    if row["kind"] == "heading":
        return [label]
    values, differences = iter(row["cells"]), iter(row["differences"])
    texts = [
        _difference(next(differences)) if heading == "SMD" else _value(row["kind"], next(values))
        for _, heading in headings[1:]
    ]
    return [label, *texts]


def _value(kind: str, numbers: Sequence[float]) -> str:
    first, *others = numbers
    if kind == "count":
        return thousands(int(first))
    if kind == "share":
        return DASH if math.isnan(others[0]) else f"{int(first):,} ({share(others[0])})"
    if math.isnan(first):
        return DASH
    if kind == "mean":
        return f"{first:.1f}" + ("" if math.isnan(others[0]) else f" ({others[0]:.1f})")
    return f"{first:,.0f} [{others[0]:,.0f}, {others[1]:,.0f}]"


def _difference(value: float) -> str:
    return DASH if math.isnan(value) else signed(value)
