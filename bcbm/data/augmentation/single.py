"""Random changes of a training crop."""

import numpy as np
import torch
import torchio as tio
from torch import Tensor

from bcbm.config.schema.training import Augment
from bcbm.data.augmentation.draws import (
    BIAS,
    BIAS_ORDER,
    LOG_GAMMA,
    MOTION_DEGREES,
    MOTION_SHIFT,
    MOVEMENTS,
    NOISE,
)

BACKGROUND = 0.0  # brain mean of a z-scored image: what moves in from outside the crop is not a lesion


class SharedGamma(tio.RandomGamma):
    """TorchIO's, with one exponent for all channels of a crop."""

    def apply_transform(self, subject: tio.Subject) -> tio.Subject:
        """Draw it and change `image`."""
        change = tio.Gamma(gamma=self.get_params(self.log_gamma_range), copy=False)
        changed: tio.Subject = change(subject)
        return changed


class LesionAugment:
    """Flip, move, disturb, shade, add noise to and change the contrast of a crop, the same for the same seed.

    Each change happens with its own chance; `BatchAugment` makes the same ones for whole batches. All
    channels move together; intensities change in each image alike, but for the noise, which is each image's
    own. The mask, if there is one, stays 0 or 1.

    Args:
        augment: chances and sizes.
        spacing: edge of a crop voxel, mm.
        sequences: how many channels are images; the mask follows them.

    Example:
        >>> flip = LesionAugment(Augment(flip=1, affine=0, noise=0, gamma=0), spacing=1.0)
        >>> crop, flipped = flip(torch.zeros(2, 8, 8, 8), seed=0)
        >>> flipped
        True
    """

    def __init__(self, augment: Augment, spacing: float, sequences: int = 1) -> None:
        self.flip = augment.flip
        self.spacing, self.sequences = spacing, sequences
        changes = (
            (
                augment.affine,
                tio.RandomAffine(
                    scales=augment.scale,
                    degrees=augment.degrees,
                    translation=augment.shift,
                    isotropic=True,
                    default_pad_value=BACKGROUND,
                    p=augment.affine,
                    copy=False,
                ),
            ),
            (
                augment.motion,
                tio.RandomMotion(
                    degrees=MOTION_DEGREES,
                    translation=MOTION_SHIFT,
                    num_transforms=MOVEMENTS,
                    p=augment.motion,
                    copy=False,
                ),
            ),
            (
                augment.bias,
                tio.RandomBiasField(coefficients=BIAS, order=BIAS_ORDER, p=augment.bias, copy=False),
            ),
            (augment.noise, tio.RandomNoise(std=(0.0, NOISE), p=augment.noise, copy=False)),
            (augment.gamma, SharedGamma(log_gamma=LOG_GAMMA, p=augment.gamma, copy=False)),
        )
        self.changes = [change for chance, change in changes if chance > 0]

    def __call__(self, crop: Tensor, seed: int) -> tuple[Tensor, bool]:
        """Augment one lesion, and say whether it was flipped.

        Args:
            crop: (C, D, H, W) float32: z-scored images and, behind them, the mask; W runs left to right.
            seed: the result depends on it and on nothing else, whatever process runs it.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # torch.manual_seed also queues a CUDA call a sample
            flipped = torch.rand(1).item() < self.flip
            if flipped:
                crop = crop.flip(-1)
            # Copied: TorchIO works in place and the crop may be a view of the store.
            affine = self._affine(crop.shape)
            image = tio.ScalarImage(tensor=crop[: self.sequences].clone(), affine=affine)
            images: dict[str, tio.Image] = {"image": image}
            if len(crop) > self.sequences:
                images["mask"] = tio.LabelMap(tensor=crop[self.sequences :].clone(), affine=affine)
            subject = tio.Subject(images)
            for change in self.changes:
                subject = change(subject)
            changed = subject.get_images(intensity_only=False)
            return torch.cat([channel.data.float() for channel in changed]), flipped

    def _affine(self, shape: torch.Size) -> np.ndarray:
        """With the origin at the crop's centre: TorchIO's motion turns about the origin, wherever it is."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = -(np.array(shape[1:]) - 1) / 2 * self.spacing
        return affine
