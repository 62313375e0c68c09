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

from bcbm.search.engine import COUNTS, Running, Search
from bcbm.search.plan import Plan
from bcbm.search.results import Finished, best
from bcbm.search.space import Settings
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
        self._shown = -math.inf

    def __enter__(self) -> "Screen":
        say(self.console, asked_for(self.plan, len(self.searches)))
        if left := self._left():
            say(self.console, f"{left} for what is left of it")
        if self.live:
            self.live.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.live:
            self.live.stop()

    def ended(self, search: Search, trial: FrozenTrial) -> None:
        """Say a line of a trial that has ended."""
        value = " ".join(
            f"{name} {value:.4g}"
            for name, value in zip(self.plan.objectives, trial.values or (), strict=False)
        )
        words = [f"{search.name} trial {trial.number}: {trial.state.name.lower()}", value]
        if trial.state != TrialState.COMPLETE:
            words.append(f"({trial.user_attrs.get('reason', '')})")
        words.append("the experiment as it is" if trial.user_attrs.get("default") else short(trial.params))
        if left := self._left():
            words.append(f"({left} left in all)")
        say(self.console, " ".join(filter(None, words)))

    def show(self, running: Sequence[Running]) -> None:
        """Draw what runs, at most once a second."""
        if self.live and time.monotonic() - self._shown > _REFRESH:
            self._shown = time.monotonic()
            self.live.update(self._table(running), refresh=True)

    def _table(self, running: Sequence[Running]) -> Group:
        table = Table(box=None, padding=(0, 2, 0, 0))
        for column in ("study", "trial", "settings", "inner fold", "epoch", self.plan.objectives[0], "time"):
            table.add_column(column)
        for one in running:
            frozen = one.search.trials()[one.trial.number]
            step = frozen.last_step
            fold, epoch = divmod(step or 0, self.plan.epochs)
            value = "" if step is None else f"{frozen.intermediate_values[step]:.3f}"
            spent = f"{time.monotonic() - one.since:.0f} s"
            table.add_row(
                one.search.name,
                str(one.trial.number),
                short(one.settings),
                str(fold),
                str(epoch),
                value,
                spent,
            )
        return Group(table, *(Text(self._line(search)) for search in self._current(running)))

    def _current(self, running: Sequence[Running]) -> list[Search]:
        """The studies that are worked on, or the next one."""
        worked = [search for search in self.searches if any(one.search is search for one in running)]
        return worked or [search for search in self.searches if not search.finished(self.plan)][:1]

    def _line(self, search: Search) -> str:
        """How far a study is: counts, best against default, time left."""
        trials = search.trials()
        count = {state: sum(trial.state == state for trial in trials) for state in TrialState}
        words = [f"{search.name}: {count[TrialState.COMPLETE]} finished, {count[TrialState.PRUNED]} pruned"]
        words.append(f"{count[TrialState.FAIL]} failed")
        if self.plan.trials:
            words[0] += f" of {self.plan.trials}"
        if found := best(search.study, list(self.plan.objectives)):
            default = "" if found.default is None else f" (default {found.default:.3f})"
            words.append(f"best {found.value:.3f}{default}")
        if left := self._left():
            words.append(f"{left} left in all")
        return ", ".join(words)

    def _left(self) -> str | None:
        """Time that is left, by the trials so far; None if none has ended, or nothing is left."""
        trials = [search.trials() for search in self.searches]
        known = [t.user_attrs["seconds"] for of in trials for t in of if "seconds" in t.user_attrs]
        if not known:
            return None
        rest = 0.0
        for of in trials:
            counted = sum(trial.state in COUNTS for trial in of)
            trained = sum(trial.user_attrs.get("seconds", 0.0) for trial in of)
            budgets = [(self.plan.trials - counted) * sum(known) / len(known)] if self.plan.trials else []
            budgets += [60 * self.plan.minutes - trained] if self.plan.minutes else []
            rest += max(0.0, min(budgets))
        return in_time(rest / self.workers) if rest else None


def asked_for(plan: Plan, studies: int) -> str:
    """How much a search is, before its first trial runs."""
    inner, network = plan.config.split.inner, plan.config.model.kind == "network"
    of = f"{inner} inner folds" + (f" x up to {plan.epochs} epochs" if network else "")
    words = f"asked for: {studies} {'study' if studies == 1 else 'studies'}"
    if plan.trials:
        fits = studies * plan.trials * inner
        epochs = f", up to {fits * plan.epochs:,} epochs" if network else ""
        words += f" x {plan.trials} trials x {of}: {fits:,} fits{epochs}"
    else:
        words += f", trials of {of}"
    return words + (f"; at most {plan.minutes:g} minutes of training a study" if plan.minutes else "")


def in_time(seconds: float) -> str:
    """A duration that is a guess, in words."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes} min" if minutes < 90 else f"about {seconds / 3600:.1f} h"


def short(settings: Settings) -> str:
    """Settings in few words: the last part of each key, and no more digits than tell them apart."""
    parts = []
    for key, value in settings.items():
        text = f"{value:.3g}" if isinstance(value, float) else str(value)
        parts.append(f"{key.rpartition('.')[2]}={text}")
    return " ".join(parts)


def result_table(found: Finished) -> Table:
    """The best trial of every study beside the base experiment."""
    objective = found.plan["objective"][0]
    table = Table(title=f"best of every study ({objective}, inner folds)", title_justify="left", box=None)
    for column in ("study", "trial", objective, "default", "finished", "pruned", "failed", "settings"):
        table.add_column(column, overflow="fold")
    for name in found.studies:
        rows = found.trials[found.trials["study"] == name] if len(found.trials) else found.trials
        states = rows["state"].value_counts().to_dict() if len(rows) else {}
        counts = [str(states.get(state, 0)) for state in ("complete", "pruned", "fail")]
        one = found.best.get(name)
        if one is None:
            table.add_row(name, "", "", "", *counts, "")
            continue
        default = "" if one.default is None else f"{one.default:.3f}"
        table.add_row(name, str(one.trial), f"{one.value:.3f}", default, *counts, short(one.settings))
    return table
