"""How many folds this machine trains side by side."""

import multiprocessing
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bcbm.system.memory import available_memory, free_gpu_memory

if TYPE_CHECKING:
    from bcbm.config.schema import Config

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # CUDA, ROCm, Windows' subsystem for Linux
# Bytes that a fold's process takes: the libraries, and the network's memory of a voxel of a batch.
PROCESS, VOXEL = 2**30, 2**11
BESIDE_GPU = 2**32  # bytes of the machine's own memory that a fold on a GPU takes


class AtOnce(NamedTuple):
    """How many folds are trained side by side: so many at first, and so many as these end."""

    first: int
    then: int


def folds_at_once(config: "Config", folds: int) -> AtOnce:
    """How many of the folds are trained at once.

    What `trainer.devices` and `trainer.parallel` say or, where `devices` is empty, as many as there are cores
    and memory for, if a network is trained (a traditional model takes all cores itself): memory of the GPU
    too, where one is in sight, or several with `trainer.parallel=folds`. On a CPU at first those too that
    would leave cores idle as the last. The figures of a run do not depend on it.
    """
    devices = _at_once_by_device(config, folds)
    if devices is not None:
        return AtOnce(devices, devices)
    import joblib

    gpus, needed = _gpus(config.trainer.accelerator), _needed_memory(config)
    room = available_memory() // (BESIDE_GPU if gpus else needed)
    at_once = max(1, min(folds, joblib.cpu_count() // (1 + config.data.workers), room))
    if not gpus:
        return AtOnce(max(at_once, min(at_once + folds % at_once, room)), at_once)
    at_once = min(at_once, gpus * max(1, free_gpu_memory() // needed))
    at_once = max(at_once, min(gpus, folds))
    return AtOnce(at_once, at_once)


def _at_once_by_device(config: "Config", folds: int) -> int | None:
    """What the configuration, the GPUs and the system leave of it; None: as many as there is room for."""
    trainer = config.trainer
    if trainer.parallel == "batches" and (trainer.devices or trainer.num_nodes > 1):
        return 1
    if trainer.devices:
        return min(trainer.devices, folds)
    if folds <= 1 or config.model.kind != "network":
        return 1
    if "forkserver" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return 1
    return 1 if trainer.parallel == "batches" and _gpus(trainer.accelerator) > 1 else None


def _gpus(accelerator: str) -> int:
    """The GPUs that training would take; asks PyTorch, which is slow to load, only where there may be one."""
    if accelerator == "cpu" or not any(Path(file).exists() for file in GPU_FILES):
        return 0
    import torch

    return torch.cuda.device_count()


def _needed_memory(config: "Config") -> int:
    """About the bytes that a fold's process takes, of a GPU where it trains on one."""
    voxels = config.features.crop_size**3 if "image" in config.task.modalities else 0
    return PROCESS + VOXEL * voxels * config.data.batch_size
