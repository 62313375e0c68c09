"""Make results, figures and report of finished runs again, from their tables.

python -m bcbm.evaluate RUN ...
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def _evaluate(path: "Path", console: "Console") -> None:
    from bcbm.crossvalidation.results import evaluate
    from bcbm.runs.folder import RunFolder

    folder = RunFolder(path)
    with folder.owning_last_step():
        evaluate(folder, console)


def main() -> int:
    """Evaluate run folders again."""
    from bcbm.terminal.command import over_runs

    return over_runs(__doc__ or "", _evaluate)


if __name__ == "__main__":
    raise SystemExit(main())
