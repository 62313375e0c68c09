"""The processes that load batches: what they do when the one that reads from them is gone or interrupted."""

import multiprocessing
import os
import signal
from multiprocessing import connection, util

import pytest
from batches import data_of, lesions_of, parts_of

from bcbm.config.schema import Data
from bcbm.data.loading import FORK

pytestmark = pytest.mark.skipif(FORK is None, reason="loaders are not forked here")


@pytest.fixture
def loader():
    """Three training batches out of one process."""
    table, radiomics, _ = lesions_of(count=24)
    settings = Data(batch_size=4, workers=1)
    module = data_of(
        table, radiomics, None, parts_of(24), modalities=["radiomics", "position"], data=settings
    )
    module.setup()
    return module.train_dataloader()


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


def test_ctrl_c_is_the_readers_from_the_loaders_first_moment_on(loader, capfd):
    class Moment:
        pass

    moment = Moment()
    util.register_after_fork(moment, lambda _: os.kill(os.getpid(), signal.SIGINT))
    batches = iter(loader)
    del moment
    first = next(batches)
    (process,) = multiprocessing.active_children()
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
