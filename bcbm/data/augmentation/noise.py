"""Gaussian noise that a seed decides, on any device."""

import numpy as np
import torch
from torch import Tensor


def add_noise(crop: Tensor, seed: int, deviation: float) -> None:
    """Add noise to a (..., D, H, W) float32 crop, in place.

    The kind of device has its own generator; on one kind the same seed always gives the same noise.
    """
    if crop.device.type == "cpu":
        from bcbm.data.augmentation import kernels  # numba takes a moment, and only this way needs it

        kernels.add_noise(crop.view(-1).numpy(), seed, np.float32(deviation), kernels.LEVELS)
    else:
        generator = torch.Generator(crop.device).manual_seed(seed)
        crop.add_(torch.randn(crop.shape, generator=generator, device=crop.device), alpha=deviation)
