"""A command in a process of its own, forked from one that has loaded what the commands share.

What they share takes six seconds to load. Where that is what a test is about, or what Python reads when it
starts (`sitecustomize`), or a terminal, the test starts Python itself.
"""

import atexit
import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from repository import HOME

STACK = (
    *("bcbm.model.fold", "bcbm.baselines", "bcbm.crossvalidation.choice", "bcbm.crossvalidation.parallel"),
    *("bcbm.crossvalidation.results", "bcbm.preparation.prepare", "bcbm.tracking.summary"),
)


def run_command(
    verb: str, *words: str, cwd: Path = HOME, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """What `python -m bcbm.<verb> words` does and says; one that hangs is ended and fails.

    Args:
        verb: the command.
        words: its words.
        cwd: where it runs.
        timeout: seconds.
        environment: on top of this process's; `PYTHONPATH` as Python would take it.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(STACK))
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    with tempfile.TemporaryDirectory() as folder:
        screens = [Path(folder) / name for name in ("out", "errors")]
        process = context.Process(target=_live, args=(verb, words, cwd, surroundings, screens))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([verb, *words], timeout)
        out, errors = (screen.read_text() for screen in screens)
    return subprocess.CompletedProcess([verb, *words], process.exitcode, out, errors)


def _live(verb: str, words: tuple[str, ...], cwd: Path, environment: Mapping[str, str], screens: list[Path]):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    for descriptor, screen in zip((1, 2), screens, strict=True):
        os.dup2(os.open(screen, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.path[:0] = [str(cwd), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    sys.argv = [f"bcbm.{verb}", *words]
    try:
        raise SystemExit(importlib.import_module(f"bcbm.{verb}").main())
    finally:
        threading._shutdown()  # what an interpreter does at its end, and a forked process leaves out
        atexit._run_exitfuncs()
