"""The sweep file: what is searched, for what, how and how long."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.pruners import BasePruner, HyperbandPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, NSGAIISampler, RandomSampler, TPESampler
from optuna.study import StudyDirection

from bcbm.config.checks import nearest
from bcbm.config.compose import compose
from bcbm.config.places import sweep_file, sweep_names
from bcbm.config.reading import read_yaml
from bcbm.config.schema import Config
from bcbm.errors import ConfigError
from bcbm.search.constraints import NETWORK, Constraints, read_constraints
from bcbm.search.pruner import SameStepPruner
from bcbm.search.space import Parameter, Settings, default_settings, read_space

KEYS = ("experiment", "trials", "minutes", "objective", "constraints", "sampler", "pruner", "space")
SAMPLERS = ("tpe", "random", "gp", "nsga2")
PRUNERS = ("median", "hyperband", "none")
SMALLER_IS_BETTER = ("brier", "parameters")


@dataclass(frozen=True)
class Plan:
    """A sweep, checked.

    Attributes:
        name: what the sweep is called.
        config: the base experiment.
        space: what is searched, in order.
        trials: finished or pruned trials a study; None: no limit.
        minutes: training a study, its trials' minutes summed; None: no limit.
        objectives: what is sought; several give a Pareto front.
        sampler: `kind` and `seed`.
        pruner: `kind` and its settings.
        source: the file's content, from which the sweep's identity is made.
        paper: the paper's own values of what is searched, as far as the space holds them; none where they are
            those of the experiment.
        constraints: what a choice has to keep beside its objectives.
    """

    name: str
    config: Config
    space: tuple[Parameter, ...]
    trials: int | None
    minutes: float | None
    objectives: tuple[str, ...]
    sampler: Mapping[str, Any] = field(default_factory=lambda: {"kind": "tpe", "seed": 0})
    pruner: Mapping[str, Any] = field(default_factory=lambda: {"kind": "none"})
    source: Mapping[str, Any] = field(default_factory=dict)
    paper: Settings = field(default_factory=dict)
    constraints: Constraints = field(default_factory=dict)

    @property
    def directions(self) -> list[StudyDirection]:
        """Optuna's direction of every objective."""
        small, large = StudyDirection.MINIMIZE, StudyDirection.MAXIMIZE
        return [small if name in SMALLER_IS_BETTER else large for name in self.objectives]

    @property
    def epochs(self) -> int:
        """Steps an inner fold: the most epochs that a trial can have, the same for all."""
        return _epochs(self.space, self.config)

    @property
    def budget(self) -> int:
        """Steps of a trial that is never stopped: those of all inner folds."""
        return self.epochs * self.config.split.inner

    def make_sampler(self, draws: int) -> BaseSampler:
        """The sampler of a trial, seeded by the draws before it: a study that goes on draws afresh."""
        kind, seed = self.sampler["kind"], (int(self.sampler["seed"]) * 1_000_003 + draws) % 2**32
        if kind == "tpe":
            return TPESampler(seed=seed)
        if kind == "gp":
            return GPSampler(seed=seed)
        return NSGAIISampler(seed=seed) if kind == "nsga2" else RandomSampler(seed=seed)

    def make_pruner(self) -> BasePruner:
        """The pruner; it compares trials at the same epoch of the same inner fold.

        Hyperband (Li et al., JMLR 18:1, 2018) looks at few steps first, behind its warm-up or else behind the
        first inner fold, and then at `reduction` times as many, of the share 1 / `reduction` that is left.
        """
        kind, settings = self.pruner["kind"], self.pruner
        if kind == "median":
            return SameStepPruner(self.epochs, settings.get("startup", 5), settings.get("warmup", 0))
        if kind == "hyperband":
            first = settings.get("warmup") or self.epochs
            return HyperbandPruner(first, self.budget, settings.get("reduction", 3))
        return NopPruner()


