"""Say what finished runs look at: modalities, radiomics, places in the image.

    python -m bcbm.explain RUN ...

It is written beside their tables and into their reports.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console


def main() -> int:
    """Explain run folders."""
    from bcbm.terminal.command import over_runs

    def work(path: "Path", console: "Console") -> None:
        from bcbm.explanation.explain import explain
        from bcbm.runs.folder import RunFolder

        explain(RunFolder(path), console)

    return over_runs(__doc__ or "", work)


if __name__ == "__main__":
    raise SystemExit(main())
