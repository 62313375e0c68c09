"""The encoder of radiomics: a small MLP behind what was fitted on the training patients."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bcbm.config.schema import Model

CLIP = 4.0  # standard deviations beyond which a radiomics value says no more than "large"


class RadiomicsEncoder(nn.Module):
    """Raw radiomics (B, F) -> (B, features): signed log, impute, standardise, clip, then a small MLP.

    Args:
        fitted: `median`, `mean` and `scale` of every column after the signed log; a scale of 0 marks a
            constant column, which becomes 0.
        hidden: hidden units.
        features: features that come out.
        dropout: chance of dropping an input or a hidden unit: a hundred noisy columns would swamp the rest.
    """

    def __init__(
        self, fitted: Mapping[str, Sequence[float]], hidden: int, features: int, dropout: float
    ) -> None:
        super().__init__()
        for name in ("median", "mean", "scale"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float32))
        self.mlp = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(len(fitted["mean"]), hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, features),
            nn.ReLU(),
        )

    def standardise(self, radiomics: Tensor) -> Tensor:
        """Raw values (B, F) -> finite values within +/- 4 (B, F)."""
        median, mean, scale = self.get_buffer("median"), self.get_buffer("mean"), self.get_buffer("scale")
        values = radiomics.float()
        values = values.sign() * values.abs().log1p()
        values = torch.where(values.isfinite(), values, median)
        standard = (values - mean) / torch.where(scale > 0, scale, 1.0)
        return torch.where(scale > 0, standard.clamp(-CLIP, CLIP), 0.0)

    def forward(self, radiomics: Tensor) -> Tensor:
        """Encode (B, F) raw values."""
        features: Tensor = self.mlp(self.standardise(radiomics))
        return features


def build_radiomics(model: Model, fitted: Mapping[str, Sequence[float]]) -> tuple[nn.Module, int]:
    """The encoder of radiomics, and its width."""
    encoder = RadiomicsEncoder(
        fitted, model.radiomics_hidden, model.radiomics_features, model.radiomics_dropout
    )
    return encoder, model.radiomics_features
