"""The encoder of deep features: components that were fitted in training, and a small MLP."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model
from bcbm.model.encoders.radiomics import CLIP, small_mlp


class DeepFeaturesEncoder(nn.Module):
    """Vectors of a pretrained network (B, F) -> (B, features).

    Args:
        fitted: `mean` (F,) and `projection` (F, K), see `fit_components`.
        model: the sizes of the MLP are those of the radiomics'.
    """

    def __init__(self, fitted: Mapping[str, Any], model: Model) -> None:
        super().__init__()
        for name in ("mean", "projection"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float32))
        self.mlp = small_mlp(len(fitted["projection"][0]), model)

    def forward(self, vectors: Tensor) -> Tensor:
        """Encode (B, F)."""
        components = (vectors.float() - self.get_buffer("mean")) @ self.get_buffer("projection")
        features: Tensor = self.mlp(components.clamp(-CLIP, CLIP))
        return features


def build_deep_features(model: Model, fitted: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """The encoder of deep features, and its width."""
    return DeepFeaturesEncoder(fitted, model), model.radiomics_features
