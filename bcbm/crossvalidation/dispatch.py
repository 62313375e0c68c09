"""One fold of any model: the network, or a traditional one on the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bcbm.preparation.fold_job import FoldJob
from bcbm.preparation.fold_radiomics import record_radiomics
from bcbm.system.processes import rank
from bcbm.terminal.progress import progress_bar

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from bcbm.tracking import Tracker


def train(
    job: FoldJob,
    console: Console,
    trackers: "Sequence[Tracker]" = (),
    callbacks: "Sequence[Callback]" = (),
) -> None:
    """Train a fold, once a seed, and write its prediction table into its run folder.

    What is finished of it is not trained again.

    Args:
        job: the fold.
        console: gets a line of how each training went.
        trackers: follow the fold, if a network is trained.
        callbacks: called during the training of a network.
    """
    if rank() == 0:
        record_radiomics(job, console)
    for member in job.unfinished():
        if job.config.model.kind == "network":
            from bcbm.model.fold import train_fold

            train_fold(member, trackers, console, callbacks)
        else:
            from bcbm.baselines import train_baseline

            with progress_bar(console, f"{member.title}: {job.config.model.kind}"):
                train_baseline(member, console)
