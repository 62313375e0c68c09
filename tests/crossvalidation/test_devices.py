"""Two processes train what one trains; folds side by side give what they give one after the other."""

import json
import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from functools import partial

import lightning as L
import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from batches import data_of, lesions_of, module_of, parts_of
from commands import Command, run_command
from repository import HOME
from rich.console import Console

from bcbm.config.compose import compose
from bcbm.config.schema.training import Augment, Data, Loss
from bcbm.crossvalidation.at_once import AtOnce
from bcbm.crossvalidation.parallel import side_by_side
from bcbm.errors import ConfigError, InputError

TABULAR = [
    *(
        "task.modalities=[radiomics,position]",
        "cohort.synthetic.images=false",
        "cohort.synthetic.patients=40",
        "task.targets=[ER]",
    ),
    *("trainer.max_epochs=4", "data.batch_size=32", "data.workers=0", "bootstrap=50"),
]
STILL = {"dropout": 0.0, "radiomics_dropout": 0.0}  # dropout differs between ranks


def plain():
    table, radiomics, crops = lesions_of(33)
    return data_of(table, radiomics, crops, parts_of(33), augment=Augment()), STILL


def rare_labels():
    """Labels of one target are known for a single lesion: in almost all batches a rank has none."""
    table, radiomics, crops = lesions_of(33)
    table.loc[table.index != 15, "HER2"] = np.nan
    data = data_of(table, radiomics, crops, parts_of(33))
    return data, {**STILL, "loss": Loss(kind="focal", uncertainty=True)}


def fewer_than_a_batch():
    table, radiomics, _ = lesions_of(12)
    parts = {"train": np.arange(6), "validation": np.arange(6, 9), "test": np.array([9])}  # rank 1 tests none
    tables = {"modalities": ["radiomics", "position"], "data": Data(batch_size=16)}
    return data_of(table, radiomics, None, parts, **tables), STILL


def bags():
    table, radiomics, _ = lesions_of(60)
    table["patient_id"] = [f"P{i // 3}" for i in range(60)]
    table[["ER", "PR", "HER2"]] = table.groupby("patient_id")[["ER", "PR", "HER2"]].transform("first")
    tables = {"modalities": ["radiomics", "position"], "data": Data(batch_size=8), "bag": 2}
    parts = {"train": np.arange(21, 48), "validation": np.arange(48, 60), "test": np.arange(21)}
    return data_of(table, radiomics, None, parts, **tables), {**STILL, "aggregate": "attention"}


CASES = (plain, rare_labels, fewer_than_a_batch, bags)


def trained(folder, devices, **changes):
    """Weights, epoch losses and predicted rows of every case, trained by as many processes."""
    content = {}
    for case in CASES:
        data, settings = case()
        torch.manual_seed(0)
        module = module_of(data, **settings)
        trainer = L.Trainer(
            default_root_dir=folder,
            accelerator="cpu",
            devices=devices,
            strategy="ddp" if devices > 1 else "auto",
            max_epochs=2,
            use_distributed_sampler=False,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            **changes,
        )
        trainer.fit(module, data)
        loss = float(trainer.callback_metrics["train/loss"])
        batches = [batch for part in trainer.predict(module, data) or [] for batch in part]
        rows = torch.cat([batch["row"] for batch in batches]).tolist() if batches else []
        weights = {name: value.detach().clone() for name, value in module.state_dict().items()}
        content[case.__name__] = {"weights": weights, "loss": loss, "rows": rows}
    return content


def rank_of_two(rank, port, folder):
    """What one of two processes does."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_PORT=str(port))
    os.environ.update(MASTER_ADDR="127.0.0.1", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    torch.save(trained(folder, 2), folder / f"rank={rank}.pt")


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """What both ranks have found."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=rank_of_two, args=(rank, port, folder)) for rank in (0, 1)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(300)
    hang = [process for process in ranks if process.is_alive()]
    for process in hang:
        process.kill()
    assert not hang and [process.exitcode for process in ranks] == [0, 0]
    return [torch.load(folder / f"rank={rank}.pt", weights_only=True) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("alone"), 1)


