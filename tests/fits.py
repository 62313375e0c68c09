"""`python -m bcbm.fit` in a process of its own, small enough for a test."""

import os
from pathlib import Path

from commands import run_command
from repository import HOME

SMALL = ("split.folds=2", "bootstrap=50", "tracking=csv", "augment=none", "data.workers=0", "prepared.jobs=1")
SHORT = ("trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.devices=1")


def fit(
    folder: Path, *words: str, packages: Path | None = None, status: int = 0, verb: str = "fit"
) -> tuple[str, Path]:
    """Run the command and return its screen, both streams, and the folder of its runs.

    Args:
        folder: for the runs and what is prepared.
        words: of the configuration.
        packages: a folder that stands for installed packages.
        status: what the command must end with.
        verb: the command.
    """
    path = os.pathsep.join(filter(None, [str(packages or ""), os.environ.get("PYTHONPATH", ""), str(HOME)]))
    settings = [f"run.root={folder / 'runs'}", *SMALL, *SHORT, *words]
    process = run_command(verb, *settings, timeout=500, PYTHONPATH=path, BCBM_CACHE=str(folder / "cache"))
    assert process.returncode == status and "Traceback" not in process.stderr, process.stdout + process.stderr
    return process.stdout + process.stderr, folder / "runs"
