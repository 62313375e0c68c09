"""Which epoch of a training is kept."""

import math
from collections.abc import Sequence
from statistics import fmean

from bcbm.config.schema.training import Trainer


class EpochChoice:
    """Keeps the epoch whose validation AUROC, averaged with those just before it, is highest.

    A few validation patients make the curve noisy, and its highest point is then a lucky one, often early:
    before the learning rate has come down. So the mean of the last `trainer.smoothing` epochs counts, and no
    epoch before `trainer.min_epochs`. What that is worth is measured by `tests/benchmarks/epoch_choice.py`.

    Args:
        settings: the group `trainer`.

    Attributes:
        scores: the figure of every epoch so far, higher is better.
        score: the highest mean so far, of the epochs that end with `epoch`; -1 while none is kept.
    """

    def __init__(self, settings: Trainer) -> None:
        self.smoothing, self.patience = settings.smoothing, settings.patience
        self.first = settings.first_kept
        self.scores: list[float] = []
        self.score, self.epoch = -math.inf, -1

    def better(self, score: float) -> bool:
        """Take the figure of the next epoch; whether that epoch is the one to keep so far."""
        self.scores.append(score)
        mean = smoothed(self.scores, self.smoothing)
        if len(self.scores) < self.first or not mean > self.score:
            return False
        self.score, self.epoch = mean, len(self.scores) - 1
        return True

    @property
    def exhausted(self) -> bool:
        """Whether the epoch to keep lies `trainer.patience` epochs back."""
        return self.epoch >= 0 and len(self.scores) - 1 - self.epoch >= self.patience


def smoothed(scores: Sequence[float], window: int) -> float:
    """The mean of the last `window` scores, or of as many as there are."""
    return fmean(scores[-window:])
