"""A comparison from its words to its page: what is missing is run, then tested, printed and written."""

import json
import shlex
import warnings
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from bcbm.comparison.experiments import (
    Candidate,
    base_name,
    candidates_named,
    reference_of,
    trainable,
    value_of,
    without_repetitions,
)
from bcbm.comparison.screen import print_comparison
from bcbm.config.compose import compose, flattened, load, plain
from bcbm.errors import ConfigError, Note
from bcbm.system.files import free_folder, read_json
from bcbm.terminal.progress import progress_bar
from bcbm.terminal.words import say

RUNS = "runs"  # key of comparison.json: the identities of those that are compared


def compare(words: list[str], console: Console) -> int:
    """Run what is missing, test, print and write `<run.root>/compare/<name>/`; returns the exit status.

    Raises:
        ConfigError: a word that names nothing, or a configuration that cannot be used.
        InputError: a run that is not finished or not what it says, or runs that cannot be compared.
    """
    from bcbm.comparison.differences import Row, compare_runs, distinct_labels, require_distinct
    from bcbm.comparison.page import portable, write_comparison
    from bcbm.report.pages.overview import write_overview
    from bcbm.runs.finished import read_run
    from bcbm.system.files import strict_json, write_whole

    workspace = asks_for_workspace(words)
    words = [word for word in words if word != "--wandb"]
    settings = [word for word in words if "=" in word and not word.startswith(("against=", "across="))]
    against = next((word.removeprefix("against=") for word in words if word.startswith("against=")), None)
    if (word := value_of("across", words) or "false") not in ("true", "false"):
        raise ConfigError(f"across={word}: write true to compare runs of different cohorts, or false")
    across = word == "true"
    names = [word for word in words if "=" not in word]
    groups = [candidates_named(word, settings) for word in names]
    candidates = without_repetitions(list(chain.from_iterable(groups)), against, console)
    places = [candidate.folder.resolve() for candidate in candidates if candidate.folder]
    if len(set(places)) < len(places):
        raise ConfigError("a run is named twice; name each once")
    if len(candidates) < 2:
        count = "one experiment" if candidates else "no experiment"
        raise ConfigError(f"{count} to compare; name a folder of them, or at least two")
    config = next(
        (candidate.config for candidate in candidates if candidate.config is not None), None
    ) or compose(settings)
    unread = [word for word in settings if not word.startswith(("run.root=", "experiment="))]
    if unread and all(candidate.folder for candidate in candidates):
        text = f"{', '.join(unread)}: not read, as finished runs are compared as they are"
        warnings.warn(text, Note, stacklevel=2)
    if config.fold != "all":
        raise ConfigError(f"fold={config.fold}: a comparison needs all folds; leave it out")
    if against and not any(candidate.folder or candidate.name == against for candidate in candidates):
        choices = ", ".join(candidate.name for candidate in candidates)
        raise ConfigError(f"against={against} is not one of the experiments; write one of {choices}")
    given = [
        read_run(candidate.folder, f"continue it with: {fit_command(candidate.folder)}")
        for candidate in candidates
        if candidate.folder is not None
    ]
    require_distinct(given)
    cohorts = {str(run.folder): run.environment["cohort"] for run in given}
    candidates, left_out = trainable(candidates, cohorts, across, console)
    for experiment in left_out:
        say(console, f"left out: {experiment.name}: {experiment.reason}")
        if experiment.name == against:
            choices = ", ".join(candidate.name for candidate in candidates)
            raise ConfigError(f"against={against} is left out; write one of {choices}")
    folders = [
        _finished(candidate, f"[{n}/{len(candidates)}]", console) for n, candidate in enumerate(candidates, 1)
    ]
    runs = [read_run(folder, f"continue it with: {fit_command(folder)}") for folder in folders]
    labels = distinct_labels(runs)
    rows = [Row(label, run) for label, run in zip(labels, runs, strict=True)]
    reference = against or reference_of(rows, settings)
    if reference not in labels:
        raise ConfigError(
            f"against={against} is not one of the experiments; write one of {', '.join(labels)}"
        )
    with progress_bar(console, "testing differences"):
        comparison = compare_runs(rows, reference, across)
    whole_groups = all(len(group) > 1 for group in groups)
    name = _name(names if whole_groups else [], settings, labels) + (
        "+across" if comparison["across"] else ""
    )
    root = Path(config.run.root)
    identities = [run.environment["identity"] for run in runs]

    def shares_runs(path: Path) -> bool:  # those of before name none
        other = read_json(path, f"remove {path.parent}")
        return RUNS not in other or not set(other[RUNS]).isdisjoint(identities)

    home = free_folder(root / "compare" / name, "comparison.json", shares_runs)
    comparison = portable(comparison, home, root)
    missing = [vars(experiment) for experiment in left_out]
    write_whole(home / "comparison.json", strict_json({**comparison, "left_out": missing, RUNS: identities}))
    page = write_comparison(comparison, rows, name, home, root, missing)
    write_overview(root)
    print_comparison(comparison, console)
    for experiment in left_out:
        say(console, f"left out: {experiment.name}: {experiment.reason}")
    say(console, f"report: {page.absolute()}")
    if workspace:
        from bcbm.tracking.workspace import comparison_workspace, write_workspace

        laid_out = comparison_workspace(comparison, name, config.tracking)
        place = write_workspace(laid_out, config.tracking, home)
        say(console, f"workspace: {place}")
    return 0


def asks_for_workspace(words: list[str]) -> bool:
    """Whether a workspace is to be made.

    Raises:
        ConfigError: it is, and what makes it is not installed.
    """
    if "--wandb" in words and find_spec("wandb_workspaces") is None:
        raise ConfigError("--wandb needs wandb-workspaces; run pip install 'bcbm[wandb]', or leave it out")
    return "--wandb" in words


def _finished(candidate: Candidate, place: str, console: Console) -> Path:
    """The run folder of a candidate; an experiment is run, unless it is finished."""
    if candidate.config is None:
        assert candidate.folder is not None
        return candidate.folder
    from bcbm.crossvalidation.cross_validate import run

    console.rule(f"{place} {candidate.config.experiment}", align="left")
    return run(candidate.config, console)


def fit_command(folder: Path) -> str:
    """The command that continues a run: its experiment, and every key in which it differs from that."""
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
    unambiguous = not isinstance(value, str) or yaml.safe_load(value) == value  # `off` is a boolean in YAML
    if isinstance(value, bool | dict) or not unambiguous:
        return json.dumps(value)
    return "null" if value is None else str(value)


def _name(groups: list[str], settings: list[str], labels: list[str]) -> str:
    """What the comparison is called: its groups on their base or, where it names others, its experiments."""
    if groups:
        names = "-".join(Path(group).resolve().name for group in groups)
        return f"{base_name(settings)}+{names}".replace("/", "-")
    return "-".join(labels).replace("/", "-").replace(" ", "_")[:100]
