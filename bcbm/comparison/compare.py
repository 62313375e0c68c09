"""A comparison from its words to its page: what is missing is run, then tested, printed and written."""

import json
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from bcbm.comparison.experiments import Thing, base_name, reference_of, things_of, trainable
from bcbm.comparison.screen import print_comparison
from bcbm.config.compose import compose, flattened, load, plain
from bcbm.errors import ConfigError
from bcbm.terminal.words import say


def compare(words: list[str], console: Console) -> int:
    """Run what is missing, test, print and write `<run.root>/compare/<name>/`; returns the exit status.

    Raises:
        ConfigError: a word that is nothing, or a configuration that cannot be used.
        InputError: a run that is not finished, or runs that cannot be compared.
    """
    from bcbm.comparison.differences import Row, compare_runs, distinct_labels
    from bcbm.comparison.page import write_comparison
    from bcbm.runs.finished import read_run
    from bcbm.system.files import strict_json, write_whole

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
        say(console, f"left out: {one.name}: {one.reason}")
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
    write_whole(home / "comparison.json", strict_json({**comparison, "left_out": missing}))
    page = write_comparison(comparison, rows, name, home, missing)
    print_comparison(comparison, console)
    for one in left_out:
        say(console, f"left out: {one.name}: {one.reason}")
    say(console, f"report: {page.absolute()}")
    if workspace:
        from bcbm.tracking.workspace import write_workspace

        said = write_workspace(comparison, name, config.tracking, home)
        say(console, f"workspace: {said}")
    return 0


def _finished(thing: Thing, place: str, console: Console) -> Path:
    """The run folder of a thing; an experiment is run, or found finished."""
    if thing.config is None:
        assert thing.folder is not None
        return thing.folder
    from bcbm.crossvalidation.cross_validate import run

    console.rule(f"{place} {thing.config.experiment}", align="left")
    return run(thing.config, console)


def fit_command(folder: Path) -> str:
    """The command that goes on with a run: its experiment, and every key in which it differs from that."""
    config = load(folder / "config.yaml")
    words = [f"experiment={config.experiment}"]
    if config.cohort.root:
        words.append(f"cohort.root={config.cohort.root}")
    if config.experiments:
        words.append(f"experiments={config.experiments}")
    try:
        usual = flattened(plain(compose(words)))
    except ConfigError:  # an experiment that lies elsewhere
        return "the command that started it"
    changed = {name: value for name, value in flattened(plain(config)).items() if value != usual.get(name)}
    changed = {name: value for name, value in changed.items() if name not in {"fold", "run.folder"}}
    words += [f"{name}={_written(value)}" for name, value in changed.items()]
    return shlex.join(["python", "-m", "bcbm.fit", *words, f"run.folder={folder}"])


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
