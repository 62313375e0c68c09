"""A comparison on the screen."""

from collections.abc import Mapping
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.statistics.results import Comparison
from bcbm.terminal.words import print_line

NAME = 24  # characters of a label that fit beside four intervals


def print_comparison(comparison: Comparison, console: Console) -> None:
    """The table, a row an experiment, and under it every tested difference."""
    from bcbm.report.words import ACROSS, ACROSS_WORDS, number, signed

    mark = f" {ACROSS}" if comparison["across"] else ""
    table = _table("Patient AUROC [95 % CI]", "experiment", *comparison["receptors"], "mean")
    for row in comparison["rows"]:
        blocks = [*(row["receptors"].get(target) for target in comparison["receptors"]), row["mean"]]
        name = _name(row["label"]) + (" [bold red]LEAKY[/]" if row["leaky"] else "")
        bold = "bold" if row["label"] == comparison["reference"] else ""
        table.add_row(name, *(_cell(block, mark) for block in blocks), style=bold)
    console.print(table)
    title = f"Difference from {escape(comparison['reference'])}; q over all tests"
    tests = _table(title, "experiment", "target", "AUROC [95 % CI]", "p", "q")
    for test in comparison["tests"]:
        cells = (
            [test["reason"]]
            if "reason" in test
            else [
                rf"{signed(test['difference'])} \[{signed(test['low'])}, {signed(test['high'])}]{mark}",
                number(test["p"], 3),
                number(test["q"], 3),
            ]
        )
        tests.add_row(_name(test["label"]), test["target"], *cells)
    console.print(tests)
    if mark:
        print_line(console, f"[bold red]{ACROSS} ACROSS COHORTS[/]: {ACROSS_WORDS}")


def _table(title: str, *headings: str) -> Table:
    """A table that fits 80 columns; all but names stand to the right."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.collapse_padding = True
    for heading in headings:
        name = heading in ("experiment", "target")
        side: Literal["left", "right"] = "left" if name else "right"
        table.add_column(escape(heading), justify=side, overflow="fold", no_wrap=not name)
    return table


def _name(label: str) -> str:
    """A label; one that is too long for its column goes on below, behind the name of its group."""
    return escape(label if len(label) <= NAME else label.replace("/", "/\n", 1))


def _cell(block: Mapping[str, object] | None, mark: str) -> str:
    """AUROC over its interval; blank where a target is not predicted."""
    from bcbm.report.words import interval

    return "" if block is None else escape(interval(block).replace(" [", "\n[") + mark)
