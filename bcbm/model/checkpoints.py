"""What a fold keeps while it trains: the best weights so far, and now and then all that it takes to go on."""

import signal
import threading
import time
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning import LightningModule, Trainer, __version__
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, EMAWeightAveraging

from bcbm.model.epoch_choice import EpochChoice
from bcbm.runs.tables import write_with_sum
from bcbm.system.files import writing_whole
from bcbm.system.processes import Terminated, ending_signals

TOGETHER = 2.0  # seconds within which signals are one: Slurm's to every process, and what torchrun passes on
SHARE = 100  # a checkpoint waits until this many times its own cost has been trained: 1 % at most


class WholeCheckpoints(TorchCheckpointIO):
    """Checkpoints that are there whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint in one step.

        Raises:
            OSError: the disk refuses.
        """
        with writing_whole(Path(path)) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's own on top, when it closes what could not be written
                raise (error.__context__ if isinstance(error.__context__, OSError) else error) from None


class Average(EMAWeightAveraging):
    """Moving average of the weights (Polyak and Juditsky, SIAM J. Control Optim. 30:838, 1992)."""

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged weights, under the names of the module's own."""
        assert self._average_model is not None
        return self._average_model.module.state_dict()


class Interruption(Callback):
    """Lets a signal that asks for the end wait until the epoch's end; a second one ends at once.

    Lightning's own handlers save in the middle of an epoch, from where a run does not go on exactly.

    Attributes:
        received: the signal that came, 0 while none has.
    """

    def __init__(self) -> None:
        self.received, self._since = 0, 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over; the Trainer gives all of them back when it ends."""
        if threading.current_thread() is threading.main_thread():
            for number in ending_signals():
                signal.signal(number, self._ask)

    def agreed(self, trainer: Trainer) -> bool:
        """Whether any rank was asked to end, as all ranks decide at once."""
        return trainer.strategy.reduce_boolean_decision(bool(self.received), all=False)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self.received:
            self.received, self._since = number, time.monotonic()
        elif time.monotonic() - self._since > TOGETHER:
            raise Terminated(number)


class Keeper(Checkpoint):
    """Holds the weights of the epoch to keep, and writes `last.ckpt` behind an epoch whenever that is cheap.

    It also ends the training when the choice of the epoch waits for no better one.

    The best weights lie inside `last.ckpt`, so that both are always of one training. Going on from it ends
    where an unbroken training does; what was trained since is trained again.

    Args:
        folder: of the checkpoints.
        interruption: what may ask for the end behind this epoch.
        choice: of the epoch, by `val/auroc`.
        average: holds the weights to keep; None: the module's own.

    Attributes:
        interrupted: training ended because of `interruption`.
    """

    def __init__(
        self, folder: Path, interruption: Interruption, choice: EpochChoice, average: Average | None = None
    ) -> None:
        self.last, self.interruption, self.average = folder / "last.ckpt", interruption, average
        self.choice, self.step = choice, 0
        self.best: dict[str, torch.Tensor] = {}
        self.interrupted = False
        self._saved, self._cost = time.monotonic(), 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights if they are the best, save if it is time, and leave if that is asked for."""
        # The first rank's: statistics of batches may differ between ranks, and with them the last digits.
        if self.choice.better(trainer.strategy.broadcast(float(trainer.callback_metrics["val/auroc"]))):
            self.step = trainer.global_step
            weights = self.average.weights() if self.average else pl_module.state_dict()
            self.best = {name: value.detach().cpu().clone() for name, value in weights.items()}
        if self.choice.exhausted:
            trainer.should_stop = True
        # What is finished anyway is not saved: it would be asked for one more epoch.
        finished = trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs
        interrupted = self.interruption.agreed(trainer)
        due = time.monotonic() - self._saved > SHARE * self._cost
        if not finished and trainer.strategy.broadcast(interrupted or due):
            begun = time.monotonic()
            trainer.save_checkpoint(self.last)
            self._saved = time.monotonic()
            self._cost = self._saved - begun
        if interrupted and not finished:
            self.interrupted = trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """What of this object travels in `last.ckpt`."""
        choice = {name: getattr(self.choice, name) for name in ("scores", "score", "epoch")}
        return {"choice": choice, "step": self.step, "best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take it up again."""
        vars(self.choice).update(state_dict["choice"])
        self.step, self.best = state_dict["step"], state_dict["best"]

    def take_best(self, pl_module: LightningModule) -> None:
        """Put the best weights into the module."""
        pl_module.load_state_dict(self.best)

    def write_best(self, pl_module: LightningModule) -> Path:
        """Write the best weights to `best.ckpt`, without the optimiser, for `load_from_checkpoint`.

        Their sum lies beside them, as that of a table.
        """
        path = self.last.with_name("best.ckpt")
        content = {
            "state_dict": self.best,
            pl_module.CHECKPOINT_HYPER_PARAMS_KEY: dict(pl_module.hparams),
            "pytorch-lightning_version": __version__,
            "epoch": self.choice.epoch,
            "global_step": self.step,
        }
        packed = BytesIO()
        torch.save(content, packed)
        write_with_sum(path, packed.getvalue())
        return path
