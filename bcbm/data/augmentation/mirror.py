"""What follows a crop that was flipped left to right."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Swaps = Mapping[str, Sequence[tuple[int, int]]]


def mirrored(batch: dict[str, Tensor], flipped: Tensor, swaps: Swaps) -> dict[str, Tensor]:
    """The batch with the columns exchanged that know left from right, where a lesion's crop was flipped.

    Args:
        batch: (B, ...) tensors; those that change are replaced, none is written to.
        flipped: (B,) booleans.
        swaps: by name, the pairs of columns of a (B, P) tensor that change places.
    """
    changed = {}
    for name, pairs in swaps.items():
        values = batch[name]
        order = list(range(values.shape[1]))
        for left, right in pairs:
            order[left], order[right] = right, left
        changed[name] = torch.where(flipped.to(values.device)[:, None], values[:, order], values)
    return {**batch, **changed}
