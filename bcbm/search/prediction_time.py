"""How long a trained network takes for a lesion."""

import math
from time import perf_counter
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class PredictionTime(Callback):
    """Times the batches that a network predicts, without their loading.

    Attributes:
        milliseconds: a lesion in the fastest batch so far, which other work has disturbed least.
    """

    def __init__(self) -> None:
        self.milliseconds = math.inf
        self._begun = 0.0

    def on_predict_batch_start(self, *_: Any) -> None:
        """Look at the clock."""
        self._begun = perf_counter()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any
    ) -> None:
        """Look again: the prediction lies in the memory of the CPU by now."""
        milliseconds = 1000 * (perf_counter() - self._begun) / len(outputs["row"])
        self.milliseconds = min(self.milliseconds, milliseconds)
