"""The report of a trial's training, epoch by epoch."""

from collections.abc import Sequence

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from bcbm.model.epoch_choice import smoothed
from bcbm.search.worker import Report
from bcbm.tracking import Tracker


class EpochReport(Callback):
    """Reports each validation epoch of an inner fold, as a mean with the folds before it.

    The fold's last step is left to the figure of its test patients, which the trial is judged by.

    Args:
        report: where to.
        fold: number of the inner fold.
        epochs: steps a fold.
        so_far: the objective over the folds before.
        smoothing: epochs that a figure is averaged over, `trainer.smoothing`.
        trackers: of the trial; each gets every figure of the epoch.
    """

    def __init__(
        self,
        report: Report,
        fold: int,
        epochs: int,
        so_far: float,
        smoothing: int,
        trackers: Sequence[Tracker] = (),
    ) -> None:
        self.smoothing = smoothing
        self.report, self.fold, self.epochs, self.so_far = report, fold, epochs, so_far
        self.trackers = trackers
        self.aurocs: list[float] = []
        self.best = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the epoch and report the best one so far, smoothed as the choice of the epoch is.

        Raises:
            TrialPruned: see `Report`.
        """
        self.report.epochs += 1
        self.aurocs.append(float(trainer.callback_metrics["val/auroc"]))
        self.best = max(self.best, smoothed(self.aurocs, self.smoothing))
        epoch = trainer.current_epoch + 1
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for tracker in self.trackers:
            tracker.log_trial(self.fold * self.epochs + epoch, figures)
        if epoch < self.epochs:
            value = (self.fold * self.so_far + self.best) / (self.fold + 1)
            self.report(self.fold * self.epochs + epoch, value)
