"""A pretrained network that turns crops into vectors, once, and is trained no further."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.networks import nets
from torch import Tensor, nn

from bcbm.errors import ConfigError
from bcbm.features.cards import NETWORKS, Card, read_card
from bcbm.features.files import Files
from bcbm.features.records import Record, Study
from bcbm.model.tensors import TensorsError, read_tensors
from bcbm.system.words import listed

CROPS = "crops"  # among the further images of a study: the file of its crops
COUNTERS = "num_batches_tracked"  # of a batch norm, which files of before 2018 lack and nothing reads
SHOWN = 3  # names that a message lists


class PretrainedNetwork(nn.Module):
    """The features of a network of `NETWORKS`: crops (B, 1, D, H, W) -> (B, F), maps averaged over voxels.

    Norms use the statistics of the weights, so that a vector depends on its crop alone.

    Args:
        card: names the network, the weights and the arguments that it is built with.

    Raises:
        ConfigError: the weights are not those of the network, or are not read.
    """

    def __init__(self, card: Card) -> None:
        super().__init__()
        self.entry, self.where = NETWORKS[card.network], f"features.encoder={card.weights}"
        tensors = self._tensors(card)
        with torch.device("meta"):  # no memory is taken before the file has been seen to fill it
            expected = self._read(_built(card).state_dict())
        self._require_same(card, expected, tensors)
        self.body = _built(card)
        self.body.load_state_dict(tensors, strict=False)
        if self.entry.last:
            parent, _, last = self.entry.last.rpartition(".")
            setattr(self.body.get_submodule(parent), last, nn.Identity())
        self.eval().requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        """Encode crops (B, 1, D, H, W)."""
        encode: Any = self.body.encode if self.entry.encodes else self.body
        features: Tensor = encode(crops)[0] if self.entry.encodes else encode(crops)
        return features.flatten(2).mean(dim=2) if features.ndim > 2 else features

    def tensors(self) -> dict[str, Tensor]:
        """Those of its weights that have a part in the features."""
        return self._read(self.body.state_dict())

    def _read(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Those that have a part in the features."""
        left_out = self.entry.unread
        return {
            name: tensor
            for name, tensor in tensors.items()
            if not name.startswith(left_out) and not name.endswith(COUNTERS)
        }

    def _tensors(self, card: Card) -> dict[str, Tensor]:
        """The tensors of the file that have a part in the features, all of them finite numbers."""
        try:
            tensors = self._read(read_tensors(card.weights))
        except TensorsError as error:
            raise ConfigError(f"{self.where}: {error}; name another file") from error
        broken = [name for name, values in tensors.items() if not bool(values.isfinite().all())]
        if broken:
            text = f"{len(broken)} of {len(tensors)} tensors hold NaN or infinity ({listed(broken, SHOWN)})"
            raise ConfigError(f"{self.where}: {text}; name another file")
        return tensors

    def _require_same(self, card: Card, expected: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
        """Refuse weights that do not fill the network to the last tensor, with counts and the first names."""
        missing = [name for name in expected if name not in tensors]
        unknown = [name for name in tensors if name not in expected]
        apart = [
            f"{name} {tuple(tensors[name].shape)} for {tuple(values.shape)}"
            for name, values in expected.items()
            if name in tensors and tensors[name].shape != values.shape
        ]
        if missing or unknown or apart:
            counts = {"missing": missing, "not of it": unknown, "of another shape": apart}
            words = [
                f"{len(names)} {word} ({listed(names, SHOWN)})" for word, names in counts.items() if names
            ]
            raise ConfigError(
                f"{self.where}: does not fit {card.network}, of {len(expected)} tensors: {', '.join(words)}; "
                f"correct network or arguments in {card.weights.with_suffix('.yaml').name}"
            )


def load_network(card: Card, size: int) -> PretrainedNetwork:
    """The network of a card, tried on an empty crop.

    Args:
        card: of the weights.
        size: edge of a crop, voxels.

    Raises:
        ConfigError: the weights cannot be used, or the crop is too small for the network.
    """
    network = PretrainedNetwork(card)
    try:
        with torch.no_grad():
            network(torch.zeros(1, 1, size, size, size))
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ConfigError(
            f"features.crop_size={size}: {card.network} takes no crop of {size} voxels ({reason}); raise it"
        ) from error
    return network


def encode_study(
    study: Study, _path: Path, _files: Files, *, weights: Path, digest: str, size: int
) -> Record:
    """The record of one study: `values`, a vector a lesion that has a crop.

    Crop by crop and on one thread of the CPU: a vector is then the same whatever stands beside it.

    Args:
        study: with the file of its crops under CROPS; a row a mask, as `prepare_crops` wrote it.
        weights: of the network, and `digest`, their SHA-256.
        size: edge of a crop, voxels.
    """
    network, crops = _network(weights, digest, size), np.load(study.others[CROPS], mmap_mode="r")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            values = {
                lesion: network(torch.from_numpy(crop[None, :1].astype(np.float32)))[0].tolist()
                for lesion, crop in zip(study.masks, crops, strict=True)
                if crop[-1].any()  # its mask; without one there is no crop
            }
    finally:
        torch.set_num_threads(threads)
    return {"values": values}


@lru_cache(maxsize=1)
def _network(weights: Path, digest: str, size: int) -> PretrainedNetwork:
    """Loaded once a process."""
    return load_network(read_card(weights), size)


def _built(card: Card) -> nn.Module:
    """The network of a card before it has its weights.

    Raises:
        ConfigError: MONAI does not build it with these arguments.
    """
    builder: Any = getattr(nets, card.network)
    try:
        network: nn.Module = builder(**card.arguments, **NETWORKS[card.network].fixed)
    except Exception as error:  # whatever MONAI makes of an odd argument
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(
            f"{card.weights.with_suffix('.yaml')}: MONAI builds no {card.network} with {card.arguments} "
            f"({reason}); correct arguments"
        ) from error
    return network
