"""Image encoders by name, described without loading them; how other modalities are encoded lies beside."""

from collections.abc import Callable
from dataclasses import dataclass

from bcbm.config.schema.training import Model
from bcbm.system.registry import Registry


@dataclass(frozen=True)
class Encoder:
    """A 3D network that turns crops into features.

    Args:
        build: address `module:function` of what makes it from `config.Model` and the number of channels: a
            module that turns crops (B, channels, D, H, W) into features (B, F), and F. Its norms must not be
            over the batch (see `ImageEncoder`).
        last_stage: how the names of those parameters begin that `model.encoder_training=partial` trains.
        smallest: the edge of the smallest crop it takes, voxels, from `config.Model`.
        weights: address of what copies the file `model.weights` into the module, given both module and
            `config.Model`, and says in words what was taken; empty: no weights are known for it.
    """

    build: str
    last_stage: tuple[str, ...]
    smallest: Callable[[Model], int] = lambda model: 1
    weights: str = ""


RESNET = Encoder(
    build="bcbm.model.encoders.resnet:build",
    last_stage=("layer4.",),
    weights="bcbm.model.weights:load_medicalnet",
)
DENSENET = Encoder(
    build="bcbm.model.encoders.densenet:build",
    last_stage=("features.denseblock4.", "features.norm5."),
    smallest=lambda model: 29 if model.max_pool else 15,
)
ENCODERS = Registry(
    Encoder,
    {
        "resnet10": RESNET,
        "resnet18": RESNET,
        "resnet34": RESNET,
        "resnet50": RESNET,
        "densenet121": DENSENET,
    },
    group="bcbm.encoders",
)
