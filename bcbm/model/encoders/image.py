"""The encoder of images: a network of `ENCODERS` and a projection of its features."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model
from bcbm.model.encoders import ENCODERS
from bcbm.model.encoders.shells import shell_channels
from bcbm.system.lazy import imported


class ImageEncoder(nn.Sequential):
    """A 3D network and a linear layer: crops (B, C, D, H, W) -> (B, F).

    Norms are over groups of channels of one lesion, never over the batch: a crop of 32 voxels ends in a map
    of one or a few voxels, a batch may hold one lesion, and devices need not share statistics. A group norm
    has no running statistics: frozen, it stays as it is.

    Args:
        model: `encoder` and what belongs to it. `encoder_training=partial` leaves the last stage and the
            linear layer to be trained, `frozen` the linear layer.
        sequences: images of a crop; with `mask_channel` the mask is one channel more.
        shells: outer edges, mm, of shells around the mask that are channels behind it, see `shell_channels`.
        spacing: edge of a crop's voxel, mm.

    Raises:
        ValueError: a crop is too small (in `forward`).
    """

    def __init__(
        self, model: Model, sequences: int = 1, shells: Sequence[float] = (), spacing: float = 1.0
    ) -> None:
        entry = ENCODERS[model.encoder]
        body, width = imported(entry.build)(model, sequences + model.mask_channel + len(shells))
        super().__init__(body, nn.Linear(width, model.image_features), nn.ReLU())
        self.model, self.smallest = model, entry.smallest(model)
        self.shells, self.spacing = list(shells), spacing
        trained = {"full": ("",), "partial": entry.last_stage, "frozen": ()}[model.encoder_training]
        for name, parameter in body.named_parameters():
            parameter.requires_grad_(name.startswith(trained))

    @property
    def body(self) -> nn.Module:
        """The network before the projection."""
        return self[0]

    def forward(self, image: Tensor) -> Tensor:
        """Encode crops (B, C, D, H, W)."""
        if min(image.shape[2:]) < self.smallest:
            raise ValueError(
                f"a crop of {tuple(image.shape[2:])} voxels is too small for this encoder; write "
                f"features.crop_size={self.smallest} or more"
            )
        if self.shells:
            image = torch.cat([image, shell_channels(image[:, -1:], self.shells, self.spacing)], dim=1)
        features: Tensor = super().forward(image)
        return features

    def load_weights(self) -> str:
        """Copy `model.weights` into the network, by the rule of its entry.

        Returns:
            What was taken; empty where no weights are named.

        Raises:
            ConfigError: the file is not there, or cannot be used.
        """
        if not self.model.weights:
            return ""
        report: str = imported(ENCODERS[self.model.encoder].weights)(self.body, self.model)
        return report


def normalise_by_group(module: nn.Module, groups: int) -> None:
    """Put GroupNorm (Wu and He 2018) in the place of every batch norm."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm3d):
            setattr(module, name, nn.GroupNorm(groups, child.num_features))
        else:
            normalise_by_group(child, groups)


def build_image(model: Model, fitted: Mapping[str, Any] | None) -> tuple[nn.Module, int]:
    """The encoder of crops, and its width; a checkpoint of version 0.1 is of one sequence."""
    fitted = fitted or {"sequences": ["t1c"]}
    shells = fitted.get("shells", []), fitted.get("spacing", 1.0)
    return ImageEncoder(model, len(fitted["sequences"]), *shells), model.image_features
