"""What the commands share: which runs a word names, and notes in one line."""

import sys
import warnings

import pytest

from bcbm.errors import Note
from bcbm.terminal.command import errors_in_words, over_runs


@pytest.fixture
def runs(tmp_path):
    for time in ("2026-01-31_12-00-00", "2026-02-01_09-00-00", "2026-02-01_09-00-00+"):
        (tmp_path / "demo" / time).mkdir(parents=True)
        (tmp_path / "demo" / time / "config.yaml").write_text("seed: 0\n")
    (tmp_path / "demo" / "notes").mkdir()
    return tmp_path / "demo"


def worked_on(monkeypatch, *words):
    """The exit status and the folders that the work is done on."""
    folders = []
    monkeypatch.setattr(sys, "argv", ["evaluate", *map(str, words)])
    return over_runs("usage", lambda path, _: folders.append(path)), folders


def test_the_folder_of_an_experiment_stands_for_its_newest_run_which_is_said(monkeypatch, runs, capsys):
    status, folders = worked_on(monkeypatch, runs)
    assert status == 0 and folders == [runs / "2026-02-01_09-00-00+"]
    assert str(runs) in capsys.readouterr().out and folders[0].name == "2026-02-01_09-00-00+"


def test_a_run_stands_for_itself(monkeypatch, runs, capsys):
    run = runs / "2026-01-31_12-00-00"
    assert worked_on(monkeypatch, run) == (0, [run]) and capsys.readouterr().out == ""


def test_a_folder_without_runs_is_refused(monkeypatch, runs, capsys):
    assert worked_on(monkeypatch, runs / "notes") == (2, [])
    assert str(runs / "notes") in capsys.readouterr().err


def test_a_note_is_one_line_and_other_warnings_stay_what_they_are(capsys):
    def work():
        warnings.warn("'split.colour' is left out", Note, stacklevel=1)
        warnings.warn("a library's own", UserWarning, stacklevel=1)
        return 0

    with pytest.warns(UserWarning) as others:
        assert errors_in_words(work) == 0
    assert [str(warning.message) for warning in others] == ["a library's own"]
    assert capsys.readouterr().err.splitlines() == ["note 'split.colour' is left out"]
