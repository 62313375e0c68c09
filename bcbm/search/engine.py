"""The parent: takes trials from Optuna, starts a process for each, and records every result."""

import math
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from uuid import uuid4

from optuna import Study, create_study, load_study
from optuna.exceptions import DuplicatedStudyError, ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from bcbm.errors import InputError, Problem
from bcbm.search.liveness import BEAT, GRACE, Watch, owner
from bcbm.search.plan import Plan
from bcbm.search.space import Settings, suggest
from bcbm.search.worker import Job, Measure, result, work
from bcbm.system.pool import end, end_group, how_ended, start
from bcbm.system.processes import held_back

LOOK = 5.0  # seconds between two looks for trials whose parent is gone
COUNTS = (TrialState.COMPLETE, TrialState.PRUNED)
STRIKES = 2  # times that settings may end without a result
STACK = ("bcbm.search.worker", "bcbm.search.objective")
STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Search:
    """One study and what its trials do.

    Attributes:
        name: `fold=K` or `final`.
        study: the study; its trials may be run by other parents too.
        measure: what a trial does.
        folder: where its trials write.
    """

    name: str
    study: Study
    measure: Measure
    folder: Path

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        """The trials in these states, or all."""
        return self.study.get_trials(deepcopy=False, states=states or None)

    def trial_folder(self, number: int) -> Path:
        """Where a trial writes."""
        return self.folder / f"trial={number}"

    def finished(self, plan: Plan) -> bool:
        """Whether the budget is used up: so many trials finished or pruned, or so much time trained."""
        return _finished(self.trials(), plan)

    def wants(self, plan: Plan) -> bool:
        """Whether another trial would still be within the budget, those that run or wait counted in."""
        trials = self.trials()
        states = Counter(trial.state for trial in trials)
        busy, waiting = (
            sum(states[state] for state in (*COUNTS, TrialState.RUNNING)),
            states[TrialState.WAITING],
        )
        if _finished(trials, plan):
            return False
        return plan.trials is None or busy + waiting < plan.trials or bool(waiting and busy < plan.trials)


def _finished(trials: Sequence[FrozenTrial], plan: Plan) -> bool:
    counted = sum(trial.state in COUNTS for trial in trials)
    trained = sum(trial.user_attrs.get("seconds", 0.0) for trial in trials)
    return (plan.trials is not None and counted >= plan.trials) or (
        plan.minutes is not None and trained >= 60 * plan.minutes
    )


def new_study(name: str, storage: BaseStorage, plan: Plan) -> Study:
    """Create a study.

    Raises:
        DuplicatedStudyError: it is there.
    """
    study = create_study(study_name=name, storage=storage, directions=plan.directions)
    with warnings.catch_warnings():  # metric names are experimental in Optuna 5; its dashboard shows them
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names(list(plan.objectives))
    return study


def open_study(name: str, storage: BaseStorage, plan: Plan, default: Settings) -> Study:
    """Load or create a study; queue the base experiment and the paper's settings unless they were tried."""
    try:
        study = new_study(name, storage, plan)
    except DuplicatedStudyError:
        study = load_study(study_name=name, storage=storage)
    study.pruner = plan.make_pruner()
    trials = study.get_trials(deepcopy=False)
    tried = [trial for trial in trials if trial.user_attrs.get("default")]
    unqueued = [trial.number for trial in _unqueued(trials)]
    if all(trial.state == TrialState.FAIL and trial.number not in unqueued for trial in tried):
        study.enqueue_trial(default, user_attrs={"default": True})
    if plan.paper and not any(trial.user_attrs.get("paper") for trial in trials):
        study.enqueue_trial(plan.paper, user_attrs={"paper": True})
    return study


@dataclass
class RunningTrial:
    """A trial that runs here."""

    search: Search
    trial: Trial
    settings: Settings
    token: str
    slot: int
    process: BaseProcess
    since: float = field(default_factory=time.monotonic)


