"""The processes that load batches: what they do when the one that reads from them is gone or interrupted."""

import gc
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing import connection, resource_sharer, util
from types import SimpleNamespace

import pytest
import torch
from batches import data_of, lesions_of, parts_of
from repository import HOME

from bcbm.config.compose import compose
from bcbm.config.schema.training import Data
from bcbm.data import loading
from bcbm.data.loading import FORK, LoadingError, TrainingLoader, loading_failure, loading_plan
from bcbm.data.sampler import EpochBatches, LesionSampler

pytestmark = pytest.mark.skipif(FORK is None, reason="loaders are not forked here")


@pytest.fixture
def born():
    """The processes that began since the test did: other tests leave theirs to be used again."""
    before = set(multiprocessing.active_children())
    return lambda: sorted(set(multiprocessing.active_children()) - before, key=lambda process: process.pid)


@pytest.fixture
def loader():
    """Three training batches out of one process."""
    table, radiomics, _ = lesions_of(count=24)
    settings = Data(batch_size=4, workers=1)
    module = data_of(
        table, radiomics, None, parts_of(24), modalities=["radiomics", "position"], data=settings
    )
    module.setup()
    yield module.train_dataloader()
    gc.collect()  # whoever reads on would be told of processes that have ended, until their reader is gone


def test_a_reader_that_hangs_up_is_no_error_of_the_loader_and_an_error_is(loader, monkeypatch, capfd):
    connect, foreign = connection.Client, []

    def hang_up_first(address, *, authkey):
        connect(address).close()  # in the middle of the handshake
        for key in foreign:
            with connect(address, authkey=authkey) as asking:
                asking.send((key, os.getpid()))
        return connect(address, authkey=authkey)  # one after the other: what came before has been dealt with

    monkeypatch.setattr(connection, "Client", hang_up_first)
    assert len(list(loader)) == 3
    assert capfd.readouterr().err == ""
    foreign.append("a key that nobody holds")
    next(iter(loader))
    assert "KeyError: 'a key that nobody holds'" in capfd.readouterr().err


def test_ctrl_c_is_the_readers_from_the_loaders_first_moment_on(born, loader, capfd):
    class Moment:
        pass

    moment = Moment()
    util.register_after_fork(moment, lambda _: os.kill(os.getpid(), signal.SIGINT))
    batches = iter(loader)
    del moment
    first = next(batches)
    (process,) = born()
    os.kill(process.pid, signal.SIGINT)
    assert len([first, *batches]) == 3
    assert capfd.readouterr().err == ""


def killed_with_its_loader_not_yet_awake(loader, end):
    """A process that is killed as soon as its loader is born; `end` is held open by both."""

    class Moment:
        pass

    moment, reader = Moment(), os.getpid()

    def kill(_):
        os.kill(reader, signal.SIGKILL)
        while os.getppid() == reader:
            pass

    util.register_after_fork(moment, kill)
    iter(loader)


def test_a_loader_ends_with_a_reader_that_was_killed_in_its_first_moment(loader):
    read, write = multiprocessing.Pipe(duplex=False)
    fork = multiprocessing.get_context("fork")
    reader = fork.Process(target=killed_with_its_loader_not_yet_awake, args=(loader, write))
    reader.start()
    write.close()
    assert read.poll(60)
    with pytest.raises(EOFError):
        read.recv()
    reader.join()
    assert reader.exitcode == -signal.SIGKILL


def test_a_signal_to_every_process_of_a_job_is_the_readers_and_its_own_ends_a_loader(born, loader, capfd):
    batches = iter(loader)
    first = next(batches)
    (process,) = born()
    subprocess.run(["kill", "-TERM", str(process.pid)], check=True)
    assert len([first, *batches]) == 3
    process.terminate()
    process.join(60)
    assert process.exitcode == 0 and capfd.readouterr().err == ""


