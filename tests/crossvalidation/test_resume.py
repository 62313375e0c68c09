"""A run that is ended, however and whenever, goes on and ends where an undisturbed one does."""

import json
import multiprocessing
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from functools import partial

import pandas as pd
import psutil
import pytest
import torch
from commands import Command, Forked
from killed_fits import killed

from bcbm.config.compose import compose
from bcbm.errors import ConfigError, Note
from bcbm.runs.folder import PATIENCE, RunFolder
from bcbm.runs.identity import fingerprint

COHORT = ["cohort.synthetic.images=false", "cohort.synthetic.patients=40", "split.folds=2"]
COHORT += ["task.targets=[ER]"]
WORDS = [
    *("task.modalities=[radiomics,position]", *COHORT, "data.batch_size=16", "data.workers=1"),
    *("trainer.patience=999", "tracking=csv", "bootstrap=50", "trainer.devices=1"),
]
KILLS, EPOCHS = 6, 40
LONG = [*WORDS, f"trainer.max_epochs={EPOCHS}"]


def started(cache, root, *words, **environment):
    return Command("fit", f"run.root={root}", *words, BCBM_CACHE=str(cache), **environment)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def undisturbed(cache, tmp_path_factory):
    """The table of an undisturbed run."""
    root = tmp_path_factory.mktemp("whole")
    ended(started(cache, root, *LONG))
    return tables(root)[0]


@pytest.fixture
def start(cache, tmp_path):
    """Start `fit` in `tmp_path`."""
    return partial(started, cache, tmp_path)


def ended(process, status=0):
    out, errors = process.communicate(timeout=300)
    assert process.returncode == status, out + errors
    assert "Traceback" not in errors
    return out, errors


