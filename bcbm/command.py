"""What every command shares: its help, its configuration and how a user's errors are said."""

import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.cohort.problems import InputError, Problem
from bcbm.config import HOME, ConfigError, compose, described_keys
from bcbm.schema import Config
from bcbm.tracking import RunFolder

COMMANDS = {
    "fit": "cross-validate an experiment and print its results",
    "evaluate": "make figures, results and report of finished runs again, from their tables",
    "compare": "run a group of experiments, or take finished runs, and test them against each other",
    "leakcheck": "show what a cohort gives to random labels when patients are not kept whole",
    "sweep": "choose settings with Optuna, in every outer fold without its test patients",
    "explain": "say what a finished run looks at: modalities, radiomics, places in the image",
    "audit": "say what is wrong with a cohort, on screen and as a page; changes nothing",
    "prepare": "make lesion table and crops of a cohort, and say what is wrong with it",
}


def help_text(usage: str, console: Console, keys: bool = True) -> None:
    """Print the commands and, for one that takes them, the experiments and every key with its meaning."""
    console.print(usage, highlight=False, markup=False)
    console.print("\n[bold]Commands[/]")
    for name, meaning in COMMANDS.items():
        console.print(f"  python -m bcbm.{name:<9} {meaning}", highlight=False)
    if not keys:
        return
    console.print("\n[bold]Experiments[/] (experiment=NAME)")
    home = HOME / "experiments"
    for path in sorted(home.glob("*.yaml")) + sorted(home.glob("*/*.yaml")):
        place, claim = path.relative_to(home).with_suffix(""), path.read_text().splitlines()[0]
        console.print(f"  {place.as_posix():<32} {claim.lstrip('# ')}", highlight=False)
    console.print("\n[bold]Groups[/] (group=NAME takes a file of conf/)")
    for folder in sorted(path for path in (HOME / "conf").iterdir() if path.is_dir()):
        names = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
        console.print(f"  {folder.name:<16} {names}", highlight=False)
    table = Table(title="Keys", title_justify="left", box=None)
    table.add_column("key", no_wrap=True)
    for column in ("type", "default", "meaning"):
        table.add_column(column, overflow="fold")
    for row in described_keys():
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    console.print(table)


def run_command(usage: str, work: Callable[[Config, Console], int], trains: bool = True) -> int:
    """Compose the command line's configuration and do the work; a user's errors are said in one line each."""
    console = Console()
    words = sys.argv[1:]
    if {"-h", "--help", "help"} & set(words):
        help_text(usage, console)
        return 0

    def composed() -> int:
        config = compose(words)
        what = f"cohort {config.cohort.root or 'embedded'}"
        if trains:
            what = (
                f"experiment {config.experiment} ({' '.join(words) or 'all defaults'}): "
                f"{'+'.join(config.task.modalities)} -> {' '.join(config.task.receptors)}, "
                f"{config.split.repeats} x {config.split.folds} folds by {config.split.unit}, "
                f"seed {config.seed}"
            )
        console.print(what, highlight=False, markup=False, soft_wrap=True)
        return work(config, console)

    return errors_in_words(composed)


def over_runs(usage: str, work: Callable[[RunFolder, Console], object]) -> int:
    """Do the work on every run folder that the command line names."""
    console, words = Console(), sys.argv[1:]
    if not words or {"-h", "--help", "help"} & set(words):
        help_text(usage, console, keys=False)
        return 0

    def each() -> int:
        for word in words:
            if not (Path(word) / "config.yaml").is_file():
                remedy = "give the folder that fit has printed, such as runs/demo/2026-01-31_12-00-00"
                raise InputError(Problem(word, "is no run folder", remedy))
            work(RunFolder(Path(word)), console)
        return 0

    return errors_in_words(each)


def errors_in_words(work: Callable[[], int]) -> int:
    """Do the work and return its exit status; a user's errors are said in one line each, with status 2."""
    errors = Console(stderr=True)
    try:
        return work()
    except KeyboardInterrupt:
        errors.print("interrupted; the same command goes on from here")
        return 130
    except OSError as error:
        errors.print(f"[bold red]error[/] {escape(f'{error.filename}: {error.strerror}')}", soft_wrap=True)
        return 2
    except (ConfigError, InputError) as error:
        for line in str(error).splitlines():
            errors.print(f"[bold red]error[/] {escape(line)}", highlight=False, soft_wrap=True)
        return 2
