"""How many folds this machine trains side by side."""

import multiprocessing
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.system.memory import available_memory

if TYPE_CHECKING:
    from bcbm.config.schema import Config

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # CUDA, ROCm, Windows' subsystem for Linux
# Bytes that a fold's process takes: the libraries, and the network's memory of a voxel of a batch.
PROCESS, VOXEL = 2**30, 2**11


def folds_at_once(config: "Config", folds: int) -> int:
    """How many of the folds are trained at once.

    What `trainer.devices` and `trainer.parallel` say or, where `devices` is empty, one on a GPU; and on a CPU
    as many as there are cores and memory for, if a network is trained (a traditional model takes all cores
    itself). The figures of a run do not depend on it.
    """
    trainer = config.trainer
    if trainer.parallel == "batches" and (trainer.devices or trainer.num_nodes > 1):
        return 1
    if trainer.devices:
        return min(trainer.devices, folds)
    if folds == 1 or config.model.kind != "network":
        return 1
    if "forkserver" not in multiprocessing.get_all_start_methods() or sys.platform == "darwin":
        return 1
    if gpus := _gpus(trainer.accelerator):
        return min(gpus, folds) if trainer.parallel == "folds" else 1
    import joblib

    cores, memory = joblib.cpu_count() // (1 + config.data.workers), available_memory()
    return max(1, min(folds, cores, memory // _needed_memory(config)))


def _gpus(accelerator: str) -> int:
    """The GPUs that training would take; asks PyTorch, which is slow to load, only where there may be one."""
    if accelerator == "cpu" or not any(Path(file).exists() for file in GPU_FILES):
        return 0
    import torch

    return torch.cuda.device_count()


def _needed_memory(config: "Config") -> int:
    """About the bytes that a fold's process takes."""
    voxels = config.features.crop_size**3 if "image" in config.task.modalities else 0
    return PROCESS + VOXEL * voxels * config.data.batch_size