@pytest.mark.parametrize("case", [case.__name__ for case in CASES])
def test_two_processes_train_what_one_trains_and_predict_each_lesion_once(together, alone, case):
    first, second = (content[case] for content in together)
    for name, expected in alone[case]["weights"].items():
        torch.testing.assert_close(first["weights"][name], expected, atol=1e-5, rtol=0)
        assert torch.equal(first["weights"][name], second["weights"][name])
    assert first["loss"] == second["loss"] == pytest.approx(alone[case]["loss"], abs=1e-5)
    assert sorted(first["rows"] + second["rows"]) == sorted(alone[case]["rows"])
    assert not set(first["rows"]) & set(second["rows"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_gpu_trains_what_a_cpu_trains(tmp_path, alone, precision):
    data, settings = plain()
    torch.manual_seed(0)
    module = module_of(data, **settings)
    settings = {"default_root_dir": tmp_path, "logger": False, "use_distributed_sampler": False}
    trainer = L.Trainer(accelerator="gpu", devices=1, precision=precision, max_epochs=2, **settings)
    trainer.fit(module, data)
    assert float(trainer.callback_metrics["train/loss"]) == pytest.approx(alone["plain"]["loss"], rel=0.05)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def fit(cache, root, *words):
    """Run the command in a process of its own."""
    process = run_command("fit", f"run.root={root}", *words, BCBM_CACHE=str(cache))
    assert process.returncode == 0, process.stdout + process.stderr
    return process


def fit_by_ranks(cache, root, *words, launcher=()):
    """The same as it is typed, as ranks start Python again; what hangs is ended and fails."""
    process = subprocess.run(
        [sys.executable, *launcher, "-m", "bcbm.fit", f"run.root={root}", *words],
        cwd=HOME,
        env={**os.environ, "BCBM_CACHE": str(cache), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process


def table(root):
    (path,) = root.glob("demo/*/predictions.parquet")
    return pd.read_parquet(path)


def test_torchrun_s_ranks_find_one_folder_and_end_where_one_process_does(cache, tmp_path):
    words = [*TABULAR, "tracking=csv", "split.folds=2", "model.dropout=0", "model.radiomics_dropout=0"]
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    process = fit_by_ranks(
        cache, tmp_path / "two", *words, "trainer.devices=2", "trainer.accelerator=cpu", launcher=launcher
    )
    fit(cache, tmp_path / "one", *words)
    distributed, single = table(tmp_path / "two"), table(tmp_path / "one")
    pd.testing.assert_series_equal(distributed["lesion_id"], single["lesion_id"])
    np.testing.assert_allclose(distributed["probability"], single["probability"], atol=1e-5)
    assert process.stdout.count("experiment demo") == 1  # only the first rank speaks


def test_the_ranks_that_lightning_starts_write_into_the_first_one_s_folder(cache, tmp_path):
    words = [*TABULAR, "tracking=csv", "split.folds=2", "seeds=2"]
    process = fit_by_ranks(
        cache, tmp_path, *words, "task.targets=[ER,PR,HER2]", "trainer.devices=2", "trainer.accelerator=cpu"
    )
    (folder,) = (tmp_path / "demo").iterdir()
    assert all((folder / f"fold={number}/seed=1/checkpoints/best.ckpt").is_file() for number in range(2))
    assert not list(folder.rglob(".rank=*")) and not list(folder.rglob("predicted.parquet"))
    lesions = pd.read_parquet(folder / "lesions.parquet")
    entering = lesions.loc[~lesions["excluded"], "lesion_id"]
    assert sorted(table(tmp_path)["lesion_id"]) == sorted([*entering] * 3)  # once a target
    assert (folder / "results.json").is_file()
    assert process.stdout.count("experiment demo") == 1


def test_folds_side_by_side_give_what_they_give_one_after_the_other(cache, tmp_path):
    words = [*TABULAR, "split.folds=3", "seeds=2"]
    fit(cache, tmp_path / "row", *words, "tracking=csv", "trainer.devices=1")
    two = ["trainer.parallel=folds", "trainer.devices=2", "tracking.mode=offline"]
    process = fit(cache, tmp_path / "side", *words, *two)
    pd.testing.assert_frame_equal(table(tmp_path / "side"), table(tmp_path / "row"))
    assert all(f"fold {number}, seed 1: 4 epochs" in process.stdout for number in range(3))
    (folder,) = (tmp_path / "side" / "demo").iterdir()
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 7  # two seeds of three folds, a summary
    results = [
        json.loads(next((tmp_path / name).glob("demo/*/results.json")).read_text())
        for name in ("row", "side")
    ]
    assert len(results) == 2 and results[0] == results[1]
    again = fit(cache, tmp_path / "side", *words, "tracking=csv", "trainer.devices=1")  # goes on with them
    assert again.stdout.count("finished before") == 3


def quick(number, console):
    console.print(f"did {number}")


def failing(number, console):
    if number == 1:
        raise ConfigError("fold one cannot be")
    time.sleep(600)


def killed(number, console):
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_folds_print_is_seen_and_each_is_done_once(capsys):
    side_by_side(quick, [0, 1, 2, 3, 4], AtOnce(3, 2), Console())
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("folds: ")]
    assert sorted(lines) == [f"did {number}" for number in range(5)]


def gathered(number, console, *, folder, count):
    (folder / f"{number}").touch()
    end = time.monotonic() + 60
    while len(list(folder.iterdir())) < count:
        assert time.monotonic() < end, "the others have not begun"
        time.sleep(0.01)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    console.print(f"{number} on {cores}")


def test_folds_that_would_be_alone_at_the_end_begin_with_the_first(tmp_path, capsys):
    """Three at first, on all cores; two then, a share each."""
    side_by_side(partial(gathered, folder=tmp_path, count=3), [0, 1, 2, 3, 4], AtOnce(3, 2), Console())
    places = dict(re.findall(r"(\d) on (\d+)", capsys.readouterr().out))
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
        assert {places[number] for number in "012"} == {str(cores)}
        assert {int(places[number]) for number in "34"} <= {cores // 2, -(-cores // 2)}


def test_one_fold_that_fails_ends_the_others_with_its_own_word():
    with pytest.raises(ConfigError, match="fold one cannot be"):
        side_by_side(failing, [0, 1], AtOnce(2, 2), Console(quiet=True))


def test_a_fold_whose_process_is_killed_is_named():
    with pytest.raises(InputError, match=r"fold 7: its process was killed by SIGKILL"):
        side_by_side(killed, [7], AtOnce(2, 2), Console(quiet=True))


def test_folds_side_by_side_end_with_their_parent_and_go_on(cache, tmp_path):
    words = [*TABULAR, "tracking=csv", "split.folds=2", "trainer.max_epochs=50", "trainer.patience=50"]
    fit(cache, tmp_path / "whole", *words)
    side = [*words, "trainer.parallel=folds", "trainer.devices=2"]
    first = Command("fit", f"run.root={tmp_path / 'ended'}", *side, BCBM_CACHE=str(cache))
    end = time.monotonic() + 120
    while not list((tmp_path / "ended").glob("demo/*/fold=*/checkpoints/last.ckpt")):
        assert first.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    for process in [first, *psutil.Process(first.pid).children(recursive=True)]:
        process.send_signal(signal.SIGTERM)  # to every process, as Slurm and systemd do
    _, errors = first.communicate(timeout=120)
    assert first.returncode == 128 + signal.SIGTERM and "Traceback" not in errors
    fit(cache, tmp_path / "ended", *side)
    pd.testing.assert_frame_equal(table(tmp_path / "ended"), table(tmp_path / "whole"))


def test_a_rank_that_is_killed_is_said_by_the_first_which_leaves_no_process(cache, tmp_path):
    words = [*TABULAR, "tracking=csv", "split.folds=2", "trainer.max_epochs=500", "trainer.patience=500"]
    two = ["data.workers=1", "trainer.devices=2", "trainer.accelerator=cpu"]
    first = subprocess.Popen(
        [sys.executable, "-m", "bcbm.fit", f"run.root={tmp_path}", *words, *two],
        cwd=HOME,
        env={**os.environ, "BCBM_CACHE": str(cache), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("demo/*/fold=0/checkpoints/last.ckpt")):
        assert first.poll() is None and time.monotonic() < end
        time.sleep(0.01)
    ranks = [other for other in psutil.Process(first.pid).children() if "bcbm.fit" in other.cmdline()]
    assert len(ranks) == 1
    ranks[0].kill()
    _, errors = first.communicate(timeout=120)  # until every process has let go of the pipe
    assert first.returncode == 2 and "Traceback" not in errors
    assert "fold 0: another rank has ended" in errors


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("trainer.parallel=folds trainer.num_nodes=2", "fold=K on a common run.folder"),
        ("data.batch_size=15 trainer.devices=2", "write a multiple of 2"),
        ("trainer.accumulate=0", "at least 1"),
        ("trainer.ema=1", "from 0 to 0.9999"),
        ("trainer.clip=-1", "at least 0"),
    ],
)
def test_devices_that_cannot_share_are_refused(words, remedy):
    with pytest.raises(ConfigError, match=remedy):
        compose(words.split())
