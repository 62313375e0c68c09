"""Cross-validate an experiment and print its results.

python -m bcbm.fit [experiment=NAME] [key=value ...]
python -m bcbm.fit again=RUN [key=value ...]

again=RUN trains a finished run anew, from the settings in its folder, into RUN-again or run.folder, and says
whether its predictions are the same, bit for bit (exit status 0, else 1); keys name other places or devices.
`pip install -r RUN/requirements.txt` makes an environment of the versions that it was trained with.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.crossvalidation.cross_validate import run
from bcbm.terminal.command import over_words, run_command
from bcbm.terminal.help import HELP

if TYPE_CHECKING:
    from rich.console import Console

    from bcbm.config.schema import Config

KEYS = ("experiment", "experiments", "fold", "seed", "cohort", "task", "split", "model", "trainer", "run")
AGAIN = "again="


def fit(config: "Config", console: "Console") -> int:
    """Run, or go on with, an experiment; returns the exit status."""
    from bcbm.report.pages.overview import write_overview
    from bcbm.system.processes import Terminated, rank, requeue

    try:
        folder = run(config, console)
    except Terminated as ended:
        requeue(ended)
        raise
    if rank() == 0 and config.split.holdout:
        from bcbm.validation.sites import validate_sites

        validate_sites(folder, console)
    root = Path(config.run.root)
    if rank() == 0 and folder.resolve().is_relative_to(root.resolve()):
        write_overview(root)
    return 0


def main() -> int:
    """Cross-validate an experiment, or a run again."""
    words = sys.argv[1:]
    if HELP & set(words) or not any(word.startswith(AGAIN) for word in words):
        return run_command(__doc__ or "", fit, KEYS)
    return over_words(__doc__ or "", _again)


def _again(words: list[str], console: "Console") -> int:
    from bcbm.config.reading import read_value
    from bcbm.crossvalidation.again import run_again
    from bcbm.errors import ConfigError

    pairs = dict[str, str]()
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name in pairs:
            raise ConfigError(f"{word}: write again=RUN and, after it, key=value words, each key once")
        pairs[name] = value
    folder = Path(pairs.pop("again"))
    settings = {name: read_value(value) for name, value in pairs.items()}
    return run_again(folder, settings, console)


if __name__ == "__main__":
    raise SystemExit(main())