def read_plan(name: str, words: Sequence[str], own: Mapping[str, str]) -> Plan:
    """Read `sweeps/NAME.yaml`, or a path, and check everything in it against the schema.

    Args:
        words: `key=value` on top of the base experiment.
        own: `experiment`, `trials` and `minutes` of the command line, which count before the file's.

    Raises:
        ConfigError: everything that is wrong with it, one a line.
    """
    path = sweep_file(name)
    if not path.is_file():
        raise ConfigError(f"sweep={name}: there is no {path}; {nearest(path.stem, sweep_names())}")
    content = read_yaml(path) | dict(own)
    unknown = [key for key in content if key not in KEYS]
    if unknown:
        raise ConfigError(
            "\n".join(f"{path.name}: unknown key '{key}'; {nearest(key, KEYS)}" for key in unknown)
        )
    experiment = str(content.get("experiment", Config().experiment))
    config = compose([f"experiment={experiment}", *words])
    space, problems = read_space(content.get("space"), config)
    trials, minutes = _number(content.get("trials")), _number(content.get("minutes"))
    for key, value in (("trials", trials), ("minutes", minutes)):
        if content.get(key) is not None and (
            value is None or not 0 < value < math.inf or (key == "trials" and value % 1)
        ):
            problems.append(f"{key}={content[key]}: write a number above 0")
    if content.get("trials") is None and content.get("minutes") is None:
        problems.append("the file has no budget; write trials, minutes or both")
    objectives = content.get("objective", "auroc")
    objectives = objectives if isinstance(objectives, list) else [objectives]
    problems += _objectives(objectives, config)
    constraints, mistakes = read_constraints(content.get("constraints", {}))
    problems += mistakes
    for key, names in (("objective", objectives), ("constraints", constraints)):
        problems += _of_networks(key, [name for name in names if name in NETWORK], space, config)
    sampler, mistakes = _choice("sampler", content.get("sampler", {}), SAMPLERS, {"seed": 0})
    problems += mistakes
    pruner, mistakes = _choice(
        "pruner", content.get("pruner", {}), PRUNERS, {"startup": 5, "warmup": 0, "reduction": 3}
    )
    problems += mistakes
    if isinstance(pruner["reduction"], int) and pruner["reduction"] < 2:
        problems.append(f"pruner: reduction={pruner['reduction']}: write at least 2")
    steps = _epochs(space, config) * config.split.inner
    if pruner["kind"] == "hyperband" and isinstance(pruner["warmup"], int) and pruner["warmup"] >= steps:
        problems.append(f"pruner: warmup={pruner['warmup']}: a trial has {steps} epochs in all; write less")
    if len(objectives) > 1 and pruner["kind"] != "none":
        problems.append("pruner: several objectives cannot be pruned; write pruner: {kind: none}")
    if constraints and pruner["kind"] == "hyperband":
        problems.append(
            "pruner: hyperband compares with trials that break constraints too; write median or none"
        )
    problems += _unfit(config)
    if problems:
        raise ConfigError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return Plan(
        name=path.stem,
        config=config,
        space=space,
        trials=int(trials) if trials else None,
        minutes=minutes,
        objectives=tuple(objectives),
        sampler=sampler,
        pruner=pruner,
        source={"space": content["space"], "objective": objectives, "sampler": sampler, "pruner": pruner}
        | ({"constraints": content["constraints"]} if constraints else {}),
        paper=_paper(space, config),
        constraints=constraints,
    )


def _epochs(space: Sequence[Parameter], config: Config) -> int:
    searched = [p.extremes() for p in space if p.key == "trainer.max_epochs"]
    return int(max(max(ends) for ends in searched)) if searched else config.trainer.max_epochs


def _paper(space: Sequence[Parameter], config: Config) -> Settings:
    """The values of `experiment=paper`, where they are others than the experiment's own."""
    settings = default_settings(space, compose(["experiment=paper", "cohort.root=."]))
    settings = {p.key: settings[p.key] for p in space if p.key in settings and p.holds(settings[p.key])}
    own = default_settings(space, config)
    return {} if all(own.get(name) == value for name, value in settings.items()) else settings


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _objectives(objectives: list[Any], config: Config) -> list[str]:
    known = ["auroc", *(f"auroc_{target}" for target in config.task.targets), *SMALLER_IS_BETTER]
    problems = [
        f"objective: unknown '{name}'; {nearest(str(name), known)}"
        for name in objectives
        if name not in known
    ]
    if not objectives or len(set(map(str, objectives))) != len(objectives):
        problems.append(f"objective: name at least one of {', '.join(known)}, each once")
    return problems


def _of_networks(key: str, names: Sequence[str], space: Sequence[Parameter], config: Config) -> list[str]:
    """What is wrong with a figure that only networks have."""
    kinds = [config.model.kind, *(kind for p in space if p.key == "model.kind" for kind in p.extremes())]
    others = [kind for kind in kinds if kind != "network"][:1]
    return [f"{key}: model.kind={kind} has no {name}; leave it out" for kind in others for name in names]


def _choice(
    name: str, content: Any, kinds: Sequence[str], settings: Mapping[str, int]
) -> tuple[dict[str, Any], list[str]]:
    """`{kind: ..., ...}` of a sweep file, and what is wrong with it."""
    if not isinstance(content, dict):
        return {"kind": "none", **settings}, [f"{name}: write {name}: {{kind: {kinds[0]}}}"]
    kind = content.get("kind", kinds[0])
    problems = [] if kind in kinds else [f"{name}: unknown kind '{kind}'; {nearest(str(kind), kinds)}"]
    for word, value in content.items():
        if word == "kind":
            continue
        if word not in settings:
            problems.append(f"{name}: unknown word '{word}'; {nearest(str(word), ['kind', *settings])}")
        elif isinstance(value, bool) or not isinstance(value, int) or value < 0:
            problems.append(f"{name}: {word}={value}: write a whole number, 0 or more")
    return {**settings, **content, "kind": kind}, problems


def _unfit(config: Config) -> list[str]:
    """What a sweep cannot do with an experiment."""
    problems = []
    if config.tune:
        problems.append(
            "tune: the experiment already chooses inside its folds; leave tune out of a sweep's base"
        )
    if config.split.unit != "patient":
        problems.append(f"split.unit={config.split.unit}: a sweep chooses on whole patients; write patient")
    if config.split.inner < 2:
        problems.append(f"split.inner={config.split.inner}: write at least 2 inner folds to choose on")
    if config.trainer.ranks > 1:
        problems.append(
            "trainer.devices: a trial has one device; write 1, and workers=N for N trials at once"
        )
    return problems
