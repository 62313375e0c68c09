"""Training of the network."""

from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from bcbm.model.losses import cross_entropy, masked_bce
from bcbm.model.network import LesionNetwork
from bcbm.schema import Model, Task, Trainer

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
        """Start the table of what validation has seen."""
        self.seen: list[tuple[Tensor, Batch]] = []

    def validation_step(self, batch: Batch, index: int) -> None:
        """Keep logits (B, R) and labels; the figures need all patients."""
        self.seen.append((self(batch).float(), batch))

    def on_validation_epoch_end(self) -> None:
        """Log loss and AUROC over all validation patients, every patient weighing the same.

        A receptor without a known label, or for the AUROC of a single class, is left out of the mean. Every
        rank has read all patients, so the ranks agree without a word.
        """
        logits = torch.cat([logits for logits, _ in self.seen])
        whole = {name: torch.cat([batch[name] for _, batch in self.seen]) for name in self.seen[0][1]}
        self.seen.clear()
        weight, known = whole["weight"][:, None], whole["known"]
        losses = cross_entropy(logits, whole["label"], known, self.pos_weight)
        total, share = (weight * losses).sum(0), (weight * known).sum(0)
        used = (share > 0) * self.receptor_weight
        self.log("val/loss", ((total / share).nan_to_num() * used).sum() / used.sum())
        aurocs = []
        for column, name in enumerate(self.task.receptors):
            self.log(f"val/loss_{name}", total[column] / share[column])
            auroc = _patient_auroc(
                logits[:, column].sigmoid(), whole["label"][:, column], known[:, column], whole["patient"]
            )
            self.log(f"val/auroc_{name}", auroc)
            aurocs.append(auroc)
        mean = torch.stack(aurocs).nanmean()
        self.log("val/auroc", mean.nan_to_num(0.5))  # no receptor with both classes: every epoch is alike

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
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.settings.learning_rate,
            total_steps=int(self.trainer.estimated_stepping_batches),
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _patient_auroc(probability: Tensor, label: Tensor, known: Tensor, patient: Tensor) -> Tensor:
    """AUROC of the patients' mean probabilities, for monitoring only; NaN with a single class."""
    held = known > 0
    codes, inverse = patient[held].unique(return_inverse=True)
    count = torch.zeros(len(codes), device=label.device).index_add_(0, inverse, torch.ones_like(label[held]))
    score = torch.zeros_like(count).index_add_(0, inverse, probability[held]) / count
    truth = torch.zeros_like(count).index_add_(0, inverse, label[held]) / count
    if truth.unique().numel() < 2:
        return torch.tensor(torch.nan, device=label.device)
    return binary_auroc(score, truth.round().long())
