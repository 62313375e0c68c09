"""A journal that cannot be believed is made again: what trials have found lies in their folders too."""

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna import Study, load_study
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from rich.console import Console

from bcbm.errors import InputError, Problem
from bcbm.search.artifacts import ARTIFACTS, store_artifacts
from bcbm.search.constraints import set_constraints
from bcbm.search.engine import COUNTS, FACTS, STATES, new_study
from bcbm.search.plan import Plan
from bcbm.search.space import Settings, suggest
from bcbm.search.storage import JOURNAL, DamagedJournal, open_storage, records
from bcbm.search.worker import RESULT, outcome_of
from bcbm.system.liveness import lives, place
from bcbm.terminal.words import say

LOST = "lost with a damaged journal"  # the reason of a trial that has left no result


def recovered_storage(
    home: Path, studies: Mapping[str, str], plan: Plan, default: Settings, console: Console
) -> BaseStorage:
    """The journal of a search, each finished trial held against the result that it has left.

    Where it cannot be read, or says something else than a trial's own result, it is kept under another name
    and a new one holds every trial that has a result, under its number. Figures of single epochs are lost
    then, and trials that were running.

    Args:
        home: the search's folder.
        studies: by name, as in `study=<name>/`, what the journal calls each.
        plan: of the search.
        default: the experiment's own settings.
        console: is told what was damaged, and what is lost.

    Raises:
        InputError: it is damaged, and another parent here still searches with it.
    """
    try:
        storage = open_storage(None, home)
        differing = [
            f"{name} trial {number} is not what its own {RESULT} says"
            for name, study in studies.items()
            for number in _differing(storage, study, _outcomes(home / f"study={name}", plan))
        ]
        if not differing:
            return storage
        reason = differing[0]
    except DamagedJournal as error:
        reason = error.problems[0].found
    journal = home / JOURNAL
    if (searching := _searching(journal)) is not None:
        remedy = "let it end, or end it, and run the same sweep command again, which makes the journal anew"
        raise InputError(
            Problem(str(journal), f"{reason}, and PID {searching} still searches with it", remedy)
        )
    aside = journal.with_name(f"{JOURNAL}.damaged")
    while aside.exists():
        aside = aside.with_name(f"{aside.name}+")
    journal.replace(aside)
    shutil.rmtree(home / ARTIFACTS, ignore_errors=True)  # whose names only the journal knew
    storage = open_storage(None, home)
    taken, lost = 0, 0
    for name, study_name in studies.items():
        outcomes = _outcomes(home / f"study={name}", plan)
        if outcomes:
            _replay(new_study(study_name, storage, plan), outcomes, plan, default, home / f"study={name}")
        finished = sum(outcome is not None for outcome in outcomes)
        taken, lost = taken + finished, lost + len(outcomes) - finished
    say(
        console,
        f"{journal}: {reason}; it is kept as {aside.name}, and a new one holds what trials have left in "
        f"their folders: {taken} taken up again, {lost} without a result and the figures of epochs lost",
    )
    return storage


def _searching(journal: Path) -> int | None:
    """A process of this machine that runs trials of a journal, as far as that can be read."""
    attributes = [record.get("user_attr") for record in records(journal)]
    owners = [known["owner"] for known in attributes if isinstance(known, dict) and "owner" in known]
    here = [known for known in owners if known["place"] == place() and known["process"] != os.getpid()]
    return next((known["process"] for known in here if lives(known["process"], known["started"])), None)


def _differing(
    storage: BaseStorage, name: str, outcomes: Sequence[Mapping[str, Any] | None]
) -> Iterator[int]:
    """The numbers of the trials that a study, read after their results, has otherwise than these.

    One that still runs, by the journal, takes its result up later, if that is its own.
    """
    known = {study.study_name for study in storage.get_all_studies()}
    study = load_study(study_name=name, storage=storage) if name in known else None
    trials = study.get_trials(deepcopy=False) if study else []
    for number, outcome in enumerate(outcomes):
        if outcome is None or outcome["state"] == "failed":
            continue
        trial = trials[number] if number < len(trials) else None
        if trial is None or trial.state == TrialState.WAITING:
            yield number
        elif trial.state == TrialState.RUNNING:
            if trial.user_attrs.get("owner", {}).get("token") != outcome["token"]:
                yield number
        elif trial.state == TrialState.COMPLETE:
            stored = {"state": "complete", "settings": trial.params, "values": trial.values}
            if any(outcome.get(key) != value for key, value in stored.items()):
                yield number


def _outcomes(folder: Path, plan: Plan) -> list[Mapping[str, Any] | None]:
    """What each trial of a study has left, by its number; None where that is nothing, or no result."""
    numbers = {int(path.name.removeprefix("trial=")) for path in folder.glob("trial=*")}
    outcomes = [outcome_of(folder / f"trial={number}") for number in range(max(numbers, default=-1) + 1)]
    return [outcome if outcome and _is_result(outcome, plan) else None for outcome in outcomes]


def _is_result(outcome: Mapping[str, Any], plan: Plan) -> bool:
    """Whether a trial of this plan can have left this."""
    if outcome["state"] not in STATES or not isinstance(outcome["settings"], dict):
        return False
    values = outcome.get("values")
    if outcome["state"] != "complete":
        return True
    return (
        isinstance(values, list)
        and _are_numbers(outcome.get("figures", {}), plan.constraints)
        and len(values) == len(plan.objectives)
        and all(isinstance(value, int | float) for value in values)
        and all(
            abs(value) <= 1  # AUROC and Brier score
            for name, value in zip(plan.objectives, values, strict=True)
            if name != "parameters"
        )
    )


def _are_numbers(figures: Any, names: Iterable[str]) -> bool:
    return isinstance(figures, dict) and all(isinstance(figures.get(name), float | int) for name in names)


def _replay(
    study: Study,
    outcomes: Sequence[Mapping[str, Any] | None],
    plan: Plan,
    default: Settings,
    folder: Path,
) -> None:
    """Tell a new study what trials have found, in their order; `folder` is where they have written."""
    for outcome in outcomes:
        facts: dict[str, Any] = {"reason": LOST, "withdrawn": True}
        if outcome is not None:
            study.enqueue_trial(outcome["settings"])
            facts = {name: outcome[name] for name in FACTS if name in outcome}
            facts |= {"default": True} if outcome["settings"] == default else {}
            paper = plan.paper.items() <= outcome["settings"].items()
            facts |= {"paper": True} if plan.paper and paper else {}
            facts |= {"withdrawn": True} if outcome["state"] == "failed" else {}  # it was tried again then
        trial = study.ask()
        if outcome is not None:
            suggest(trial, plan.space)
            if trial.params != outcome["settings"]:  # which do not belong to the space
                outcome, facts = None, {"reason": LOST, "withdrawn": True}
        for name, fact in facts.items():
            trial.set_user_attr(name, fact)
        state = STATES[outcome["state"]] if outcome is not None else TrialState.FAIL
        if state in COUNTS:
            store_artifacts(trial, folder / f"trial={trial.number}", folder.parent)
        if state == TrialState.COMPLETE:
            set_constraints(trial, plan.constraints, facts.get("figures", {}))
        study.tell(trial, outcome.get("values") if outcome is not None else None, state)
