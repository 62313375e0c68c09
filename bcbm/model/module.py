"""Training of the network."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from lightning import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchmetrics.functional.classification import binary_auroc

from bcbm.config.compose import renamed
from bcbm.config.schema.training import Loss, Model, Task, Trainer
from bcbm.model.attention import any_of_bag, pool
from bcbm.model.losses import TargetLoss
from bcbm.model.network import LesionNetwork
from bcbm.statistics.aggregate import aggregate
from bcbm.statistics.recalibration import Calibrator
from bcbm.system.seeds import derived_seed

Batch = dict[str, Tensor]


class LesionModule(LightningModule):
    """The network with its loss and optimiser.

    All arguments are plain containers and travel in the checkpoint, so
    `LesionModule.load_from_checkpoint(path, weights_only=True)` needs no other file.

    Args:
        task: `config.Task`: targets, modalities and how lesions become a patient.
        model: `config.Model`.
        loss: `config.Loss`.
        trainer: `config.Trainer`.
        fitted: `LesionDataModule.fitted()`.
        provenance: where the weights come from (split hash, fold, ...); `seed` seeds the dropout.
        loaded: what was taken from `model.weights`; None: read the file now. A checkpoint knows it, and so
            needs the file no more.
        calibration: attributes of a `Calibrator` by target, once they are fitted: a checkpoint then makes
            probabilities of its logits.
    """

    def __init__(
        self,
        *,
        task: dict[str, Any],
        model: dict[str, Any],
        loss: dict[str, Any],
        trainer: dict[str, Any],
        fitted: dict[str, Any],
        provenance: dict[str, Any],
        loaded: str | None = None,
        calibration: dict[str, dict[str, Any]] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)  # they name paths: for checkpoints, not for W&B
        named = renamed({"task": task, "loss": loss})
        fitted = {"targets": fitted.get("receptors"), **fitted}  # as version 0.1 called them
        self.task, self.settings, self.provenance = Task(**named["task"]), Trainer(**trainer), provenance
        self.criterion = TargetLoss(self.task.targets, Loss(**named["loss"]), fitted)
        self.bags = self.task.aggregate == "attention"
        sizes = Model(**model)
        self.network = LesionNetwork(
            self.task.targets, self.task.modalities, sizes, fitted, attention=self.bags
        )
        if loaded is None:
            loaded = self.network.image.load_weights() if self.network.image else ""
        self.loaded = self.hparams["loaded"] = loaded
        self.calibrate({target: Calibrator(**values) for target, values in (calibration or {}).items()})
        self.trained: list[tuple[Tensor, int]] = []  # losses of the epoch's batches, and their lesions

    def calibrate(self, calibrators: Mapping[str, Calibrator]) -> None:
        """Take the calibrators of the targets up, for this module and for its checkpoint."""
        self.calibrators = dict(calibrators)
        self.hparams["calibration"] = {target: asdict(value) for target, value in calibrators.items()}

    def forward(self, batch: Batch) -> Tensor:
        """Logits (B, R)."""
        logits: Tensor = self.network(batch)
        return logits

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed the dropout of a step, so that a resumed run goes on as an unbroken one would."""
        # A step, not an epoch: Lightning 2.6 skips `on_train_epoch_start` of the first epoch after a resume.
        seed = derived_seed(self.provenance.get("seed", 0), self.global_step, self.global_rank)
        torch.default_generator.manual_seed(seed)  # torch.manual_seed takes a millisecond without CUDA
        if self.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """Loss of a batch: the weighted mean of the targets' losses, over lesions or, pooled, over bags."""
        logits, scores = self.network.with_scores(batch)
        loss, losses = self.criterion(*self.pooled(logits, scores, batch))
        figures = torch.cat([loss.detach()[None], losses.detach()])
        self.trained.append((figures, len(batch["row"])))
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Behind the last batch log the losses of the epoch: once, for a log a step costs milliseconds."""
        if not self.trainer.is_last_batch:
            return
        lesions = torch.tensor([float(count) for _, count in self.trained], device=self.device)
        figures = torch.stack([batch_figures for batch_figures, _ in self.trained])
        self.trained.clear()
        total, *losses = (lesions @ figures / lesions.sum()).unbind()
        named = {f"train/loss_{name}": value for name, value in zip(self.task.targets, losses, strict=True)}
        if self.criterion.log_variance is not None:
            for name, value in zip(self.task.targets, self.criterion.log_variance.detach(), strict=True):
                named[f"train/uncertainty_{name}"] = (value / 2).exp()
        self.log_dict(
            {"train/loss": total, **named}, on_step=False, on_epoch=True, sync_dist=True, batch_size=1
        )

    def pooled(self, logits: Tensor, scores: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Logits, labels and which of them are known: of each lesion or, with attention, of each patient."""
        if not self.bags:
            return logits, batch["label"], batch["known"]
        bag = batch["patient"]
        return pool(logits, scores, bag), any_of_bag(batch["label"], bag), any_of_bag(batch["known"], bag)

    def on_validation_epoch_start(self) -> None:
        """Start the table of what validation has seen."""
        self.seen: list[Batch] = []

    def validation_step(self, batch: Batch, index: int) -> None:
        """Keep logits and scores (B, R) and labels; the figures need all patients."""
        logits, scores = self.network.with_scores(batch)
        named = ("patient", "volume", "weight", "label", "known")
        columns = {name: batch[name] for name in named}
        self.seen.append({**columns, "logit": logits.float(), "score": scores.float()})

    def on_validation_epoch_end(self) -> None:
        """Log loss and AUROC over all validation patients, every patient weighing the same.

        A target without a known label, or for the AUROC of a single class, is left out of the mean. Every
        rank has read all patients, so the ranks agree without communication.
        """
        table = {name: torch.cat([batch[name] for batch in self.seen]) for name in self.seen[0]}
        self.seen.clear()
        logits, label, known = self.pooled(table["logit"], table["score"], table)
        weight = torch.ones_like(known) if self.bags else table["weight"][:, None]
        losses = self.criterion.elementwise(logits, label, known)
        total, share = (weight * losses).sum(0), (weight * known).sum(0)
        used = (share > 0) * self.criterion.target_weight
        self.log("val/loss", ((total / share).nan_to_num() * used).sum() / used.sum())
        aurocs = self._patient_aurocs(table)
        for column, name in enumerate(self.task.targets):
            self.log(f"val/loss_{name}", total[column] / share[column])
            self.log(f"val/auroc_{name}", aurocs[column])
        mean = aurocs.nanmean()
        self.log("val/auroc", mean.nan_to_num(0.5))  # no target with both classes: every epoch is alike

    def _patient_aurocs(self, seen: Batch) -> Tensor:
        """AUROC of the patients' probabilities (R,), for monitoring only; NaN with a single class."""
        table = {name: values.double().cpu() for name, values in seen.items()}
        _, probability = aggregate(
            self.task.aggregate,
            table["logit"].sigmoid().numpy(),
            *(table[name].numpy() for name in ("patient", "volume", "score")),
        )
        label, known = (any_of_bag(table[name], table["patient"]) for name in ("label", "known"))
        aurocs = []
        for column, score in enumerate(torch.from_numpy(probability).float().unbind(dim=1)):
            labelled = known[:, column] > 0
            truth = label[labelled, column].long()
            two_classes = truth.unique().numel() == 2
            aurocs.append(binary_auroc(score[labelled], truth) if two_classes else torch.tensor(torch.nan))
        return torch.stack(aurocs).to(self.device)

    def predict_step(self, batch: Batch, index: int, dataloader_idx: int = 0) -> Batch:
        """`row` (B,) in the lesion table, `logit` and attention `score` (B, R), 0 without attention."""
        logits, scores = self.network.with_scores(batch)
        return {"row": batch["row"].cpu(), "logit": logits.float().cpu(), "score": scores.float().cpu()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """AdamW with one cycle over the whole training; biases and norms are not decayed."""
        parameters = [parameter for parameter in self.parameters() if parameter.requires_grad]
        groups = [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": self.settings.weight_decay},
            {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.settings.learning_rate, fused=True)
        # Counted here: `estimated_stepping_batches` would start the loader of a resumed run at epoch 0.
        batches = len(self.trainer.datamodule.train_dataloader())  # type: ignore[attr-defined]
        steps = math.ceil(batches / self.trainer.accumulate_grad_batches) * (self.trainer.max_epochs or 1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=self.settings.learning_rate, total_steps=steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}
