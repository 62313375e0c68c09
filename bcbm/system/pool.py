"""Processes side by side, each with a share of the machine: how they start and end."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from functools import partial
from importlib import import_module
from multiprocessing.process import BaseProcess
from typing import Any

from bcbm.system.processes import end_with_parent, serve, shielded, take_share


def start(work: Callable[..., object], *words: Any, name: str, slot: int, size: int) -> BaseProcess:
    """Call a module's function in a process of its own, which ends with this one.

    Who keeps a list of what runs holds signals back from here until the process is in it (`held_back`).

    Args:
        work: the function, called with `words`; both are sent there by pickle.
        name: of the process.
        slot: its place among the `size` processes at once, by which it gets its part of the machine.
        size: how many run at once.
    """
    context = multiprocessing.get_context("forkserver")
    process = context.Process(target=_live, args=(work, words, slot, size), name=name)
    process.start()
    return process


def workers(jobs: int, return_as: str) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """joblib's workers, which leave Ctrl-C to this process and end with it, however it ends.

    Args:
        jobs: processes, as joblib counts them; inside `loading` of a single task it has one of its own.
        return_as: how results come, a word of `joblib.Parallel`.

    Returns:
        What is called with the tasks, each `joblib.delayed`, and gives their results.
    """
    from joblib import Parallel  # a quarter of a second that a report does without

    if (executor := _alone.get()) is not None:
        return partial(_in_turn, executor)
    parallel = Parallel(n_jobs=jobs, return_as=return_as, initializer=serve, initargs=(os.getpid(),))

    def work(tasks: Iterable[Any]) -> Iterator[Any]:
        with shielded(signal.SIGINT):  # a worker is young until it has loaded what it serves with
            results: Iterator[Any] = parallel(tasks)
        return results

    return work


_alone: ContextVar[Any] = ContextVar("_alone", default=None)  # the executor of one process, inside `loading`


def _in_turn(executor: Any, tasks: Iterable[Any]) -> Iterator[Any]:
    """Results of tasks in their order, by the one process there is for them."""
    with shielded(signal.SIGINT):
        futures = [executor.submit(function, *words, **named) for function, words, named in tasks]
    return (future.result() for future in futures)


@contextmanager
def loading(jobs: int, modules: tuple[str, ...], *, single: bool = False) -> Iterator[None]:
    """Have the workers of what is inside import modules from now on, while this process goes on.

    Args:
        jobs: as of `workers`; where it is one, nobody is there to do so.
        modules: by name.
        single: what is inside has one task at a time: one process serves it, and no other loads for nothing.
    """
    from joblib import delayed, effective_n_jobs

    size = effective_n_jobs(jobs)
    if size == 1:
        yield
        return
    with _one_process() if single else nullcontext():
        load = workers(jobs, return_as="generator_unordered")
        loads = load([delayed(_load)(modules)] * (1 if single else size))
        try:
            yield
        finally:
            for _ in loads:  # joblib ends the workers of what nobody waits for
                pass


@contextmanager
def _one_process() -> Iterator[None]:
    """Have `workers` start one process for all that is inside."""
    from joblib.externals.loky import ProcessPoolExecutor

    own = {"initializer": serve, "initargs": (os.getpid(),), "env": {"OMP_NUM_THREADS": "1"}}
    executor = ProcessPoolExecutor(1, **own)
    token = _alone.set(executor)
    try:
        yield
    finally:
        _alone.reset(token)
        executor.shutdown(kill_workers=True)


def _load(modules: tuple[str, ...]) -> None:
    for name in modules:
        import_module(name)


def end(processes: Iterable[BaseProcess], number: signal.Signals | None = None) -> None:
    """Send all a signal, or kill them with what they have started, and wait until they have ended."""
    processes = list(processes)
    for process in processes:
        assert process.pid is not None
        if number is None:
            end_group(process)
            process.kill()  # a young process may not lead a group yet
        else:
            with suppress(ProcessLookupError, PermissionError):  # ended
                os.kill(process.pid, number)
    for process in processes:
        process.join()


def end_group(process: BaseProcess) -> None:
    """Kill what a process has started, as the loaders of its batches, and itself where it still lives."""
    assert process.pid is not None
    with suppress(ProcessLookupError, PermissionError):  # it leads no group, or has ended
        os.killpg(process.pid, signal.SIGKILL)


def how_ended(process: BaseProcess) -> str:
    """How a process ended: by a signal, or with which status."""
    status = process.exitcode or 0
    if status < 0:
        return f"its process was killed by {signal.Signals(-status).name}"
    return f"its process ended with status {status}"


def _live(work: Callable[..., object], words: tuple[Any, ...], slot: int, size: int) -> None:
    """The life of a process."""
    end_with_parent(lead=True)
    take_share(slot, size)
    work(*words)
