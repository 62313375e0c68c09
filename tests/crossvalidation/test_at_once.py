"""How many folds this machine trains side by side."""

import sys

import joblib
import pytest

from bcbm.config.compose import compose
from bcbm.crossvalidation.at_once import folds_at_once
from bcbm.runs.identity import fingerprint

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="one after the other elsewhere")
SMALL = ("trainer.accelerator=cpu", "features.crop_size=16", "data.workers=0")


@pytest.fixture
def sixteen_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)


@LINUX
@pytest.mark.parametrize(
    ("words", "at_once"),
    [
        (SMALL, (5, 5)),
        ((*SMALL, "data.workers=4"), (5, 3)),
        ((*SMALL, "data.workers=7"), (3, 2)),
        ((*SMALL, "data.workers=16"), (1, 1)),
        ((*SMALL, "features.crop_size=512", "data.batch_size=4096"), (1, 1)),  # a petabyte each
        ((*SMALL, "trainer.devices=1"), (1, 1)),
        ((*SMALL, "trainer.devices=2"), (1, 1)),  # they share the batches
        ((*SMALL, "trainer.devices=2", "trainer.parallel=folds"), (2, 2)),
        ((*SMALL, "trainer.devices=8", "trainer.parallel=folds"), (5, 5)),
        ((*SMALL, "trainer.num_nodes=2"), (1, 1)),
        (("experiment=demo+baselines/forest",), (1, 1)),
    ],
)
def test_a_cpu_takes_as_many_folds_as_its_cores_and_memory_hold(sixteen_cores, words, at_once):
    assert folds_at_once(compose(words), 5) == at_once


def test_one_fold_needs_no_process_of_its_own():
    assert folds_at_once(compose(SMALL), 1) == (1, 1)


def test_how_many_folds_stand_side_by_side_is_no_part_of_a_runs_identity():
    words = ("", "trainer.devices=1", "trainer.devices=3 trainer.parallel=folds", "trainer.parallel=folds")
    assert len({fingerprint(compose(each.split()), "cohort", "split") for each in words}) == 1
    assert fingerprint(compose(["trainer.devices=2"]), "cohort", "split") != fingerprint(
        compose(), "cohort", "split"
    )
