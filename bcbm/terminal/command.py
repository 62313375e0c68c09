"""What every command shares: its configuration, how it is ended, and how a user's errors are said."""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from bcbm.terminal.help import ASKED, print_help
from bcbm.terminal.words import say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bcbm.config.schema import Config


def run_command(usage: str, work: "Callable[[Config, Console], int]", trains: bool = True) -> int:
    """Compose the command line's configuration and do the work; a user's errors are said in one line each."""
    words = sys.argv[1:]
    if ASKED & set(words):
        print_help(usage)
        return 0
    from rich.console import Console

    from bcbm.config.compose import compose
    from bcbm.system.processes import rank

    console = Console(quiet=rank() > 0, highlight=False)

    def composed() -> int:
        config = compose(words)
        what = f"cohort {config.cohort.root or 'embedded'}"
        if trains:
            what = (
                f"experiment {config.experiment} ({' '.join(words) or 'all defaults'}): "
                f"{'+'.join(config.task.modalities)} -> {' '.join(config.task.targets)}, "
                f"{config.split.repeats} x {config.split.folds} folds by {config.split.unit}, "
                f"seed {config.seed}"
            )
        say(console, what)
        return work(config, console)

    return errors_in_words(composed)


def over_runs(usage: str, work: "Callable[[Path, Console], object]") -> int:
    """Do the work on every run folder that the command line names."""
    words = sys.argv[1:]
    if not words or ASKED & set(words):
        print_help(usage, keys=False)
        return 0
    from pathlib import Path

    from rich.console import Console

    from bcbm.errors import InputError, Problem

    console = Console(highlight=False)

    def each() -> int:
        for word in words:
            if not (Path(word) / "config.yaml").is_file():
                remedy = "give the folder that fit has printed, such as runs/demo/2026-01-31_12-00-00"
                raise InputError(Problem(word, "is no run folder", remedy))
            work(Path(word), console)
        return 0

    return errors_in_words(each)


def errors_in_words(work: Callable[[], int]) -> int:
    """Do the work and return its exit status; a user's errors are said in one line each, with status 2."""
    from rich.console import Console
    from rich.markup import escape

    from bcbm.errors import ConfigError, InputError
    from bcbm.system.processes import Terminated, terminable

    errors = Console(stderr=True, highlight=False)
    terminable()
    try:
        return work()
    except KeyboardInterrupt as interrupt:
        errors.print("interrupted; the same command goes on from here")
        return 128 + interrupt.signal if isinstance(interrupt, Terminated) else 130
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}; put it right and give the same command again: "
        text += "what is finished is kept"
        errors.print(f"[bold red]error[/] {escape(text)}", soft_wrap=True)
        return 2
    except (ConfigError, InputError) as error:
        for line in str(error).splitlines():
            errors.print(f"[bold red]error[/] {escape(line)}", soft_wrap=True)
        return 2
