"""Training of the network."""

from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from bcbm.config import Model, Task, Trainer
from bcbm.model.losses import cross_entropy, masked_bce
from bcbm.model.network import LesionNetwork

Batch = dict[str, Tensor]


class LesionModule(LightningModule):
    """The network with its loss and optimiser.

    All arguments are plain containers and travel in the checkpoint, so
    `LesionModule.load_from_checkpoint(path, weights_only=True)` needs no other file.

    Arguments:
        task: `config.Task`: receptors and modalities.
        model: `config.Model`.
        loss: `config.Loss`.
        trainer: `config.Trainer`.
        fitted: `LesionDataModule.fitted()`.
        provenance: where the weights come from (split hash, fold, ...); `seed` seeds the dropout.
    """

    pos_weight: Tensor
    receptor_weight: Tensor

    def __init__(
        self,
        *,
        task: dict[str, Any],
        model: dict[str, Any],
        loss: dict[str, Any],
        trainer: dict[str, Any],
        fitted: dict[str, Any],
        provenance: dict[str, Any],
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.task, self.settings, self.provenance = Task(**task), Trainer(**trainer), provenance
        weights = [float(loss["receptor_weights"][receptor]) for receptor in self.task.receptors]
        self.register_buffer("receptor_weight", torch.tensor(weights), persistent=False)
        positive = dict(zip(fitted["receptors"], fitted["pos_weight"], strict=True))
        weights = [float(positive[receptor]) for receptor in self.task.receptors]
        self.register_buffer("pos_weight", torch.tensor(weights), persistent=False)
        self.network = LesionNetwork(self.task.receptors, self.task.modalities, Model(**model), fitted)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, R)."""
        logits: Tensor = self.network(batch)
        return logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the dropout of a step, so that a resumed run goes on as an unbroken one would."""
        # A step, not an epoch: Lightning 2.6 skips `on_train_epoch_start` of the first epoch after a resume.
        state = (self.provenance.get("seed", 0), self.global_step, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(state).generate_state(1)[0]))

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of a batch: the weighted mean of the receptors' losses."""
        losses = masked_bce(
            self(batch), batch["label"], batch["known"], self.pos_weight, self.receptor_weight
        )
        loss = losses.sum() / self.receptor_weight.sum()
        named = {f"train/loss_{name}": value for name, value in zip(self.task.receptors, losses, strict=True)}
        self.log_dict(
            {"train/loss": loss, **named},
            on_step=False,
            on_epoch=True,
            sync_dist=True,
            batch_size=len(batch["row"]),
        )
        return loss

    def on_validation_epoch_start(self) -> None:
        """Start the sums of the validation loss."""
        self.validation_sums = torch.zeros(2, len(self.task.receptors), device=self.device)

    def validation_step(self, batch: Batch, index: int) -> None:
        """Add a batch: loss and weight of each receptor, every patient weighing the same."""
        loss = cross_entropy(self(batch), batch["label"], batch["known"], self.pos_weight)
        weight = batch["weight"][:, None]
        self.validation_sums += torch.stack([(weight * loss).sum(0), (weight * batch["known"]).sum(0)])

    def on_validation_epoch_end(self) -> None:
        """Log the loss over all validation patients; a receptor without one known label is NaN and left out.

        Every rank has read all of them, so the ranks agree without a word.
        """
        total, known = self.validation_sums
        losses = total / known
        used = (known > 0) * self.receptor_weight
        self.log("val/loss", (losses.nan_to_num() * used).sum() / used.sum())
        for name, value in zip(self.task.receptors, losses, strict=True):
            self.log(f"val/loss_{name}", value)

    def predict_step(self, batch: Batch, index: int) -> Batch:
        """`row` (B,) in the lesion table and `probability` (B, R)."""
        return {"row": batch["row"].cpu(), "probability": self(batch).float().sigmoid().cpu()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one cycle over the whole training; biases and norms are not decayed."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.settings.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