class Engine:
    """Runs the trials of some studies, `workers` at once, until every budget is used up.

    A running trial has its owner in the storage. Its process leaves a file, which is recorded in Optuna here,
    or by the next parent if this one is killed. A process that ends without a file has failed, and its
    settings are tried once more. With several parents on one study the budget is met and not exceeded.

    Args:
        searches: the studies, in the order in which workers turn to them.
        plan: budget, space, sampler and pruner.
        address: the storage, and `home`, the sweep's folder, as trials need them.
        on_end: called with the study and the trial whenever a trial ends.
        on_show: called with the running trials, a few times a second.
        grace: seconds without a sign of life until a trial on another machine counts as left.
    """

    def __init__(
        self,
        searches: Sequence[Search],
        plan: Plan,
        workers: int,
        address: str | None,
        home: Path,
        on_end: Callable[[Search, FrozenTrial], None],
        on_show: Callable[[Sequence[RunningTrial]], None],
        grace: float = GRACE,
    ) -> None:
        self.searches, self.plan, self.workers = searches, plan, workers
        self.address, self.home, self.on_end, self.on_show = address, home, on_end, on_show
        self.running: list[RunningTrial] = []
        self.watch = Watch(grace)

    def run(self) -> None:
        """Search until every budget is used up.

        Raises:
            KeyboardInterrupt: the running trials were stopped and will be tried again.
            InputError: the base experiment itself fails, or trials fail much more often than not.
        """
        last_look = last_beat = -math.inf
        try:
            while True:
                self._collect()
                if time.monotonic() - last_look > LOOK:
                    last_look = time.monotonic()
                    self._adopt()
                while self._start():
                    pass
                if not self.running and all(search.finished(self.plan) for search in self.searches):
                    return
                if time.monotonic() - last_beat > BEAT:
                    last_beat = time.monotonic()
                    for running in self.running:
                        _note(running.trial, beat=last_beat)
                self.on_show(self.running)
                connection.wait([running.process.sentinel for running in self.running], timeout=0.5)
        except (KeyboardInterrupt, InputError):
            self._stop()
            self._set_back()
            raise
        finally:
            self._stop()

    def _start(self) -> bool:
        """Start a trial where a worker is free and a study has budget; whether a trial was started."""
        free = set(range(self.workers)) - {running.slot for running in self.running}
        search = next((search for search in self.searches if search.wants(self.plan)), None) if free else None
        if search is None:
            return False
        trial, token = search.study.ask(), uuid4().hex
        _note(trial, owner=owner(token))
        if not self._admitted(search, trial):
            _note(trial, withdrawn=True, reason="another trial has taken its place meanwhile")
            _finish_trial(search.study, trial, TrialState.FAIL)
            return False
        search.study.sampler = self.plan.make_sampler(_draws_before(search.trials(), trial.number))
        settings = suggest(trial, self.plan.space)
        slot = min(free)
        job = Job(
            measure=search.measure,
            settings=settings,
            folder=search.trial_folder(trial.number),
            token=token,
            address=self.address,
            home=self.home,
            study=search.study.study_name,
            trial=trial._trial_id,
            pruner=None if {"default", "paper"} & trial.user_attrs.keys() else search.study.pruner,
            reports=len(self.plan.objectives) == 1,
        )
        name = f"{search.name} trial {trial.number}"
        with held_back(signal.SIGINT, signal.SIGTERM):  # half a job would be sent, or a trial forgotten
            process = start(work, job, name=name, slot=slot, size=self.workers)
            self.running.append(RunningTrial(search, trial, settings, token, slot, process))
        return True

    def _admitted(self, search: Search, trial: Trial) -> bool:
        """Whether a new trial is within the budget, whatever other parents have started.

        Of two trials that were started at once the later is withdrawn, and of two that stand for one failed
        trial; a trial that is tried again, whose number is old, gives way to all.
        """
        origin = trial.user_attrs.get("retry_of")
        retried = origin is not None
        if retried and any(
            other.user_attrs.get("retry_of") == origin for other in search.trials()[: trial.number]
        ):
            return False
        if self.plan.trials is None:
            return True
        others = [
            other
            for other in search.trials(*COUNTS, TrialState.RUNNING)
            if other.number != trial.number
            and (other.state in COUNTS or retried or other.number < trial.number)
        ]
        return len(others) < self.plan.trials

    def _collect(self) -> None:
        """Record the results of the processes that have ended."""
        for running in [running for running in self.running if not running.process.is_alive()]:
            self.running.remove(running)
            if running.process.exitcode:  # its fork server may be dead and the trial itself alive
                end_group(running.process)
            self._record(running.search, running.trial, running.token, how_ended(running.process))

    def _adopt(self) -> None:
        """Record, or try again, the trials of parents that have ended.

        One may have been killed when it had failed a trial and not yet queued it again.
        """
        own = {running.trial._trial_id for running in self.running}
        for search in self.searches:
            for orphan in search.trials(TrialState.RUNNING):
                if orphan._trial_id not in own and self.watch.left(orphan):
                    process_owner = orphan.user_attrs.get("owner", {})
                    trial = Trial(search.study, orphan._trial_id)
                    self._record(search, trial, process_owner.get("token", ""), "left by its parent")
            for failed in _unqueued(search.trials()):
                self._try_again(search.study, failed)

    def _record(self, search: Search, trial: Trial, token: str, reason: str) -> None:
        """Record the result of a trial in Optuna; without a result it failed, and is tried again once."""
        outcome: Mapping[str, Any] | None = result(search.trial_folder(trial.number), token)
        if outcome is not None:
            facts = {name: outcome[name] for name in ("seconds", "epochs", "reason") if name in outcome}
            _note(trial, **facts)
            _finish_trial(search.study, trial, STATES[outcome["state"]], outcome.get("values"))
        else:
            self._fail(search.study, trial, reason, strike=reason != "left by its parent")
        frozen = search.study.get_trials(deepcopy=False)[trial.number]
        self.on_end(search, frozen)
        if frozen.state == TrialState.FAIL:
            self._judge(search, frozen)

    def _judge(self, search: Search, trial: FrozenTrial) -> None:
        """Stop a search that cannot succeed."""
        retried = {other.user_attrs.get("retry_of") for other in search.trials()}
        given_up = [
            other
            for other in search.trials(TrialState.FAIL)
            if other.number not in retried and "withdrawn" not in other.user_attrs
        ]
        reason = trial.user_attrs.get("reason", "")
        if any(other.number == trial.number for other in given_up):
            where = f"{search.name} trial {trial.number}"
            if trial.user_attrs.get("default"):
                remedy = f"see {search.trial_folder(trial.number)}; correct the experiment before searching"
                raise InputError(Problem(where, f"the base experiment itself fails: {reason}", remedy))
            if len(given_up) > 10 + len(search.trials(*COUNTS)):
                remedy = f"see {search.trial_folder(trial.number)}; narrow the space"
                raise InputError(
                    Problem(where, f"{len(given_up)} trials have failed, this one with: {reason}", remedy)
                )

    def _stop(self) -> None:
        """End the processes of the running trials."""
        end(running.process for running in self.running)

    def _set_back(self) -> None:
        """Queue the stopped trials again, unless they had just finished."""
        for running in self.running:
            if result(running.search.trial_folder(running.trial.number), running.token) is not None:
                self._record(running.search, running.trial, running.token, "")
                continue
            self._fail(running.search.study, running.trial, "interrupted", strike=False)
        self.running.clear()

    def _fail(self, study: Study, trial: Trial, reason: str, strike: bool) -> None:
        """Finish a trial without a result, unless another parent has, and queue it again.

        Its strikes are noted first, so that whoever comes after a kill in between can do what is left.

        Args:
            strike: the trial itself failed, and was not merely stopped with its parent.
        """
        before = study.get_trials(deepcopy=False)[trial.number].user_attrs.get("again", 0)
        _note(trial, reason=reason, strikes=before + strike)
        if _finish_trial(study, trial, TrialState.FAIL):
            self._try_again(study, study.get_trials(deepcopy=False)[trial.number])

    def _try_again(self, study: Study, failed: FrozenTrial) -> None:
        """Queue the settings of a failed trial, unless that was the last of their failures.

        A parent may have been killed before all were drawn: then they are drawn again.
        """
        strikes = failed.user_attrs["strikes"]
        if strikes >= STRIKES:
            return
        fixed = failed.system_attrs.get("fixed_params", {})
        settings = {**fixed, **failed.params}
        whole = all(p.key in settings for p in self.plan.space if p.active(settings))
        attributes = {"default": True} if failed.user_attrs.get("default") else {}
        study.enqueue_trial(
            settings if whole else fixed,
            user_attrs={**attributes, "again": strikes, "retry_of": failed.number},
        )


