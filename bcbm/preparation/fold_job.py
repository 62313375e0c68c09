"""A fold as it is handed to whatever trains it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bcbm.cohort.splits import Split
from bcbm.config.schema import Config
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder
from bcbm.system.seeds import derived_seed


@dataclass(frozen=True)
class FoldJob:
    """What it takes to train a fold.

    Attributes:
        config: the experiment.
        lesions: those of its cohort.
        split: its folds.
        number: which of them.
        folder: the run folder, which gets the fold's prediction table.
    """

    config: Config
    lesions: Lesions
    split: Split
    number: int
    folder: RunFolder

    @property
    def home(self) -> Path:
        """The folder of the fold."""
        return self.folder.fold(self.number)

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """Rows of `lesions.entering` under train, validation and test."""
        return self.split.rows(self.lesions.entering, self.number)

    @property
    def seed(self) -> int:
        """The seed of all that is drawn in the fold."""
        return derived_seed(self.config.seed, self.number)
