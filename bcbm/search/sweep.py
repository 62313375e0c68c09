"""A search from its words to its conclusion."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import OmegaConf
from rich.console import Console

from bcbm.config.checks import nearest
from bcbm.config.compose import plain
from bcbm.config.places import sweep_names
from bcbm.config.reading import read_yaml
from bcbm.errors import ConfigError
from bcbm.terminal.words import say

if TYPE_CHECKING:
    from bcbm.search.plan import Plan
    from bcbm.search.results import SweepResult

OWN_WORDS = (
    *("sweep", "workers", "storage", "trials", "minutes", "outer", "experiment", "refit", "warm"),
    "export",
)


@dataclass(frozen=True)
class SweepWords:
    """The words of a command line: those of the sweep, and those of its experiment."""

    own: Mapping[str, str]
    experiment_words: Sequence[str]

    @classmethod
    def read(cls, words: Sequence[str]) -> "SweepWords":
        """Separate them.

        Raises:
            ConfigError: `sweep` is not set.
        """
        split = [(word.lstrip("-").partition("=")[0], word) for word in words]
        own = {name: word.partition("=")[2] for name, word in split if name in OWN_WORDS}
        if not own.get("sweep"):
            names = ", ".join(sweep_names())
            raise ConfigError(f"sweep is not set; write sweep=NAME, one of {names}, or a file")
        return cls(own, [word for name, word in split if name not in OWN_WORDS])

    @property
    def workers(self) -> int:
        """Trials at once."""
        word = self.own.get("workers", "1")
        if not word.isdecimal() or int(word) < 1:
            raise ConfigError(f"workers={word}: write a number of trials to run at once, at least 1")
        return int(word)

    @property
    def refit(self) -> bool:
        """Whether the outer folds are trained with what was chosen."""
        word = self.own.get("refit", "true")
        if word not in ("true", "false"):
            raise ConfigError(f"refit={word}: write true, or false to leave the outer folds out")
        return word == "true"

    @property
    def plan(self) -> "Plan":
        """The search, checked."""
        from bcbm.search.plan import read_plan

        budget = {name: self.own[name] for name in ("experiment", "trials", "minutes") if name in self.own}
        return read_plan(self.own["sweep"], self.experiment_words, budget)

    def studies(self, known: Sequence[str]) -> list[str]:
        """The studies that `outer` names, or all."""
        if "outer" not in self.own:
            return list(known)
        by_word = {name.removeprefix("fold="): name for name in known}
        words = self.own["outer"].strip("[]").split(",")
        for word in words:
            if word.strip() not in by_word:
                raise ConfigError(f"outer={self.own['outer']}: no '{word}'; {nearest(word, list(by_word))}")
        return [by_word[word.strip()] for word in words]


def sweep(words: Sequence[str], console: Console) -> "SweepResult":
    """Search, or continue a search, until the budget of every study is used up.

    Raises:
        ConfigError: everything wrong with the command line and the sweep's file.
        InputError: the cohort or the storage cannot be used, or the base experiment itself fails.
        KeyboardInterrupt: what has been found so far is shown and written.
    """
    request = SweepWords.read(words)
    workers, refit = request.workers, request.refit
    plan = request.plan

    from bcbm.cohort.splits import split_as
    from bcbm.crossvalidation.parallel import fold_stack
    from bcbm.crossvalidation.readiness import require_ready
    from bcbm.preparation.prepare import prepare
    from bcbm.runs.identity import fingerprint
    from bcbm.search.conclusion import conclude
    from bcbm.search.engine import STACK, Engine, Search, open_study
    from bcbm.search.objective import measures
    from bcbm.search.recovery import recovered_storage
    from bcbm.search.results import read_sweep, write_sweep
    from bcbm.search.screen import Screen, print_best
    from bcbm.search.space import default_settings
    from bcbm.search.storage import open_storage
    from bcbm.search.warm import earlier_trials, queue_earlier
    from bcbm.system.files import write_whole
    from bcbm.system.processes import load_stack

    config = plan.config
    require_ready(config)
    if not (config.split.holdout or config.split.file):  # else the cohort says how many folds there are
        request.studies(_studies(config.split.folds * config.split.repeats))
    load_stack([*STACK, *fold_stack(config)])
    lesions = prepare(config, console)
    split = split_as(lesions.table, config)
    chosen = request.studies(_studies(len(split.folds)))
    study_measures = measures(config, lesions, split, plan.objectives, plan.epochs, tuple(plan.constraints))
    text = json.dumps([fingerprint(config, lesions.cohort, split.hash), plan.source], sort_keys=True)
    identity = hashlib.sha256(text.encode()).hexdigest()[:16]
    home = Path(config.run.root).resolve() / "sweeps" / plan.name / identity
    address = request.own.get("storage") or None
    content = _resolved(plan, f"{plan.name}/{identity}", address, list(study_measures), lesions.cohort)
    _require_same_storage(home / "sweep.yaml", address)
    default = default_settings(plan.space, config)
    earlier = {}
    if warm := request.own.get("warm"):
        earlier = earlier_trials(Path(warm).expanduser(), plan.space, split.hash, address)
    names = {name: f"{plan.name}/{identity}/{name}" for name in study_measures}
    if address:
        storage = open_storage(address, home)
    else:
        storage = recovered_storage(home, names, plan, default, console)
    write_whole(home / "sweep.yaml", OmegaConf.to_yaml(content))
    write_whole(home / "split.json", split.to_json())
    say(console, f"sweep folder {home}")
    searches = [
        Search(
            name,
            open_study(names[name], storage, plan, default),
            study_measures[name],
            home / f"study={name}",
        )
        for name in chosen
    ]
    for search in searches:
        queue_earlier(search.study, earlier.get(search.name, ()))
    done = False
    try:
        with Screen(console, searches, plan, workers) as screen:
            Engine(searches, plan, workers, address, home, screen.ended, screen.show).run()
        done = True
    finally:
        result = read_sweep(home, address)
        write_sweep(result)
        print_best(result, console)
        with nullcontext() if done else suppress(Exception):  # the error that ended the search is shown
            conclude(result, address, config, lesions.cohort, words, done and refit, console)
    return result


def export(words: Sequence[str], console: Console) -> list[Path]:
    """Write a search for another engine, which `export=` names: W&B; see `export_sweep`.

    Raises:
        ConfigError: everything wrong with the command line and the sweep's file, or what W&B cannot hold.
        InputError: the cohort cannot be used.
    """
    request = SweepWords.read(words)
    if request.own["export"] != "wandb":
        raise ConfigError(f"export={request.own['export']}: write export=wandb")
    from bcbm.cohort.splits import split_as
    from bcbm.preparation.prepare import prepare
    from bcbm.search.wandb_sweep import export_sweep, require_exportable

    plan = request.plan
    require_exportable(plan)
    lesions = prepare(plan.config, console)
    split = split_as(lesions.table, plan.config)
    return export_sweep(plan, lesions, split, request.studies(_studies(len(split.folds))), console)


def _studies(folds: int) -> list[str]:
    """The studies of a search over so many outer folds."""
    from bcbm.search.objective import FINAL

    return [*(f"fold={number}" for number in range(folds)), FINAL]


def _require_same_storage(file: Path, address: str | None) -> None:
    """Refuse to continue a search in another storage, whose empty studies would replace its results."""
    from bcbm.search.storage import hidden, require_begun

    if not file.is_file():
        return
    began, given = read_yaml(file).get("storage"), hidden(address) if address else None
    if began != given:
        raise ConfigError(
            f"storage={given or ''}: this search was begun on {began or 'the journal in its folder'} "
            f"({file.parent}); give the same storage, or another run.root"
        )
    if address:
        require_begun(address)


def _resolved(
    plan: "Plan", study: str, address: str | None, studies: list[str], cohort: str
) -> dict[str, object]:
    """`sweep.yaml`: everything that defines the search, without a password."""
    from bcbm.search.storage import hidden

    return {
        "sweep": plan.name,
        "study": study,
        "studies": studies,
        "cohort": cohort,
        "trials": plan.trials,
        "minutes": plan.minutes,
        **plan.source,
        "storage": hidden(address) if address else None,
        "config": plain(plan.config),
    }
