"""`python -m bcbm.fit` in a process of its own, small enough for a test."""

import os
import subprocess
import sys
from pathlib import Path

from repository import HOME

SMALL = ("split.folds=2", "bootstrap=50", "tracking=csv", "augment=none", "data.workers=0", "prepared.jobs=1")
SHORT = ("trainer.max_epochs=2", "trainer.accelerator=cpu")


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
    surroundings = {
        **os.environ,
        "PYTHONPATH": path,
        "BCBM_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    places = (f"run.root={folder / 'runs'}",)
    command = [sys.executable, "-m", f"bcbm.{verb}", *places, *SMALL, *SHORT, *words]
    process = subprocess.run(command, cwd=HOME, env=surroundings, capture_output=True, text=True, timeout=500)
    assert process.returncode == status and "Traceback" not in process.stderr, process.stdout + process.stderr
    return process.stdout + process.stderr, folder / "runs"
