"""A study that begins with what an earlier one has found best."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from optuna import Study
from optuna.trial import TrialState

from bcbm.errors import InputError, Problem
from bcbm.search.constraints import feasible
from bcbm.search.results import read_sweep
from bcbm.search.space import Parameter, Settings
from bcbm.system.files import read_json

TAKEN = 5  # trials of each earlier study


class Earlier(NamedTuple):
    """The settings of an earlier trial, as far as the space holds them, and where it stands in words."""

    settings: Settings
    source: str


def earlier_trials(
    folder: Path, space: Sequence[Parameter], split: str, address: str | None = None
) -> dict[str, list[Earlier]]:
    """By study, the settings of the best trials of an earlier sweep, the best first.

    A fold's study is given those of the same fold's study alone, and only where both sweeps have the same
    folds: any other may have chosen on the patients that this fold tests.

    Args:
        folder: of that sweep.
        space: what is searched now.
        split: hash of the outer folds of now.
        address: of that sweep's storage, where it is none in its folder.

    Raises:
        InputError: it is no sweep's folder, has other folds, or shares no key with the space.
    """
    sweep = read_sweep(folder, address)
    if read_json(folder / "split.json", "run that sweep again, which writes it")["hash"] != split:
        found = "has other folds: what it has chosen may have been chosen on patients that these folds test"
        remedy = "give the same cohort, seed and split as there, or leave warm out"
        raise InputError(Problem(str(folder), found, remedy))
    name = f"{sweep.plan['sweep']}/{folder.name}"
    earlier = {}
    for study, opened in sweep.studies.items():
        sign = -1 if opened.directions[0].name == "MINIMIZE" else 1
        complete = filter(feasible, opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))
        best = sorted(complete, key=lambda trial: (-sign * trial.values[0], trial.number))[:TAKEN]
        earlier[study] = [
            Earlier(settings, f"{name} trial {trial.number}")
            for trial in best
            if (settings := _held(trial.params, space))
        ]
    if not any(earlier.values()):
        found = "has no finished trial with a key of this space that lies in its range"
        raise InputError(Problem(str(folder), found, "leave warm out, or search the same keys"))
    return earlier


def queue_earlier(study: Study, trials: Sequence[Earlier]) -> None:
    """Queue the settings of earlier trials that the study has not been given before."""
    given = {trial.user_attrs.get("warm") for trial in study.get_trials(deepcopy=False)}
    for settings, source in trials:
        if source not in given:
            study.enqueue_trial(settings, user_attrs={"warm": source}, skip_if_exists=True)


def _held(settings: Mapping[str, object], space: Sequence[Parameter]) -> Settings:
    return {p.key: settings[p.key] for p in space if p.key in settings and p.holds(settings[p.key])}
