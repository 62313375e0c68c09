"""Long work on a terminal of 80 columns and in a log: how far it is, what is left, and nothing cut."""

import io
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from finished_runs import write_run
from rich.console import Console

from bcbm.crossvalidation import results
from bcbm.crossvalidation.at_once import AtOnce
from bcbm.crossvalidation.outlook import remaining
from bcbm.model.monitor import FoldProgress
from bcbm.preparation.fold_job import FoldJob, Place
from bcbm.runs.folder import RunFolder
from bcbm.terminal import progress
from bcbm.terminal.progress import Course, fitting, progress_bar
from bcbm.terminal.words import say


class Lines(io.StringIO):
    """A log file that tells when lines are in it."""

    def __init__(self, lines):
        super().__init__()
        self.lines, self.full = lines, threading.Event()

    def write(self, text):
        count = super().write(text)
        if self.getvalue().count("\n") >= self.lines:
            self.full.set()
        return count


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves: its seconds."""
    now = SimpleNamespace(seconds=0.0)
    for module in ("bcbm.terminal.progress", "bcbm.model.monitor"):
        monkeypatch.setattr(f"{module}.perf_counter", lambda: now.seconds)
    return now


def job(place, member=0, members=1):
    config = SimpleNamespace(members=members)
    return FoldJob(config, None, None, 6, None, member, place)


def test_a_log_has_a_line_again_and_again_though_nothing_moves(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.01)
    log = Lines(2)
    with progress_bar(Console(file=log), "permuting labels", 200):
        assert log.full.wait(20)
    assert all(line.startswith("permuting labels: 0 of 200") for line in log.getvalue().splitlines())


def test_a_quiet_console_is_left_alone(monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0.0)
    log = Lines(1)
    with progress_bar(Console(file=log, quiet=True), "permuting labels", 200) as advance:
        advance(1)
    assert log.getvalue() == ""


def test_what_is_left_goes_by_what_was_worked_out_not_by_what_was_there(clock):
    course = Course("cutting crops", 240)
    course.advance(200)
    clock.seconds = 30
    course.advance(1)
    assert course.text(80) == "cutting crops: 201 of 240, 20 min left"
    clock.seconds = 60
    course.advance(38)
    assert "under 1 min left" in course.text(80)


def test_what_is_done_side_by_side_ends_together(clock):
    course = Course("folds", 5, at_once=3)
    clock.seconds = 360
    course.advance(1)
    assert course.text(80) == "folds: 1 of 5, 4 min left"
    course.advance(2)
    assert course.text(80) == "folds: 3 of 5, 4 min left"
    clock.seconds = 600
    course.advance(2)
    assert course.left == 0


def test_long_work_says_what_it_takes_by_its_first_study(clock, tmp_path):
    log = io.StringIO()
    console = Console(file=log, width=200)
    with progress_bar(console, "cutting crops", 100, tmp_path) as advance:
        clock.seconds = 6
        (tmp_path / "crops.npy").write_bytes(bytes(30_000))
        advance(1)
        clock.seconds = 12
        advance(1)
    (line,) = log.getvalue().splitlines()
    assert "100 in about 10 min" in line and "3 MB on disk" in line and "of memory" in line


def test_computing_figures_counts_its_resampling_so_that_the_time_left_is_known(tmp_path, monkeypatch):
    bars = []

    @contextmanager
    def counted(console, description, total=None, folder=None):
        steps = []
        yield steps.append
        bars.append((description, total, sum(steps)))

    write_run(tmp_path / "run")
    monkeypatch.setattr(results, "progress_bar", counted)
    evaluated = results.evaluate(RunFolder(tmp_path / "run"), Console(quiet=True))
    figures = [(total, steps) for name, total, steps in bars if name == "computing figures"]
    assert figures == [(2 * len(evaluated["receptors"]),) * 2]


def test_short_work_says_nothing_of_the_kind(clock, tmp_path):
    log = io.StringIO()
    with progress_bar(Console(file=log), "cutting crops", 10, tmp_path) as advance:
        clock.seconds = 5
        advance(1)
    assert log.getvalue() == ""


def test_the_first_fold_tells_what_the_others_take(tmp_path):
    (tmp_path / "best.ckpt").write_bytes(bytes(2_000_000))
    line = remaining(tmp_path, 50.0, 14, AtOnce(1, 1))
    assert "50 s" in line and "14 more folds in about 12 min" in line and "28 MB on disk" in line
    assert "in about 6 min" in remaining(tmp_path, 50.0, 14, AtOnce(2, 2))
    assert "in about 4 min" in remaining(tmp_path, 50.0, 14, AtOnce(3, 2))  # which share two cores
    assert "1 more fold in" in remaining(tmp_path, 90.0, 1, AtOnce(1, 1))
    assert remaining(tmp_path, 3.0, 14, AtOnce(1, 1)) == ""


@pytest.mark.parametrize("width", [80, 60, 40])
def test_a_training_fits_the_terminal_and_keeps_the_time_left_of_the_whole_run(clock, width):
    own = job(Place(7, 15), 1, 3)
    line = FoldProgress(Console(quiet=True), own.title, own.behind, 100)
    metrics = {"train/loss": 0.69315, "val/loss": 0.70123, "val/auroc": 0.5123}
    trainer = SimpleNamespace(current_epoch=0, callback_metrics=metrics)
    line.on_train_start(trainer, None)
    clock.seconds = 2.0
    line.on_train_epoch_end(trainer, None)
    text = line.text(width)
    assert len(text) <= width
    # 99 epochs, one seed more of this fold and three of each of eight folds: 25 trainings behind it.
    assert text.startswith("fold 6, seed 1 (7 of 15): ") and text.endswith("87 min left")
    assert ("epoch 1/100" in text) == (width >= 60)


def test_folds_side_by_side_share_the_time_that_is_left():
    assert job(Place(1, 15)).behind == 14
    assert job(Place(7, 15, at_once=4)).behind == 2
    assert job(Place(15, 15), 2, 3).behind == 0
    assert job(Place()).title == "fold 6"


def test_parts_that_do_not_fit_are_left_out_whole():
    parts = ["epoch 12/40", "loss 0.612 / 0.655", "12 min left"]
    for width in range(10, 80):
        line = fitting("fold 6", parts[::-1], parts, width)
        assert len(line) <= width or line == "fold 6"
        assert set(line.removeprefix("fold 6").removeprefix(": ").split(", ")) <= {*parts, ""}


def test_a_terminal_breaks_lines_between_words_and_a_log_not_at_all():
    path = "/a/folder/whose/name/is/far/longer/than/the/terminal/is/wide/results.json"
    text = f"  the report of this run lies in {path} and may be read by everyone [who] likes to"
    screen, log = io.StringIO(), io.StringIO()
    say(Console(file=screen, width=40, force_terminal=True), text)
    say(Console(file=log, width=40), text)
    lines = screen.getvalue().splitlines()
    assert " ".join(lines).split() == text.split() and lines[0].startswith("  the report")
    assert all(len(line) <= 40 or line == path for line in lines)
    assert log.getvalue() == text + "\n"
