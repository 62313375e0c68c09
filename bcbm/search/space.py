"""What a sweep may vary: read from its file and checked against the schema before anything runs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import OmegaConf
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import Trial

from bcbm.config.checks import nearest, without_use
from bcbm.config.compose import HARDWARE, TUNABLE, override
from bcbm.config.schema import Config, described_keys
from bcbm.errors import ConfigError

Settings = dict[str, Any]  # such as {"model.dropout": 0.1}
KINDS = ("float", "int", "categorical")
WORDS = (*KINDS, "log", "step", "when")


@dataclass(frozen=True)
class Parameter:
    """One key that is searched.

    Attributes:
        key: its name in the configuration.
        distribution: where its values come from.
        when: it is searched only where each of these keys has one of these values.
    """

    key: str
    distribution: BaseDistribution
    when: Mapping[str, Sequence[Any]]

    def active(self, settings: Settings) -> bool:
        """Whether the keys it depends on have been chosen so that it counts."""
        return all(name in settings and settings[name] in values for name, values in self.when.items())

    def suggest(self, trial: Trial) -> Any:
        """Its value in a trial."""
        distribution = self.distribution
        if isinstance(distribution, FloatDistribution):
            return trial.suggest_float(
                self.key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        if isinstance(distribution, IntDistribution):
            return trial.suggest_int(
                self.key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        assert isinstance(distribution, CategoricalDistribution)
        return trial.suggest_categorical(self.key, distribution.choices)

    def extremes(self) -> list[Any]:
        """Both ends of its range, or every choice."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        return [distribution.low, distribution.high]

    def holds(self, value: Any) -> bool:
        """Whether it can take this value."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return value in distribution.choices
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        steps = (
            (value - distribution.low) / distribution.step
            if distribution.step and not distribution.log
            else 0.0
        )
        return distribution.low <= value <= distribution.high and abs(steps - round(steps)) < 1e-6


def suggest(trial: Trial, space: Sequence[Parameter]) -> Settings:
    """The settings of a trial; a parameter whose condition does not hold is left as the experiment has it."""
    settings: Settings = {}
    for parameter in space:
        if parameter.active(settings):
            settings[parameter.key] = parameter.suggest(trial)
    return settings


def default_settings(space: Sequence[Parameter], config: Config) -> Settings:
    """The experiment's own values of what is searched."""
    content = OmegaConf.structured(config)
    settings: Settings = {}
    for parameter in space:
        if parameter.active(settings):
            settings[parameter.key] = OmegaConf.select(content, parameter.key)
    return settings


def read_space(content: Any, config: Config) -> tuple[tuple[Parameter, ...], list[str]]:
    """The parameters of a sweep file's `space`, and everything that is wrong with it, one a line."""
    if not isinstance(content, dict) or not content:
        return (), ["space: name at least one key, such as model.dropout: {float: [0.0, 0.5]}"]
    problems: list[str] = []
    space: list[Parameter] = []
    for key, words in content.items():
        try:
            space.append(_parameter(str(key), words))
        except ConfigError as error:
            problems.append(str(error))
    if "model.kind" not in content:
        useless = without_use(config, [parameter.key for parameter in space])
        kind = config.model.kind
        problems += [f"space: '{key}' changes nothing of model.kind={kind}; take it out" for key in useless]
    problems += _conditions(space, [str(key) for key in content])
    problems += [line for parameter in space for line in _refused(parameter, space, config)]
    return tuple(space), problems or _defaults(space, config)


def _parameter(key: str, words: Any) -> Parameter:
    """One entry of `space`.

    Raises:
        ConfigError: it cannot be read, or names a key that cannot be searched.
    """
    known = [name for name, *_ in described_keys()]
    section = key.split(".")[0]
    if section not in TUNABLE:
        tunable = [name for name in known if name.split(".")[0] in TUNABLE]
        if key in known or section in {name.split(".")[0] for name in known if "." in name}:
            raise ConfigError(f"space: '{key}' cannot be searched; name keys of {', '.join(TUNABLE)}")
        raise ConfigError(f"space: unknown key '{key}'; {nearest(key, tunable)}")
    if key in HARDWARE:
        raise ConfigError(
            f"space: '{key}' cannot be searched: it names the hardware; set {key}=VALUE for all trials"
        )
    if not isinstance(words, dict) or sum(kind in words for kind in KINDS) != 1:
        raise ConfigError(
            f"space: {key}: write one of {{float: [low, high]}}, {{int: [low, high]}}, {{categorical: [...]}}"
        )
    for word in words:
        if word not in WORDS:
            raise ConfigError(f"space: {key}: unknown word '{word}'; {nearest(str(word), WORDS)}")
    kind = next(kind for kind in KINDS if kind in words)
    when = words.get("when", {})
    if not isinstance(when, dict) or not all(isinstance(values, list) and values for values in when.values()):
        raise ConfigError(f"space: {key}: write when: {{other.key: [values]}}")
    if kind == "categorical" and {"log", "step"} & set(words):
        raise ConfigError(f"space: {key}: log and step are for float and int")
    return Parameter(key, _distribution(key, kind, words), when)


