"""How training goes: on screen, and as figures of every epoch."""

import math
from time import perf_counter
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from bcbm.data.loading import TrainingLoader
from bcbm.errors import InputError, Problem
from bcbm.report.live import LiveRun
from bcbm.system.processes import most_memory
from bcbm.terminal.progress import LiveLine, fitting, left

EVERY = 8  # steps; the norm of each would cost 1 % of the time


class Monitor(Callback):
    """Log `train/learning_rate`, `grad_norm`, `lesions_per_second` and `data_wait` of every epoch.

    The learning rate is that of the last step, the norm the mean over every eighth, before any clipping. The
    time is that of the training steps with the loading of their batches, without validation; `data_wait` is
    the share of it for which the loader let the training wait. But for 16-mixed nothing is read off a GPU
    before the epoch's end.

    Raises:
        InputError: at the end of an epoch whose loss is NaN or infinite.
    """

    def __init__(self) -> None:
        self.waited = self.trained = 0.0  # seconds, over all epochs

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.norms: list[Tensor] = []
        self.learning_rate, self.steps, self.lesions = 0.0, 0, 0
        self.before = _loader(trainer).waited
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
        """Count the lesions of a batch."""
        self.lesions += len(batch["row"])
        if trainer.is_last_batch:
            if pl_module.device.type == "cuda":
                torch.cuda.synchronize(pl_module.device)
            self.ended = perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch."""
        loss = float(trainer.callback_metrics.get("train/loss", 0.0))
        if not math.isfinite(loss):
            value = "NaN" if math.isnan(loss) else "infinite"
            problem = f"the loss of epoch {trainer.current_epoch + 1} is {value}"
            remedy = "lower trainer.learning_rate, or set trainer.clip=1 or trainer.precision=32-true"
            raise InputError(Problem("training", problem, remedy))
        seconds = max(self.ended - self.begun, 1e-9)
        waited = min(_loader(trainer).waited - self.before, seconds)
        self.waited, self.trained = self.waited + waited, self.trained + seconds
        figures: dict[str, Tensor | float] = {
            "train/learning_rate": self.learning_rate,
            "train/grad_norm": torch.stack(self.norms).mean(),
            "train/lesions_per_second": self.lesions * trainer.world_size / seconds,
            "train/data_wait": waited / seconds,
        }
        pl_module.log_dict(figures, sync_dist=True)

    def limits(self, device: torch.device, workers: int) -> str:
        """What held training up, and the most memory it took, in words."""
        share = self.waited / max(self.trained, 1e-9)
        most = most_memory()
        memory = f"{most / 2**30:.1f} GiB of memory" if most else "memory unknown"
        if device.type == "cuda":
            memory += f", {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of it on the GPU"
        hint = f" (data.workers={workers + 1} may help)" if share > 0.2 and self.waited > 10 else ""
        return f"{share:.0%} of the training waited for data{hint}, {memory}"


def _loader(trainer: Trainer) -> TrainingLoader:
    loader = trainer.train_dataloader
    assert isinstance(loader, TrainingLoader)
    return loader


class FoldProgress(Callback):
    """One line a training: how far it is, losses, AUROC and the time left for the whole run.

    Args:
        console: where.
        name: of the training.
        behind: how many come behind it, which are taken to be as long as this one.
        epochs: of a training.
        live: the run, whose trainings a terminal shows above the line, and whose page is renewed.
    """

    def __init__(
        self, console: Console, name: str, behind: float, epochs: int, live: LiveRun | None = None
    ) -> None:
        self.name, self.behind, self.epochs = name, behind, epochs
        self.epoch = self.first = 0
        self.losses: dict[str, float] = {}
        self.live = live
        above = live.table if live else lambda: None
        self.line = LiveLine(console, self.text, lambda: self.epoch / self.epochs, alone=False, above=above)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the line."""
        self.line.start()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the time, from where training goes on."""
        self.began, self.epoch = perf_counter(), trainer.current_epoch
        self.first = self.epoch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Print the line, when it is time."""
        self.line.tick()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move it on."""
        self.epoch = trainer.current_epoch + 1
        names = ("train/loss", "val/loss", "val/auroc")
        metrics = trainer.callback_metrics
        self.losses = {name: float(metrics[name]) for name in names if name in metrics}
        if self.live and trainer.is_global_zero:
            self.live.renew()

    def text(self, width: int) -> str:
        """The line of now."""
        epoch = f"epoch {self.epoch}/{self.epochs}" if self.epoch else ""
        losses = [f"{self.losses[name]:.3f}" for name in ("train/loss", "val/loss") if name in self.losses]
        loss = f"loss {' / '.join(losses)}" if losses else ""
        auroc = f"AUROC {self.losses['val/auroc']:.2f}" if "val/auroc" in self.losses else ""
        ahead = ""
        if self.epoch > self.first:
            pace = (perf_counter() - self.began) / (self.epoch - self.first)
            ahead = left(pace * (self.epochs - self.epoch + self.behind * self.epochs))
        return fitting(self.name, [ahead, epoch, auroc, loss], [epoch, loss, auroc, ahead], width)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take it away."""
        self.line.stop()
