"""What a command prints for `--help`, with nothing loaded but the schema."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import pairwise

from bcbm.terminal.surroundings import any_terminal

HELP = {"-h", "--help", "help"}
BROKEN_PIPE = 141  # the shell's status of a program whose reader has gone away


def show(text: str) -> None:
    """Print a text; where its reader has gone away (`| head`), end without a traceback."""
    any_terminal()
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise SystemExit(unread()) from None


def unread() -> int:
    """Leave what is still to be printed unread, as its reader has gone; returns the exit status for that."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return BROKEN_PIPE


def commands() -> str:
    """The list of commands, a line each."""
    from bcbm.terminal.doors import doors

    lines = ["bcbm VERB [key=value ...], or python -m bcbm.VERB [key=value ...]", "", "Commands"]
    lines += [f"  {name:<11} {line}" for name, line in doors().items()]
    lines += ["", "bcbm VERB --help explains a command; bcbm --version prints the versions"]
    return "\n".join(lines)


def print_help(usage: str, keys: Sequence[str] = (), everything: bool = False) -> None:
    """Print how a command is used and, where it takes them, keys with their meaning, groups and experiments.

    Args:
        usage: the command's docstring.
        keys: keys, or groups of them, that matter to it first; none: it takes no configuration.
        everything: print the other keys too, behind those.
    """
    lines = [usage.rstrip()]
    if keys:
        first, others = _keys(keys)
        lines += ["", "Keys: type, default, meaning", *first]
        lines += ["", "Other keys", *others] if everything else []
        lines += ["", "Groups (group=NAME takes a file of conf/)", *_groups()]
        lines += ["", "Experiments (experiment=NAME)", *_experiments()]
        lines += [] if everything else ["", "--help all lists the other keys too"]
    show("\n".join(lines))


def asks_for_all(words: Sequence[str]) -> bool:
    """Whether `--help` is followed by `all`."""
    return any(word in HELP and following == "all" for word, following in pairwise(words))


def _experiments() -> list[str]:
    from bcbm.config.places import experiment_files

    lines = []
    for name, path in experiment_files().items():
        with path.open(encoding="utf-8") as file:
            lines.append(f"  {name:<32} {file.readline().lstrip('# ').rstrip()}")
    return lines


def _groups() -> list[str]:
    from bcbm.config.places import group_choices

    return [f"  {group:<16} {', '.join(names)}" for group, names in group_choices().items()]


def _keys(chosen: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines of the keys that are chosen, by their names or their groups', and of the others."""
    from bcbm.config.schema import described_keys

    width = max(60, shutil.get_terminal_size().columns)
    first: list[str] = []
    others: list[str] = []
    for name, kind, default, meaning in described_keys():
        lines = first if name in chosen or name.split(".")[0] in chosen else others
        lines.append(f"  {name}  ({kind}; {default})")
        lines += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return first, others
