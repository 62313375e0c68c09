"""Processes side by side: how they are ended, what they share, and which part of the machine is whose."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

FIRST_RANK = "BCBM_FIRST_RANK"  # in the environment of ranks that Lightning starts: the process that does
TORCHRUN, SRUN = "TORCHELASTIC_RUN_ID", "SLURM_STEP_ID"  # what these set in what they start
LAUNCHERS = (TORCHRUN, SRUN, "MASTER_ADDR")  # without one of these a rank is left over from something else
RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
BESIDE = ("WORLD_SIZE", "NODE_RANK", "GROUP_RANK")  # what comes with a rank
ORPHAN = "bcbm.system.orphan"  # the module that has a fork server end with its parent
FROZEN = "bcbm.system.frozen"  # the module that keeps apart what a fork server has loaded
ITK_THREADS = "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"
LOOK = 0.5  # seconds between two looks for the process that has started this one

# What a Slurm job asks for with `--signal`, shortly before its time is up; Windows has no such signal.
REQUEUE: signal.Signals | None = getattr(signal, "SIGUSR1", None)


class Terminated(KeyboardInterrupt):
    """SIGTERM, or Slurm's signal before a job's end: like Ctrl-C, but what runs may come to a good place."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = number


def rank() -> int:
    """The global rank of this process, before and after Lightning has started the group.

    A number that no launcher goes with is left over in the environment, as in a shell inside a job.
    """
    if any(name in os.environ for name in LAUNCHERS):
        for name in RANKS:
            if (number := os.environ.get(name, "")).isdecimal():
                return int(number)
    return 0


def rank_variables() -> list[str]:
    """What in the environment says that this process is one of several, each as `NAME=value`."""
    return [f"{name}={os.environ[name]}" for name in (*RANKS, *BESIDE, *LAUNCHERS) if name in os.environ]


def forget_ranks() -> list[str]:
    """Take ranks that no launcher goes with out of the environment, where libraries would believe them.

    Returns:
        Those that say that this process is not the only one, each as `NAME=value`.
    """
    if any(name in os.environ for name in LAUNCHERS):
        return []
    values = {name: os.environ.pop(name) for name in (*RANKS, *BESIDE) if name in os.environ}
    alone = {"WORLD_SIZE": "1"}
    return [f"{name}={value}" for name, value in values.items() if value != alone.get(name, "0")]


def end_with_launcher() -> None:
    """Have a rank end with what has started it: the first rank where Lightning has, or torchrun's agent."""
    launcher = os.environ.get(FIRST_RANK) or (TORCHRUN in os.environ and os.getppid())
    if launcher:
        threading.Thread(target=_watch, args=(int(launcher),), daemon=True).start()


def ending_signals() -> list[signal.Signals]:
    """The signals that request this process to end; Slurm's only inside a job of Slurm."""
    return [signal.SIGTERM, *([REQUEUE] if REQUEUE and "SLURM_JOB_ID" in os.environ else [])]


def terminable() -> None:
    """Have the signals that ask for an end raise `Terminated`; a second Ctrl-C ends at once."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, end_at_once)
        raise KeyboardInterrupt

    def end_at_once(number: int, frame: FrameType | None) -> None:
        os.write(2, b"ended at once; run the same command again to continue\n")
        os._exit(128 + number)  # what this process started ends with it, and its files are whole or not there

    if threading.current_thread() is threading.main_thread():
        for number in ending_signals():
            signal.signal(number, end)
        if hasattr(signal, "pthread_sigmask"):  # not so on Windows
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ending_signals())
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as of a command in a script's background
            signal.signal(signal.SIGINT, interrupt)


def serve(parent: int) -> None:
    """Leave Ctrl-C, which reaches every process of a terminal, to the parent, and end with that.

    ITK works in one thread, as others of its kind do beside it; it reads that where it is loaded.
    """
    os.environ[ITK_THREADS] = "1"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """End as soon as another process is the parent."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os._exit(1)


def requeue(ended: Terminated) -> None:
    """Put a Slurm job whose time is up back into the queue; done by its first task."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if ended.signal != REQUEUE or os.environ.get("SLURM_PROCID", "0") != "0":
        return
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    subprocess.run(["scontrol", "requeue", job], check=False)


def most_memory() -> int | None:
    """The most memory that this process has taken so far, bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def held_back(*signals: signal.Signals) -> Iterator[None]:
    """Let signals wait until what is inside is done.

    By handlers, not by this thread's mask: a signal that another thread takes would interrupt this one too.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone is interrupted
        yield
        return
    received: list[int] = []
    before = {number: signal.signal(number, lambda number, _: received.append(number)) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for pending in dict.fromkeys(received):
            signal.raise_signal(pending)


@contextmanager
def shielded(*signals: signal.Signals) -> Iterator[None]:
    """Start processes that signals do not reach from their first moment on.

    Args:
        signals: without any those that ask for an end, unless the processes become `terminable`. Slurm and
            systemd send these to every process of a job; they are the first one's, which asks the others.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # where that is started inside, Python lets signals in again
    before = signal.pthread_sigmask(
        signal.SIG_BLOCK, signals or ending_signals()
    )  # what is started inherits it
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def load_stack(stack: Sequence[str]) -> None:
    """Start the process that others are forked from; it imports what they share while this one goes on."""
    import multiprocessing
    from multiprocessing import forkserver

    # Libraries read this where they are loaded; and a process that has started CUDA cannot fork.
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    multiprocessing.get_context("forkserver").set_forkserver_preload([ORPHAN, *stack, FROZEN])
    with shielded():
        forkserver.ensure_running()


def end_with_parent(*, lead: bool) -> None:
    """End as soon as the parent is no more, be it killed in this process's first moment.

    Args:
        lead: a group of processes of one's own, which ends as one: what this process starts belongs to it.
    """
    if lead:
        os.setpgid(0, 0)
    threading.Thread(target=_wait_for_parent, args=(lead,), daemon=True).start()


def take_share(slot: int, size: int) -> None:
    """Keep this process to its part of the cores, and to one GPU where there are any.

    It has to come before CUDA is first used; libraries that count the cores given to them follow.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, cores[slot::size] or [cores[slot % len(cores)]])
    torch = sys.modules.get("torch")
    if torch is None:
        return
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = named.split(",") if named else [str(number) for number in range(torch.cuda.device_count())]
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]


def _wait_for_parent(lead: bool) -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        if lead:
            os.killpg(0, signal.SIGKILL)
        os._exit(1)
