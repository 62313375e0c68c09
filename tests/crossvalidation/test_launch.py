"""What the environment says of other ranks, believed where a launcher goes with it."""

import os
import subprocess
import sys

import pytest
from repository import HOME
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.crossvalidation.cross_validate import run
from bcbm.crossvalidation.launch import check_launch
from bcbm.errors import ConfigError, Note
from bcbm.model.trainer import make_trainer
from bcbm.runs.finished import read_run
from bcbm.runs.folder import RunFolder
from bcbm.runs.owner import AlreadyRunning
from bcbm.system.processes import FIRST_RANK, forget_ranks, rank

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "NODE_RANK", "GROUP_RANK", "MASTER_ADDR", "TORCHELASTIC_RUN_ID")
SLURM = {"SLURM_JOB_ID": "77", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0"}
TABULAR = ["task.modalities=[position]", "task.targets=[ER]", "model.kind=prevalence", "split.folds=2"]
TABULAR += ["bootstrap=20", "tracking=csv"]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in (*NAMES, *SLURM, "SLURM_STEP_ID", "SLURM_JOB_NAME", "SLURM_NTASKS_PER_NODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def environment(monkeypatch):
    def change(**values):
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return change


@pytest.mark.parametrize(
    "left", [{"RANK": "1", "WORLD_SIZE": "2"}, {"LOCAL_RANK": "1"}, {"SLURM_PROCID": "3"}]
)
def test_a_rank_that_no_launcher_goes_with_is_forgotten_with_a_word(environment, left):
    environment(**left)
    assert rank() == 0
    with pytest.warns(Note, match="=".join(next(iter(left.items())))):
        check_launch(compose([]))
    assert not any(name in os.environ for name in left) and forget_ranks() == []


def test_a_single_rank_is_forgotten_without_a_word(environment, recwarn):
    environment(RANK="0", LOCAL_RANK="0", WORLD_SIZE="1")
    check_launch(compose([]))
    assert not recwarn.list and "RANK" not in os.environ


@pytest.mark.parametrize("launcher", ["MASTER_ADDR", "TORCHELASTIC_RUN_ID"])
def test_a_rank_behind_the_first_on_one_device_would_wait_for_nobody(environment, launcher):
    environment(RANK="1", WORLD_SIZE="2", **{launcher: "host"})
    with pytest.raises(ConfigError, match=r"RANK=1, WORLD_SIZE=2 .*trainer\.devices=1"):
        check_launch(compose([]))
    check_launch(compose(["trainer.devices=2"]))
    with pytest.raises(ConfigError, match="between 4"):
        check_launch(compose(["trainer.devices=4"]))


def test_tasks_of_one_srun_may_have_a_fold_each_and_share_one_in_their_own_number(environment):
    environment(**{**SLURM, "SLURM_PROCID": "2"}, SLURM_STEP_ID="0")
    assert rank() == 2
    check_launch(compose(["fold=2"]))
    with pytest.raises(ConfigError, match="ntasks-per-node=4"):
        check_launch(compose(["trainer.devices=4"]))
    environment(SLURM_NTASKS_PER_NODE="4")
    check_launch(compose(["trainer.devices=4"]))
    with pytest.raises(ConfigError, match="ntasks-per-node=2"):
        check_launch(compose(["trainer.devices=2"]))


@pytest.mark.parametrize("devices", [1, 2])
def test_a_job_of_slurm_without_srun_trains_as_if_it_were_none(environment, tmp_path, devices):
    environment(**SLURM, SLURM_JOB_NAME="train")
    config = compose([f"trainer.devices={devices}", "trainer.accelerator=cpu"])
    check_launch(config)
    trainer = make_trainer(config, [], [], tmp_path)
    assert trainer.world_size == devices and trainer.is_global_zero


def test_a_rank_ends_with_the_first_one():
    script = (
        "import os, subprocess, sys, time\n"
        f"os.environ['{FIRST_RANK}'] = str(os.getpid())\n"
        "rank = 'from bcbm.system.processes import end_with_launcher; end_with_launcher(); input()'\n"
        "process = subprocess.Popen([sys.executable, '-c', rank])\n"
        "print(process.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=HOME
    )
    assert first.stdout.readline().strip().isdigit()
    first.kill()
    assert first.stdout.read() == b""  # until nobody holds it open any more


def test_a_fork_server_ends_with_its_parent_also_while_it_imports(tmp_path):
    (tmp_path / "endless.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(600)\n")
    script = "from bcbm.system.processes import load_stack; load_stack(['endless']); input()"
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", ""), str(HOME)]))
    parent = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
        cwd=HOME,
    )
    assert parent.stdout.readline() == b"importing\n"
    parent.kill()
    assert parent.stdout.read() == b""  # until nobody holds it open any more


def test_different_folds_go_on_side_by_side_and_one_takes_the_last_step(table_cohort, tmp_path):
    words = [f"cohort.root={table_cohort}", f"prepared.root={tmp_path / 'prepared'}", *TABULAR]
    words += [f"run.root={tmp_path}", f"run.folder={tmp_path / 'array'}"]
    quiet = Console(quiet=True)
    folder = RunFolder(run(compose([*words, "fold=0"]), quiet))
    with folder.owning([0, 1]), pytest.raises(AlreadyRunning, match=f"PID {os.getpid()} on") as raised:
        run(compose(words), quiet)
    assert [problem.where for problem in raised.value.problems] == [f"fold 1 of {folder.path}"]
    with folder.owning_last_step():
        run(compose([*words, "fold=1"]), quiet)  # a task of an array whose fold is done
        assert folder.predictions(1) is not None and not (folder.path / "results.json").exists()
        with pytest.raises(AlreadyRunning, match="last step"):
            run(compose(words), quiet)
    assert read_run(run(compose(words), quiet)).results["receptors"]
    assert not list(tmp_path.rglob("*.owner"))
