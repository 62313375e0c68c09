"""How the features of the modalities become one vector."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Concat(nn.Module):
    """Features one behind the other: [(B, F1), (B, F2), ...] -> (B, F1 + F2 + ...).

    Each modality is layer-normalised first, so that none is heard louder for the scale of its numbers.

    Arguments:
        widths: features of each modality; `features` is what comes out.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in widths)
        self.features = sum(widths)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Join (B, F) tensors of one batch."""
        return torch.cat([norm(part) for norm, part in zip(self.norms, features, strict=True)], dim=1)


FUSIONS: dict[str, Callable[[Sequence[int]], Concat]] = {"concat": Concat}
