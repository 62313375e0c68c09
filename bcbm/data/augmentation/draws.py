"""What is to happen to a training crop, drawn from its seed alone: a row of numbers that a batch carries."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from bcbm.config.schema.training import Augment

CHANCES = ("flip", "affine", "motion", "bias", "noise", "gamma")  # in the order in which they happen
NOISE = 0.2  # largest standard deviation of the noise, in the image's intensities
LOG_GAMMA = 0.2  # largest log of the exponent
BIAS_ORDER, BIAS = 3, 0.5  # of the polynomial, and its largest coefficient
MOVEMENTS, MOTION_DEGREES, MOTION_SHIFT = 2, 5.0, 4.0  # during the scan; degrees and mm
STRAY = 0.3  # of a movement's time, in steps from one to the next (TorchIO's own)

# Powers of z, y and x that the coefficients of a bias field belong to, in TorchIO's order.
POWERS = [
    (i, j, k)
    for i in range(BIAS_ORDER + 1)
    for j in range(BIAS_ORDER + 1 - i)
    for k in range(BIAS_ORDER + 1 - i - j)
]
_WIDTHS = {
    **dict.fromkeys(CHANCES, 1),
    "degrees": 3,
    "scale": 1,
    "shift": 3,
    "motion_degrees": 3 * MOVEMENTS,
    "motion_shift": 3 * MOVEMENTS,
    "motion_time": MOVEMENTS,
    "coefficients": len(POWERS),
    "deviation": 1,
    "log_gamma": 1,
}
_ENDS = dict(zip(_WIDTHS, np.cumsum(list(_WIDTHS.values())).tolist(), strict=True))


class Changes:
    """Draw the changes of a sample: the distribution of `LesionAugment`, as numbers.

    Every number has its own place in the draw, so that switching one change on leaves the others as they are.

    Args:
        augment: chances and sizes.

    Example:
        >>> change = Changes(Augment(flip=1.0, affine=0.0))(seed=0)[None]
        >>> part(change, "flip").item(), part(change, "affine").item()
        (1.0, 0.0)
    """

    def __init__(self, augment: Augment) -> None:
        step = 1 / (MOVEMENTS + 1)
        times, stray = step * np.arange(1, MOVEMENTS + 1), step * STRAY
        ranges: dict[str, tuple[ArrayLike, ArrayLike]] = {
            **dict.fromkeys(CHANCES, (0.0, 1.0)),
            "degrees": (-augment.degrees, augment.degrees),
            "scale": (1 - augment.scale, 1 + augment.scale),
            "shift": (-augment.shift, augment.shift),
            "motion_degrees": (-MOTION_DEGREES, MOTION_DEGREES),
            "motion_shift": (-MOTION_SHIFT, MOTION_SHIFT),
            "motion_time": (times - stray, times + stray),
            "coefficients": (-BIAS, BIAS),
            "deviation": (0.0, NOISE),
            "log_gamma": (-LOG_GAMMA, LOG_GAMMA),
        }
        self.low, self.high = (
            np.concatenate([np.broadcast_to(ranges[name][end], width) for name, width in _WIDTHS.items()])
            for end in (0, 1)
        )
        self.chances = np.array([getattr(augment, name) for name in CHANCES])

    def __call__(self, seed: int) -> Tensor:
        """(Q,) float32: 1 for each change that happens, 0 for the others, then all of their sizes."""
        values = self.low + (self.high - self.low) * np.random.default_rng(seed).random(len(self.low))
        values[: len(CHANCES)] = values[: len(CHANCES)] < self.chances
        return torch.from_numpy(values.astype(np.float32))


def part(change: Tensor, name: str) -> Tensor:
    """The numbers of one name, (B, width), of (B, Q) changes."""
    return change[:, _ENDS[name] - _WIDTHS[name] : _ENDS[name]]
