"""A fold that is gone on with is one run of W&B: online after a kill, and offline when it is sent later."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from commands import Command, run_command
from wandb_files import stored_runs
from wandb_service import KEY, wandb_service

from bcbm.config.compose import compose
from bcbm.tracking import trackers_of

EPOCHS = 60
WORDS = ["cohort.synthetic.images=false", "cohort.synthetic.patients=40", "split.folds=2", "fold=0"]
WORDS += ["task.targets=[ER]", "task.modalities=[position]", "data.batch_size=16", "trainer.devices=1"]
WORDS += [f"trainer.max_epochs={EPOCHS}", "trainer.patience=999", "tracking.to=[wandb]"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_fold_that_was_ended_goes_on_as_the_same_run_behind_what_was_sent(number, tmp_path):
    words = [*WORDS, f"run.folder={tmp_path / 'run'}"]
    with wandb_service() as service:
        environment = {"WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY, "BCBM_CACHE": str(tmp_path)}
        ended = Command("fit", *words, **environment)
        last = tmp_path / "run" / "fold=0" / "checkpoints" / "last.ckpt"
        while not last.is_file():
            assert ended.poll() is None, ended.communicate()
            time.sleep(0.01)
        services = psutil.Process(ended.pid).children(recursive=True)
        ended.send_signal(number)
        ended.communicate()
        psutil.wait_procs(services, timeout=60)
        ((run, rows),) = service.history.items()
        sent = list(rows)
        again = run_command("fit", *words, **environment)
        assert again.returncode == 0, again.stderr
        starts = [call["name"] for field, call in service.calls if field == "upsertBucket"]
        assert set(starts) == set(service.history) == {run} and len(starts) > 2
        assert service.history[run][: len(sent)] == sent
        epochs = [row["epoch"] for row in service.history[run] if "val/auroc" in row]
        assert epochs[-1] == EPOCHS - 1
        if number == signal.SIGTERM:  # an orderly end: all of it was sent
            assert sent and epochs == list(range(EPOCHS))


def started_and_left(folder, epochs):
    """Some epochs of a fold, offline."""
    (tracker,) = trackers_of(compose(["tracking.to=[wandb]", "tracking.mode=offline"]), folder, "group", [])
    logger = tracker.start_fold(0, 0)
    for epoch in epochs:
        logger.log_metrics({"epoch": epoch, "val/auroc": epoch / 10})
    tracker.end_fold(0, 0, None)


def test_what_was_written_offline_in_two_starts_is_sent_as_one_run(tmp_path):
    for epochs in (range(3), range(2, 5)):
        process = multiprocessing.get_context("fork").Process(
            target=started_and_left, args=(tmp_path, epochs)
        )
        process.start()
        process.join(120)
        assert process.exitcode == 0
    (name,) = {run.about.run_id for run in stored_runs(tmp_path)}
    folders = [str(path) for path in (tmp_path / "wandb").glob("offline-run-*")]
    with wandb_service() as service:
        environment = {**os.environ, "WANDB_BASE_URL": service.address, "WANDB_API_KEY": KEY}
        sync = [sys.executable, "-m", "wandb", "sync", *folders]
        subprocess.run(sync, cwd=tmp_path, env=environment, check=True, capture_output=True, timeout=120)
        assert {run: [row["epoch"] for row in rows] for run, rows in service.history.items()} == {
            name: [0, 1, 2, 2, 3, 4]
        }
