"""`python -m bcbm.compare THING ... [against=NAME] [key=value ...]`: experiments or runs against one of them.

A THING is a folder of experiments (experiments/modalities), an experiment's YAML, or a run folder.
Experiments of a group stand on the base that experiment=NAME gives (default demo) and are run, or found
finished, with the key=value words; those whose columns the cohort lacks are left out, and said to be.
against=NAME is the one that the others are compared with; default: of those that are not LEAKY the one that
changes nothing of the base, else the first that predicts most receptors. --wandb also makes a W&B workspace
of their runs (pip install 'bcbm[wandb]').
"""

import json
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bcbm.config import ConfigError, compose, load, plain
from bcbm.group import Thing, base_name, reference_of, things_of, trainable


def compare(words: list[str], console: Console) -> int:
    """Run what is missing, test, print and write `<run.root>/compare/<name>/`; returns the exit status.

    Raises:
        ConfigError: a word that is nothing, or a configuration that cannot be used.
        InputError: a run that is not finished, or runs that cannot be compared.
    """
    from bcbm.evaluation.comparison import Row, compare_runs, distinct_labels
    from bcbm.evaluation.comparison_page import write_comparison
    from bcbm.evaluation.finished import read_run
    from bcbm.evaluation.summary import to_json
    from bcbm.whole import write_whole

    workspace = "--wandb" in words
    if workspace and find_spec("wandb_workspaces") is None:
        raise ConfigError("--wandb needs wandb-workspaces; run pip install 'bcbm[wandb]', or leave it out")
    words = [word for word in words if word != "--wandb"]
    settings = [word for word in words if "=" in word and not word.startswith("against=")]
    against = next((word.removeprefix("against=") for word in words if word.startswith("against=")), None)
    given = [word for word in words if "=" not in word]
    things = [thing for word in given for thing in things_of(word, settings)]
    if len(things) < 2:
        raise ConfigError(f"{len(things)} experiments to compare; name a folder of them, or at least two")
    config = next((thing.config for thing in things if thing.config is not None), None) or compose(settings)
    if config.fold != "all":
        raise ConfigError(f"fold={config.fold}: a comparison needs all folds; leave it out")
    if against and not any(thing.folder or thing.name == against for thing in things):
        names = ", ".join(thing.name for thing in things)
        raise ConfigError(f"against={against} is none of the experiments; write one of {names}")
    for thing in things:
        if thing.folder is not None:
            read_run(thing.folder, f"go on with: {fit_command(thing.folder)}")
    things, left_out = trainable(things, console)
    for one in left_out:
        _say(console, f"left out: {one.name}: {one.reason}")
        if one.name == against:
            raise ConfigError(
                f"against={against} is left out; write one of {', '.join(t.name for t in things)}"
            )
    folders = [_finished(thing, f"[{n}/{len(things)}]", console) for n, thing in enumerate(things, 1)]
    runs = [read_run(folder, f"go on with: {fit_command(folder)}") for folder in folders]
    labels = distinct_labels(runs)
    rows = [Row(label, run) for label, run in zip(labels, runs, strict=True)]
    reference = against or reference_of(rows, settings)
    if reference not in labels:
        raise ConfigError(f"against={against} is none of the experiments; write one of {', '.join(labels)}")
    with console.status("testing differences"):
        comparison = compare_runs(rows, reference, config.bootstrap, config.seed)
    name = _name(given, settings, labels)
    home = Path(config.run.root) / "compare" / name
    missing = [vars(one) for one in left_out]
    write_whole(home / "comparison.json", to_json({**comparison, "left_out": missing}).encode())
    page = write_comparison(comparison, rows, name, home, missing)
    print_comparison(comparison, console)
    for one in left_out:
        _say(console, f"left out: {one.name}: {one.reason}")
    _say(console, f"report: {page}")
    if workspace:
        from bcbm.dashboard.workspace import write_workspace

        said = write_workspace(comparison, name, config.tracking, home)
        _say(console, f"workspace: {said}")
    return 0


