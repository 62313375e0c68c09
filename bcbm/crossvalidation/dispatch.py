"""One fold of any model: the network, or a traditional one on the tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from bcbm.cohort.splits import Split
from bcbm.config.schema import Config
from bcbm.preparation.lesions import Lesions
from bcbm.runs.folder import RunFolder

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from bcbm.tracking.runs import Tracker


def train(
    config: Config,
    lesions: Lesions,
    split: Split,
    number: int,
    folder: RunFolder,
    console: Console,
    tracker: "Tracker | None" = None,
    callbacks: "Sequence[Callback]" = (),
) -> None:
    """Train fold `number` and write its prediction table into the folder.

    Arguments:
        tracker: gets a run of the fold; `callbacks` are told of the epochs. Both are the network's alone.
    """
    if config.model.kind == "network":
        from bcbm.model.fold import train_fold

        train_fold(config, lesions, split, number, folder, tracker, console, callbacks)
    else:
        from bcbm.baselines import train_baseline

        train_baseline(config, lesions, split, number, folder, console)
