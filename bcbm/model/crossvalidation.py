"""One fold from its patients to its prediction table."""

import logging
import signal
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.profilers import PyTorchProfiler
from rich.console import Console

from bcbm.cohort.problems import readable
from bcbm.cohort.splits import Split
from bcbm.config import ConfigError, plain
from bcbm.dashboard.runs import Tracker
from bcbm.data.datamodule import LesionDataModule
from bcbm.data.lesions import Lesions
from bcbm.model.module import LesionModule
from bcbm.model.monitor import FoldProgress, Monitor
from bcbm.model.resume import Average, Interruption, Keeper, WholeCheckpoints
from bcbm.predictions import prediction_table
from bcbm.processes import Terminated, rank
from bcbm.schema import Config
from bcbm.tracking import RunFolder, fingerprint


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
    """Train fold `number`, from its `last.ckpt` if it was begun before, and write its prediction table.

    The test patients are read once, by the weights of the epoch with the highest patient-level AUROC in
    validation.

    Arguments:
        callbacks: told of the training beside this function's own.

    Raises:
        Terminated: a signal has asked for the end; `last.ckpt` is there to go on from.
        InputError: training diverged.
    """
    _quiet()
    # The numbers of a CPU depend on how many threads add them up: one, wherever and beside whatever it runs.
    torch.set_num_threads(1)
    home = folder.fold(number)
    datamodule = fold_data(config, lesions, split, number)
    torch.manual_seed(datamodule.seed)
    module = make_module(config, lesions, split, number, datamodule)
    if module.loaded:
        console.print(f"fold {number}: {module.loaded}", highlight=False, markup=False, soft_wrap=True)
    interruption, monitor = Interruption(), Monitor()
    average = Average(decay=config.trainer.ema) if config.trainer.ema else None
    keeper = Keeper(home / "checkpoints", interruption, average)
    stop = EarlyStopping("val/auroc", mode="max", patience=config.trainer.patience)
    progress = FoldProgress(console, number, config.trainer.max_epochs)
    begun = begun_before(keeper.last, module)
    run = tracker.start(f"fold={number}", "fold") if tracker else None
    loggers: list[Logger] = [_metrics(home, begun)]
    if run is not None:
        loggers.append(WandbLogger(experiment=run))
    own = [monitor, progress, interruption, stop, keeper, *([average] if average else [])]
    trainer = _trainer(config, [*own, *callbacks], loggers, home)
    start = perf_counter()
    _fit(trainer, module, datamodule, keeper.last if begun is not None else None)
    if keeper.left:
        if run is not None:
            run.finish()
        raise Terminated(interruption.asked or signal.SIGTERM)  # of another rank
    seconds = perf_counter() - start
    keeper.take_best(module)
    batches = [batch for part in trainer.predict(module, datamodule) or [] for batch in part]
    folder.write(f"fold={number}/.rank={trainer.global_rank}.parquet", _rows(batches, config.task.receptors))
    trainer.strategy.barrier()
    if trainer.is_global_zero:
        best = keeper.write_best(module)
        shards = [home / f".rank={other}.parquet" for other in range(trainer.world_size)]
        rows = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
        table = prediction_table(
            rows, lesions.entering, split, number, config.task.receptors, config.task.aggregate
        )
        folder.write(f"fold={number}/predictions.parquet", table)
        for shard in shards:
            shard.unlink()
        keeper.last.unlink(missing_ok=True)
        console.print(
            f"fold {number}: {trainer.current_epoch} epochs in {seconds:.0f} s, best validation AUROC "
            f"{keeper.score:.2f}, {len(split.folds[number].test)} {split.unit}s tested; "
            f"{monitor.limits(trainer.strategy.root_device, config.data.workers)}",
            highlight=False,
            soft_wrap=True,
        )
    trainer.strategy.barrier()
    if tracker and run is not None:
        tracker.send_checkpoint(run, best, number)
        run.finish()


def make_module(
    config: Config, lesions: Lesions, split: Split, number: int, datamodule: LesionDataModule
) -> LesionModule:
    """The network of fold `number` before its first step, its fitted parts from the training patients."""
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
            "run": fingerprint(config, lesions.cohort, split.hash),
        },
    )
    if "image" in config.task.modalities:
        encoder = module.network.get_submodule("encoders.image")
        if config.trainer.channels_last:
            encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if config.trainer.compile:
            encoder.compile()
    return module


def begun_before(last: Path, module: LesionModule) -> int | None:
    """The epoch behind which training of this very module was left, None where it starts anew."""
    if not last.is_file():
        return None
    with readable(last, "delete it: the fold is trained from its first epoch"):
        content = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
    same = content[module.CHECKPOINT_HYPER_PARAMS_KEY]["provenance"] == module.provenance
    return int(content["epoch"]) if same else None


def _metrics(home: Path, begun: int | None) -> CSVLogger:
    """The logger of `metrics.csv`; what stands there up to the epoch that training goes on from is kept."""
    path = home / "metrics.csv"
    kept = pd.read_csv(path) if begun is not None and path.is_file() else None
    logger = CSVLogger(home, name="", version="")
    if kept is not None and rank() == 0:
        rows = kept[kept["epoch"] <= begun].to_dict("records")
        logger.experiment.metrics = [
            {str(name): value for name, value in row.items() if pd.notna(value)} for row in rows
        ]
    return logger


def _fit(trainer: Trainer, module: LesionModule, datamodule: LesionDataModule, last: Path | None) -> None:
    """Train; Ctrl-C is Ctrl-C, where Lightning makes an exit of it."""
    try:
        trainer.fit(module, datamodule, ckpt_path=last, weights_only=True)
    except SystemExit as ended:
        if isinstance(ended.__context__, KeyboardInterrupt):
            raise ended.__context__ from None
        raise


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


def _trainer(config: Config, callbacks: list[Callback], loggers: list[Logger], home: Path) -> Trainer:
    wanted = config.trainer
    if wanted.accelerator in {"gpu", "cuda"} and not torch.cuda.is_available():
        raise ConfigError(f"trainer.accelerator={wanted.accelerator}: no GPU is here; write auto or cpu")
    devices = 1 if wanted.parallel == "folds" else wanted.devices
    plugins: list[Any] = [WholeCheckpoints()]
    if SLURMEnvironment.detect():
        plugins.append(SLURMEnvironment(auto_requeue=False))  # `Interruption` saves, and where it is exact
    return Trainer(
        accelerator=wanted.accelerator,
        devices=devices,
        num_nodes=wanted.num_nodes,
        strategy="ddp" if devices * wanted.num_nodes > 1 else "auto",
        precision=wanted.precision,  # type: ignore[arg-type]
        max_epochs=wanted.max_epochs,
        accumulate_grad_batches=wanted.accumulate,
        gradient_clip_val=wanted.clip or None,
        callbacks=callbacks,
        logger=loggers,
        plugins=plugins,
        profiler=PyTorchProfiler(dirpath=home, filename="trace") if wanted.profile else None,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_checkpointing=True,
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
        "lightning.fabric.utilities.distributed",
        "lightning.fabric.utilities.seed",
        "lightning.pytorch.accelerators.cuda",
        "lightning.pytorch.trainer.connectors.checkpoint_connector",
    ):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*Checkpoint directory.*exists.*",
        ".*Experiment logs directory.*",  # `_metrics` keeps what is to be kept
        ".*tensorboard.*",
        ".*sync_dist=True.*",  # every rank reads all of validation
        ".*isinstance.*LeafSpec.*",
        ".*number of training batches.*",
    ):
        warnings.filterwarnings("ignore", text)
