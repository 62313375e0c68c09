"""`log.txt`: what a run's commands have printed, with the time, and how they ended."""

import io
import re
import warnings

import pytest
from rich.console import Console
from rich.table import Table

from bcbm.errors import InputError, Note, Problem
from bcbm.terminal.log import logged
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say

TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


def lines_of(folder):
    lines = (folder / "log.txt").read_text().splitlines()
    assert all(TIME.match(line) for line in lines)
    return [line[20:] for line in lines]


@pytest.mark.parametrize("terminal", [False, True])
def test_a_quiet_console_is_logged_from_before_the_folder_was_there(tmp_path, terminal):
    screen = io.StringIO()
    console = Console(file=screen, quiet=not terminal, force_terminal=terminal, width=40)
    text = "fold 3: this line is far longer than the 40 columns that the terminal has"
    with logged(console) as log, progress_bar(console, "folds", 2):
        say(console, text)
        log.keep_in(tmp_path)
        table = Table("target", "AUROC")
        table.add_row("ER", "0.81")
        console.print(table)
    say(console, "not of this run")
    lines = lines_of(tmp_path)
    assert text in lines and any("ER" in line and "0.81" in line for line in lines)
    assert "not of this run" not in lines
    assert "folds: 0 of 2" not in lines, "a line that is kept up to date on a terminal is no line of a log"
    assert bool(screen.getvalue()) == terminal


def test_notes_and_errors_are_logged_and_a_second_command_adds_to_it(tmp_path):
    console = Console(quiet=True)
    with pytest.raises(InputError), logged(console, tmp_path), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning("split.holdout: few patients", Note, "", 0)
        raise InputError(Problem("ER", "one class", "leave it out"), Problem("PR", "too", "as well"))
    with pytest.raises(ZeroDivisionError), logged(console, tmp_path):
        _ = 1 / 0
    with pytest.raises(KeyboardInterrupt), logged(console, tmp_path):
        raise KeyboardInterrupt
    lines = lines_of(tmp_path)
    assert "note split.holdout: few patients" in lines
    assert {"error ER: one class; leave it out", "error PR: too; as well"} <= set(lines)
    assert any(line.startswith("ZeroDivisionError") for line in lines) and lines[-1] == "interrupted"


def test_a_log_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "log.txt").mkdir()
    console = Console(quiet=True)
    with logged(console, tmp_path):
        say(console, "fold 0: finished")
