"""One training of a fold, from its patients to what it predicts."""

import signal
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from torch.distributed import DistError, is_initialized

from bcbm.cohort.splits import UNITS
from bcbm.config.compose import plain
from bcbm.data.datamodule import LesionDataModule
from bcbm.data.loading import loading_failure
from bcbm.errors import InputError, Problem, readable
from bcbm.model.checkpoints import Average, Interruption, Keeper
from bcbm.model.epoch_choice import EpochChoice
from bcbm.model.module import LesionModule
from bcbm.model.monitor import FoldProgress, Monitor
from bcbm.model.trained import lay_out, predicted_rows
from bcbm.model.trainer import ctrl_c_is_ctrl_c, curves, make_trainer, quiet
from bcbm.preparation.fold_job import FoldJob
from bcbm.report.live import live_run
from bcbm.runs.identity import fingerprint
from bcbm.system.files import write_whole
from bcbm.system.processes import Terminated
from bcbm.system.words import counted
from bcbm.terminal.words import say
from bcbm.tracking import Tracker

GLOO = "gloo"  # in what it says when a rank is gone, which has no type of its own


def train_fold(
    job: FoldJob, trackers: Sequence[Tracker], console: Console, callbacks: Sequence[Callback] = ()
) -> None:
    """Train a fold once, from its `last.ckpt` if that was begun before, and hand in what it predicts.

    The test patients are read once, by the weights of the epoch that `EpochChoice` keeps.

    Args:
        job: the fold.
        trackers: each gets its curves and its checkpoint.
        console: gets a line of how it went.
        callbacks: called during the training, as well as this function's own.

    Raises:
        Terminated: a signal has asked for the end; `last.ckpt` is there to go on from.
        InputError: training diverged.
    """
    quiet()
    # The numbers of a CPU depend on how many threads add them up: one, wherever and beside whatever it runs.
    torch.set_num_threads(1)
    config, split, home = job.config, job.split, job.home
    datamodule = fold_data(job)
    torch.manual_seed(datamodule.seed)
    module = make_module(job, datamodule)
    if module.loaded:
        say(console, f"{job.name}: {module.loaded}")
    interruption, monitor = Interruption(), Monitor()
    average = Average(decay=config.trainer.ema) if config.trainer.ema else None
    choice = EpochChoice(config.trainer)
    keeper = Keeper(home / "checkpoints", interruption, choice, average)
    live = live_run(config, job.folder.path, len(split.folds)) if job.folder.identity else None
    progress = FoldProgress(console, job.title, job.behind, config.trainer.max_epochs, live)
    begun = begun_before(keeper.last, module)
    started = [tracker.start_fold(job.number, job.member) for tracker in trackers]
    loggers = [curves(home, begun), *(logger for logger in started if logger is not None)]
    fold_callbacks = [monitor, progress, interruption, keeper, *([average] if average else [])]
    trainer = make_trainer(config, [*fold_callbacks, *callbacks], loggers, home)
    if trainer.world_size > 1 and not is_initialized():
        say(console, f"{job.name}: waiting until all {trainer.world_size} ranks are there")
    start = perf_counter()
    fit_module(trainer, module, datamodule, keeper.last if begun is not None else None, job.name)
    if keeper.interrupted:
        for tracker in trackers:
            tracker.end_fold(job.number, job.member, None)
        raise Terminated(interruption.received or signal.SIGTERM)  # of another rank
    seconds = perf_counter() - start
    keeper.take_best(module)
    rows = _predicted(trainer, module, datamodule, job)
    best: Path | None = None
    if trainer.is_global_zero:
        weights = zip(config.task.targets, module.criterion.pos_weight.tolist(), strict=True)
        rows = rows.assign(
            gamma=module.criterion.gamma, **{f"weight_{name}": weight for name, weight in weights}
        )
        module.calibrate(job.calibrators(rows))
        best = keeper.write_best(module)
        job.hand_in(rows)
        keeper.last.unlink(missing_ok=True)
        say(
            console,
            f"{job.name}: {counted(trainer.current_epoch, 'epoch')} in {seconds:.0f} s, "
            f"epoch {choice.epoch + 1} kept, validation AUROC around it {choice.score:.2f}, "
            f"{UNITS[split.unit]} tested: {len(split.folds[job.number].test)}; "
            f"{monitor.limits(trainer.strategy.root_device, config.data.workers)}",
        )
    trainer.strategy.barrier()
    for tracker in trackers:
        tracker.end_fold(job.number, job.member, best)