def test_a_loader_that_is_killed_is_said_in_words(born, loader):
    batches = iter(loader)
    next(batches)
    (process,) = born()
    with pytest.raises(RuntimeError) as raised:
        process.kill()
        list(batches)
        list(loader)
    with suppress(RuntimeError):  # the signal of its end, if it was its silence that was noticed first
        process.join(60)
    found, remedy = loading_failure(raised.value)
    assert "a process that loads batches" in found and "data.workers" in remedy
    assert loading_failure(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None


def test_a_loader_that_is_killed_while_it_hands_over_a_batch_is_said_in_the_same_words(loader, monkeypatch):
    def cut_short(_):
        raise EOFError  # what a connection says whose other end was killed

    monkeypatch.setattr(resource_sharer.DupFd, "detach", cut_short)
    with pytest.raises(RuntimeError) as raised:
        list(loader)
    found, remedy = loading_failure(raised.value)
    assert "a process that loads batches" in found and "data.workers" in remedy


SAMPLER = LesionSampler(["a"], "even", seed=0)


class Slow(torch.utils.data.Dataset):
    def __len__(self):
        return 1

    def __getitem__(self, place):
        time.sleep(600)


def test_a_batch_that_does_not_come_is_not_waited_for_without_end(born, monkeypatch):
    monkeypatch.setattr(loading, "LIMIT", 0.2)
    batches = TrainingLoader(
        Slow(), EpochBatches(SAMPLER, 1), num_workers=1, worker_init_fn=lambda number: None
    )
    with pytest.raises(LoadingError) as raised:
        list(batches)
    assert "no batch came" in loading_failure(raised.value)[0]
    for process in born():
        with suppress(RuntimeError):  # the signal of its end, which may not come in another test
            process.kill()
            process.join(60)


def rows_of(loader, epoch):
    loader.batches.sampler.set_epoch(epoch)
    return [batch["row"].tolist() for batch in loader]


@pytest.mark.parametrize("workers", [0, 1])
def test_epochs_that_follow_each_other_are_those_that_are_asked_for_alone(workers, born):
    table, radiomics, _ = lesions_of(count=24)
    tables = {"modalities": ["radiomics", "position"], "data": Data(batch_size=4, workers=workers)}
    module = data_of(table, radiomics, None, parts_of(24), **tables)
    module.setup()
    alone = [rows_of(module.train_dataloader(), epoch) for epoch in range(5)]
    assert all(len(batches) == 3 for batches in alone) and len({str(batches) for batches in alone}) == 5
    loader = module.train_dataloader()
    assert [rows_of(loader, epoch) for epoch in (0, 1)] == alone[:2]
    processes = born()
    loader.batches.sampler.set_epoch(2)
    assert next(iter(loader))["row"].tolist() == alone[2][0]  # and left
    assert [rows_of(loader, epoch) for epoch in (2, 3, 0, 4)] == [alone[epoch] for epoch in (2, 3, 0, 4)]
    assert born() == processes
    del loader
    gc.collect()


class Noted(torch.utils.data.Dataset):
    """Tells of each item that is read."""

    def __init__(self):
        self.items = multiprocessing.get_context(FORK).Queue()

    def __len__(self):
        return 4

    def __getitem__(self, item):
        self.items.put(item)
        return torch.zeros(1)


def test_the_next_epoch_is_read_before_it_begins():
    data = Noted()
    sampler = LesionSampler(list("abcd"), "even", seed=0)
    loader = TrainingLoader(data, EpochBatches(sampler, 2), num_workers=1, multiprocessing_context=FORK)
    assert len(list(loader)) == 2
    expected = [*sampler.drawn(0), *sampler.drawn(1)]
    assert [data.items.get(timeout=60) for _ in expected] == expected


def test_waiting_is_the_time_in_which_the_loader_has_nothing(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr(loading, "perf_counter", lambda: clock[0])

    class SlowFirst(torch.utils.data.Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, item):
            clock[0] += 10 if item == sampler.drawn(0)[0] else 1
            return torch.zeros(1)

    sampler = LesionSampler(list("abcd"), "even", seed=0)
    loader = TrainingLoader(SlowFirst(), EpochBatches(sampler, 1))
    for _ in loader:
        clock[0] += 100  # of training
    assert loader.waited == 13


def shared_memory(monkeypatch, size):
    monkeypatch.setattr(os, "statvfs", lambda path: SimpleNamespace(f_bavail=size // 4096, f_frsize=4096))


def test_shared_memory_that_would_not_do_is_seen_before_with_what_it_takes(monkeypatch):
    paper = ["experiment=paper", "cohort.root=.", "data.workers=8"]
    config = compose(paper)
    crops = config.data.batch_size * config.features.crop_size**3 * 2 * (2 * 8 + 2)  # half precision
    shared_memory(monkeypatch, 2 * crops)
    assert loading_plan(config, 1).workers == 8 and not loading_plan(config, 1).sentence
    assert loading_plan(config, 4).workers < 8  # four times as much at once
    shared_memory(monkeypatch, 64 * 2**20)  # Docker's
    plan = loading_plan(config, 1)
    assert 0 < plan.workers < 8 and f"data.workers={plan.workers} in place of 8" in plan.sentence
    assert "has 64 MB left" in plan.sentence and "--shm-size" in plan.sentence
    shared_memory(monkeypatch, 2**20)
    assert loading_plan(config, 1).workers == 0
    assert loading_plan(compose([*paper, "data.workers=0"]), 1).sentence == ""


def test_where_few_files_may_be_open_tensors_are_shared_by_name(loader, monkeypatch):
    rows = [batch["row"].tolist() for batch in loader]
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (64, 64))
    plan = loading_plan(compose(["data.workers=1"]), 1)
    assert plan.strategy == "file_system" and plan.workers == 1 and "64 are allowed" in plan.sentence
    table, radiomics, _ = lesions_of(count=24)
    module = data_of(
        table,
        radiomics,
        None,
        parts_of(24),
        modalities=["radiomics", "position"],
        data=Data(batch_size=4, workers=1),
    )
    module.setup()
    try:
        assert [batch["row"].tolist() for batch in module.train_dataloader()] == rows
        assert torch.multiprocessing.get_sharing_strategy() == "file_system"
    finally:
        torch.multiprocessing.set_sharing_strategy("file_descriptor")


SMALL = """
import os, sys
from types import SimpleNamespace
from batches import data_of, lesions_of, parts_of
from bcbm.config.schema.training import Data
from bcbm.data import loading

measured = os.statvfs
table, radiomics, crops = lesions_of(60)
module = data_of(table, radiomics, crops, parts_of(60), data=Data(batch_size=20, workers=1))
module.setup()
os.statvfs = lambda path: SimpleNamespace(f_bavail=10**9, f_frsize=4096)  # as if others took it meanwhile
try:
    list(module.train_dataloader())
except (RuntimeError, OSError) as error:
    print(*loading.loading_failure(error))
os.statvfs = measured
print(loading.loading_plan(module.described.config, 1).workers, len(list(module.train_dataloader())))
"""


def test_a_small_dev_shm_is_said_and_done_without():
    alone = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=160k none /dev/shm && exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("no other /dev/shm can be mounted here")
    path = os.pathsep.join(filter(None, [str(HOME / "tests"), os.environ.get("PYTHONPATH", ""), str(HOME)]))
    process = subprocess.run(
        [*alone, sys.executable, "-c", SMALL],
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    failure, plan = process.stdout.splitlines()
    assert "ran out of shared memory" in failure and "--shm-size" in failure
    assert plan == "0 1"
