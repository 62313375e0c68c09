"""Weights of networks that nobody trained, with their cards: small enough for a test."""

from pathlib import Path

import torch
import yaml
from monai.networks import nets
from torch import nn

CARD = {
    "network": "resnet10",
    "source": "written by a test",
    "licence": "none needed",
    "trained_on": "nothing: random weights",
    "test_patients": "no",
    "arguments": {"widen_factor": 0.05, "conv1_t_size": 3, "bias_downsample": False},
}


def write_card(weights: Path, /, **changes: object) -> Path:
    """The card beside the weights; a change to None leaves a word out."""
    content = {name: value for name, value in {**CARD, **changes}.items() if value is not None}
    weights.with_suffix(".yaml").write_text(yaml.safe_dump(content))
    return weights


def random_resnet(seed: int = 0) -> nn.Module:
    """The network of CARD with random weights, also in the statistics of its norms."""
    torch.manual_seed(seed)
    network = nets.resnet10(spatial_dims=3, n_input_channels=1, feed_forward=False, **CARD["arguments"])
    for name, values in network.state_dict().items():
        if name.endswith("running_var"):
            values.uniform_(0.5, 2)
        elif values.is_floating_point():
            values.normal_(0, 0.3)
    return network.eval()


def write_weights(path: Path, /, seed: int = 0, **changes: object) -> nn.Module:
    """The weights of `random_resnet` as MedicalNet's files hold theirs, and their card; the network."""
    network = random_resnet(seed)
    tensors = {f"module.{name}": values for name, values in network.state_dict().items()}
    torch.save({"state_dict": tensors}, path)
    write_card(path, **changes)
    return network
