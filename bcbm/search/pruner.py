"""Which trials are stopped while they train."""

import math
from statistics import median

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from bcbm.search.constraints import feasible


class SameStepPruner(BasePruner):
    """Stops a trial that is worse than the median of the finished ones at the same epoch of the same fold.

    Optuna's `MedianPruner` asks for the best that a trial has ever reported, so that a good first inner fold
    shields it in every fold behind it. Trials that break the constraints count for nothing here: what breaks
    them may well be better.

    Args:
        epochs: steps an inner fold.
        startup: finished trials before any is stopped.
        warmup: steps of a trial before it can be stopped.
    """

    def __init__(self, epochs: int, startup: int = 5, warmup: int = 0) -> None:
        self.epochs, self.startup, self.warmup = epochs, startup, warmup

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether the trial, which has reported at least once, is to be stopped."""
        others = [*filter(feasible, study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)))]
        step = trial.last_step
        if step is None or step < self.warmup or len(others) < self.startup:
            return False
        value = trial.intermediate_values[step]
        figures = [self._figure(other, step) for other in others]
        middle = median(known) if (known := [x for x in figures if not math.isnan(x)]) else math.nan
        if math.isnan(value) or math.isnan(middle):
            return math.isnan(value)
        return value < middle if study.direction == StudyDirection.MAXIMIZE else value > middle

    def _figure(self, trial: FrozenTrial, step: int) -> float:
        """What a trial had at a step; behind the end of a fold that stopped early, what it had then."""
        begin = (step - 1) // self.epochs * self.epochs
        steps = [other for other in trial.intermediate_values if begin < other <= step]
        return trial.intermediate_values[max(steps)] if steps else math.nan
