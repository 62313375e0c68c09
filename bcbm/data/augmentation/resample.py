"""Volumes moved by a matrix, each by its own: as ITK does it, on any device."""

import torch
import torch.nn.functional as F
from torch import Tensor


def rotation(degrees: Tensor) -> Tensor:
    """(K, 3, 3) from angles (K, 3) around z, y and x: ITK's Euler3DTransform with axes in this order."""
    angles = degrees.deg2rad()
    (a, b, c), (s, t, u) = angles.cos().unbind(1), angles.sin().unbind(1)
    us, cs = u * s, c * s
    entries = (
        (c * b - us * t, -u * a, c * t + us * b),
        (u * b + cs * t, c * a, u * t - cs * b),
        (-a * t, s, a * b),
    )
    return torch.stack([entry for row in entries for entry in row], dim=-1).view(-1, 3, 3)


def about_centre(turn: Tensor, shift: Tensor, shape: torch.Size) -> Tensor:
    """(K, 3, 4), from an output voxel to its place in the input: turned about the centre, then shifted.

    Args:
        turn: (K, 3, 3).
        shift: (K, 3), voxels.
        shape: (..., D, H, W).
    """
    centre = (torch.tensor(shape[-3:], dtype=turn.dtype) - 1) / 2
    return torch.cat([turn, (centre - turn @ centre + shift)[..., None]], dim=-1)


def sent(values: Tensor, device: torch.device, kind: torch.dtype = torch.float32) -> Tensor:
    """Numbers of the CPU on a device, which is not waited for until it has done what it was told before."""
    if device.type != "cuda":
        return values.to(device, kind)
    return values.to(kind).pin_memory().to(device, non_blocking=True)


def resampled(volumes: Tensor, matrices: Tensor, outside: Tensor, mode: str = "bilinear") -> Tensor:
    """Resample (K, D, H, W) float32 volumes.

    As in ITK, the half voxel around the outermost centres has their value and what lies further is `outside`.

    Args:
        matrices: (K, 3, 4) float64 on the CPU, from an output voxel to its place in the input.
        outside: (K,), where the volumes are.
        mode: `bilinear` (that is trilinear) or `nearest`.
    """
    if volumes.device.type == "cpu":
        return _compiled(volumes, matrices, outside, mode)
    return sampled(volumes, matrices, outside, mode)


def _compiled(volumes: Tensor, matrices: Tensor, outside: Tensor, mode: str) -> Tensor:
    from bcbm.data.augmentation import kernels  # numba takes a moment, and only this way needs it

    kernel = kernels.linear if mode == "bilinear" else kernels.nearest
    result = torch.empty_like(volumes, memory_format=torch.contiguous_format)
    kernel(volumes.contiguous().numpy(), matrices.numpy(), outside.numpy(), result.numpy())
    return result


def sampled(volumes: Tensor, matrices: Tensor, outside: Tensor, mode: str = "bilinear") -> Tensor:
    """`resampled` by `grid_sample`, on any device."""
    # From voxels to grid_sample's -1 to 1, the outermost centres: in float64, where rounding costs nothing.
    half = (torch.tensor(volumes.shape[-3:], dtype=matrices.dtype) - 1) / 2
    offset = (matrices[..., 3] + matrices[..., :3] @ half - half) / half
    turn = matrices[..., :3] * half / half[:, None]
    theta = sent(torch.cat([turn, offset[..., None]], dim=-1), volumes.device)[:, None, None, None]
    axes = [torch.linspace(-1, 1, count, device=volumes.device) for count in volumes.shape[-3:]]
    z, y, x = (axis[..., None] for axis in torch.meshgrid(*axes, indexing="ij"))
    # Written out: a matrix product may be rounded to TF32, a hundredth of a voxel.
    places = theta[..., 0] * z + theta[..., 1] * y + theta[..., 2] * x + theta[..., 3]
    inside = (places.abs() < 1 + 0.5 / sent(half, volumes.device)).all(dim=-1)
    moved = F.grid_sample(
        volumes[:, None], places.flip(-1), mode=mode, padding_mode="border", align_corners=True
    )
    return torch.where(inside, moved[:, 0], outside[:, None, None, None])