def _distribution(key: str, kind: str, words: dict[str, Any]) -> BaseDistribution:
    values, log, step = words[kind], bool(words.get("log", False)), words.get("step")
    if kind == "categorical":
        plain = isinstance(values, list) and all(isinstance(v, str | int | float | None) for v in values)
        if not plain or not values or len(set(map(repr, values))) != len(values):
            raise ConfigError(f"space: {key}: categorical takes a list of different words, numbers or null")
        return CategoricalDistribution(values)
    number = int if kind == "int" else (int, float)
    ends = values if isinstance(values, list) else []
    if len(ends) != 2 or any(isinstance(end, bool) or not isinstance(end, number) for end in ends):
        raise ConfigError(f"space: {key}: {kind} takes [low, high]")
    low, high = ends
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"space: {key}: {kind} takes two finite ends, not {low} and {high}")
    if step is not None and (
        not isinstance(step, number) or step <= 0 or not _is_whole_number((high - low) / step)
    ):
        raise ConfigError(f"space: {key}: step={step} does not divide {low} to {high}")
    try:
        if kind == "int":
            return IntDistribution(low, high, log=log, step=int(step or 1))
        return FloatDistribution(float(low), float(high), log=log, step=step)
    except ValueError as error:
        raise ConfigError(f"space: {key}: {' '.join(str(error).split())}") from None


def _is_whole_number(number: float) -> bool:
    return abs(number - round(number)) < 1e-6


def _conditions(space: Sequence[Parameter], order: Sequence[str]) -> list[str]:
    """What is wrong with the conditions: a key that is not searched, comes later, or goes in a circle."""
    problems = []
    by_key = {parameter.key: parameter for parameter in space}
    for parameter in space:
        for other, values in parameter.when.items():
            if other not in order:
                problems.append(
                    f"space: {parameter.key}: when: '{other}' is not searched; {nearest(other, order)}"
                )
            elif other in _needed(parameter, by_key) and parameter.key in _needed(by_key.get(other), by_key):
                problems.append(f"space: {parameter.key} and {other} depend on each other; remove the circle")
            elif order.index(other) >= order.index(parameter.key):
                problems.append(f"space: {parameter.key} depends on {other}; write it below {other}")
            elif other in by_key:
                never = [value for value in values if not by_key[other].holds(value)]
                problems += [f"space: {parameter.key}: when: {other} is never {value}" for value in never]
    return problems


def _needed(parameter: Parameter | None, by_key: Mapping[str, Parameter]) -> set[str]:
    """Every key that a parameter depends on, through others too."""
    needed: set[str] = set()
    waiting = list(parameter.when) if parameter else []
    while waiting:
        if (name := waiting.pop()) not in needed:
            needed.add(name)
            waiting += by_key[name].when if name in by_key else ()
    return needed


def _refused(parameter: Parameter, space: Sequence[Parameter], config: Config) -> list[str]:
    """What the schema refuses of the ends of a range, or of the choices, where the condition holds."""
    conditions: Settings = {}
    for other in space:
        if other.key in _needed(parameter, {p.key: p for p in space}):
            choices = [choices for p in space for name, choices in p.when.items() if name == other.key]
            conditions[other.key] = choices[0][0]
    conditions |= {name: choices[0] for name, choices in parameter.when.items()}
    for value in parameter.extremes():
        try:
            override(config, {**conditions, parameter.key: value})
        except ConfigError as error:
            return [f"space: {line}" for line in str(error).splitlines()]
    return []


def _defaults(space: Sequence[Parameter], config: Config) -> list[str]:
    """A study starts from the experiment as it is, so every range has to hold the experiment's value."""
    settings = default_settings(space, config)
    return [
        f"space: {parameter.key}: the experiment's own value {settings[parameter.key]} is not in it, and a "
        "study starts from there; widen it, or set the key on the command line"
        for parameter in space
        if parameter.key in settings and not parameter.holds(settings[parameter.key])
    ]
