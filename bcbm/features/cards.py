"""Weights of a pretrained network, and the card that says what they are and what they may have seen."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bcbm.config.reading import read_yaml
from bcbm.errors import ConfigError
from bcbm.system.content import file_sum
from bcbm.system.memory import available_memory

ENDINGS = (".pth", ".pt", ".safetensors")
SEEN = ("yes", "no", "unknown")  # whether what weights were trained on may hold test patients
WORDS = ("network", "source", "licence", "trained_on", "test_patients")  # that a card needs
_LONGEST = 2**16  # bytes of a card
_LARGEST = 4096  # number among the arguments of a network: channels, layers, edges of a kernel
_COPIES = 3  # of weights in memory, while they are read and put into a network


@dataclass(frozen=True)
class Network:
    """A network of `monai.networks.nets` whose features are read.

    Attributes:
        arguments: those of its builder that a card may give.
        fixed: those that are ours: one channel, three dimensions, nothing downloaded.
        last: dotted name of the layer that makes classes of features, which is left out.
        unread: how the names of tensors begin that have no part in the features.
        encodes: it has a method `encode`, whose first result is the map that is averaged.
    """

    arguments: tuple[str, ...]
    fixed: dict[str, Any]
    last: str = ""
    unread: tuple[str, ...] = ()
    encodes: bool = False


RESNET = Network(
    arguments=(
        *("conv1_t_size", "conv1_t_stride", "no_max_pool", "shortcut_type", "bias_downsample"),
        *("widen_factor", "act", "norm"),
    ),
    fixed={"spatial_dims": 3, "n_input_channels": 1, "feed_forward": False},
    unread=("fc.",),
)
DENSENET = Network(
    arguments=("init_features", "growth_rate", "block_config", "bn_size", "act", "norm"),
    fixed={"spatial_dims": 3, "in_channels": 1, "out_channels": 1},
    last="class_layers.out",
    unread=("class_layers.",),
)
SEGRESNET = Network(
    arguments=("init_filters", "blocks_down", "blocks_up", "act", "norm", "upsample_mode"),
    fixed={"spatial_dims": 3, "in_channels": 1},
    unread=("up_layers.", "up_samples.", "conv_final."),
    encodes=True,
)
NETWORKS = {
    **dict.fromkeys((f"resnet{depth}" for depth in (10, 18, 34, 50, 101, 152, 200)), RESNET),
    **dict.fromkeys((f"DenseNet{depth}" for depth in (121, 169, 201, 264)), DENSENET),
    "SegResNet": SEGRESNET,
}


@dataclass(frozen=True)
class Card:
    """What is known of weights.

    Attributes:
        weights: their file.
        network: a name of `NETWORKS`.
        source: where they come from.
        licence: under which they are given.
        trained_on: what they were trained on.
        test_patients: whether that may hold patients of the test folds, a word of `SEEN`.
        arguments: what the network was made with, by MONAI's names, where that is not its default.
    """

    weights: Path
    network: str
    source: str
    licence: str
    trained_on: str
    test_patients: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def identity(self) -> dict[str, Any]:
        """What of it changes numbers: the SHA-256 of the weights, and the network.

        Raises:
            ConfigError: the weights cannot be read.
        """
        try:
            digest = file_sum(self.weights)
        except OSError as error:
            reason = error.strerror
            raise ConfigError(f"features.encoder={self.weights}: cannot be read ({reason})") from None
        return {"weights": digest, "network": self.network, "arguments": self.arguments}

    def text(self) -> str:
        """The card as it lies beside the weights, YAML."""
        content = {name: getattr(self, name) for name in (*WORDS, "arguments")}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)

    def described(self) -> dict[str, Any]:
        """The card as a run keeps it: the name of the file in place of its path, and its SHA-256."""
        return {**asdict(self), **self.identity(), "file": self.weights.name}


def read_card(weights: Path) -> Card:
    """The card of these weights, `NAME.yaml` beside `NAME.pth`; the weights themselves are not read.

    Raises:
        ConfigError: no such file or card, one that is too large, or a card that lacks a word or names what is
            not known.
    """
    where = f"features.encoder={weights}"
    if not weights.is_file() or weights.suffix not in ENDINGS:
        raise ConfigError(f"{where}: is not a file of weights; name one that ends in {', '.join(ENDINGS)}")
    needed, room = _COPIES * weights.stat().st_size, available_memory()
    if needed > room:
        text = f"it needs {needed / 1e9:.1f} GB of memory, and {room / 1e9:.1f} GB are free"
        raise ConfigError(f"{where}: {text}; free memory, or name smaller weights")
    path, words = weights.with_suffix(".yaml"), ", ".join(WORDS)
    if not path.is_file():
        raise ConfigError(f"{where}: has no card beside it; write {path} with {words}")
    if (size := path.stat().st_size) > _LONGEST:
        raise ConfigError(f"{path}: has {size} bytes, and a card has a few lines; write {words}")
    content = read_yaml(path)
    texts = {name: content[name].strip() for name in WORDS if isinstance(content.get(name), str)}
    if absent := [name for name in WORDS if not texts.get(name)]:
        raise ConfigError(f"{path}: says nothing of {', '.join(absent)}; write {words}, each a text")
    if unknown := [name for name in content if name not in (*WORDS, "arguments")]:
        raise ConfigError(f"{path}: unknown {', '.join(unknown)}; a card has {words}, and arguments")
    if texts["test_patients"] not in SEEN:
        raise ConfigError(
            f"{path}: test_patients is '{texts['test_patients']}'; write {', '.join(SEEN)}: whether what the "
            "weights were trained on may hold patients who are tested here"
        )
    if texts["network"] not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise ConfigError(f"{path}: unknown network '{texts['network']}'; write one of {known}")
    arguments = content.get("arguments", {})
    allowed = NETWORKS[texts["network"]].arguments
    if not isinstance(arguments, dict) or (set(arguments) - set(allowed)):
        raise ConfigError(f"{path}: arguments is {arguments}; name any of {', '.join(allowed)}, with values")
    if too_large := [number for number in _numbers(arguments) if not abs(number) <= _LARGEST]:
        raise ConfigError(f"{path}: arguments hold {too_large[0]:g}; no network has more than {_LARGEST}")
    return Card(weights, **texts, arguments=arguments)


def _numbers(content: Any) -> Iterator[float]:
    """The numbers of nested lists and names with values."""
    if isinstance(content, dict | list):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _numbers(item)
    elif isinstance(content, int | float):
        yield content
