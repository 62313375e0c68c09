"""The tensors of a file of weights: read as tensors alone, none larger than the file that holds it."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

INSIDE = ("state_dict", "model")  # under which files keep the weights, beside the epoch and the optimiser


class TensorsError(ValueError):
    """A file that is not read as tensors; the message says why."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict by their names, without the `module.` that DataParallel puts before them.

    Nothing in the file is run: PyTorch's own files are read with `weights_only`, and those of safetensors
    have no room for anything else.

    Raises:
        TensorsError: it holds anything but tensors, or one that is larger than what the file has for it.
    """
    try:
        content = load_file(path) if path.suffix == ".safetensors" else _pytorch(path)
        return {str(name).removeprefix("module."): _sound(tensor) for name, tensor in content.items()}
    except Exception as error:  # pickle's, zip's, torch's and what an odd content raises
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise TensorsError(
            f"not readable as tensors alone ({reason}); a file with anything else inside is refused, as "
            "reading it could run its code"
        ) from error


def _pytorch(path: Path) -> Mapping[str, Any]:
    if zipfile.is_zipfile(path):  # which torch does not pack: what it claims is there
        with zipfile.ZipFile(path) as archive:
            claimed = sum(member.file_size for member in archive.infolist())
        if claimed > path.stat().st_size:
            raise ValueError(f"it claims {claimed} bytes, which its file is too small to hold")
    content: Mapping[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return next((content[name] for name in INSIDE if isinstance(content.get(name), Mapping)), content)


def _sound(tensor: Any) -> Tensor:
    """A tensor whose every number is one of its own in the file; ValueError for anything else."""
    if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError(f"it holds a {type(tensor).__name__} that is no plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError(
            f"it holds {tensor.untyped_storage().nbytes()} bytes of {tuple(tensor.shape)} numbers"
        )
    return tensor
