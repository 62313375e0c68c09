"""Folds side by side: a process and a share of the machine each, and the numbers of one after the other."""

import io
import multiprocessing
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType

from bcbm.crossvalidation.at_once import AtOnce
from bcbm.errors import InputError, Problem
from bcbm.model.encoders import ENCODERS
from bcbm.system.pool import end, how_ended, start
from bcbm.system.processes import Terminated, ending_signals, held_back, load_stack, terminable
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say
from bcbm.tracking import shared_modules

if TYPE_CHECKING:
    from bcbm.config.schema import Config

STACK = ("bcbm.crossvalidation.parallel", "bcbm.model.fold", "bcbm.baselines", "bcbm.crossvalidation.choice")
Work = Callable[[int, Console], None]


def fold_stack(config: "Config") -> list[str]:
    """The modules that the processes of folds share: the images of this configuration, and what follows it,
    take some of their own."""
    modules = [*STACK, *shared_modules(config)]
    if config.model.kind == "network" and "image" in config.task.modalities:
        modules.append(ENCODERS[config.model.encoder].build.partition(":")[0])
        if config.augment.where == "device":
            modules.append("bcbm.data.augmentation.kernels")
    return modules


@dataclass
class RunningFold:
    """A fold that is being trained; what it prints comes through `output`, and at last what it raises."""

    number: int
    process: BaseProcess
    output: Connection


def side_by_side(
    work: Work,
    numbers: Sequence[int],
    at_once: AtOnce,
    console: Console,
    stack: Sequence[str] = STACK,
    measured: Callable[[int], None] = lambda number: None,
    above: Callable[[], RenderableType | None] = lambda: None,
) -> None:
    """Do the work of every number, so many of them at a time, each in a process of its own.

    What they print appears here. If one fails, or this process is ended, all end; with `Terminated` each may
    come to a place that it can go on from.

    Args:
        work: a module's function or a partial of one; called with the number and a console.
        numbers: of the folds.
        at_once: how many run side by side; more at first than then share all that the machine has.
        console: where their lines appear.
        stack: modules that their processes share.
        measured: called with the first that has ended.
        above: what a terminal shows above the line of progress, if anything.

    Raises:
        InputError: a process was killed; or what the work itself raises.
    """
    load_stack(stack)
    waiting, running = list(numbers), dict[int, RunningFold]()
    places = at_once.first
    with progress_bar(console, "folds", len(waiting), at_once=at_once.first, above=above) as advance:
        try:
            while waiting or running:
                free = sorted(set(range(places)) - set(running))
                for slot in free[: max(0, min(len(waiting), places - len(running)))]:
                    with held_back(signal.SIGINT, *ending_signals()):  # a fold that is started is known
                        part = (slot, places) if places == at_once.then else (0, 1)
                        running[slot] = _started(work, waiting.pop(0), *part, console)
                places = at_once.then
                for ready in wait([fold.output for fold in running.values()]):
                    slot, fold = next(item for item in running.items() if item[1].output is ready)
                    if _listen(fold, console):
                        del running[slot]
                        advance(1)
                        if len(waiting) + len(running) == len(numbers) - 1:
                            measured(fold.number)
        except Terminated:
            end([fold.process for fold in running.values()], signal.SIGTERM)
            raise
        finally:
            end([fold.process for fold in running.values()])


def _started(work: Work, number: int, slot: int, size: int, console: Console) -> RunningFold:
    output, sender = multiprocessing.Pipe(duplex=False)
    words = (work, number, sender, console.width)
    process = start(_do, *words, name=f"fold {number}", slot=slot, size=size)
    sender.close()  # the other end is then the only one, and its end is noticed
    return RunningFold(number, process, output)


def _listen(fold: RunningFold, console: Console) -> bool:
    """Print what a fold prints; whether it has come to its end.

    Raises:
        InputError: it was killed; or what it raised.
    """
    try:
        message = fold.output.recv()
    except EOFError:
        fold.process.join()
        if fold.process.exitcode:
            remedy = "check whether memory ran out (use fewer trainer.devices), then run the same command"
            raise InputError(Problem(f"fold {fold.number}", how_ended(fold.process), remedy)) from None
        return True
    if isinstance(message, BaseException):
        raise message
    say(console, message.removesuffix("\n"))
    return False


class _Wire(io.StringIO):
    """A file whose text comes out of a console elsewhere."""

    def __init__(self, sender: Connection) -> None:
        super().__init__()
        self.sender = sender

    def write(self, text: str) -> int:
        if text:
            self.sender.send(text)
        return len(text)


def _do(work: Work, number: int, sender: Connection, width: int) -> None:
    """The life of a fold's process."""
    terminable()
    console = Console(file=_Wire(sender), width=width, highlight=False)
    try:
        work(number, console)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        error.add_note(traceback.format_exc())  # its traceback stays here
        sender.send(error)
