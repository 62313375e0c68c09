"""How many folds this machine trains side by side."""

import os
import subprocess
import sys

import joblib
import pytest
import torch
from repository import HOME

from bcbm.config.compose import compose
from bcbm.crossvalidation import at_once
from bcbm.crossvalidation.at_once import folds_at_once
from bcbm.crossvalidation.parallel import STACK, fold_stack
from bcbm.runs.identity import fingerprint

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="one after the other elsewhere")
SMALL = ("trainer.accelerator=cpu", "features.crop_size=16", "data.workers=0")


@pytest.fixture
def sixteen_cores(monkeypatch):
    monkeypatch.setattr(joblib, "cpu_count", lambda: 16)


@LINUX
@pytest.mark.parametrize(
    ("words", "folds"),
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
def test_a_cpu_takes_as_many_folds_as_its_cores_and_memory_hold(sixteen_cores, words, folds):
    assert folds_at_once(compose(words), 5) == folds


@pytest.fixture
def gpus(sixteen_cores, monkeypatch, tmp_path):
    """A machine with so many GPUs, and a driver that tells their free memory."""

    def in_sight(count, *free):
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\nprintf '{''.join(f'{line}{chr(92)}n' for line in free)}'\n")
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(at_once, "available_memory", lambda: 128 * 2**30)
        monkeypatch.setattr(at_once, "GPU_FILES", [str(tool)])
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)

    return in_sight


LARGE = ("features.crop_size=64", "data.batch_size=64", "data.workers=0")


@LINUX
@pytest.mark.parametrize(
    ("count", "free", "words", "folds"),
    [
        (1, ["81000, Disabled"], (), 5),
        (1, ["81000, Disabled"], LARGE, 2),
        (1, ["30000, Disabled"], LARGE, 1),
        (1, ["81000, Disabled"], ("data.workers=7",), 2),
        (1, ["81000, Enabled"], (), 1),
        (1, ["81000, [N/A]"], (), 5),
        (1, ["[N/A], [N/A]"], (), 1),
        (1, [], (), 1),
        (1, ["81000, Disabled"], ("trainer.devices=1",), 1),
        (1, ["81000, Disabled"], ("trainer.accelerator=cpu",), 5),
        (2, ["81000, Disabled"] * 2, (), 1),  # the others may be somebody else's
        (2, ["81000, Disabled"] * 2, ("trainer.parallel=folds",), 5),
        (2, ["81000, Disabled", "900, Disabled"], ("trainer.parallel=folds",), 2),
        (2, ["81000, Disabled"] * 2, (*LARGE, "trainer.parallel=folds"), 4),
    ],
)
def test_a_gpu_takes_as_many_folds_as_its_memory_and_the_cores_hold(gpus, count, free, words, folds):
    gpus(count, *free)
    assert folds_at_once(compose(["data.workers=0", *words]), 5) == (folds, folds)


def test_one_fold_needs_no_process_of_its_own():
    assert folds_at_once(compose(SMALL), 1) == (1, 1)


def test_how_many_folds_stand_side_by_side_is_no_part_of_a_runs_identity():
    words = ("", "trainer.devices=1", "trainer.devices=3 trainer.parallel=folds", "trainer.parallel=folds")
    assert len({fingerprint(compose(each.split()), "cohort", "split") for each in words}) == 1
    assert fingerprint(compose(["trainer.devices=2"]), "cohort", "split") != fingerprint(
        compose(), "cohort", "split"
    )


@pytest.mark.parametrize(
    ("words", "images"),
    [
        ((), {"bcbm.model.encoders.resnet", "bcbm.data.augmentation.kernels"}),
        (("model.encoder=densenet121", "augment=light"), {"bcbm.model.encoders.densenet"}),
        (("task.modalities=[radiomics]",), set()),
        (("experiment=demo+baselines/forest",), set()),
    ],
)
def test_folds_share_what_their_images_take_before_they_begin(words, images):
    stack = fold_stack(compose(["experiment=demo", "tracking.mode=off", *words]))
    assert set(stack) - set(STACK) == images


SHARED = """
import sys
from rich.console import Console
from bcbm.config.compose import compose
from bcbm.crossvalidation.at_once import AtOnce
from bcbm.crossvalidation.parallel import fold_stack, side_by_side

def tell(number, console):
    kernels = sys.modules.get("bcbm.data.augmentation.kernels")
    console.print("wandb.apis.public" in sys.modules, kernels and len(kernels.linear.signatures))

if __name__ == "__main__":
    stack = fold_stack(compose(sys.argv[1:]))
    side_by_side(tell, [0], AtOnce(1, 1), Console(file=sys.stdout), stack)
"""


@LINUX
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("augment=device",), "True 1"),
        (("tracking.mode=off", "task.modalities=[radiomics]"), "False None"),
    ],
)
def test_folds_share_what_each_would_load_and_compile(tmp_path, words, told):
    (tmp_path / "shared.py").write_text(SHARED)
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    command = [sys.executable, tmp_path / "shared.py", *words]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert told in process.stdout.splitlines(), process.stderr
