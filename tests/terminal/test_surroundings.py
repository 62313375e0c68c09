"""What a shell, a notebook or a terminal has set stops no command, and changes nothing that it writes."""

import io
import os
import subprocess
import sys

import pytest
from finished_runs import write_run
from repository import HOME

from bcbm.terminal.surroundings import any_terminal

NOTEBOOK = {"MPLBACKEND": "module://a_backend_that_is_not_installed"}
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii"}


def bcbm(verb, *words, **surroundings):
    command = [sys.executable, "-m", f"bcbm.{verb}", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(HOME), **surroundings}
    return subprocess.run(command, cwd=HOME, env=environment, capture_output=True, timeout=300)


def test_a_notebooks_backend_and_a_terminal_of_few_signs_change_no_page(tmp_path):
    run = write_run(tmp_path / "run", "experiment=tcia_tabular", "cohort.root=/")
    done = bcbm("evaluate", run, **NOTEBOOK, **ASCII)
    assert done.returncode == 0, done.stderr
    assert b"AUROC *" in done.stdout and done.stdout.isascii()
    assert "\N{PLUS-MINUS SIGN}" in (run / "report.html").read_text(encoding="utf-8")
    assert (run / "figures" / "roc.png").is_file()


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_screen_of_no_columns_still_gets_every_word(columns):
    done = bcbm("evaluate", "nowhere", COLUMNS=columns)
    assert done.returncode == 2 and b"nowhere" in done.stderr and b"not a run folder" in done.stderr


@pytest.mark.parametrize(
    "verb", ["audit", "compare", "evaluate", "explain", "fit", "leakcheck", "prepare", "sweep"]
)
def test_no_command_asks_a_notebooks_backend_before_it_reads_its_words(verb, tmp_path):
    done = bcbm(verb, tmp_path / "nothing", **NOTEBOOK, **ASCII)
    assert done.returncode == 2 and b"Traceback" not in done.stderr
    assert b"nothing" in done.stderr or b"sweep=NAME" in done.stderr


def test_a_sign_that_a_terminal_lacks_is_written_near_it_and_a_name_as_its_escape(monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    any_terminal()
    print("0.80 ± 0.06, M\N{LATIN SMALL LETTER U WITH DIAERESIS}ller-\udcff", flush=True)
    assert written.getvalue() == b"0.80 +/- 0.06, M\\xfcller-\\udcff\n"