def until(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    return value


def tables(root):
    return [pd.read_parquet(path) for path in sorted(root.glob("demo/*/predictions.parquet"))]


def last(root):
    return next(iter(root.glob("demo/*/fold=0/checkpoints/last.ckpt")), None)


def test_kills_at_random_moments_change_nothing(cache, tmp_path):
    """A few; `tests/benchmarks/kills.py` has forty, of every kind of run and of every process of it."""
    kills = list(killed(tmp_path, KILLS, 0, [*WORDS, "trainer.max_epochs=20"], BCBM_CACHE=str(cache)))
    assert len(kills) >= KILLS
    (undisturbed,) = tables(tmp_path / "whole")
    for number in range(kills[-1]["run"] + 1):
        (again,) = tables(tmp_path / f"killed-{number}")
        pd.testing.assert_frame_equal(undisturbed, again)


def test_a_fold_has_one_owner_and_a_killed_one_goes_on_inside_with_whole_curves(start, tmp_path, undisturbed):
    first = start(*LONG)
    until(lambda: last(tmp_path), first)
    processes = [owner := psutil.Process(first.pid), *owner.children(recursive=True)]
    for process in processes:
        process.suspend()  # it owns its fold for as long as this takes
    _, errors = ended(start(*LONG), status=2)
    assert f"fold 0 of {last(tmp_path).parents[2]}" in errors and f"PID {first.pid} on" in errors
    assert first.poll() is None
    for process in processes:
        process.resume()
    first.kill()
    first.communicate()
    begun = torch.load(last(tmp_path), weights_only=True)["epoch"]
    out, _ = ended(start(*LONG))
    assert f"fold 0: {EPOCHS} epochs" in out
    for number in (0, 1):
        (curves,) = tmp_path.glob(f"demo/*/fold={number}/metrics.csv")
        epochs = pd.read_csv(curves).dropna(subset="val/auroc")["epoch"].tolist()
        assert epochs == list(range(EPOCHS)), begun
    pd.testing.assert_frame_equal(tables(tmp_path)[0], undisturbed)
    assert not list(tmp_path.rglob("last.ckpt"))  # a finished fold keeps its best weights only


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_asked_to_end_says_so_and_goes_on_to_the_same_table(
    start, tmp_path, undisturbed, number
):
    first = start(*LONG)
    until(lambda: last(tmp_path), first)
    begun = torch.load(last(tmp_path), weights_only=True)["epoch"]
    for process in [first, *psutil.Process(first.pid).children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):  # it had nothing more to do
            process.send_signal(number)  # to every process, as Slurm, systemd and terminals do
    _, errors = ended(first, status=128 + number)
    assert "interrupted" in errors and "loads batches" not in errors
    if number == signal.SIGTERM:
        assert torch.load(last(tmp_path), weights_only=True)["epoch"] >= begun
    assert not list(tmp_path.rglob(".*.partial"))
    ended(start(*LONG))
    pd.testing.assert_frame_equal(tables(tmp_path)[0], undisturbed)


def test_slurms_warning_saves_and_puts_the_job_back_into_the_queue(start, tmp_path, undisturbed):
    """Slurm's own command is played by a script that writes down how it was called."""
    script = tmp_path / "bin" / "scontrol"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    script.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "17", "SLURM_NTASKS": "1", "SLURM_JOB_NAME": "bcbm", "SLURM_PROCID": "0"}
    slurm |= {"SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS_PER_NODE": "1"}
    slurm |= {"PATH": f"{script.parent}:{os.environ['PATH']}"}
    first = start(*LONG, **slurm)
    until(lambda: last(tmp_path), first)
    first.send_signal(signal.SIGUSR1)
    ended(first, status=128 + signal.SIGUSR1)
    assert (tmp_path / "called").read_text() == "requeue 17\n"
    ended(start(*LONG, **slurm))
    pd.testing.assert_frame_equal(tables(tmp_path)[0], undisturbed)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(start, tmp_path):
    first = start(*LONG, "fold=0")
    until(lambda: last(tmp_path), first)
    first.kill()
    first.communicate()
    foreign = last(tmp_path).read_bytes()
    words = [*WORDS, "trainer.max_epochs=5", "fold=0"]
    ended(start(*words, f"run.folder={tmp_path / 'clean'}"))
    other = tmp_path / "other" / "fold=0" / "checkpoints" / "last.ckpt"
    other.parent.mkdir(parents=True)
    other.write_bytes(foreign)
    ended(start(*words, f"run.folder={tmp_path / 'other'}"))
    same = [pd.read_parquet(tmp_path / name / "fold=0/predictions.parquet") for name in ("clean", "other")]
    pd.testing.assert_frame_equal(*same)


def test_a_damaged_checkpoint_is_named_with_what_to_do(start, tmp_path):
    torn = tmp_path / "run" / "fold=0" / "checkpoints" / "last.ckpt"
    torn.parent.mkdir(parents=True)
    torn.write_bytes(b"PK\x03\x04 half")
    _, errors = ended(start(*WORDS, f"run.folder={tmp_path / 'run'}"), status=2)
    assert "last.ckpt" in errors and "delete it" in errors


def test_losses_that_are_no_number_end_the_run_with_a_word(start, tmp_path):
    _, errors = ended(start(*WORDS, "trainer.learning_rate=1e30", "loss.uncertainty=true"), status=2)
    assert "lower trainer.learning_rate" in errors
    (folder,) = (tmp_path / "demo").iterdir()
    assert (folder / "split.json").is_file() and not list(folder.rglob("predictions.parquet"))


def fit_on_a_full_disk(*words):
    """The command, on a disk that takes no more once it trains."""
    import resource

    from bcbm.fit import main
    from bcbm.model import fold

    train_fold = fold.train_fold

    def limited(*words):
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
        train_fold(*words)

    fold.train_fold = limited
    sys.argv = ["bcbm.fit", *words]
    return main()


