"""A tracker by one of Lightning's loggers: a logger for each part of a run or a search."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from bcbm.config.compose import flattened
from bcbm.tracking import Tracker, part_name
from bcbm.tracking.settings import tried

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from bcbm.config.schema import Config
    from bcbm.runs.finished import FinishedRun
    from bcbm.tracking.summary import Summary

LoggerType = TypeVar("LoggerType", bound="Logger")


class LoggingTracker(Tracker, ABC, Generic[LoggerType]):
    """Opens a logger for each fold, each trial and the summary, one at a time."""

    def __init__(self, config: "Config", folder: Path, group: str, tags: list[str]) -> None:
        super().__init__(config, folder, group, tags)
        self.config = config
        self.logger: LoggerType | None = None
        self.parameters: dict[str, object] = {}

    @abstractmethod
    def open(self, part: str, kind: str) -> LoggerType | None:
        """The logger of a part, which already has settings and tags; None where there is none to be had.

        Args:
            part: its name, as `fold=0`, `trial=3` or `summary`.
            kind: fold, trial or summary.
        """

    @abstractmethod
    def send_summary(self, logger: LoggerType, summary: "Summary") -> None:
        """Send what a finished run shows."""

    def start_fold(self, number: int, seed: int) -> LoggerType | None:
        """Open the logger of the training."""
        self.logger = self.open(part_name(number, seed), "fold")
        return self.logger

    def end_fold(self, number: int, seed: int, checkpoint: Path | None) -> None:
        """Close it; checkpoints stay here."""
        self.close(checkpoint is not None)

    def end_run(self, run: "FinishedRun") -> None:
        """Send the summary of the run."""
        from bcbm.tracking.summary import summary_of

        self.logger = self.open("summary", "summary")
        if self.logger is not None:
            self.send_summary(self.logger, summary_of(run))
        self.close(True)

    def start_trial(self, name: str, settings: Mapping[str, object]) -> None:
        """Open the logger of the trial, with what it tries."""
        self.parameters = flattened({"parameters": tried(settings)})
        self.logger = self.open(name, "trial")

    def log_trial(self, epoch: int, figures: Mapping[str, float]) -> None:
        """Draw the figures over the epoch."""
        if self.logger is not None:
            self.logger.log_metrics({"epoch": epoch, **figures}, epoch)

    def end_trial(self, values: Mapping[str, float]) -> None:
        """Send the objectives, if the trial has come to any."""
        if self.logger is not None and values:
            self.logger.log_metrics(dict(values))
        self.close(bool(values))

    def close(self, finished: bool) -> None:
        """Close the logger that was opened last, of a part that has come to its end or was left."""
        if self.logger is not None:
            self.logger.finalize("success" if finished else "failed")
            self.logger = None
