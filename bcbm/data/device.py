"""Augmentation of a whole batch where it is, on a CPU or a GPU: what `LesionAugment` does, far cheaper."""

import torch
from torch import Tensor

from bcbm.data.changes import BIAS_ORDER, MOVEMENTS, POWERS, part
from bcbm.data.inputs import LEFT, RIGHT
from bcbm.data.resample import about_centre, resampled, rotation


class BatchAugment:
    """Make the changes that `Changes` drew; a crop that none of them meets is only copied.

    What becomes of a crop depends on its own numbers and seed, not on the batch around it. The mask, if there
    is one, moves with the image and stays 0 or 1; nothing else changes it.

    Arguments:
        spacing: edge of a crop voxel, mm.
    """

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing

    def __call__(
        self, image: Tensor, position: Tensor | None, change: Tensor, seed: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Augment a batch.

        Arguments:
            image: (B, 1 or 2, D, H, W) of any float type, on any device: z-scored image and, second, the
                mask; W runs left to right.
            position: (B, P) on the same device, one-hot hemisphere first; or none.
            change: (B, Q) of `Changes`, on the CPU: choosing what to work on then waits for no GPU.
            seed: (B,) on the CPU, of the noise.

        Returns:
            New tensors, the image in float32.
        """
        change, image = change.double(), image.to(torch.float32, copy=True)
        with torch.autocast(image.device.type, enabled=False):
            if len(rows := _chosen(change, "flip")):
                here = rows.to(image.device)
                image[here] = image[here].flip(-1)
                if position is not None:
                    sides = torch.tensor([LEFT, RIGHT], device=image.device)
                    position = position.clone()
                    position[here[:, None], sides] = position[here[:, None], sides.flip(0)]
            for name, changed in (
                ("affine", self._moved),
                ("motion", self._restless),
                ("bias", _shaded),
                ("noise", _noisy),
                ("gamma", _contrasted),
            ):
                if len(rows := _chosen(change, name)):
                    here = rows.to(image.device)
                    image[here] = changed(image[here], change[rows], seed[rows])
        return image, position

    def _moved(self, crops: Tensor, change: Tensor, seed: Tensor) -> Tensor:
        """Turned about the centre, scaled, shifted; what comes from outside is brain mean and no lesion."""
        back = rotation(part(change, "degrees")).mT
        shift = (back @ part(change, "shift")[..., None])[..., 0] / self.spacing
        matrices = about_centre(back / part(change, "scale")[..., None], -shift, crops.shape)
        nothing = torch.zeros(len(crops))
        crops[:, 0] = resampled(crops[:, 0], matrices, nothing)
        if crops.shape[1] > 1:
            crops[:, 1] = resampled(crops[:, 1], matrices, nothing, mode="nearest")
        return crops

    def _restless(self, crops: Tensor, change: Tensor, seed: Tensor) -> Tensor:
        """Moved during the scan: k-space filled line by line from the image at rest and from moved ones.

        As in Shaw et al. 2019 (proceedings.mlr.press/v102/shaw19a.html) and TorchIO's Motion. k-space is cut
        along W alone, so that no other axis needs a Fourier transform.
        """
        still = crops[:, 0]
        lowest = still.amin(dim=(1, 2, 3)).cpu()
        degrees = part(change, "motion_degrees").reshape(-1, MOVEMENTS, 3)
        shift = part(change, "motion_shift").reshape(-1, MOVEMENTS, 3) / self.spacing
        shares = _shares(part(change, "motion_time"), still.shape[-1]).to(crops)[:, :, None, None]
        spectrum = torch.fft.rfft(still) * shares[:, 0]
        for number in range(MOVEMENTS):
            matrices = about_centre(rotation(degrees[:, number]), shift[:, number], still.shape)
            spectrum += torch.fft.rfft(resampled(still, matrices, lowest)) * shares[:, number + 1]
        crops[:, 0] = torch.fft.irfft(spectrum, n=still.shape[-1])
        return crops


def _chosen(change: Tensor, name: str) -> Tensor:
    return part(change, name)[:, 0].nonzero()[:, 0]


def _shares(times: Tensor, count: int) -> Tensor:
    """How much of each frequency along a line of `count` voxels comes from rest and from each movement.

    Frequencies are read from the most negative on: those before the first of `times` (K, 2), parts of 1, from
    the first moved image, those behind the second from the second; the middle of k-space is at rest. A share
    is the mean of a frequency's and its negative's: all that the real part of the result feels.

    Returns:
        (K, 3, count // 2 + 1), summing to 1 over the second axis.
    """
    line = torch.arange(count)
    first, last = (times * count).long().split(1, dim=1)
    read = torch.stack([(first <= line) & (line < last), line < first, line >= last], dim=1).double()
    read = torch.fft.ifftshift(read, dim=-1)
    return ((read + read.flip(-1).roll(1, dims=-1)) / 2)[..., : count // 2 + 1]


def _shaded(crops: Tensor, change: Tensor, seed: Tensor) -> Tensor:
    """Times the exponential of a polynomial in z, y and x from -1 to 1 (Van Leemput et al. 1999)."""
    cube = torch.zeros(len(crops), *[BIAS_ORDER + 1] * 3, dtype=change.dtype)
    i, j, k = torch.tensor(POWERS).T
    cube[:, i, j, k] = part(change, "coefficients")
    power = torch.arange(BIAS_ORDER + 1, device=crops.device)[:, None]
    z, y, x = (torch.linspace(-1, 1, count).to(crops) ** power for count in crops.shape[-3:])
    # One axis after the other: every voxel meets 4 products in place of 20.
    lines = y.T @ (cube.to(crops) @ x)
    planes = z.T @ lines.flatten(2)
    crops[:, 0] *= planes.exp_().view_as(crops[:, 0])
    return crops


def _noisy(crops: Tensor, change: Tensor, seed: Tensor) -> Tensor:
    """With Gaussian noise, from a generator a crop."""
    generator = torch.Generator(crops.device)
    for crop, number, deviation in zip(
        crops[:, 0], seed.tolist(), part(change, "deviation")[:, 0].tolist(), strict=True
    ):
        noise = torch.randn(crop.shape, generator=generator.manual_seed(number), device=crop.device)
        crop.add_(noise, alpha=deviation)
    return crops


def _contrasted(crops: Tensor, change: Tensor, seed: Tensor) -> Tensor:
    """Raised to a power, the sign kept."""
    gamma = part(change, "log_gamma").exp().to(crops)[:, :, None, None]
    crops[:, 0] = crops[:, 0].abs().pow_(gamma).copysign_(crops[:, 0])
    return crops
