"""Folds side by side: a process and a share of the machine each, and the numbers of one after the other."""

import io
import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from rich.console import Console

from bcbm.errors import InputError, Problem
from bcbm.system.processes import (
    Terminated,
    end_with_parent,
    ending_signals,
    held_back,
    load_stack,
    take_share,
    terminable,
)
from bcbm.terminal.progress import progress_bar

STACK = ("bcbm.crossvalidation.parallel", "bcbm.model.fold", "bcbm.baselines", "bcbm.crossvalidation.choice")
Work = Callable[[int, Console], None]


@dataclass
class Running:
    """A fold that is being trained."""

    number: int
    process: BaseProcess
    said: Connection


def side_by_side(work: Work, numbers: Sequence[int], at_once: int, console: Console) -> None:
    """Do the work of every number, `at_once` of them at a time, each in a process of its own.

    What they print appears here. If one fails, or this process is ended, all end; with `Terminated` each may
    come to a place that it can go on from.

    Arguments:
        work: a module's function or a partial of one; called with the number and a console.

    Raises:
        InputError: a process was killed; or what the work itself raises.
    """
    load_stack(STACK)
    waiting, running = list(numbers), dict[int, Running]()
    with progress_bar(console, "folds", len(waiting)) as advance:
        try:
            while waiting or running:
                for slot in sorted(set(range(at_once)) - set(running))[: len(waiting)]:
                    with held_back(signal.SIGINT, *ending_signals()):  # a fold that is started is known
                        running[slot] = _start(work, waiting.pop(0), slot, at_once, console)
                for ready in wait([one.said for one in running.values()]):
                    slot, one = next(item for item in running.items() if item[1].said is ready)
                    if _listen(one, console):
                        del running[slot]
                        advance(1)
        except Terminated:
            _end(running.values(), signal.SIGTERM)
            raise
        finally:
            _end(running.values(), signal.SIGKILL)


def _start(work: Work, number: int, slot: int, at_once: int, console: Console) -> Running:
    said, say = multiprocessing.Pipe(duplex=False)
    words = (work, number, slot, at_once, say, console.width)
    process = multiprocessing.get_context("forkserver").Process(target=_do, args=words, name=f"fold {number}")
    process.start()
    say.close()  # the other end is then the only one, and its end is heard
    return Running(number, process, said)


def _listen(one: Running, console: Console) -> bool:
    """Print what a fold says; whether it has come to its end.

    Raises:
        InputError: it was killed; or what it raised.
    """
    try:
        words = one.said.recv()
    except EOFError:
        one.process.join()
        if one.process.exitcode:
            found = f"its process ended with status {one.process.exitcode}"
            if one.process.exitcode < 0:
                found = f"its process was killed by {signal.Signals(-one.process.exitcode).name}"
            remedy = "look whether memory ran out (fewer trainer.devices); the same command goes on"
            raise InputError(Problem(f"fold {one.number}", found, remedy)) from None
        return True
    if isinstance(words, BaseException):
        raise words
    console.print(words, end="", markup=False, highlight=False, soft_wrap=True)
    return False


def _end(running: Iterable[Running], number: signal.Signals) -> None:
    """Send all a signal and wait for their end."""
    for one in running:
        assert one.process.pid is not None
        with suppress(ProcessLookupError):  # ended, or so young that it leads no group yet
            os.kill(one.process.pid, number)
            if number == signal.SIGKILL:
                os.killpg(one.process.pid, number)  # the processes that load its batches
    for one in running:
        one.process.join()


class _Wire(io.StringIO):
    """A file whose text comes out of a console elsewhere."""

    def __init__(self, say: Connection) -> None:
        super().__init__()
        self.say = say

    def write(self, text: str) -> int:
        if text:
            self.say.send(text)
        return len(text)


def _do(work: Work, number: int, slot: int, at_once: int, say: Connection, width: int) -> None:
    """The life of a fold's process."""
    end_with_parent()
    terminable()
    take_share(slot, at_once)
    console = Console(file=_Wire(say), width=width)
    try:
        work(number, console)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        error.add_note(traceback.format_exc())  # its traceback stays here
        say.send(error)
