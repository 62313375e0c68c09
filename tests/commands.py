"""A command in a process of its own, forked from one that has loaded what the commands share.

What they share takes six seconds to load. Where that is what a test is about, or what Python reads when it
starts (`sitecustomize`), or a terminal, the test starts Python itself.
"""

import atexit
import importlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from itertools import pairwise
from multiprocessing import connection, forkserver
from pathlib import Path

from repository import HOME

from bcbm.system.processes import shielded

STACK = (
    "bcbm.system.orphan",  # first, as `bcbm.system.processes.load_stack` has it
    *("bcbm.model.fold", "bcbm.baselines", "bcbm.crossvalidation.choice", "bcbm.crossvalidation.parallel"),
    *(
        "bcbm.crossvalidation.results",
        "bcbm.preparation.prepare",
        "bcbm.tracking.summary",
        "bcbm.search.worker",
    ),
    "bcbm.model.encoders.resnet",  # with all of MONAI, which most of them take
    "bcbm.system.frozen",  # last, as it has that too
)


class Forked:
    """A process that runs, as `subprocess.Popen` would show it."""

    def __init__(
        self, work: Callable[..., object], *words: str, cwd: Path = HOME, **environment: str
    ) -> None:
        """Start it.

        Args:
            work: a module's function, whose result is the status.
            words: what it is called with.
            cwd: where it runs.
            environment: on top of this process's; `PYTHONPATH` as Python would take it.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(STACK))
        self.args = [*words]
        self._folder = tempfile.TemporaryDirectory()
        self._screens = [Path(self._folder.name) / name for name in ("out", "errors")]
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
        self._process = context.Process(target=_live, args=(work, words, cwd, surroundings, self._screens))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its status; that of a signal is negative; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """The same."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """What it has said, on both streams, when it has ended; one that hangs is killed and fails."""
        self._process.join(timeout)
        if self.returncode is None:
            self.kill()
            self._process.join()
            raise subprocess.TimeoutExpired(self.args, timeout)
        out, errors = (screen.read_text() if screen.exists() else "" for screen in self._screens)
        return out, errors


class Command(Forked):
    """`python -m bcbm.<verb> words`, running."""

    def __init__(self, verb: str, *words: str, cwd: Path = HOME, **environment: str) -> None:
        """Start it; arguments as of `Forked`."""
        super().__init__(_command, verb, *words, cwd=cwd, **environment)


def run_command(
    verb: str, *words: str, cwd: Path = HOME, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m bcbm.<verb> words` does and says; arguments as of `Command`, a limit in seconds."""
    command = Command(verb, *words, cwd=cwd, **environment)
    out, errors = command.communicate(timeout)
    return subprocess.CompletedProcess(command.args, command.returncode, out, errors)


def _command(verb: str, *words: str) -> object:
    sys.argv = [f"bcbm.{verb}", *words]
    return importlib.import_module(f"bcbm.{verb}").main()


def _live(
    work: Callable[..., object],
    words: tuple[str, ...],
    cwd: Path,
    environment: Mapping[str, str],
    screens: list[Path],
):
    # Where this is forked from what folds share, the folder that W&B makes when it is loaded is theirs, too.
    if made := sys.modules.get("wandb.sdk.data_types._private"):
        atexit.unregister(made.MEDIA_TMP.cleanup)
        made.MEDIA_TMP._finalizer.atexit = False
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor, screen in zip((1, 2), screens, strict=True):
        os.dup2(os.open(screen, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.path[:0] = [str(cwd), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    _fork_server()
    try:
        raise SystemExit(work(*words))
    finally:
        threading._shutdown()  # what an interpreter does at its end, and a forked process leaves out
        atexit._run_exitfuncs()


def _fork_server() -> None:
    """Fork the fork server that a command with folds or trials side by side would start.

    It would load in five seconds what is loaded here. It ends as that does: once this process has ended.
    """
    with socket.socket(socket.AF_UNIX) as listener:
        address = connection.arbitrary_address("AF_UNIX")
        listener.bind(address)
        listener.listen()
        end, alive = os.pipe()
        with shielded():
            process = os.fork()
        if process == 0:
            try:
                ends = [2, *sorted([listener.fileno(), end]), os.sysconf("SC_OPEN_MAX")]
                for below, above in pairwise(ends):
                    if above - below > 1:  # of an empty range Python 3.11 closes all
                        os.closerange(below + 1, above)
                forkserver.main(listener.fileno(), end, [])
            finally:
                os._exit(0)
    os.close(end)
    server = forkserver._forkserver
    server._forkserver_address, server._forkserver_alive_fd = address, alive
    server._forkserver_pid = process
