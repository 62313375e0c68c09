"""What the commands share: which runs a word names, and notes in one line."""

import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import warnings
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest
from repository import HOME

from bcbm.errors import Note
from bcbm.system.memory import CONTAINERS
from bcbm.terminal.command import errors_in_words, over_runs, run_command


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


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (MemoryError(), 2),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), 2),
        (BrokenProcessPool("a worker was terminated"), 2),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), 2),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), 2),
        (OSError(errno.ENOSPC, "No space left on device", "/data/file"), 2),
        (ValueError("a bug"), 3),
    ],
)
def test_memory_that_ran_out_is_one_line_and_a_fault_of_the_program_has_a_status_of_its_own(
    error, status, capsys
):
    def work():
        raise error

    assert errors_in_words(work) == status
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines) == 1) == (status == 2)
    assert ("memory ran out" in lines[-1]) == (status == 2 and "space" not in str(error))


def test_the_folder_of_a_user_whom_nobody_knows_is_one_line(capsys):
    assert errors_in_words(lambda: len(str(Path("~nobody-of-that-name/cohort").expanduser()))) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "begins with ~" in line


def test_a_command_looks_for_circles_of_containers_less_often_than_python():
    seen, before = [], gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    try:
        assert errors_in_words(lambda: seen.append(gc.get_threshold()) or 0) == 0
    finally:
        gc.set_threshold(*before)
    assert seen == [(CONTAINERS, 10, 10)]


@pytest.mark.parametrize("kilobytes", [100_000, 450_000, 800_000, 1_500_000, 3_000_000])
def test_a_limit_that_no_library_can_be_loaded_under_is_refused_at_once_in_one_line(kilobytes, tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_AS, (1000 * kilobytes,) * 2)

    words = [sys.executable, "-m", "bcbm.fit", "experiment=demo", f"run.root={tmp_path}"]
    environment = {**os.environ, "PYTHONPATH": str(HOME), "BCBM_CACHE": str(tmp_path)}
    process = subprocess.run(words, env=environment, preexec_fn=limit, capture_output=True, text=True)
    assert process.returncode == 2 and not list(tmp_path.iterdir())
    (line,) = process.stderr.splitlines()
    assert f"ulimit -v: {kilobytes / 1e6:.1f} GB" in line


ENDS = """
import sys, time
from bcbm.terminal.command import errors_in_words

def work():
    try:
        print("working", flush=True)
        time.sleep(120)
    finally:
        print("ending", flush=True)
        time.sleep(120)

sys.exit(errors_in_words(work))
"""


def test_a_command_that_is_called_here_is_interrupted():
    assert errors_in_words(lambda: signal.raise_signal(signal.SIGINT)) == 130


def test_and_a_later_test_is_not_ended_by_its_own_ctrl_c():
    """Whichever tests share a process: one that went on with the handler of before ended with status 130."""
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_ends_at_once_in_words():
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", ENDS], env=environment, **pipes) as process:
        for line in ("working", "ending"):
            assert process.stdout.readline().strip() == line
            process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert "Traceback" not in errors and "run the same command again" in errors


def test_a_name_that_the_system_cannot_write_is_one_line_with_what_to_set(tmp_path):
    """Where names of files are ASCII: an old cluster whose locale is C, and Python is not told of UTF-8."""
    name = str(tmp_path / "t\u00e4ter")
    surroundings = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = "import sys; from bcbm.terminal.command import errors_in_words\n"
    command += f"import os; sys.exit(errors_in_words(lambda: os.stat({name!a})))"
    done = subprocess.run([sys.executable, "-c", command], env=surroundings, capture_output=True, text=True)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    (line,) = done.stderr.splitlines()
    assert "ascii" in line and "PYTHONUTF8=1" in line


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            ["model.kind=forest", "augment.flip=0", "trainer.max_epochs=5"],
            "augment.flip, trainer.max_epochs: read by the network alone, and model.kind is forest",
        ),
        (["split.holdout=age", "split.folds=3"], "split.folds: not read, as split.holdout gives the folds"),
        (
            ["model.kind=forest", "augment.flip=0", "split.holdout=age", "split.folds=3"],
            "augment.flip: read by the network alone, and model.kind is forest; "
            "split.folds: not read, as split.holdout gives the folds",
        ),
        (["split.folds=3", "seed=1", "split.folds=4"], "split.folds: given more than once, the last counts"),
        (["split.inner=4"], "split.inner: not read, as there is nothing to tune"),
        (["split.inner=4", "tune={model.dropout: [0.1, 0.5]}"], ""),
        (["model.kind=forest", "loss.class_weights=false", "split.folds=3"], ""),
        (["augment.flip=0", "trainer.max_epochs=5"], ""),
    ],
)
def test_keys_that_nothing_reads_are_said_before_any_work(monkeypatch, capsys, words, note):
    common = ["task.modalities=[radiomics,position]"] if "model.kind=forest" in words else []
    monkeypatch.setattr(sys, "argv", ["fit", *common, *words])
    worked = []
    assert run_command("", lambda config, console: worked.append(config) or 0) == 0
    assert len(worked) == 1
    assert [line for line in capsys.readouterr().err.splitlines() if "note" in line] == [f"note {note}"][
        : bool(note)
    ]
