"""The results of a sweep: its studies, the best settings of each, and all trials as one table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from optuna import Study, load_study
from optuna.trial import FrozenTrial, TrialState

from bcbm.config.reading import read_yaml
from bcbm.errors import InputError, Problem
from bcbm.search.constraints import Constraints, feasible, none_feasible, read_constraints
from bcbm.search.space import Settings
from bcbm.search.storage import hidden, open_storage, require_begun
from bcbm.system.files import strict_json, write_whole
from bcbm.system.spreadsheet import spreadsheet_csv


@dataclass(frozen=True)
class Best:
    """The best trial of a study that keeps its constraints; with several objectives, the one of the Pareto
    front best in the first.

    Attributes:
        settings: such as `{"model.dropout": 0.1}`.
        value: its first objective, `values` all of them by name.
        figures: those that the constraints bound, by name.
        trial: its number.
        default: the first objective of the base experiment.
        pareto: numbers of the trials that no other beats in every objective.
    """

    settings: Settings
    value: float
    values: Mapping[str, float]
    figures: Mapping[str, float]
    trial: int
    default: float | None
    pareto: list[int]


@dataclass(frozen=True)
class SweepResult:
    """A sweep as its folder and its storage have it.

    Attributes:
        folder: the sweep's folder.
        plan: `sweep.yaml`: `config`, `objective`, `space`, `sampler`, `pruner`, `storage`, `studies`, ...
        studies: by name, `fold=K` and `final`; one that was never started is missing.
        best: by name, where a trial has finished.
        trials: one row a trial of any study.
    """

    folder: Path
    plan: Mapping[str, Any]
    studies: Mapping[str, Study]
    best: Mapping[str, Best]
    trials: pd.DataFrame

    @property
    def constraints(self) -> Constraints:
        """What a choice had to keep."""
        return read_constraints(self.plan.get("constraints", {}))[0]

    def none_feasible(self, name: str) -> str | None:
        """Words for a study none of whose finished trials keeps the constraints; None where one does."""
        complete = self.studies[name].get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        return none_feasible(complete, self.constraints)


def read_sweep(folder: Path, storage: str | None = None) -> SweepResult:
    """Read a sweep.

    Args:
        folder: `<run.root>/sweeps/<name>/<fingerprint>`.
        storage: its address, if it is not a journal in that folder: passwords are not written down.

    Raises:
        InputError: it is not a sweep's folder, or the storage cannot be opened or holds nothing of it.
    """
    path = folder / "sweep.yaml"
    if not path.is_file():
        remedy = "give the folder that sweep has printed, such as runs/sweeps/fusion/0123456789abcdef"
        raise InputError(Problem(str(folder), "is not a sweep folder", remedy))
    plan = read_yaml(path)
    address = (storage or plan["storage"]) if plan["storage"] else None
    if address:
        require_begun(address)
    opened = open_storage(address, folder)
    studies = {}
    for name in plan["studies"]:
        try:
            studies[name] = load_study(study_name=f"{plan['study']}/{name}", storage=opened)
        except KeyError:
            continue
    if address and not studies:
        remedy = "name the one that it was begun in, storage=URL"
        raise InputError(Problem(hidden(address), f"holds nothing of {folder}", remedy))
    return sweep_result(folder, plan, studies)


def sweep_result(folder: Path, plan: Mapping[str, Any], studies: Mapping[str, Study]) -> SweepResult:
    """The same from studies that are open."""
    objectives = list(plan["objective"])
    best_trials = {name: best(study, objectives) for name, study in studies.items()}
    tables = [trial_table(name, study, objectives) for name, study in studies.items()]
    trials = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    for column in ("started", "ended"):  # a study that has only been asked has neither
        if column in trials:
            trials[column] = pd.to_datetime(trials[column])
    return SweepResult(folder, plan, studies, {k: v for k, v in best_trials.items() if v is not None}, trials)


def best(study: Study, objectives: list[str]) -> Best | None:
    """The best trial of a study, if one has finished that keeps the constraints."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not (front := study.best_trials):
        return None
    sign = -1 if study.directions[0].name == "MINIMIZE" else 1
    # Of trials that are equal the earliest: the base experiment, where nothing beats it.
    chosen = max(front, key=lambda trial: (sign * trial.values[0], -trial.number))
    defaults = [trial.values[0] for trial in complete if trial.user_attrs.get("default")]
    return Best(
        settings=dict(chosen.params),
        value=chosen.values[0],
        values=dict(zip(objectives, chosen.values, strict=True)),
        figures=chosen.user_attrs.get("figures", {}),
        trial=chosen.number,
        default=defaults[0] if defaults else None,
        pareto=sorted(trial.number for trial in front),
    )


def trial_table(name: str, study: Study, objectives: list[str]) -> pd.DataFrame:
    """One row a trial: study, trial, state, objectives, seconds, epochs, reason, a column a parameter."""
    rows = [_row(name, trial, objectives) for trial in study.get_trials(deepcopy=False)]
    return pd.DataFrame(rows)


def _row(name: str, trial: FrozenTrial, objectives: list[str]) -> dict[str, Any]:
    values = trial.values if trial.state == TrialState.COMPLETE else None
    known = trial.user_attrs
    return {
        "study": name,
        "trial": trial.number,
        "state": trial.state.name.lower(),
        **dict(zip(objectives, values or [float("nan")] * len(objectives), strict=True)),
        **known.get("figures", {}),
        "default": bool(known.get("default")),
        "feasible": values is not None and feasible(trial),
        "seconds": known.get("seconds"),
        "epochs": known.get("epochs"),
        "last_step": trial.last_step,
        "last_value": trial.intermediate_values.get(trial.last_step) if trial.last_step is not None else None,
        "reason": known.get("reason"),
        "retry_of": known.get("retry_of"),
        "warm": known.get("warm"),
        "started": trial.datetime_start,
        "ended": trial.datetime_complete,
        **trial.params,
    }


def write_sweep(sweep: SweepResult) -> None:
    """Write `trials.parquet`, `trials.csv` and `best.json` into the sweep's folder."""
    table = sweep.trials.copy()
    for column in table.select_dtypes(object):  # choices may be words and numbers side by side
        table[column] = table[column].map(lambda value: value if value is None else str(value))
    write_whole(sweep.folder / "trials.parquet", table.to_parquet())
    write_whole(sweep.folder / "trials.csv", spreadsheet_csv(table))
    content = {name: vars(trial) for name, trial in sweep.best.items()}
    write_whole(sweep.folder / "best.json", strict_json(content))
