"""One fold from its patients to its prediction table."""

import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from bcbm.cohort.splits import Split
from bcbm.config import ConfigError, plain
from bcbm.dashboard.runs import Tracker
from bcbm.data.datamodule import LesionDataModule
from bcbm.data.lesions import Lesions
from bcbm.model.module import LesionModule
from bcbm.model.monitor import Monitor
from bcbm.predictions import prediction_table
from bcbm.schema import Config
from bcbm.tracking import RunFolder


class FoldProgress(Callback):
    """One line a fold: epoch, losses and time left."""

    def __init__(self, console: Console, fold: int, epochs: int) -> None:
        fold_text, losses = TextColumn("fold {task.fields[fold]}"), TextColumn("{task.description}")
        columns = (fold_text, BarColumn(), losses, TimeRemainingColumn())
        self.progress = Progress(*columns, console=console, transient=True, disable=console.quiet)
        self.task: TaskID = self.progress.add_task("", total=epochs, fold=fold)

    def on_fit_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Show the line."""
        self.progress.start()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Move it on."""
        losses = "  ".join(
            f"{name} {float(trainer.callback_metrics[name]):.3f}"
            for name in ("train/loss", "val/loss", "val/auroc")
            if name in trainer.callback_metrics
        )
        text = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}  {losses}"
        self.progress.update(self.task, completed=trainer.current_epoch + 1, description=text)

    def teardown(self, trainer: Trainer, pl_module: Any, stage: str) -> None:
        """Take it away."""
        self.progress.stop()


def train_fold(
    config: Config,
    lesions: Lesions,
    split: Split,
    number: int,
    folder: RunFolder,
    tracker: Tracker | None,
    console: Console,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train fold `number` from its first epoch and write its prediction table.

    The test patients are read once, by the weights of the epoch with the highest patient-level AUROC in
    validation.

    Arguments:
        callbacks: told of the training beside this function's own.
    """
    _quiet()
    home = folder.fold(number)
    # The cores that loading workers and the other ranks leave; more threads than cores are slower than one.
    torch.set_num_threads(max(1, (_cores() - config.data.workers) // config.trainer.devices))
    datamodule = fold_data(config, lesions, split, number)
    torch.manual_seed(datamodule.seed)
    content = plain(config)
    module = LesionModule(
        task=content["task"],
        model=content["model"],
        loss=content["loss"],
        trainer=content["trainer"],
        fitted=datamodule.fitted(config.loss.class_weights),
        provenance={
            "fold": number,
            "split_hash": split.hash,
            "split_unit": split.unit,
            "seed": datamodule.seed,
        },
    )
    if module.loaded:
        console.print(f"fold {number}: {module.loaded}", highlight=False, markup=False, soft_wrap=True)
    checkpoints = ModelCheckpoint(
        home / "checkpoints",
        "best",
        monitor="val/auroc",
        mode="max",
        enable_version_counter=False,
    )
    stop = EarlyStopping("val/auroc", mode="max", patience=config.trainer.patience, check_finite=True)
    run = tracker.start(f"fold={number}", "fold") if tracker else None
    loggers: list[Logger] = [CSVLogger(home, name="", version="")]
    if run is not None:
        loggers.append(WandbLogger(experiment=run))
    progress = FoldProgress(console, number, config.trainer.max_epochs)
    trainer = _trainer(config, [checkpoints, stop, Monitor(), progress, *callbacks], loggers)
    trainer.fit(module, datamodule)
    best = LesionModule.load_from_checkpoint(
        checkpoints.best_model_path, weights_only=True, map_location="cpu"
    )
    batches = [batch for part in trainer.predict(best, datamodule) or [] for batch in part]
    folder.write(f"fold={number}/.rank={trainer.global_rank}.parquet", _rows(batches, config.task.receptors))
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        shards = [home / f".rank={other}.parquet" for other in range(trainer.world_size)]
        rows = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
        table = prediction_table(
            rows, lesions.entering, split, number, config.task.receptors, config.task.aggregate
        )
        folder.write(f"fold={number}/predictions.parquet", table)
        for shard in shards:
            shard.unlink()
        best_auroc = float(checkpoints.best_model_score or float("nan"))
        console.print(
            f"fold {number}: {trainer.current_epoch} epochs, best validation AUROC {best_auroc:.2f}, "
            f"{len(split.folds[number].test)} {split.unit}s tested",
            highlight=False,
        )
    trainer.strategy.barrier()
    if tracker and run is not None:
        tracker.send_checkpoint(run, Path(checkpoints.best_model_path), number)
        run.finish()


def _cores() -> int:
    """Cores given to this process, which may be fewer than the machine has: a sweep and Slurm divide them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def fold_data(config: Config, lesions: Lesions, split: Split, number: int) -> LesionDataModule:
    """The batches of fold `number`."""
    return LesionDataModule(
        lesions=lesions.entering,
        radiomics=lesions.radiomics,
        crops=lesions.crops,
        present=lesions.present,
        parts=split.rows(lesions.entering, number),
        receptors=config.task.receptors,
        modalities=config.task.modalities,
        data=config.data,
        augment=config.augment,
        crop_spacing=config.features.crop_spacing,
        seed=int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0]),
        leaky=split.leaky,
        mask_channel=config.model.mask_channel,
        coordinates=config.features.coordinates,
        bag=config.data.bag if config.task.aggregate == "attention" else 1,
    )


def _trainer(config: Config, callbacks: list[Callback], loggers: list[Logger]) -> Trainer:
    wanted = config.trainer
    if wanted.accelerator in {"gpu", "cuda"} and not torch.cuda.is_available():
        raise ConfigError(f"trainer.accelerator={wanted.accelerator}: no GPU is here; write auto or cpu")
    return Trainer(
        accelerator=wanted.accelerator,
        devices=wanted.devices,
        num_nodes=wanted.num_nodes,
        strategy="ddp" if wanted.devices * wanted.num_nodes > 1 else "auto",
        precision=wanted.precision,  # type: ignore[arg-type]
        max_epochs=wanted.max_epochs,
        callbacks=callbacks,
        logger=loggers,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
    )


def _rows(batches: list[Any], receptors: list[str]) -> pd.DataFrame:
    """Row of the lesion table, probability and attention score a receptor, as this rank predicted them."""
    if not batches:
        return pd.DataFrame()
    columns = {"row": torch.cat([batch["row"] for batch in batches]).numpy()}
    logit = torch.cat([batch["logit"] for batch in batches]).double()
    score = torch.cat([batch["score"] for batch in batches]).double()
    for column, receptor in enumerate(receptors):
        columns[receptor] = logit[:, column].sigmoid().numpy()
        columns[f"score_{receptor}"] = score[:, column].numpy()
    return pd.DataFrame(columns)


def _quiet() -> None:
    """Silence what Lightning says on every start; warnings about the data or the maths stay."""
    for name in (
        "lightning.pytorch.utilities.rank_zero",
        "lightning.fabric.utilities.seed",
        "lightning.pytorch.accelerators.cuda",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*tensorboard.*",
        ".*isinstance.*LeafSpec.*",
        ".*number of training batches.*",
    ):
        warnings.filterwarnings("ignore", text)
