"""Make lesion table, radiomics and crops of a cohort, and say what is wrong with it.

    python -m bcbm.prepare [key=value ...]

Every command that reads a cohort does this first.
"""

from typing import TYPE_CHECKING

from bcbm.system.lazy import public_names
from bcbm.terminal.words import say

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config
    from bcbm.preparation.prepare import prepare as prepare

public_names(__name__, {"prepare": "bcbm.preparation.prepare:prepare"})
KEYS = ("experiment", "experiments", "cohort", "prepared", "features", "task")


def _prepare_alone(config: "Config", console: "Console") -> int:
    from bcbm.cohort.table import FLOW, flow
    from bcbm.preparation.prepare import prepare
    from bcbm.report.figures.cohort import flow_figure

    lesions = prepare(config, console)
    picture = lesions.folder / "flow.png"
    steps = [dict(zip(FLOW, step, strict=True)) for step in flow(lesions.table)]
    flow_figure(steps, picture)
    say(console, f"tables, crops and {picture.name}: {lesions.folder}")
    return 0


def main() -> int:
    """Prepare a cohort and say what is in it."""
    from bcbm.terminal.command import run_command

    return run_command(__doc__ or "", _prepare_alone, KEYS, trains=False)


if __name__ == "__main__":
    raise SystemExit(main())
