"""Augmentation of a whole batch where it is, on a CPU or a GPU: what `LesionAugment` does, far cheaper."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from bcbm.data.augmentation.draws import BIAS_ORDER, MOVEMENTS, POWERS, part
from bcbm.data.augmentation.noise import add_noise
from bcbm.data.augmentation.resample import about_centre, resampled, rotation, sent


class BatchAugment:
    """Make the changes that `Changes` drew; a crop that none of them meets is only copied.

    What becomes of a crop depends on its own numbers and seed, not on the batch around it. All channels move
    together; intensities change in each image alike, but for the noise, which is each image's own. The mask,
    if there is one, stays 0 or 1.

    Args:
        spacing: edge of a crop voxel, mm.
        sequences: how many channels are images; the mask follows them.
    """

    def __init__(self, spacing: float, sequences: int = 1) -> None:
        self.spacing, self.sequences = spacing, sequences

    def __call__(self, image: Tensor, change: Tensor, seed: Tensor) -> Tensor:
        """Augment a batch.

        Args:
            image: (B, C, D, H, W) of any float type, on any device: z-scored images and, behind them, the
                mask; W runs left to right.
            change: (B, Q) of `Changes`, on the CPU: choosing what to work on then waits for no GPU.
            seed: (B,) on the CPU, of the noise.

        Returns:
            A new image, float32.
        """
        change, image = change.double(), image.to(torch.float32, copy=True)
        images, mask = image[:, : self.sequences], image[:, self.sequences :]
        with torch.autocast(image.device.type, enabled=False):
            if len(rows := _chosen(change, "flip")):
                _apply(image, rows, _flip)
            if len(rows := _chosen(change, "affine")):
                matrices = self._affine(change[rows], image.shape)
                _apply(images, rows, _move, matrices)
                _apply(mask, rows, partial(_move, mode="nearest"), matrices)
            if len(rows := _chosen(change, "motion")):
                _apply(images, rows, _disturb, *self._motion(change[rows], image.shape))
            if len(rows := _chosen(change, "bias")):
                _apply(images, rows, _shade, _polynomial(change[rows]))
            if len(rows := _chosen(change, "noise")):
                _apply(images, rows, _add_noise, seed[rows], part(change[rows], "deviation"))
            if len(rows := _chosen(change, "gamma")):
                _apply(images, rows, _contrast, part(change[rows], "log_gamma").exp())
        return image

    def _affine(self, change: Tensor, shape: torch.Size) -> Tensor:
        """Turned about the centre, scaled, shifted: (K, 3, 4) from a voxel to where it comes from."""
        back = rotation(part(change, "degrees")).mT
        shift = (back @ part(change, "shift")[..., None])[..., 0] / self.spacing
        return about_centre(back / part(change, "scale")[..., None], -shift, shape)

    def _motion(self, change: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
        """Of each movement the (K, 2, 3, 4) matrices, and the shares of k-space, see `_shares`."""
        degrees = part(change, "motion_degrees").reshape(-1, 3)
        shift = part(change, "motion_shift").reshape(-1, 3) / self.spacing
        matrices = about_centre(rotation(degrees), shift, shape).reshape(-1, MOVEMENTS, 3, 4)
        return matrices, _shares(part(change, "motion_time"), shape[-1])


def _chosen(change: Tensor, name: str) -> Tensor:
    return part(change, name)[:, 0].nonzero()[:, 0]


def _apply(image: Tensor, rows: Tensor, changed: Callable[..., None], *numbers: Tensor) -> None:
    """Let `changed` work on the crops of some rows, in place: (K, C, D, H, W) and (K, ...) of all numbers.

    On a CPU crop by crop, which its cache then holds and nothing copies; elsewhere at once.
    """
    if image.device.type == "cpu":
        for n, row in enumerate(rows.tolist()):
            changed(image[row : row + 1], *(values[n : n + 1] for values in numbers))
    else:
        indices = sent(rows, image.device, rows.dtype)
        crops = image[indices]
        changed(crops, *numbers)
        image[indices] = crops


def _flip(crops: Tensor) -> None:
    crops.copy_(crops.flip(-1))


def _move(crops: Tensor, matrices: Tensor, mode: str = "bilinear") -> None:
    """Resampled; what comes from outside is brain mean and no lesion."""
    nothing = torch.zeros(len(crops), device=crops.device)
    for channel in crops.unbind(1):
        channel.copy_(resampled(channel, matrices, nothing, mode))


def _disturb(crops: Tensor, matrices: Tensor, shares: Tensor) -> None:
    """Moved during the scan: k-space filled line by line from the image at rest and from moved ones.

    As in Shaw et al. 2019 (proceedings.mlr.press/v102/shaw19a.html) and TorchIO's Motion. k-space is cut
    along W alone, so that no other axis needs a Fourier transform.
    """
    shares, size = sent(shares, crops.device), crops.shape[-1]
    lag = torch.arange(size) - torch.arange(size)[:, None]
    for still in crops.unbind(1):
        lowest = still.amin(dim=(1, 2, 3))
        # The shares of all images sum to 1: what is moved away is added to the image at rest.
        away = [resampled(still, each, lowest).sub_(still) for each in matrices.unbind(1)]
        if crops.device.type == "cpu":  # on short lines half the time of Fourier transforms
            response = torch.fft.irfft(shares, n=size)[..., lag % size]
            for moved, share in zip(away, response.unbind(1), strict=True):
                still.view(len(still), -1, size).baddbmm_(moved.flatten(1, 2), share)
        else:
            spectra = (
                torch.fft.rfft(moved).mul_(share[:, None, None])
                for moved, share in zip(away, shares.unbind(1), strict=True)
            )
            still += torch.fft.irfft(sum(spectra), n=size)


def _shares(times: Tensor, count: int) -> Tensor:
    """How much of each frequency along a line of `count` voxels comes from each movement.

    Frequencies are read from the most negative on: those before the first of `times` (K, 2), parts of 1, from
    the first moved image, those behind the second from the second; the middle of k-space is at rest. A share
    is the mean of a frequency's and its negative's: all that the real part of the result feels.

    Returns:
        (K, 2, count // 2 + 1); what is left to 1 comes from rest.
    """
    line = torch.arange(count)
    first, last = (times * count).long().split(1, dim=1)
    read = torch.stack([line < first, line >= last], dim=1).double()
    read = torch.fft.ifftshift(read, dim=-1)
    return ((read + read.flip(-1).roll(1, dims=-1)) / 2)[..., : count // 2 + 1]


def _polynomial(change: Tensor) -> Tensor:
    """Coefficients by the powers of z, y and x that they belong to: (K, 4, 4, 4)."""
    cube = torch.zeros(len(change), *[BIAS_ORDER + 1] * 3)
    i, j, k = torch.tensor(POWERS).T
    cube[:, i, j, k] = part(change, "coefficients").float()
    return cube


def _shade(crops: Tensor, cube: Tensor) -> None:
    """Times the exponential of a polynomial in z, y and x from -1 to 1 (Van Leemput et al. 1999)."""
    power = torch.arange(BIAS_ORDER + 1, device=crops.device)[:, None]
    axes = (torch.linspace(-1, 1, count, device=crops.device) for count in crops.shape[-3:])
    z, y, x = (axis**power for axis in axes)
    # One axis after the other: every voxel meets 4 products in place of 20; exp2 takes a third of exp's time.
    planes = z.T @ (y.T @ (sent(cube / math.log(2), crops.device) @ x)).flatten(2)
    crops *= planes.exp2_().view(-1, 1, *crops.shape[-3:])


def _add_noise(crops: Tensor, seeds: Tensor, deviations: Tensor) -> None:
    """Gaussian, a crop by its own seed: nothing else may decide it."""
    for crop, seed, deviation in zip(crops, seeds.tolist(), deviations[:, 0].tolist(), strict=True):
        add_noise(crop, seed, deviation)


def _contrast(crops: Tensor, gamma: Tensor) -> None:
    """Raised to a power, the sign kept; off the CPU by way of log2 and exp2, in two thirds of pow's time."""
    if crops.device.type == "cpu":
        from bcbm.data.augmentation import kernels  # numba takes a moment, and only this way needs it

        for crop, power in zip(crops, gamma[:, 0].tolist(), strict=True):
            kernels.contrast(crop.view(-1).numpy(), np.float32(power))
    else:
        power = crops.abs().log2_().mul_(sent(gamma, crops.device)[:, :, None, None, None]).exp2_()
        crops.copy_(power.copysign_(crops))
