"""TensorBoard: event files in the run folder, as `tensorboard --logdir runs` reads them."""

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from bcbm.config.schema import Config
from bcbm.tracking import require_package
from bcbm.tracking.logging import LoggingTracker
from bcbm.tracking.settings import settings_text

if TYPE_CHECKING:
    from lightning.pytorch.loggers import TensorBoardLogger

    from bcbm.tracking.summary import Summary

FOLDER = "tensorboard"


class TensorBoardTracker(LoggingTracker["TensorBoardLogger"]):
    """A folder a part under `tensorboard/`; tables are texts, which TensorBoard shows as tables."""

    @classmethod
    def require(cls, config: Config) -> None:
        """Refuse to go without TensorBoard.

        Raises:
            ConfigError: it is not installed.
        """
        require_package("tensorboard")

    def open(self, part: str, kind: str) -> "TensorBoardLogger":
        """Its event file; of a part that goes on, one more beside those before."""
        from lightning.pytorch.loggers import TensorBoardLogger

        logger = TensorBoardLogger(self.folder, FOLDER, version=part)
        logger.experiment.add_text("settings", settings_text(self.config))
        logger.experiment.add_text("tags", ", ".join([self.group, *self.tags]))
        return logger

    def send_summary(self, logger: "TensorBoardLogger", summary: "Summary") -> None:
        """Figures as scalars, pictures as images, tables as texts."""
        from matplotlib.image import imread

        logger.log_metrics(summary.figures)
        for name, path in summary.pictures.items():
            logger.experiment.add_image(name, imread(path)[..., :3], dataformats="HWC")
        for name, table in summary.tables.items():
            logger.experiment.add_text(name, markdown(table))

    def end_trial(self, values: Mapping[str, float]) -> None:
        """Send the objectives together with what was tried, for TensorBoard's table of hyperparameters."""
        if self.logger is not None and values:
            self.logger.log_hyperparams(self.parameters, dict(values))
        self.close(bool(values))

    def close(self, finished: bool) -> None:
        """Close the event file and take the name of this machine out of its own."""
        super().close(finished)
        for path in (self.folder / FOLDER).glob(f"*/events.*.{socket.gethostname()}.*"):
            path.rename(path.with_name(path.name.replace(f".{socket.gethostname()}.", ".unnamed.")))


def markdown(table: pd.DataFrame) -> str:
    """A table as Markdown."""
    rows: list[list[object]] = [list(table), ["---"] * table.shape[1], *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)
