"""The tissue around a lesion as channels of its crop."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def shell_channels(mask: Tensor, edges: Sequence[float], spacing: float) -> Tensor:
    """The shells around masks: 1 where the centre of a voxel lies so far from that of the lesion's nearest.

    As `features.shells.shell_masks` has them, but for what a crop does not tell: other lesions and the end of
    the brain. The distance is taken one axis after the other (Felzenszwalb and Huttenlocher, Theory of
    Computing 8:415, 2012), as far as the outermost edge.

    Args:
        mask: (B, 1, D, H, W), 1 in the lesion.
        edges: of the K shells, mm, the innermost first.
        spacing: edge of a voxel, mm.

    Returns:
        (B, K, D, H, W) of the mask's type.
    """
    far = float("inf")
    squares = torch.zeros_like(mask, dtype=torch.float32).masked_fill_(mask < 0.5, far)
    reach = int(edges[-1] / spacing + 1e-6)
    for axis in (2, 3, 4):
        padding = [0, 0] * (4 - axis) + [reach, reach]
        padded, length = F.pad(squares, padding, value=far), mask.shape[axis]
        for step in range(-reach, reach + 1):
            near = padded.narrow(axis, reach + step, length) + (step * spacing) ** 2
            squares = torch.minimum(squares, near)
    bounds = torch.tensor([0.0, *edges], device=mask.device) ** 2 * (1 + 1e-5)
    within = squares <= bounds.view(1, -1, 1, 1, 1)
    return (within[:, 1:] & ~within[:, :-1]).to(mask.dtype)
