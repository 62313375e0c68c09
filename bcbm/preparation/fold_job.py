"""A fold as it is handed to whatever trains it."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from bcbm.cohort.splits import Split
from bcbm.config.schema import Config
from bcbm.errors import readable
from bcbm.preparation.lesions import Lesions
from bcbm.runs.curves import PREDICTED
from bcbm.runs.folder import RunFolder
from bcbm.runs.predictions import fit_calibrators, prediction_table
from bcbm.statistics.recalibration import Calibrator
from bcbm.system.files import write_whole
from bcbm.system.seeds import fold_seed


@dataclass(frozen=True)
class Place:
    """Where a fold stands among those that a command trains: its number from 1 on, of how many.

    `at_once` is how many are trained side by side.
    """

    number: int = 1
    total: int = 1
    at_once: int = 1


@dataclass(frozen=True)
class FoldJob:
    """What it takes to train a fold once.

    Attributes:
        config: the experiment.
        lesions: those of its cohort.
        split: its folds.
        number: which of them.
        folder: the run folder, which gets the fold's prediction table.
        member: which of the fold's trainings, each with a seed of its own; their mean is its prediction.
        place: where it stands among the folds of this command.
        beside: how many folds, or ranks of one, this machine trains at once.
    """

    config: Config
    lesions: Lesions
    split: Split
    number: int
    folder: RunFolder
    member: int = 0
    place: Place = Place()
    beside: int = 1

    @property
    def home(self) -> Path:
        """The folder of this training: the fold's, or for further seeds one inside it."""
        return self.folder.fold(self.number, self.member)

    @property
    def name(self) -> str:
        """The fold in words, with the seed where there are several."""
        return f"fold {self.number}" + f", seed {self.member}" * (self.config.members > 1)

    @property
    def title(self) -> str:
        """The same with its place, as in `fold 6 (7 of 15)`."""
        place = f" ({self.place.number} of {self.place.total})" if self.place.total > 1 else ""
        return self.name + place

    @property
    def behind(self) -> float:
        """How many trainings this command still has behind this one, those side by side as one."""
        others = (self.place.total - self.place.number) * self.config.members
        return self.config.members - 1 - self.member + others / self.place.at_once

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Rows of `lesions.entering` under train, validation and test."""
        return self.split.rows(self.lesions.entering, self.number)

    @property
    def seed(self) -> int:
        """The seed of all that is drawn in this training."""
        return fold_seed(self.config.seed, self.number, self.member)

    def unfinished(self) -> list["FoldJob"]:
        """The trainings of the fold that are still to be done, one a seed."""
        every = [replace(self, member=member) for member in range(self.config.members)]
        return [job for job in every if not (job.home / PREDICTED).is_file()]

    def hand_in(self, predicted: pd.DataFrame) -> None:
        """Take what this training predicts; with the last one's the prediction table of the fold is written.

        With several seeds `fold=K/seeds.parquet` holds the table that each seed alone would have given; where
        nothing is drawn they are alike.

        Args:
            predicted: as `prediction_table` reads it.
        """
        if self.member + 1 < self.config.members:
            write_whole(self.home / PREDICTED, predicted.to_parquet())
            return
        others = [self.folder.fold(self.number, member) / PREDICTED for member in range(self.member)]
        every = [*map(_predicted, others), predicted]
        if (seeds := self.config.seeds) > 1:
            alone = [self._table([every[seed % len(every)]]).assign(seed=seed) for seed in range(seeds)]
            self.folder.write(f"fold={self.number}/seeds.parquet", pd.concat(alone, ignore_index=True))
        self.folder.write(f"fold={self.number}/predictions.parquet", self._table(every))
        for path in others:
            path.unlink()

    def calibrators(self, predicted: pd.DataFrame) -> dict[str, Calibrator]:
        """The maps from what this training predicts to probabilities, by target."""
        return fit_calibrators(self.config.calibration, predicted, *self._fold)

    @property
    def _fold(self) -> tuple[pd.DataFrame, Split, int, list[str], str]:
        task = self.config.task
        return self.lesions.entering, self.split, self.number, task.targets, task.aggregate

    def _table(self, predicted: list[pd.DataFrame]) -> pd.DataFrame:
        return prediction_table(predicted, *self._fold, self.config.calibration)


def _predicted(path: Path) -> pd.DataFrame:
    """What an earlier training of a fold predicts."""
    with readable(path, "remove it, and run the same fit command again, which trains that seed anew"):
        return pd.read_parquet(path)
