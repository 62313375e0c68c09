"""The Trainer of a fold: its devices, what it writes, and what it keeps quiet about."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.plugins.environments import (
    ClusterEnvironment,
    LightningEnvironment,
    SLURMEnvironment,
    TorchElasticEnvironment,
)
from lightning.pytorch.profilers import PyTorchProfiler

from bcbm.config.schema import Config
from bcbm.model.checkpoints import WholeCheckpoints
from bcbm.model.devices import require_devices
from bcbm.system.processes import SRUN, TORCHRUN, rank


def make_trainer(config: Config, callbacks: list[Callback], loggers: list[Logger], home: Path) -> Trainer:
    """The Trainer of a fold, on the devices that are asked for; `home` is the fold's folder.

    Raises:
        ConfigError: a GPU is asked for and none is available, see `require_devices`.
    """
    settings = config.trainer
    require_devices(config)
    plugins: list[Any] = [WholeCheckpoints(), _cluster(settings.ranks)]
    return Trainer(
        accelerator=settings.accelerator,
        devices=settings.ranks // settings.num_nodes,
        num_nodes=settings.num_nodes,
        strategy="ddp" if settings.ranks > 1 else "auto",
        precision=settings.precision,
        max_epochs=settings.max_epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip or None,
        callbacks=callbacks,
        logger=loggers,
        plugins=plugins,
        profiler=PyTorchProfiler(dirpath=home, filename="trace") if settings.profile else None,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_checkpointing=True,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
    )


@contextmanager
def ctrl_c_is_ctrl_c() -> Iterator[None]:
    """Raise what has interrupted a Trainer, which makes an exit of it."""
    try:
        yield
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        raise


def _cluster(ranks: int) -> ClusterEnvironment:
    """What Lightning asks for ranks: what has started them, and nothing where there is one."""
    if ranks > 1 and TORCHRUN in os.environ:
        return TorchElasticEnvironment()
    if ranks > 1 and SRUN in os.environ:
        return SLURMEnvironment(auto_requeue=False)  # `Interruption` saves, and where it is exact
    environment = LightningEnvironment()
    if ranks == 1:
        environment.set_global_rank(0)  # whatever the environment says
    return environment


def curves(home: Path, begun: int | None) -> CSVLogger:
    """The logger of `metrics.csv`; what stands there up to the epoch that training goes on from is kept."""
    rows: list[dict[Any, Any]] = []
    if begun is not None:
        with suppress(OSError, ValueError, KeyError):  # torn, or not there: curves only, no result
            table = pd.read_csv(home / "metrics.csv")
            rows = table[table["epoch"] <= begun].to_dict("records")
    logger = CSVLogger(home, name="", version="")
    if rows and rank() == 0:
        logger.experiment.metrics = [
            {name: value for name, value in row.items() if pd.notna(value)} for row in rows
        ]
    return logger


def quiet() -> None:
    """Silence what Lightning says on every start; warnings about the data or the maths stay."""
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.distributed",
        "lightning.fabric.utilities.seed",
        "lightning.pytorch.accelerators.cuda",
        "lightning.pytorch.trainer.connectors.checkpoint_connector",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*Experiment logs directory.*",  # `curves` keeps what is to be kept
        ".*tensorboard.*",
        ".*sync_dist=True.*",  # every rank reads all of validation
        ".*isinstance.*LeafSpec.*",
        ".*number of training batches.*",
        ".*Total length of.*is zero.*",  # nobody to validate on, where all are trained on
    ):
        warnings.filterwarnings("ignore", text)
