"""What a comparison is made of: read from its words, and checked before the first experiment is trained."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bcbm.config.compose import compose, load, plain
from bcbm.config.places import experiment_folders, experiment_name, settings_folder
from bcbm.config.schema import Config
from bcbm.errors import ConfigError, InputError, Problem
from bcbm.terminal.words import say

if TYPE_CHECKING:  # the help of the command has no use for tables
    from bcbm.comparison.differences import Row


@dataclass(frozen=True)
class Candidate:
    """What a word of the command line stands for: a run that is there, or an experiment to run."""

    name: str
    folder: Path | None = None
    config: Config | None = None


def candidates_named(word: str, settings: list[str]) -> list[Candidate]:
    """The runs or experiments that a word names.

    Raises:
        ConfigError: it names none, or a configuration cannot be used.
    """
    experiments = value_of("experiments", settings)
    places = [
        Path(word),
        *(folder / word for folder in experiment_folders(experiments)),
        settings_folder() / word,
    ]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise ConfigError(
            f"{word}: no such folder or file; name experiments/modalities, for example, or a run"
        )
    if (path / "config.yaml").is_file():
        return [Candidate(path.name, folder=path)]
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files:
        raise ConfigError(f"{word} holds neither experiments (*.yaml) nor a run (config.yaml)")
    return [Candidate(file.stem, config=_composed(file, settings)) for file in files]


def _composed(file: Path, settings: list[str]) -> Config:
    """An experiment with the words given to all; one of a group stands on the base."""
    experiments, base = value_of("experiments", settings), base_name(settings)
    name = experiment_name(file, experiments)
    is_base = file.resolve().parent in experiment_folders(experiments)  # such as paper.yaml
    others = [word for word in settings if not word.startswith("experiment=")]
    return compose([*others, f"experiment={name if is_base else f'{base}+{name}'}"])


def base_name(settings: list[str]) -> str:
    """The experiment that those of a group stand on."""
    return value_of("experiment", settings) or "demo"


def value_of(name: str, settings: Sequence[str]) -> str | None:
    """What the words say of a key; the last counts, None where none does."""
    values = [word.partition("=")[2] for word in settings if word.startswith(f"{name}=")]
    return values[-1] if values else None


def without_repetitions(
    candidates: Sequence[Candidate], against: str | None, console: Console
) -> list[Candidate]:
    """The candidates without experiments that differ from another in their name alone, which are said.

    Groups that stand on one base name it again, each in its own words, and it is trained once.

    Args:
        candidates: runs that are there, which all stay, and experiments.
        against: the name of the reference, which stays.
        console: gets a line a repetition.
    """
    chosen: dict[str, Candidate] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.name != against):
        if candidate.config is None:
            chosen[str(candidate.folder)] = candidate
            continue
        first = chosen.setdefault(json.dumps(_content(candidate.config), sort_keys=True), candidate).config
        if first is not None and first.experiment != candidate.config.experiment:
            say(console, f"{candidate.config.experiment} is {first.experiment} by another name: trained once")
    stay = list(chosen.values())
    return [candidate for candidate in candidates if candidate in stay]


@dataclass(frozen=True)
class LeftOut:
    """An experiment that this cohort cannot give its columns: where they are missing, and which."""

    name: str
    reason: str


def trainable(
    candidates: Sequence[Candidate], cohorts: Mapping[str, str], across: bool, console: Console
) -> tuple[list[Candidate], list[LeftOut]]:
    """Prepare and split for every experiment before the first is trained, so that an error costs no hours.

    Args:
        candidates: runs that are there, and experiments.
        cohorts: content hash of each run's, by its folder.
        across: whether cohorts may differ.
        console: for the progress bar.

    Returns:
        What can be compared, and the experiments whose columns the cohort's workbooks do not have.

    Raises:
        ConfigError: an experiment asks for several devices, or for what is not there.
        InputError: one cannot be prepared, they are split in different ways or of different cohorts, or fewer
            than two are left.
    """
    from bcbm.baselines.columns import table_columns
    from bcbm.cohort.splits import split_as
    from bcbm.comparison.differences import require_one_cohort, require_one_split, split_name
    from bcbm.crossvalidation.readiness import require_ready
    from bcbm.modalities.tables import AbsentColumns
    from bcbm.preparation.prepare import prepare
    from bcbm.terminal.progress import progress_bar

    for candidate in candidates:
        if candidate.config:
            require_ready(candidate.config)
        if candidate.config and candidate.config.trainer.ranks > 1:
            words = f"experiment={candidate.config.experiment}"
            raise ConfigError(
                f"{candidate.name}: a comparison cannot train on several devices; set trainer.parallel=folds "
                f"or train each with python -m bcbm.fit {words} and give the run folders"
            )
    usable, left_out, splits, cohorts = [], [], {}, dict(cohorts)
    with progress_bar(console, "checking experiments", len(candidates)) as advance:
        for candidate in candidates:
            try:
                if (config := candidate.config) is not None:
                    lesions = prepare(config, Console(quiet=True))
                    if config.model.kind != "network":
                        table_columns(lesions.data(config))
                    split = split_as(lesions.table, config)
                    name = split_name(split.unit, config.task.random_labels)
                    splits[config.experiment] = name, split.hash
                    cohorts[config.experiment] = lesions.cohort
                usable.append(candidate)
            except AbsentColumns as error:
                left_out.append(LeftOut(candidate.name, f"{error.where}: {error.found}"))
            advance(1)
    if left_out and len(usable) < 2:
        remedy = "a comparison needs two: take a cohort that has them, or name other experiments"
        raise InputError(*(Problem(experiment.name, experiment.reason, remedy) for experiment in left_out))
    require_one_cohort(list(cohorts), list(cohorts.values()), across)
    for cohort in dict.fromkeys(cohorts.values()):
        own = {name: split for name, split in splits.items() if cohorts[name] == cohort}
        require_one_split(list(own), list(own.values()))
    return usable, left_out


def reference_of(rows: "Sequence[Row]", settings: list[str]) -> str:
    """The label that the others are compared with where none is named: not LEAKY and no control, if there is.

    It is the one that changes nothing of the base experiment, else the first that predicts most targets.
    """
    candidates = [row for row in rows if not row.run.results["leaky"] and row.run.random_labels is None]
    candidates = candidates or list(rows)
    with suppress(ConfigError):  # the words need not suit a base that none of them stands on
        base = _content(compose(settings))
        for row in candidates:
            if _content(load(row.run.folder / "config.yaml")) == base:
                return row.label
    return max(candidates, key=lambda row: len(row.run.results["receptors"])).label


def _content(config: Config) -> dict[str, Any]:
    """A configuration without its name, and without where its run lies and who is told."""
    from bcbm.runs.identity import NOT_IDENTITY

    return {name: value for name, value in plain(config).items() if name not in (*NOT_IDENTITY, "experiment")}
