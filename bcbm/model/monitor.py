"""How training goes: learning rate, gradient norm and lesions a second of every epoch."""

from time import perf_counter
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

EVERY = 4  # steps; the norm of each would cost 1 % of the time


class Monitor(Callback):
    """Log `train/learning_rate` of the last step, `train/grad_norm` and `train/lesions_per_second`.

    The norm is the mean over every fourth step of the epoch. Gradients are looked at, never clipped, and (but
    for 16-mixed) nothing is read off the device before the epoch's end. The time is that of the training
    steps with the loading of their batches, without validation.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.norms: list[Tensor] = []
        self.learning_rate, self.steps, self.lesions = 0.0, 0, 0
        self.begun = self.ended = perf_counter()

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Take the norm over all gradients, as every rank has it."""
        self.learning_rate = float(optimizer.param_groups[0]["lr"])
        if self.steps % EVERY == 0:
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            norm = get_total_norm([parameter.grad for parameter in trained if parameter.grad is not None])
            scaler = getattr(trainer.precision_plugin, "scaler", None)  # 16-mixed: AdamW unscales in its step
            self.norms.append(norm / scaler.get_scale() if scaler else norm)
        self.steps += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the lesions of a step."""
        self.lesions += len(batch["row"])
        self.ended = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch."""
        seconds = max(self.ended - self.begun, 1e-9)
        figures: dict[str, Tensor | float] = {
            "train/learning_rate": self.learning_rate,
            "train/grad_norm": torch.stack(self.norms).mean(),
            "train/lesions_per_second": self.lesions * trainer.world_size / seconds,
        }
        pl_module.log_dict(figures, sync_dist=True)
