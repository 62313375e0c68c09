"""What a command prints for `--help`, with nothing loaded but the schema."""

import shutil
import textwrap

from bcbm.config.schema import HOME, described_keys

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
ASKED = {"-h", "--help", "help"}


def print_help(usage: str, keys: bool = True) -> None:
    """Print the commands and, for one that takes them, the experiments and every key with its meaning."""
    lines = [
        usage,
        "",
        "Commands",
        *(f"  python -m bcbm.{name:<9} {text}" for name, text in COMMANDS.items()),
    ]
    if keys:
        lines += ["", "Experiments (experiment=NAME)", *_experiments()]
        lines += ["", "Groups (group=NAME takes a file of conf/)", *_groups()]
        lines += ["", "Keys: type, default, meaning", *_keys(max(60, shutil.get_terminal_size().columns))]
    print("\n".join(lines))


def _experiments() -> list[str]:
    home, found = HOME / "experiments", []
    for path in sorted(home.glob("*.yaml")) + sorted(home.glob("*/*.yaml")):
        with path.open() as file:
            claim = file.readline().lstrip("# ").rstrip()
        found.append(f"  {path.relative_to(home).with_suffix('').as_posix():<32} {claim}")
    return found


def _groups() -> list[str]:
    folders = sorted(path for path in (HOME / "conf").iterdir() if path.is_dir())
    return [
        f"  {folder.name:<16} {', '.join(sorted(path.stem for path in folder.glob('*.yaml')))}"
        for folder in folders
    ]


def _keys(width: int) -> list[str]:
    found = []
    for name, kind, default, meaning in described_keys():
        found.append(f"  {name}  ({kind}; {default})")
        found += textwrap.wrap(meaning, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return found
