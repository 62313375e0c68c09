"""What every command shares: its configuration, how it is ended, and how a user's errors are shown."""

import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bcbm.terminal.help import HELP, asks_for_all, print_help, unread
from bcbm.terminal.surroundings import any_surroundings
from bcbm.terminal.words import print_line, say

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from bcbm.config.schema import Config

MEMORY = "memory ran out"
LESS_MEMORY = (
    "lower prepared.jobs, data.workers, trainer.devices or data.batch_size, or give the process more memory, "
    "and run the same command again: finished work is kept"
)
FAULT = "this is a fault of the program, not of your input: please report it with the lines above"


def run_command(
    usage: str, work: "Callable[[Config, Console], int]", keys: Sequence[str] = (), trains: bool = True
) -> int:
    """Compose the command line's configuration and do the work; a user's errors are shown in one line each.

    Args:
        usage: the command's docstring.
        keys: keys of the configuration, or groups of them, that its help names first: the command's KEYS.
        trains: print first which experiment is trained.
    """
    words = sys.argv[1:]
    if HELP & set(words):
        print_help(usage, keys, asks_for_all(words))
        return 0

    def composed() -> int:
        from rich.console import Console

        from bcbm.config.checks import not_read
        from bcbm.config.compose import compose
        from bcbm.errors import Note
        from bcbm.system.processes import end_with_launcher, rank

        end_with_launcher()
        console = Console(quiet=rank() > 0, highlight=False)
        config = compose(words)
        headline = f"cohort {config.cohort.root or 'embedded'}"
        if trains:
            headline = (
                f"experiment {config.experiment} ({' '.join(words) or 'all defaults'}): "
                f"{'+'.join(config.task.modalities)} -> {' '.join(config.task.targets)}, "
                f"{_folds(config)} by {config.split.unit}, "
                f"seed {config.seed}"
            )
        say(console, headline)
        if trains and (text := not_read(config, [word.partition("=")[0] for word in words])):
            warnings.warn(text, Note, stacklevel=2)
        return work(config, console)

    return errors_in_words(composed)


def _folds(config: "Config") -> str:
    """The folds of an experiment in words."""
    split = config.split
    if split.file:
        return f"folds of {split.file}"
    if split.holdout:
        return f"folds of {split.holdout}" + (f" >= {split.later:g}" if split.later is not None else "")
    return f"{split.repeats} x {split.folds} folds"


def over_words(
    usage: str,
    work: "Callable[[list[str], Console], int]",
    keys: Sequence[str] = (),
    required: bool = True,
) -> int:
    """Do what the words of the command line ask for; for help, print how it is used.

    Args:
        usage: the command's docstring.
        work: of the words and the console; returns the exit status.
        keys: as of `run_command`.
        required: without any words, print how it is used.
    """
    words = sys.argv[1:]
    if (required and not words) or HELP & set(words):
        print_help(usage, keys, asks_for_all(words))
        return 0

    def work_on_words() -> int:
        from rich.console import Console

        return work(words, Console(highlight=False))

    return errors_in_words(work_on_words)


def over_runs(usage: str, work: "Callable[[Path, Console], object]") -> int:
    """Do the work on every run folder that the command line names, or the newest of an experiment's."""

    def work_on_all(words: list[str], console: "Console") -> int:
        from pathlib import Path

        from bcbm.terminal.log import logged

        for word in words:
            folder = run_folder(Path(word), console)
            with logged(console, folder):
                work(folder, console)
        return 0

    return over_words(usage, work_on_all)


def run_folder(path: "Path", console: "Console") -> "Path":
    """A run folder, or the newest of those in an experiment's folder."""
    from bcbm.errors import InputError, Problem

    if (path / "config.yaml").is_file():
        return path
    runs = sorted(file.parent for file in path.glob("*/config.yaml"))
    if not runs:
        remedy = "give the folder that fit has printed, such as runs/demo/2026-01-31_12-00-00, or runs/demo"
        raise InputError(Problem(str(path), "is not a run folder and contains none", remedy))
    text = f"{path}: the newest of its runs is {runs[-1].name} (of {len(runs)})"
    say(console, text)
    return runs[-1]


def errors_in_words(work: Callable[[], int]) -> int:
    """Do the work and return its exit status.

    A user's errors are shown in one line each, with status 2; what no words are known for is a fault of this
    program, with status 3.
    """
    from bcbm.system.memory import ANY_WORK, require_address_space, seldom_collected
    from bcbm.system.processes import Terminated, terminable

    seldom_collected()
    any_surroundings()
    terminable()
    from rich.console import Console
    from rich.markup import escape

    errors = Console(stderr=True, highlight=False)
    try:
        require_address_space(*ANY_WORK)
        with notes_in_words(errors):
            return work()
    except BrokenPipeError:
        return unread()
    except KeyboardInterrupt as interrupt:
        errors.print("interrupted; run the same command again to continue")
        return 128 + interrupt.signal if isinstance(interrupt, Terminated) else 130
    except Exception as error:
        lines = _in_words(error)
        if not lines:
            traceback.print_exc()
        for line in lines or [FAULT]:
            print_line(errors, f"[bold red]error[/] {escape(line)}")
        return 2 if lines else 3


def _in_words(error: Exception) -> list[str]:
    """What a user can do something about, a line each; nothing of a fault of this program."""
    from bcbm.errors import ConfigError, InputError, out_of_memory

    if isinstance(error, ConfigError | InputError):
        return str(error).splitlines()
    if out_of_memory(error):
        message = " ".join(str(error).split()) or type(error).__name__
        return [f"{MEMORY} ({message}); {LESS_MEMORY}"]
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror or error}; correct it and run the same command again: "
        return [text + "finished work is kept"]
    if isinstance(error, UnicodeEncodeError) and error.encoding != "utf-8":
        text = f"'{error.object}' holds signs that {error.encoding} lacks, in which names of files are here"
        return [f"{text}; set PYTHONUTF8=1 or LC_ALL=C.UTF-8, and run the same command again"]
    if isinstance(error, RuntimeError) and "home directory" in str(error):  # of Path.expanduser
        return ["a folder begins with ~ and a name that is no user's here; write its whole path, or ./~NAME"]
    return []


@contextmanager
def notes_in_words(console: "Console") -> Iterator[None]:
    """Print a `Note` as one line; other warnings appear as Python shows them."""
    from rich.markup import escape

    from bcbm.errors import Note

    others = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if issubclass(category, Note):
            print_line(console, f"[yellow]note[/] {escape(str(message))}")
        else:
            others(message, category, *place, **more)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = others
