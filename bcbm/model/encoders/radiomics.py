"""The encoder of radiomics: a small MLP behind what was fitted on the training patients."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model

CLIP = 4.0  # standard deviations beyond which a radiomics value says no more than "large"


class RadiomicsEncoder(nn.Module):
    """Raw radiomics (B, F) -> (B, features): signed log, harmonise, impute, standardise, clip, a small MLP.

    Args:
        fitted: `median`, `mean` and `scale` of every column after the signed log; a scale of 0 marks a column
            that becomes 0, as it is constant. Where it was harmonised, `combat`: then a column more holds the
            code of the group, and one that is not among `codes` is left as it is.
        model: sizes, see `small_mlp`.
    """

    def __init__(self, fitted: Mapping[str, Any], model: Model) -> None:
        super().__init__()
        for name in ("median", "mean", "scale"):
            self.register_buffer(name, torch.tensor(fitted[name], dtype=torch.float32))
        self.harmonised = "combat" in fitted
        if self.harmonised:
            combat, count = fitted["combat"], len(fitted["mean"])
            for name, neutral in (("factor", 1.0), ("shift", 0.0)):  # the last row is of any other group
                rows = [*combat[name], [neutral] * count]
                self.register_buffer(name, torch.tensor(rows, dtype=torch.float32))
            self.register_buffer("codes", torch.tensor([*combat["codes"], -1.0], dtype=torch.float32))
        self.mlp = small_mlp(len(fitted["mean"]), model)

    def standardise(self, radiomics: Tensor) -> Tensor:
        """Raw values (B, F), or (B, F + 1) with a group -> finite values within +/- 4 (B, F)."""
        median, mean, scale = self.get_buffer("median"), self.get_buffer("mean"), self.get_buffer("scale")
        values = radiomics.float()[:, : len(mean)]
        values = values.sign() * values.abs().log1p()
        if self.harmonised:
            same = radiomics[:, -1:].float() == self.get_buffer("codes")
            same = torch.cat([same[:, :-1], ~same.any(dim=1, keepdim=True)], dim=1)
            group = same.int().argmax(dim=1)
            values = values * self.get_buffer("factor")[group] + self.get_buffer("shift")[group]
        values = torch.where(values.isfinite(), values, median)
        standard = (values - mean) / torch.where(scale > 0, scale, 1.0)
        return torch.where(scale > 0, standard.clamp(-CLIP, CLIP), 0.0)

    def forward(self, radiomics: Tensor) -> Tensor:
        """Encode (B, F) raw values."""
        features: Tensor = self.mlp(self.standardise(radiomics))
        return features


def small_mlp(inputs: int, model: Model) -> nn.Sequential:
    """Columns (B, inputs) -> (B, `radiomics_features`), with a layer of `radiomics_hidden` between.

    Inputs and hidden units are dropped by `radiomics_dropout`: a hundred noisy columns would swamp the rest.
    """
    return nn.Sequential(
        nn.Dropout(model.radiomics_dropout),
        nn.Linear(inputs, model.radiomics_hidden),
        nn.ReLU(),
        nn.Dropout(model.radiomics_dropout),
        nn.Linear(model.radiomics_hidden, model.radiomics_features),
        nn.ReLU(),
    )


def build_radiomics(model: Model, fitted: Mapping[str, Any]) -> tuple[nn.Module, int]:
    """The encoder of radiomics, and its width."""
    return RadiomicsEncoder(fitted, model), model.radiomics_features
