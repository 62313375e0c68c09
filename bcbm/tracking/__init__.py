"""What follows a run on top of its folder: a tracker a service, each in a file of its own, by name."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.errors import ConfigError
from bcbm.system.lazy import imported
from bcbm.system.processes import rank

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from bcbm.config.schema import Config
    from bcbm.runs.finished import FinishedRun

LONGEST = 128  # characters of a group's name: W&B's limit

TRACKERS = {
    "csv": "bcbm.tracking:Tracker",  # the run folder, whose tables are written in any case
    "wandb": "bcbm.tracking.wandb:WandbTracker",
    "tensorboard": "bcbm.tracking.tensorboard:TensorBoardTracker",
    "mlflow": "bcbm.tracking.mlflow:MLflowTracker",
}


class Tracker:
    """Follows one experiment or one study of a search; does nothing where a method is not its own.

    It is made before the first fold and may be sent to other processes until a fold or a trial is started.

    Args:
        config: the resolved configuration.
        folder: of the run or the trial.
        group: what its parts are grouped by: `group_name` of an experiment, or a study's name.
        tags: of every part, see `tags`.
    """

    again = False  # whether a run that was finished before is to be told of once more

    def __init__(self, config: "Config", folder: Path, group: str, tags: list[str]) -> None:
        self.folder, self.group, self.tags = folder, group[-LONGEST:], tags

    @classmethod
    def modules(cls, config: "Config") -> tuple[str, ...]:
        """What its folds import, which their processes can share."""
        return ()

    @classmethod
    def require(cls, config: "Config") -> None:
        """Refuse, before there is a folder, a service that is asked for and cannot be used.

        Raises:
            ConfigError: saying what it lacks.
        """

    def start_fold(self, number: int, seed: int) -> "Logger | None":
        """A fold's training starts, the first with seed 0; what is returned gets its curves."""
        return None

    def end_fold(self, number: int, seed: int, checkpoint: Path | None) -> None:
        """That training ends, with its best checkpoint, or was left before that with none."""

    def end_run(self, run: "FinishedRun") -> None:
        """All folds are there, with their results and figures."""

    def start_trial(self, name: str, settings: Mapping[str, object]) -> None:
        """A trial of a search starts, with the values that it tries by dotted key."""

    def log_trial(self, epoch: int, figures: Mapping[str, float]) -> None:
        """An epoch of a trial has ended; epochs are counted over its inner folds."""

    def end_trial(self, values: Mapping[str, float]) -> None:
        """A trial ends with its objectives, or was pruned or failed, and has none."""


def require_trackers(config: "Config") -> None:
    """Refuse services of `tracking.to` that cannot be used.

    Raises:
        ConfigError: saying what one lacks.
    """
    for name in config.tracking.to:
        imported(TRACKERS[name]).require(config)


def shared_modules(config: "Config") -> list[str]:
    """What the folds of `tracking.to` import, for their processes to share."""
    return [module for name in config.tracking.to for module in imported(TRACKERS[name]).modules(config)]


def require_package(name: str) -> None:
    """Refuse a service whose package, an extra of bcbm of the same name, is not installed.

    Raises:
        ConfigError: with the command that installs it.
    """
    if find_spec(name) is None:
        remedy = f"run pip install 'bcbm[{name}]', or leave it out"
        raise ConfigError(f"tracking.to: {name} is not installed; {remedy}")


def trackers_of(config: "Config", folder: Path, group: str, tags: list[str]) -> list[Tracker]:
    """A tracker for each name of `tracking.to`, in that order; none on other ranks than the first.

    Raises:
        ConfigError: a service is asked for that cannot be used.
    """
    names = config.tracking.to if rank() == 0 else []
    return [imported(TRACKERS[name])(config, folder, group, tags) for name in names]


def group_name(experiment: str, folder: Path) -> str:
    """The group of an experiment's parts: one a run folder."""
    return f"{experiment}-{folder.name}"[-LONGEST:]


def part_name(fold: int, seed: int) -> str:
    """What a fold's training is called inside the group; the first has seed 0."""
    return f"fold={fold}" + f"-seed={seed}" * (seed > 0)


def tags(config: "Config", split_hash: str, leaky: bool) -> list[str]:
    """What a run is found by: kind of model, split, and whether it is LEAKY or synthetic."""
    words = [config.model.kind, f"split-{split_hash}"]
    return words + ["LEAKY"] * leaky + ["synthetic"] * (config.cohort.root is None)
