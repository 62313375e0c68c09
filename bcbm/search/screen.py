"""The screen of a sweep: a live table of what runs, or a line a trial where there is no terminal."""

import math
import time
from collections.abc import Sequence
from types import TracebackType

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from bcbm.search.constraints import broken
from bcbm.search.engine import COUNTS, RunningTrial, Search
from bcbm.search.plan import Plan
from bcbm.search.results import SweepResult, best
from bcbm.search.space import Settings
from bcbm.system.words import duration
from bcbm.terminal.progress import EVERY
from bcbm.terminal.words import say

_REFRESH = 1.0  # seconds


class Screen:
    """What a sweep shows while it runs.

    Args:
        console: where; a live table if it is a terminal.
        searches: all studies.
        plan: budget and objectives.
        workers: trials at once.
    """

    def __init__(self, console: Console, searches: Sequence[Search], plan: Plan, workers: int) -> None:
        self.console, self.searches, self.plan, self.workers = console, searches, plan, workers
        self.live = Live(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
        self._shown = -math.inf if self.live else time.monotonic()

    def __enter__(self) -> "Screen":
        say(self.console, extent(self.plan, len(self.searches)))
        if left := self._left():
            say(self.console, f"time left: {left}")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def ended(self, search: Search, trial: FrozenTrial) -> None:
        """Print a line of a trial that has ended."""
        value = " ".join(
            f"{name} {value:.4g}"
            for name, value in zip(self.plan.objectives, trial.values or (), strict=False)
        )
        words = [f"{search.name} trial {trial.number}: {trial.state.name.lower()}", value]
        if trial.state != TrialState.COMPLETE:
            words.append(f"({trial.user_attrs.get('reason', '')})")
        breaks = broken(trial, self.plan.constraints)
        words += [f"(breaks {breaks})"] if breaks else []
        words += [f"from {trial.user_attrs['warm']}"] if "warm" in trial.user_attrs else []
        words += ["the paper's settings"] if trial.user_attrs.get("paper") else []
        words.append("the experiment as it is" if trial.user_attrs.get("default") else short(trial.params))
        if left := self._left():
            words.append(f"({left} left in total)")
        say(self.console, " ".join(filter(None, words)))
        if not self.live:
            self._shown = time.monotonic()

    def show(self, running: Sequence[RunningTrial]) -> None:
        """Draw what runs, at most once a second; where there is no terminal say it every half minute."""
        if time.monotonic() - self._shown > (_REFRESH if self.live else EVERY):
            self._shown = time.monotonic()
            if self.live:
                self.live.update(self._table(running), refresh=True)
                return
            for search in self._current(running):
                say(self.console, self._line(search))

    def _table(self, running: Sequence[RunningTrial]) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("study", "trial", "settings", "inner fold", "epoch", self.plan.objectives[0], "time"):
            table.add_column(column)
        for current in running:
            frozen = current.search.trials()[current.trial.number]
            step = frozen.last_step
            fold, epoch = divmod(step or 0, self.plan.epochs)
            value = "" if step is None else f"{frozen.intermediate_values[step]:.3f}"
            spent = f"{time.monotonic() - current.since:.0f} s"
            table.add_row(
                current.search.name,
                str(current.trial.number),
                short(current.settings),
                str(fold),
                str(epoch),
                value,
                spent,
            )
        return Group(table, *(Text(self._line(search)) for search in self._current(running)))

    def _current(self, running: Sequence[RunningTrial]) -> list[Search]:
        """The studies that are worked on, or the next one."""
        active = [search for search in self.searches if any(current.search is search for current in running)]
        return active or [search for search in self.searches if not search.finished(self.plan)][:1]

    def _line(self, search: Search) -> str:
        """The progress of a study: counts, best against default, time left."""
        trials = search.trials()
        count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        words = [f"{search.name}: {count[TrialState.COMPLETE]} finished, {count[TrialState.PRUNED]} pruned"]
        words.append(f"{count[TrialState.FAIL]} failed")
        if self.plan.trials:
            words[0] += f" of {self.plan.trials}"
        if leader := best(search.study, list(self.plan.objectives)):
            default = "" if leader.default is None else f" (default {leader.default:.3f})"
            words.append(f"best {leader.value:.3f}{default}")
        if left := self._left():
            words.append(f"{left} left in total")
        return ", ".join(words)

    def _left(self) -> str | None:
        """Time that is left, by the trials so far; None if none has ended, or nothing is left."""
        trials = [search.trials() for search in self.searches]
        known = [t.user_attrs["seconds"] for study in trials for t in study if "seconds" in t.user_attrs]
        if not known:
            return None
        seconds = 0.0
        for study in trials:
            counted = sum(trial.state in COUNTS for trial in study)
            trained = sum(trial.user_attrs.get("seconds", 0.0) for trial in study)
            budgets = [(self.plan.trials - counted) * sum(known) / len(known)] if self.plan.trials else []
            budgets += [60 * self.plan.minutes - trained] if self.plan.minutes else []
            seconds += max(0.0, min(budgets))
        return in_time(seconds / self.workers) if seconds else None


def extent(plan: Plan, studies: int) -> str:
    """The extent of a search, before its first trial runs."""
    inner, network = plan.config.split.inner, plan.config.model.kind == "network"
    inner_words = f"{inner} inner folds" + (f" x up to {plan.epochs} epochs" if network else "")
    words = f"search: {studies} {'study' if studies == 1 else 'studies'}"
    if plan.trials:
        fits = studies * plan.trials * inner
        epochs = f", up to {fits * plan.epochs:,} epochs" if network else ""
        words += f" x {plan.trials} trial{'s' * (plan.trials > 1)} x {inner_words}: {fits:,} fits{epochs}"
    else:
        words += f", trials of {inner_words}"
    return words + (f"; at most {plan.minutes:g} minutes of training a study" if plan.minutes else "")


def in_time(seconds: float) -> str:
    """An estimated duration in words."""
    return "less than a minute" if round(seconds) < 60 else f"about {duration(seconds)}"


def short(settings: Settings) -> str:
    """Settings in few words: the last part of each key, numbers with three digits."""
    parts = []
    for key, value in settings.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{key.rpartition('.')[2]}={text}")
    return " ".join(parts)


def print_best(sweep: SweepResult, console: Console) -> None:
    """The best trial of every study beside the base experiment, and below the table its settings."""
    objective = sweep.plan["objective"][0]
    table = Table(title=f"best of every study ({objective}, inner folds)", title_justify="left", box=None)
    for column in ("study", "trial", objective, "default", "finished", "pruned", "failed"):
        table.add_column(column, overflow="fold")
    lines = []
    for name in sweep.studies:
        rows = sweep.trials[sweep.trials["study"] == name] if len(sweep.trials) else sweep.trials
        states = rows["state"].value_counts().to_dict() if len(rows) else {}
        counts = [str(states.get(state, 0)) for state in ("complete", "pruned", "fail")]
        figures = [""] * 3
        if (trial := sweep.best.get(name)) is not None:
            default = "" if trial.default is None else f"{trial.default:.3f}"
            figures = [str(trial.trial), f"{trial.value:.3f}", default]
            lines.append(f"{name}: {short(trial.settings) or 'the experiment as it is'}")
        elif reason := sweep.none_feasible(name):
            lines.append(f"{name}: {reason}")
        table.add_row(name, *figures, *counts)
    console.print(table)
    for line in lines:
        say(console, line)
