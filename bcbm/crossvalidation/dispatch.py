"""One fold of any model: the network, or a traditional one on the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.fold_radiomics import record_radiomics
from bcbm.system.processes import rank

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from bcbm.tracking import Tracker


def train(
    job: FoldJob,
    console: Console,
    trackers: "Sequence[Tracker]" = (),
    callbacks: "Sequence[Callback]" = (),
) -> None:
    """Train a fold and write its prediction table into its run folder.

    Args:
        job: the fold.
        console: gets a line of how it went.
        trackers: follow the fold, if a network is trained.
        callbacks: called during the training of a network.
    """
    if rank() == 0:
        record_radiomics(job, console)
    if job.config.model.kind == "network":
        from bcbm.model.fold import train_fold

        train_fold(job, trackers, console, callbacks)
    else:
        from bcbm.baselines import train_baseline

        train_baseline(job, console)
