"""A fold that is gone on with is one run of W&B: online after a kill, and offline when it is sent later."""

import multiprocessing
import os
import signal
import subprocess
import sys

from wandb_files import stored_runs
from wandb_service import KEY, wandb_service

from bcbm.config.compose import compose
from bcbm.tracking import trackers_of


def fold(folder, mode, epochs, killed):
    """Some epochs of a fold; a process that is killed is so after the last of them."""
    (tracker,) = trackers_of(compose(["tracking.to=[wandb]", f"tracking.mode={mode}"]), folder, "group", [])
    logger = tracker.start_fold(0, 0)
    for epoch in epochs:
        logger.log_metrics({"epoch": epoch, "val/auroc": epoch / 10})
    if killed:
        os.kill(os.getpid(), signal.SIGKILL)
    tracker.end_fold(0, 0, None)


def in_a_process(folder, mode, epochs, killed=False):
    """The same in a process of its own, as a start of `fit` is."""
    process = multiprocessing.get_context("fork").Process(target=fold, args=(folder, mode, epochs, killed))
    process.start()
    process.join(120)
    assert process.exitcode == (-signal.SIGKILL if killed else 0)


def test_a_killed_fold_goes_on_as_the_same_run_behind_what_was_sent(tmp_path, monkeypatch):
    with wandb_service() as service:
        monkeypatch.setenv("WANDB_BASE_URL", service.address)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        in_a_process(tmp_path, "online", range(3))
        in_a_process(tmp_path, "online", range(3, 4), killed=True)
        in_a_process(tmp_path, "online", range(3, 6))
    starts = {call["name"] for field, call in service.calls if field == "upsertBucket"}
    ((run, rows),) = service.history.items()
    assert starts == {run} == {(tmp_path / "tracking" / "wandb" / "fold=0").read_text()}
    epochs = [row["epoch"] for row in rows]  # what a killed process had not sent is not there
    assert epochs[:3] == [0, 1, 2] and epochs[-3:] == [3, 4, 5] and len(epochs) in (6, 7)


def test_what_was_written_offline_in_two_starts_is_sent_as_one_run(tmp_path):
    for epochs in (range(3), range(2, 5)):
        in_a_process(tmp_path, "offline", epochs)
    (name,) = {run.about.run_id for run in stored_runs(tmp_path)}
    folders = [str(path) for path in (tmp_path / "wandb").glob("offline-run-*")]
    with wandb_service() as service:
        environment = {**os.environ, "WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY}
        sync = [sys.executable, "-m", "wandb", "sync", *folders]
        subprocess.run(sync, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
        assert {run: [row["epoch"] for row in rows] for run, rows in service.history.items()} == {
            name: [0, 1, 2, 2, 3, 4]
        }