def _finished(thing: Thing, place: str, console: Console) -> Path:
    """The run folder of a thing; an experiment is run, or found finished."""
    if thing.config is None:
        assert thing.folder is not None
        return thing.folder
    from bcbm.fit import run

    console.rule(f"{place} {thing.config.experiment}", align="left")
    return run(thing.config, console)


def fit_command(folder: Path) -> str:
    """The command that goes on with a run: its experiment, and every key in which it differs from that."""
    config = load(folder / "config.yaml")
    words = [f"experiment={config.experiment}"]
    if config.cohort.root:
        words.append(f"cohort.root={config.cohort.root}")
    try:
        usual = flattened(plain(compose(words)))
    except ConfigError:  # an experiment that lies elsewhere
        return "the command that started it"
    changed = {name: value for name, value in flattened(plain(config)).items() if value != usual.get(name)}
    changed = {name: value for name, value in changed.items() if name not in {"fold", "run.folder"}}
    words += [f"{name}={_written(value)}" for name, value in changed.items()]
    return shlex.join(["python", "-m", "bcbm.fit", *words, f"run.folder={folder}"])


def flattened(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; `tune` stays whole, because keys are what it holds."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        inside = isinstance(value, dict) and name != "tune"
        flat |= flattened(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return flat


def _written(value: Any) -> str:
    """A value as the command line takes it."""
    if isinstance(value, list):
        return f"[{','.join(_written(item) for item in value)}]"
    told_apart = not isinstance(value, str) or yaml.safe_load(value) == value  # off is no word in YAML
    if isinstance(value, bool | dict) or not told_apart:
        return json.dumps(value)
    return "null" if value is None else str(value)


def _name(given: list[str], settings: list[str], labels: list[str]) -> str:
    """What the comparison is called: its group on its base, or its experiments."""
    if len(given) == 1:
        return f"{base_name(settings)}+{Path(given[0]).resolve().name}".replace("/", "-")
    return "-".join(labels).replace("/", "-").replace(" ", "_")[:100]


def print_comparison(comparison: dict[str, Any], console: Console) -> None:
    """The table, a row an experiment, and under it every tested difference."""
    from bcbm.evaluation.page import number, signed

    table = _table("Patient AUROC [95 % CI]", "experiment", *comparison["receptors"], "mean")
    for row in comparison["rows"]:
        blocks = [row["receptors"].get(receptor) for receptor in comparison["receptors"]]
        blocks.append(row["mean"])
        name = escape(row["label"]) + (" [bold red]LEAKY[/]" if row["leaky"] else "")
        bold = "bold" if row["label"] == comparison["reference"] else ""
        table.add_row(name, *(_cell(block) for block in blocks), style=bold)
    console.print(table)
    title = f"Difference from {escape(comparison['reference'])}; q over all tests"
    tests = _table(title, "experiment", "receptor", "AUROC [95 % CI]", "p", "q", "corrected t, p")
    for test in comparison["tests"]:
        cells = (
            [test["reason"]]
            if "reason" in test
            else [
                rf"{signed(test['difference'])} \[{signed(test['low'])}, {signed(test['high'])}]",
                number(test["permutation_p"], 3),
                number(test["q"], 3),
                f"{signed(test['corrected_t'])}, {number(test['corrected_p'], 3)}",
            ]
        )
        tests.add_row(escape(test["label"]), test["receptor"], *cells)
    console.print(tests)


def _table(title: str, *headings: str) -> Table:
    """A table that fits 80 columns; what is no name stands to the right."""
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        name = heading in ("experiment", "receptor")
        side: Literal["left", "right"] = "left" if name else "right"
        table.add_column(escape(heading), justify=side, overflow="fold", no_wrap=not name)
    return table


def _cell(block: dict[str, float] | None) -> str:
    """AUROC over its interval; blank where a receptor is not predicted."""
    from bcbm.evaluation.page import interval

    return "" if block is None else escape(interval(block).replace(" [", "\n["))


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


def main() -> int:
    """Compare experiments."""
    from bcbm.command import errors_in_words
    from bcbm.help import ASKED, print_help

    words = sys.argv[1:]
    if not words or ASKED & set(words):
        print_help(__doc__ or "")
        return 0
    return errors_in_words(lambda: compare(words, Console()))


if __name__ == "__main__":
    raise SystemExit(main())