def test_a_disk_that_takes_no_more_ends_the_run_with_a_word_and_space_goes_on(start, cache, tmp_path):
    """A limit on the size of files, which the kernel enforces as it does the end of a disk."""
    words = [*WORDS, "trainer.max_epochs=5"]
    ended(start(*words, f"run.folder={tmp_path / 'demo/whole'}"))
    place = f"run.folder={tmp_path / 'demo/limited'}"
    _, errors = ended(Forked(fit_on_a_full_disk, *words, place, BCBM_CACHE=str(cache)), status=2)
    assert ".ckpt: File too large" in errors
    assert not list(tmp_path.rglob("*.partial")) and not list(tmp_path.glob("demo/limited/**/best.ckpt"))
    ended(start(*words, place))
    pd.testing.assert_frame_equal(*tables(tmp_path))


def test_ranks_started_at_once_share_the_folder_that_the_first_one_makes(tmp_path, monkeypatch):
    config = compose([f"run.root={tmp_path}"])
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("bcbm.runs.folder.PATIENCE", 0.0)
    with pytest.raises(ValueError, match="the first rank made no run folder"):
        RunFolder.open(config, "cohort", "{}", "hash")
    monkeypatch.setenv("RANK", "0")
    first = RunFolder.open(config, "cohort", "{}", "hash")
    monkeypatch.setenv("RANK", "1")
    assert RunFolder.open(config, "cohort", "{}", "hash").path == first.path and PATIENCE > 60


def test_a_run_that_goes_on_is_cited_as_its_cohort_is_by_then(tmp_path):
    config = compose([f"run.root={tmp_path}"])
    first = RunFolder.open(config, "cohort", "{}", "hash", citation="of 2025")
    before = json.loads((first.path / "environment.json").read_text())
    again = RunFolder.open(config, "cohort", "{}", "hash", citation="of 2026")
    after = json.loads((again.path / "environment.json").read_text())
    assert again.path == first.path and after == before | {"citation": "of 2026"} != before


def test_ranks_that_lightning_starts_take_the_folder_that_is_named_to_them(tmp_path, monkeypatch):
    config = compose([f"run.root={tmp_path}"])
    first = RunFolder.open(config, "cohort", "{}", "hash")
    newer = tmp_path / config.experiment / "9999-12-31_00-00-00"
    shutil.copytree(first.path, newer)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("RANK", "1")
    assert RunFolder.open(config, "cohort", "{}", "hash").path == newer
    with first.named_to_other_ranks():
        assert RunFolder.open(config, "cohort", "{}", "hash").path == first.path
    assert RunFolder.open(config, "cohort", "{}", "hash").path == newer


def test_a_wait_for_the_first_rank_is_said_with_the_variables_that_cause_it(tmp_path, monkeypatch):
    config = compose([f"run.root={tmp_path}"])
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setattr("bcbm.errors.SILENCE", 0.2)
    monkeypatch.setattr("bcbm.runs.folder.PATIENCE", 1.0)
    with pytest.warns(Note, match=r"rank 1 .*RANK=1") as notes, pytest.raises(ConfigError):
        RunFolder.open(config, "cohort", "{}", "hash")
    assert len(notes) == 1 and str(tmp_path) in str(notes[0].message)


def opened(config, barrier, paths):
    barrier.wait()
    paths.put(RunFolder.open(config, "cohort", "{}", "hash").path)


def test_starts_at_one_moment_as_of_an_array_share_one_folder(tmp_path):
    fork, config = multiprocessing.get_context("fork"), compose([f"run.root={tmp_path}"])
    barrier, paths = fork.Barrier(4), fork.Queue()
    processes = [fork.Process(target=opened, args=(config, barrier, paths)) for _ in range(4)]
    for process in processes:
        process.start()
    assert len({paths.get(timeout=60) for _ in processes}) == 1
    for process in processes:
        process.join(60)
    assert [path.name for path in tmp_path.glob("demo/*")] == [next(tmp_path.glob("demo/*")).name]


def test_how_many_folds_stand_side_by_side_is_no_part_of_what_a_run_is():
    one, two, ddp = (
        fingerprint(compose(words), "cohort", "hash")
        for words in ([], ["trainer.parallel=folds", "trainer.devices=2"], ["trainer.devices=2"])
    )
    assert one == two != ddp
