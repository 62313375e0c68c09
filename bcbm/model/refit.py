"""A network trained on all patients of a run: nobody is left to choose its epoch, so that is given."""

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from rich.console import Console

from bcbm.model.checkpoints import Average
from bcbm.model.fold import fit_module, fold_data, make_module
from bcbm.model.module import LesionModule
from bcbm.model.monitor import FoldProgress, Monitor
from bcbm.model.trained import lay_out
from bcbm.model.trainer import make_trainer, quiet
from bcbm.preparation.fold_job import FoldJob


class LastEpoch(Checkpoint):
    """Ends a training behind an epoch, and holds its weights; a `Checkpoint`, or Lightning would add its own.

    Args:
        epochs: of the training.
        average: holds the weights to keep; None: the module's own.
    """

    def __init__(self, epochs: int, average: Average | None) -> None:
        self.epochs, self.average = epochs, average
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the weights and leave, if it is the one."""
        if trainer.current_epoch + 1 == self.epochs:
            weights = self.average.weights() if self.average else pl_module.state_dict()
            self.weights = {name: value.detach().cpu().clone() for name, value in weights.items()}
            trainer.should_stop = True


def refit_network(job: FoldJob, epochs: int, title: str, console: Console) -> LesionModule:
    """Train on the training part of a job alone; nothing is written.

    The learning rate goes the way of the run's folds, over `trainer.max_epochs`, and is left where these were
    kept.

    Args:
        job: without validation and test patients.
        epochs: behind which the weights are taken.
        title: of the progress.
        console: shows it.

    Raises:
        InputError: training diverged.
    """
    quiet()
    torch.set_num_threads(1)  # as in `train_fold`
    config, datamodule = job.config, fold_data(job)
    torch.manual_seed(datamodule.seed)
    module = make_module(job, datamodule)
    average = Average(decay=config.trainer.ema) if config.trainer.ema else None
    last = LastEpoch(epochs, average)
    callbacks = [Monitor(), FoldProgress(console, title, 0, epochs), last, *([average] if average else [])]
    fit_module(make_trainer(config, callbacks, [], job.folder.path), module, datamodule, None, title)
    trained = LesionModule(**module.hparams)  # on the CPU, whatever has trained it
    trained.load_state_dict(last.weights)
    lay_out(trained)
    return trained
