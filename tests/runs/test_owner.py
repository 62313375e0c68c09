"""A part of a run has one owner; one that is gone is known, on this machine and elsewhere."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace

import psutil
import pytest

from bcbm.errors import Note
from bcbm.runs import owner
from bcbm.runs.owner import AlreadyRunning, Owner, sole_owner
from bcbm.system.liveness import started

ELSEWHERE = {"host": "node7", "place": "node7 another boot", "process": 4711}


@pytest.fixture
def process():
    """Another process, which does nothing."""
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield other
    other.kill()
    other.communicate()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "fold.owner"


def owned_by(file, **changes):
    """The file as another owner would leave it."""
    other = replace(Owner.this_process(), **changes)
    file.write_text(json.dumps(asdict(other)))
    return other


def test_a_part_that_another_process_works_on_is_refused_by_its_number_until_that_is_gone(process, file):
    other = owned_by(file, process=process.pid, started=started(process.pid))
    free = file.with_name("free.owner")
    with pytest.raises(AlreadyRunning) as raised, sole_owner({"fold 0": free, "fold 1": file}):
        pass
    (problem,) = raised.value.problems
    assert problem.where == "fold 1" and f"PID {process.pid} on {other.host}" in problem.found
    assert not free.exists()  # the other part is given back
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with sole_owner({"fold 1": file}):  # not reaped yet: a zombie works on nothing
        assert json.loads(file.read_text())["process"] == os.getpid()
    assert not file.exists()


def test_a_number_that_belongs_to_a_younger_process_now_owns_nothing(process, file):
    owned_by(file, process=process.pid, started=started(process.pid) - 3600)
    with sole_owner({"fold 0": file}):
        pass


def test_an_owner_lives_on_when_the_clock_is_set_back(process, file, monkeypatch):
    owned_by(file, process=process.pid, started=started(process.pid))
    created = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: created(self) - 3600)
    with pytest.raises(AlreadyRunning, match=f"PID {process.pid}"), sole_owner({"fold 0": file}):
        pass


def test_a_sign_of_life_of_the_time_to_come_is_waited_for_no_longer(file, monkeypatch):
    monkeypatch.setattr(owner, "GRACE", 0.5)
    owned_by(file, **ELSEWHERE)
    os.utime(file, (time.time() + 3600,) * 2)
    with pytest.warns(Note, match="up to 0 s|up to 1 s"), sole_owner({"fold 0": file}):
        assert json.loads(file.read_text())["process"] == os.getpid()


def test_an_owner_elsewhere_is_known_by_its_signs_of_life(file, monkeypatch):
    monkeypatch.setattr(owner, "GRACE", 30.0)
    owned_by(file, **ELSEWHERE)
    done = threading.Event()

    def live():
        while not done.wait(0.05):
            os.utime(file)

    thread = threading.Thread(target=live)
    thread.start()
    with (
        pytest.warns(Note, match="node7"),
        pytest.raises(AlreadyRunning, match="PID 4711 on node7"),
        sole_owner({"fold 0": file}),
    ):
        pass
    done.set()
    thread.join()


@pytest.mark.parametrize("content", ["another machine's", ""])
def test_an_owner_elsewhere_that_gives_none_is_gone_after_a_while(file, monkeypatch, content):
    """Also one that was killed before it had written its name."""
    monkeypatch.setattr(owner, "GRACE", 0.5)
    owned_by(file, **ELSEWHERE)
    if not content:
        file.write_text("")
    with pytest.warns(Note, match="watching"), sole_owner({"fold 0": file}):
        assert json.loads(file.read_text())["process"] == os.getpid()


def test_a_sign_of_life_of_long_ago_is_not_waited_for(file):
    owned_by(file, **ELSEWHERE)
    os.utime(file, (0, 0))
    begun = time.monotonic()
    with sole_owner({"fold 0": file}):
        assert time.monotonic() - begun < owner.GRACE


def test_what_runs_gives_signs_of_life(file, monkeypatch):
    monkeypatch.setattr(owner, "BEAT", 0.02)
    with sole_owner({"fold 0": file}):
        os.utime(file, (0, 0))
        end = time.monotonic() + 30
        while file.stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert file.stat().st_mtime > 0


def test_an_owner_that_was_taken_for_gone_ends_and_leaves_its_heir_alone(file, monkeypatch):
    monkeypatch.setattr(owner, "BEAT", 0.02)
    heir = replace(Owner.this_process(), **ELSEWHERE)  # before: the interrupt comes as soon as it is read
    with pytest.warns(Note, match="node7"), pytest.raises(KeyboardInterrupt), sole_owner({"fold 0": file}):
        file.write_text(json.dumps(asdict(heir)))
        time.sleep(30)
    assert json.loads(file.read_text())["token"] == heir.token


@pytest.mark.parametrize("back", [False, True])
def test_what_another_has_in_hand_when_it_is_given_back_names_nobody_afterwards(file, monkeypatch, back):
    """It was put back later, and named a process that lives and works on nothing."""
    hand, read = file.with_name(f"{file.name}.another"), owner._read

    def put_back(place):
        found = read(place)
        if back and place == file and hand.exists():
            hand.rename(file)
        return found

    with sole_owner({"fold 0": file}):
        file.rename(hand)
        monkeypatch.setattr(owner, "_read", put_back)
    assert not file.exists() and not hand.exists()


def alone(file, barrier, twice):
    barrier.wait()
    for _ in range(20):
        with sole_owner({"fold 0": file}, patience=60):
            mark = file.with_name("inside")
            try:
                mark.touch(exist_ok=False)
            except FileExistsError:
                twice.set()
            mark.unlink(missing_ok=True)


def test_of_many_that_come_at_once_to_what_a_killed_one_has_left_each_is_alone(file):
    owned_by(file, process=os.getpid(), started=0.0)
    context = multiprocessing.get_context("fork")
    barrier, twice = context.Barrier(4), context.Event()
    processes = [context.Process(target=alone, args=(file, barrier, twice)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4 and not twice.is_set()
