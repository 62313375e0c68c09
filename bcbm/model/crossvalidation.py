"""One fold from its patients to its prediction table."""

import logging
import os
import warnings
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
from bcbm.config import plain
from bcbm.data.datamodule import LesionDataModule
from bcbm.data.lesions import Lesions
from bcbm.model.module import LesionModule
from bcbm.schema import Config
from bcbm.tracking import RunFolder, Tracker


def rank() -> int:
    """The global rank of this process, before and after Lightning has started the group."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            return int(os.environ[name])
    return 0


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
    tracker: Tracker,
    console: Console,
) -> None:
    """Train fold `number` from its first epoch and write its prediction table.

    The test patients are read once, by the weights of the epoch with the highest patient-level AUROC in
    validation.
    """
    _quiet()
    home = folder.fold(number)
    seed = int(np.random.SeedSequence([config.seed, number]).generate_state(1)[0])
    torch.manual_seed(seed)
    # The cores that loading workers and the other ranks leave; more threads than cores are slower than one.
    torch.set_num_threads(max(1, ((os.cpu_count() or 1) - config.data.workers) // config.trainer.devices))
    datamodule = LesionDataModule(
        lesions=lesions.entering,
        radiomics=lesions.radiomics,
        crops=lesions.crops,
        parts=split.rows(lesions.entering, number),
        receptors=config.task.receptors,
        modalities=config.task.modalities,
        data=config.data,
        augment=config.augment,
        crop_spacing=config.features.crop_spacing,
        seed=seed,
        leaky=split.leaky,
        mask_channel=config.model.mask_channel,
        coordinates=config.features.coordinates,
    )
    content = plain(config)
    module = LesionModule(
        task=content["task"],
        model=content["model"],
        loss=content["loss"],
        trainer=content["trainer"],
        fitted=datamodule.fitted(config.loss.class_weights),
        provenance={"fold": number, "split_hash": split.hash, "split_unit": split.unit, "seed": seed},
    )
    checkpoints = ModelCheckpoint(
        home / "checkpoints",
        "best",
        monitor="val/auroc",
        mode="max",
        enable_version_counter=False,
    )
    stop = EarlyStopping("val/auroc", mode="max", patience=config.trainer.patience, check_finite=True)
    run = tracker.start(f"fold={number}", "fold") if rank() == 0 else None
    loggers: list[Logger] = [CSVLogger(home, name="", version="")]
    if run is not None:
        loggers.append(WandbLogger(experiment=run))
    trainer = Trainer(
        accelerator=config.trainer.accelerator,
        devices=config.trainer.devices,
        num_nodes=config.trainer.num_nodes,
        strategy="ddp" if config.trainer.devices * config.trainer.num_nodes > 1 else "auto",
        precision=config.trainer.precision,  # type: ignore[arg-type]
        max_epochs=config.trainer.max_epochs,
        callbacks=[checkpoints, stop, FoldProgress(console, number, config.trainer.max_epochs)],
        logger=loggers,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
        deterministic="warn",
    )
    trainer.fit(module, datamodule)
    best = LesionModule.load_from_checkpoint(
        checkpoints.best_model_path, weights_only=True, map_location="cpu"
    )
    batches = trainer.predict(best, datamodule) or []
    folder.write(f"fold={number}/.rank={trainer.global_rank}.parquet", _rows(batches, config.task.receptors))
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        shards = [home / f".rank={other}.parquet" for other in range(trainer.world_size)]
        rows = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
        table = _table(rows, lesions.entering, split, number)
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
    if run is not None:
        run.finish()


def _rows(batches: list[Any], receptors: list[str]) -> pd.DataFrame:
    """Row of the lesion table and a probability a receptor, as this rank has predicted them."""
    rows = torch.cat([batch["row"] for batch in batches]) if batches else torch.zeros(0, dtype=torch.int64)
    none = torch.zeros(0, len(receptors))
    values = torch.cat([batch["probability"] for batch in batches]) if batches else none
    return pd.DataFrame(values.double().numpy(), columns=receptors).assign(row=rows.numpy())


def _table(rows: pd.DataFrame, entering: pd.DataFrame, split: Split, number: int) -> pd.DataFrame:
    """The prediction table of a fold: every test lesion once a receptor, in the lesion table's order."""
    rows = rows.sort_values("row", ignore_index=True)
    expected = split.rows(entering, number)["test"]
    if not np.array_equal(rows["row"].to_numpy(), expected):
        raise RuntimeError(
            f"fold {number}: predicted {len(rows)} rows, {len(expected)} lesions expected, each once"
        )
    lesion = entering.iloc[expected].reset_index(drop=True)
    parts = [
        pd.DataFrame(
            {
                "lesion_id": lesion["lesion_id"],
                "patient_id": lesion["patient_id"],
                "fold": number,
                "repeat": split.folds[number].repeat,
                "receptor": receptor,
                "probability": rows[receptor],
                "label": lesion[receptor],
                "split_hash": split.hash,
            }
        )
        for receptor in rows.columns.drop("row")
    ]
    return pd.concat(parts, ignore_index=True)


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
