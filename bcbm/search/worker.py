"""One trial in a process of its own: its job, its reports while it runs, its result."""

import json
import math
import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from optuna import Study, TrialPruned, load_study
from optuna.pruners import BasePruner
from optuna.samplers import RandomSampler
from optuna.trial import Trial

from bcbm.runs.folder import RunFolder
from bcbm.search.space import Settings
from bcbm.search.storage import open_storage, patiently
from bcbm.system.files import write_whole

RESULT = "result.json"


class Measure(Protocol):
    """What a trial does: train with the settings, write into its folder, report, return its figures."""

    def __call__(self, settings: Settings, folder: RunFolder, report: "Report") -> list[float]:
        """Return one value an objective.

        Raises:
            TrialPruned: the pruner stops the trial.
        """


@dataclass(frozen=True)
class Job:
    """A trial as it is sent to its process.

    Attributes:
        measure: what to do.
        settings: what it is done with.
        folder: `study=.../trial=N`.
        token: names this run of the trial.
        address: the storage, and `home`, the sweep's folder, where the journal lies.
        study: the study's name, `trial` the trial's id in the storage.
        pruner: stops a trial that does not keep up; None: this trial is never stopped.
        reports: whether the study takes figures while a trial runs; one with several objectives does not.
    """

    measure: Measure
    settings: Settings
    folder: Path
    token: str
    address: str | None
    home: Path
    study: str
    trial: int
    pruner: BasePruner | None
    reports: bool


class Report:
    """The reports of a running trial to its study.

    Attributes:
        epochs: trained so far, over all inner folds.
        figures: of the finished trial, those that the sweep's constraints bound.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.epochs = 0
        self.figures: dict[str, float] = {}
        self._trial: Trial | None = None

    def __call__(self, step: int, value: float, last: bool = False) -> None:
        """Report a figure.

        Args:
            step: inner fold times the most epochs a fold, plus the epoch.
            value: the first objective so far.
            last: nothing is left to be saved by stopping.

        Raises:
            TrialPruned: the trial does not keep up with the others.
        """
        if not self.job.reports:
            return
        if self._trial is None:
            self._trial = Trial(patiently(self._study), self.job.trial)
        self._trial.report(value, step)
        if self.job.pruner is not None and not last and self._trial.should_prune():
            raise TrialPruned(f"stopped at step {step}")

    def _study(self) -> Study:
        storage = open_storage(self.job.address, self.job.home)
        return load_study(
            study_name=self.job.study, storage=storage, sampler=RandomSampler(), pruner=self.job.pruner
        )


def work(job: Job) -> None:
    """Do a trial and leave `result.json`, whole or not at all. The last thing a process does."""
    job.folder.mkdir(parents=True, exist_ok=True)
    output = os.open(job.folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    begun, report = time.monotonic(), Report(job)
    outcome: dict[str, Any] = {"token": job.token, "settings": job.settings}
    try:
        values = job.measure(job.settings, RunFolder(job.folder), report)
        if all(math.isfinite(value) for value in values):
            outcome |= {"state": "complete", "values": values}
            outcome |= {"figures": report.figures} if report.figures else {}
        else:
            outcome |= {"state": "failed", "reason": f"an objective is not defined: {values}"}
    except TrialPruned as pruned:
        outcome |= {"state": "pruned", "reason": str(pruned)}
    except Exception as error:
        message = " ".join(str(error).split())
        outcome |= {
            "state": "failed",
            "reason": f"{type(error).__name__}: {message}",
            "trace": traceback.format_exc(),
        }
    outcome |= {"epochs": report.epochs, "seconds": time.monotonic() - begun}
    write_whole(job.folder / RESULT, json.dumps(outcome, indent=1))


def outcome_of(folder: Path) -> Mapping[str, Any] | None:
    """What the last run of a trial has left in its folder; None where that is nothing that can be read."""
    try:
        outcome = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(outcome, dict) and {"token", "settings", "state"} <= outcome.keys()
    return outcome if whole else None


def result(folder: Path, token: str) -> Mapping[str, Any] | None:
    """What the run of a trial that `token` names has left in its folder, if it came to its end."""
    outcome = outcome_of(folder)
    return outcome if outcome is not None and outcome["token"] == token else None