def _unqueued(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The failed trials that are still to be tried again and that nobody has queued."""
    retried = {trial.user_attrs.get("retry_of") for trial in trials}
    failed = [trial for trial in trials if trial.state == TrialState.FAIL and trial.number not in retried]
    return [trial for trial in failed if trial.user_attrs.get("strikes", STRIKES) < STRIKES]


def _draws_before(trials: Sequence[FrozenTrial], number: int) -> int:
    """How many draws of settings lie before a trial's own, by which it is seeded.

    One that is tried again is no draw of its own, but that of the trial it goes back to: so a search that was
    killed draws what an undisturbed one does.
    """
    while (origin := trials[number].user_attrs.get("retry_of")) is not None:
        number = origin
    return sum("retry_of" not in trial.user_attrs for trial in trials[:number])


def _note(trial: Trial, **facts: Any) -> None:
    """Write facts beside a trial, unless it has ended meanwhile."""
    try:
        for name, fact in facts.items():
            trial.set_user_attr(name, fact)
    except UpdateFinishedTrialError:
        return


def _finish_trial(
    study: Study, trial: Trial, state: TrialState, values: Sequence[float] | None = None
) -> bool:
    """Finish a trial in Optuna; false if another parent has done so."""
    try:
        study.tell(trial, values, state)
    except (UpdateFinishedTrialError, ValueError):  # ValueError: it was not running any more when read
        return False
    return True
