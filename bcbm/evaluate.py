"""Make results, figures and report of finished runs again, from their tables.

python -m bcbm.evaluate RUN ...
"""

from bcbm.crossvalidation.results import evaluate
from bcbm.runs.folder import RunFolder


def main() -> int:
    """Evaluate run folders again."""
    from bcbm.terminal.command import over_runs

    return over_runs(__doc__ or "", lambda path, console: evaluate(RunFolder(path), console))


if __name__ == "__main__":
    raise SystemExit(main())
