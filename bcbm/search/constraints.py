"""What a choice has to keep beside its objective: bounds on figures that every finished trial leaves."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial

from bcbm.config.checks import nearest

NETWORK = ("parameters", "milliseconds")  # which only a network has
MOST = 1e15  # of a bound
KNOWN = (*NETWORK, "calibration_slope")


class Bound(NamedTuple):
    """The range that a figure has to lie in, both ends included."""

    low: float
    high: float

    def violation(self, value: float) -> float:
        """How far a figure lies outside, as a share of the upper end; 0 or less inside, 1 if not defined."""
        return 1.0 if math.isnan(value) else max(self.low - value, value - self.high) / self.high

    def __str__(self) -> str:
        """In words."""
        return f"at most {_written(self.high)}" if math.isinf(self.low) else f"{self.low:g} to {self.high:g}"


Constraints = Mapping[str, Bound]


def read_constraints(content: Any) -> tuple[dict[str, Bound], list[str]]:
    """`constraints` of a sweep file, and everything that is wrong with it, one a line."""
    if not isinstance(content, dict):
        return {}, [f"constraints: write names and bounds, such as constraints: {{{KNOWN[0]}: 2000000}}"]
    constraints, problems = {}, []
    for name, value in content.items():
        ends = value if isinstance(value, list) else [value]
        numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
        if name not in KNOWN:
            problems.append(f"constraints: unknown '{name}'; {nearest(str(name), KNOWN)}")
        elif name in NETWORK:
            if isinstance(value, list) or not numbers or not 0 < value <= MOST:
                problems.append(f"constraints: {name}={value}: write the most that is allowed, above 0")
            else:
                constraints[name] = Bound(-math.inf, float(value))
        elif len(ends) != 2 or not numbers or not 0 <= ends[0] < 1 < ends[1] <= MOST:
            problems.append(f"constraints: {name}={value}: write [low, high] around 1, such as [0.7, 1.4]")
        else:
            constraints[name] = Bound(float(ends[0]), float(ends[1]))
    return constraints, problems


def set_constraints(trial: Trial, constraints: Constraints, figures: Mapping[str, float]) -> None:
    """Tell Optuna how far a trial's figures lie outside their bounds, unless it has ended meanwhile."""
    try:
        for name, bound in constraints.items():
            trial.set_constraint(name, bound.violation(figures[name]))
    except UpdateFinishedTrialError:
        return


def feasible(trial: FrozenTrial) -> bool:
    """Whether a finished trial keeps all constraints; true of one without."""
    return all(value <= 0 for value in trial.constraints.values())


def broken(trial: FrozenTrial, constraints: Constraints) -> str:
    """Which constraints a finished trial breaks, in words: "parameters 73,155 (at most 50,000)"."""
    figures = trial.user_attrs.get("figures", {})
    return ", ".join(
        f"{name} {_written(figures[name])} ({bound})"
        for name, bound in constraints.items()
        if name in figures and bound.violation(figures[name]) > 0
    )


def _written(figure: float) -> str:
    if math.isnan(figure):
        return "not defined"
    return f"{figure:.3g}" if figure < 1000 else f"{figure:,.0f}"


def none_feasible(trials: Sequence[FrozenTrial], constraints: Constraints) -> str | None:
    """Words for finished trials none of which keeps the constraints; None where one does."""
    if not trials or any(map(feasible, trials)):
        return None
    closest = min(trials, key=lambda trial: sum(max(0.0, value) for value in trial.constraints.values()))
    return (
        f"none of {len(trials)} finished trials keeps the constraints; the nearest, trial {closest.number}, "
        f"has {broken(closest, constraints)}; give more trials, or wider constraints"
    )