def make_module(job: FoldJob, datamodule: LesionDataModule) -> LesionModule:
    """The network of a fold before its first step, its fitted parts from the training patients."""
    config, split = job.config, job.split
    content = plain(config)
    module = LesionModule(
        task=content["task"],
        model=content["model"],
        loss=content["loss"],
        trainer=content["trainer"],
        fitted=datamodule.fitted(config.loss.class_weights),
        provenance={
            "fold": job.number,
            "split_hash": split.hash,
            "split_unit": split.unit,
            "seed": datamodule.seed,
            "run": fingerprint(config, job.lesions.cohort, split.hash),  # with what was chosen for the fold
            "identity": job.folder.identity,
        },
    )
    lay_out(module)
    if config.trainer.compile and module.network.image is not None:
        module.network.image.compile()
    return module


def begun_before(last: Path, module: LesionModule) -> int | None:
    """The epoch behind which training of this very module was left, None where it starts anew."""
    if not last.is_file():
        return None
    with readable(last, "delete it: the fold is trained from its first epoch"):
        content = torch.load(last, map_location="cpu", weights_only=True, mmap=True)
        same = content[module.CHECKPOINT_HYPER_PARAMS_KEY]["provenance"] == module.provenance
        return int(content["epoch"]) if same else None


def fit_module(
    trainer: Trainer, module: LesionModule, datamodule: LesionDataModule, last: Path | None, name: str
) -> None:
    """Train.

    Args:
        trainer: that trains.
        module: what is trained, and `datamodule`, on what.
        last: a checkpoint to go on from.
        name: of the training, for messages.

    Raises:
        InputError: a process that loads batches or another rank has ended.
    """
    try:
        with ctrl_c_is_ctrl_c():
            trainer.fit(module, datamodule, ckpt_path=last, weights_only=True)
    except (RuntimeError, OSError) as error:
        failure = loading_failure(error)
        if (
            failure is None
            and trainer.world_size > 1
            and (isinstance(error, DistError) or GLOO in str(error))
        ):
            remedy = "look at its own error, or whether memory ran out; then run the same command"
            failure = "another rank has ended", remedy
        if failure is not None:
            raise InputError(Problem(name, *failure)) from error
        raise


def fold_data(job: FoldJob) -> LesionDataModule:
    """The batches of a fold."""
    config, lesions = job.config, job.lesions
    return LesionDataModule(
        lesions.data(config),
        job.parts,
        seed=job.seed,
        present=lesions.present,
        leaky=job.split.leaky,
        beside=job.beside,
    )


def _predicted(
    trainer: Trainer, module: LesionModule, datamodule: LesionDataModule, job: FoldJob
) -> pd.DataFrame:
    """What all ranks predict of validation and test, which the first gathers through the fold's folder."""
    with ctrl_c_is_ctrl_c():
        batches = [batch for part in trainer.predict(module, datamodule) or [] for batch in part]
    rows = predicted_rows(batches, job.config.task.targets)
    write_whole(job.home / f".rank={trainer.global_rank}.parquet", rows.to_parquet())
    trainer.strategy.barrier()
    if not trainer.is_global_zero:
        return pd.DataFrame()
    shards = [job.home / f".rank={other}.parquet" for other in range(trainer.world_size)]
    rows = pd.concat([pd.read_parquet(shard) for shard in shards], ignore_index=True)
    for shard in shards:
        shard.unlink()
    return rows
