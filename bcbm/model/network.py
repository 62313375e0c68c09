"""The network: an encoder a modality, a fusion, a shared trunk and a head a target."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bcbm.config.schema.training import Model
from bcbm.modalities import MODALITIES
from bcbm.model.attention import GatedAttention
from bcbm.model.encoders.image import ImageEncoder
from bcbm.model.fusion import FUSIONS, drop_modalities, trunk
from bcbm.system.lazy import imported


class LesionNetwork(nn.Module):
    """A batch of lesions -> a logit a target.

    Args:
        targets: heads, in the order of the logits.
        modalities: what is fused; the order of `present`.
        model: sizes.
        fitted: what the data fitted on the training patients, by modality.
        attention: score the lesions, too, for attention over those of a patient.
    """

    def __init__(
        self,
        targets: Sequence[str],
        modalities: Sequence[str],
        model: Model,
        fitted: Mapping[str, Any],
        attention: bool = False,
    ) -> None:
        super().__init__()
        self.encoders = nn.ModuleDict()
        widths = []
        for modality in modalities:
            build = imported(MODALITIES[modality].encoder)
            self.encoders[modality], width = build(model, fitted.get(modality))
            widths.append(width)
        self.modality_dropout = model.modality_dropout
        self.fusion = FUSIONS[model.fusion](widths, model)
        joint = self.fusion.joint
        self.trunk = trunk(self.fusion.features, model) if joint else nn.Identity()
        width = model.trunk if joint else self.fusion.features
        # A module's own names, such as `type`, cannot be those of its heads.
        names = [f"{target}-" if hasattr(nn.ModuleDict, target) else target for target in targets]
        self.heads = nn.ModuleDict({name: nn.Linear(width, 1) for name in names})
        self.attention = GatedAttention(width, len(targets)) if attention else None

    @property
    def image(self) -> ImageEncoder | None:
        """The encoder of the crops; None where no image is fused."""
        return next(
            (encoder for encoder in self.encoders.values() if isinstance(encoder, ImageEncoder)), None
        )

    def forward(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Logits (B, R), see `with_scores`."""
        return self.with_scores(batch)[0]

    def with_scores(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and attention scores, both (B, R); the scores are 0 where nothing learns them.

        The batch holds a tensor for every modality and may hold `present` (B, M), 0 where a lesion lacks a
        modality: whatever stands in its tensor then, the logits are the same. A lesion that lacks all has
        the logits of no knowledge, the same for every such lesion.
        """
        shared = self.trunk(self._fused(batch))
        logits = torch.cat([head(shared) for head in self.heads.values()], dim=1)
        scores = torch.zeros_like(logits) if self.attention is None else self.attention(shared)
        return logits, scores

    def _fused(self, batch: Mapping[str, Tensor]) -> Tensor:
        inputs = [batch[modality] for modality in self.encoders]
        present = batch.get("present")
        if present is None:
            present = torch.ones(len(inputs[0]), len(inputs), device=inputs[0].device)
        if self.training and self.modality_dropout:
            present = drop_modalities(present, self.modality_dropout)
        features = [
            # Zeros before the encoder: behind it, a NaN would still reach the gradient of its weights.
            encoder(values.where(mask.view(-1, *[1] * (values.ndim - 1)) > 0, 0.0))
            for encoder, values, mask in zip(
                self.encoders.values(), inputs, present.split(1, dim=1), strict=True
            )
        ]
        fused: Tensor = self.fusion(features, present)
        return fused
