"""Cross-validate an experiment and print its results.

python -m bcbm.fit [experiment=NAME] [key=value ...]
"""

from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.crossvalidation.cross_validate import run
from bcbm.terminal.command import run_command

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config

KEYS = ("experiment", "experiments", "fold", "seed", "cohort", "task", "split", "model", "trainer", "run")


def fit(config: "Config", console: "Console") -> int:
    """Run, or go on with, an experiment; returns the exit status."""
    from bcbm.report.pages.overview import write_overview
    from bcbm.system.processes import Terminated, rank, requeue

    try:
        run(config, console)
    except Terminated as ended:
        requeue(ended)
        raise
    if rank() == 0:
        write_overview(Path(config.run.root))
    return 0


def main() -> int:
    """Cross-validate an experiment."""
    return run_command(__doc__ or "", fit, KEYS)


if __name__ == "__main__":
    raise SystemExit(main())
