"""The network: an encoder a modality, a fusion, a shared trunk and a head a receptor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bcbm.model.encoders import RadiomicsEncoder, image_encoder
from bcbm.model.fusion import FUSIONS
from bcbm.schema import Model

Fitted = Mapping[str, Any]


def _image(model: Model, fitted: Fitted) -> tuple[nn.Module, int]:
    return image_encoder(model), model.image_features


def _radiomics(model: Model, fitted: Fitted) -> tuple[nn.Module, int]:
    encoder = RadiomicsEncoder(
        fitted["radiomics"], model.radiomics_hidden, model.radiomics_features, model.radiomics_dropout
    )
    return encoder, model.radiomics_features


def _position(model: Model, fitted: Fitted) -> tuple[nn.Module, int]:
    return nn.Identity(), int(fitted["position"])


# A new modality is a line here and a tensor of that name in the batch.
ENCODERS: dict[str, Callable[[Model, Fitted], tuple[nn.Module, int]]] = {
    "image": _image,
    "radiomics": _radiomics,
    "position": _position,
}


class LesionNetwork(nn.Module):
    """A batch of lesions -> a logit a receptor.

    Arguments:
        receptors: heads, in the order of the logits.
        modalities: what is fused.
        model: sizes.
        fitted: what the data fitted on the training patients; `radiomics` and `position` are read here.
    """

    def __init__(
        self, receptors: Sequence[str], modalities: Sequence[str], model: Model, fitted: Fitted
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict()
        widths = []
        for modality in modalities:
            self.encoders[modality], width = ENCODERS[modality](model, fitted)
            widths.append(width)
        self.fusion = FUSIONS[model.fusion](widths)
        self.trunk = nn.Sequential(
            nn.Dropout(model.dropout),
            nn.Linear(self.fusion.features, model.trunk),
            nn.ReLU(),
            nn.Dropout(model.dropout),
        )
        self.heads = nn.ModuleDict({receptor: nn.Linear(model.trunk, 1) for receptor in receptors})

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, R) of a batch that holds a tensor for every modality."""
        features = [encoder(batch[modality]) for modality, encoder in self.encoders.items()]
        shared = self.trunk(self.fusion(features))
        return torch.cat([head(shared) for head in self.heads.values()], dim=1)
