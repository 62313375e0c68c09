"""One fold of any model: the network, or a traditional one on the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bcbm.preparation.fold_job import FoldJob

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from bcbm.tracking.wandb import Tracker


def train(
    job: FoldJob,
    console: Console,
    tracker: "Tracker | None" = None,
    callbacks: "Sequence[Callback]" = (),
) -> None:
    """Train a fold and write its prediction table into its run folder.

    Args:
        job: the fold.
        console: is told how it went.
        tracker: gets a run of the fold; only a network has one.
        callbacks: told of the epochs of a network.
    """
    if job.config.model.kind == "network":
        from bcbm.model.fold import train_fold

        train_fold(job, tracker, console, callbacks)
    else:
        from bcbm.baselines import train_baseline

        train_baseline(job, console)
