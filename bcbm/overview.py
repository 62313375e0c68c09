"""List every run of a folder of runs, on screen and as a page that sorts and filters.

python -m bcbm.overview [DIR]

DIR is run.root, by default runs. `DIR/index.html` also leads to the pages of audit, compare, leakcheck and
sweep, and of validations in DIR; the commands that train, compare or search write it anew when they end.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.terminal.words import say

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.runs.overview import RunLine


def overview(words: list[str], console: "Console") -> int:
    """Print the runs of a folder and write its `index.html`.

    Raises:
        ConfigError: several words, or one that is no folder's name.
        InputError: it is not there, or holds no run.
    """
    from bcbm.errors import ConfigError, InputError, Problem
    from bcbm.report.pages.overview import write_lines
    from bcbm.runs.overview import page_lines, run_lines

    if len(words) > 1 or any("=" in word for word in words):
        raise ConfigError(f"{' '.join(words)}: write one folder of runs, such as runs")
    root = Path(words[0] if words else "runs")
    runs = run_lines(root)
    if not runs:
        found = "holds no run" if root.is_dir() else "is not there"
        raise InputError(Problem(str(root), found, "give the folder that run.root names, by default runs"))
    page = write_lines(root, runs, page_lines(root))
    _print(runs, console)
    say(console, f"page: {page.absolute()}")
    return 0


def _print(runs: list["RunLine"], console: "Console") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    from bcbm.report.words import interval
    from bcbm.system.words import counted

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("begun", "experiment", "mean AUROC [95 % CI]"):
        table.add_column(escape(heading), overflow="fold", no_wrap=heading == "begun")
    for run in runs:
        figure = interval(run.blocks["mean"]) if run.blocks else run.state
        leaky = f" [bold red]LEAKY[/] by {run.unit}" if run.leaky else ""
        table.add_row(f"{run.begun:%Y-%m-%d %H:%M}", escape(run.experiment), escape(figure) + leaky)
    console.print(table)
    finished = sum(run.state == "finished" for run in runs)
    say(console, f"{counted(len(runs), 'run')}, {finished} finished")


def main() -> int:
    """List runs."""
    from bcbm.terminal.command import over_words

    return over_words(__doc__ or "", overview, required=False)


if __name__ == "__main__":
    raise SystemExit(main())
