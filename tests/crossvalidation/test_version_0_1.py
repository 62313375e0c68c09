"""Runs, prepared tables and checkpoints that version 0.1.0 has left, as `tests/version_0_1/` keeps them.

Made with commit 13814f7 on its embedded cohort of 18 patients (tables only), with the words below; `begun` was
ended by SIGTERM in its second fold, and `begun-undisturbed.parquet` is the table of a run that was not.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bcbm.config.schema import HOME

WORDS = ("cohort.root=cohort", "prepared.root=prepared", "run.root=runs", "split.folds=2", "bootstrap=200")
WORDS += ("task.modalities=[radiomics,position]", "tracking=csv", "augment=none", "trainer.devices=1")
LONG = ("trainer.max_epochs=40", "trainer.patience=40")


@pytest.fixture
def left(tmp_path):
    return Path(shutil.copytree(HOME / "tests/version_0_1", tmp_path / "left"))


def command(folder, verb, *words):
    started = [sys.executable, "-m", f"bcbm.{verb}", *words]
    run = subprocess.run(started, cwd=folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_a_begun_run_is_gone_on_with_and_ends_in_the_table_of_an_undisturbed_one(left):
    screen = command(left, "fit", *WORDS, *LONG, "run.folder=runs/begun")
    assert "fold 0: finished before" in screen and "fold 1: 40 epochs" in screen
    table = pd.read_parquet(left / "runs/begun/predictions.parquet")
    pd.testing.assert_frame_equal(table, pd.read_parquet(left / "begun-undisturbed.parquet"))


def test_a_traditional_models_run_is_gone_on_with(left):
    words = (*WORDS, "experiment=demo+baselines/logistic_l2", "run.folder=runs/baseline")
    assert "fold 1: finished before" in command(left, "fit", *words)
    assert (left / "runs/baseline/results.json").is_file()


def test_a_finished_run_is_evaluated_to_the_same_results(left):
    before = json.loads((left / "runs/finished/results.json").read_text())
    command(left, "evaluate", "runs/finished")
    assert json.loads((left / "runs/finished/results.json").read_text()) == before
    assert (left / "runs/finished/report.html").is_file()
