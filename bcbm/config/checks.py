"""What a configuration may not say, key by key, with what to write instead."""

import difflib
from collections.abc import Sequence
from functools import reduce
from math import inf
from typing import Any

from bcbm.config.schema import DENSENET_CROP, MODALITIES, RECEPTORS, TABLES, Config
from bcbm.errors import ConfigError


def nearest(word: str, known: Sequence[str]) -> str:
    """What a user may have meant by a word that is not known."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:
        close = [name for name in known if name.split(".")[-1] == word.split(".")[-1]][:1]
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) if len(known) < 20 else 'see --help'}"


# The least and the most that a number may be.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("seed", "split.seed", "cohort.synthetic.seed", "bootstrap", "data.workers"), (0, inf)),
    **dict.fromkeys(("data.batch_size", "data.bag", "cohort.synthetic.patients"), (1, inf)),
    **dict.fromkeys(("model.trunk", "model.image_features", "model.stem", "model.stem_stride"), (1, inf)),
    **dict.fromkeys(("model.radiomics_hidden", "model.radiomics_features"), (1, inf)),
    **dict.fromkeys(("model.dropout", "model.radiomics_dropout"), (0, 0.99)),
    **dict.fromkeys(("trainer.max_epochs", "trainer.patience"), (1, inf)),
    **dict.fromkeys(("trainer.devices", "trainer.num_nodes", "trainer.accumulate"), (1, inf)),
    **{"trainer.clip": (0, inf), "trainer.ema": (0, 0.9999)},
    **dict.fromkeys(("trainer.learning_rate", "trainer.weight_decay"), (0, inf)),
    **dict.fromkeys(("augment.flip", "augment.affine", "augment.noise", "augment.gamma"), (0, 1)),
    **dict.fromkeys(("augment.bias", "augment.motion"), (0, 1)),
    **dict.fromkeys(("augment.degrees", "augment.shift"), (0, inf)),
    "augment.scale": (0, 0.9),
}
PRECISIONS = ("32-true", "16-mixed", "bf16-mixed")
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def check(config: Config) -> None:
    """Refuse values that are out of range or do not go together.

    Raises:
        ConfigError: the first of them, and what to write instead.
    """
    for name, (least, most) in RANGES.items():
        value: Any = reduce(getattr, name.split("."), config)
        if not least <= value <= most:
            bounds = f"at least {least:g}" if most == inf else f"from {least:g} to {most:g}"
            raise ConfigError(f"{name}={value}: write {bounds}")
    for name, word, words in (
        ("trainer.precision", config.trainer.precision, PRECISIONS),
        ("trainer.accelerator", config.trainer.accelerator, ACCELERATORS),
    ):
        if word not in words:
            raise ConfigError(f"{name}: unknown '{word}'; write one of {', '.join(words)}")
    weights = [config.loss.receptor_weights.get(receptor, 1.0) for receptor in config.task.receptors]
    if min(weights, default=1.0) < 0 or not sum(weights, start=0.0 if weights else 1.0) > 0:
        raise ConfigError("loss.receptor_weights: write numbers of at least 0, not all of them 0")
    for name, chosen, known in (
        ("task.receptors", config.task.receptors, RECEPTORS),
        ("task.modalities", config.task.modalities, MODALITIES + TABLES),
        ("loss.receptor_weights", list(config.loss.receptor_weights), RECEPTORS),
    ):
        for word in chosen:
            if word not in known:
                raise ConfigError(f"{name}: unknown '{word}'; {nearest(word, known)}")
        if not chosen or len(set(chosen)) != len(chosen):
            raise ConfigError(f"{name}={chosen}: name at least one of {', '.join(known)}, each once")
    missing = set(config.task.receptors) - set(config.loss.receptor_weights)
    if missing:
        raise ConfigError(f"loss.receptor_weights has no weight for {', '.join(sorted(missing))}")
    if config.split.folds < 2 or config.split.repeats < 1 or not 0 < config.split.validation < 1:
        raise ConfigError("split: folds must be at least 2, repeats at least 1, validation between 0 and 1")
    if config.features.coordinates and config.cohort.position != "image":
        raise ConfigError("features.coordinates=true needs cohort.position=image: names hold no millimetres")
    if config.features.crop_size < 8:
        raise ConfigError(f"features.crop_size={config.features.crop_size}: write at least 8 voxels")
    if not config.features.crop_spacing > 0:
        raise ConfigError(f"features.crop_spacing={config.features.crop_spacing}: write more than 0 mm")
    _check_kind(config)
    _check_model(config)
    _check_devices(config)
    if config.prepared.jobs == 0:
        raise ConfigError("prepared.jobs=0: write a number of processes, or -1 for one a core")
    if config.features.crop_margin is not None and config.features.crop_margin < 0:
        raise ConfigError("features.crop_margin: write at least 0 mm, or null for all of the cube")
    if config.fold != "all" and not (
        config.fold.isdecimal() and int(config.fold) < config.split.folds * config.split.repeats
    ):
        last = config.split.folds * config.split.repeats - 1
        raise ConfigError(f"fold={config.fold}: write all, or a number from 0 to {last}")


def _check_devices(config: Config) -> None:
    """Refuse what several devices cannot share."""
    trainer = config.trainer
    if trainer.parallel == "folds" and trainer.num_nodes > 1:
        raise ConfigError(
            "trainer.parallel=folds stays on one machine; leave trainer.num_nodes out, or give every machine "
            "its own fold=K on a common run.folder"
        )
    if config.data.batch_size % trainer.ranks:
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: write a multiple of {trainer.ranks}, its devices"
        )


def _check_model(config: Config) -> None:
    """Refuse what the network, its loss and its batches cannot be."""
    model, loss, smallest = config.model, config.loss, DENSENET_CROP[config.model.max_pool]
    if model.encoder == "densenet121" and config.features.crop_size < smallest:
        raise ConfigError(
            f"features.crop_size={config.features.crop_size}: densenet121 with model.max_pool="
            f"{str(model.max_pool).lower()} needs at least {smallest} voxels"
        )
    if model.weights and not model.encoder.startswith("resnet"):
        raise ConfigError(
            f"model.weights: MedicalNet has none for {model.encoder}; write model.encoder=resnet18"
        )
    if model.encoder_training != "full" and not model.weights:
        raise ConfigError(
            f"model.encoder_training={model.encoder_training} would freeze random numbers; name MedicalNet's "
            "file with model.weights=FILE, or write model.encoder_training=full"
        )
    for name, value in (("fusion_features", model.fusion_features), ("fusion_rank", model.fusion_rank)):
        if value < 1:
            raise ConfigError(f"model.{name}={value}: write at least 1")
    if not 0 <= model.modality_dropout < 1:
        raise ConfigError(f"model.modality_dropout={model.modality_dropout}: write 0 or more, below 1")
    if loss.focal_gamma < 0:
        raise ConfigError(f"loss.focal_gamma={loss.focal_gamma}: write 0 or more")
    if not 0 <= loss.balanced_beta < 1:
        raise ConfigError(f"loss.balanced_beta={loss.balanced_beta}: write 0 or more, below 1")
    if config.data.bag < 1:
        raise ConfigError(f"data.bag={config.data.bag}: write at least 1 lesion")
    if config.task.aggregate == "attention":
        bags = config.data.bag * config.trainer.ranks
        if config.data.bag < 2:
            raise ConfigError("data.bag=1: attention learns from lesions side by side; write at least 2")
        if config.data.batch_size % bags:
            raise ConfigError(
                f"data.batch_size={config.data.batch_size}: task.aggregate=attention needs a multiple of "
                f"{bags}, data.bag times the devices"
            )
        if config.data.sampling != "patient":
            raise ConfigError("task.aggregate=attention draws patients; write data.sampling=patient")


def _check_kind(config: Config) -> None:
    """What goes with the network and what with a traditional model."""
    kind, chosen = config.model.kind, config.task.modalities
    if kind == "network":
        if tables := [name for name in chosen if name in TABLES]:
            raise ConfigError(
                f"task.modalities: {', '.join(tables)} is for traditional models; leave it out, or set "
                "model.kind=logistic_l2"
            )
        if config.permutations:
            raise ConfigError("permutations are for traditional models; write 0, or name a model.kind")
    else:
        if "image" in chosen:
            rest = ",".join(name for name in chosen if name != "image") or "radiomics,position"
            raise ConfigError(
                f"model.kind={kind} reads tables only; leave image out: task.modalities=[{rest}]"
            )
        if config.task.aggregate == "attention":
            raise ConfigError(f"model.kind={kind} learns no attention; choose another task.aggregate")
    if config.permutations and config.tune:
        raise ConfigError("permutations would not repeat the choice of tune; leave one of them out")
    if config.permutations < 0 or config.baseline.selected < 0 or config.baseline.trees < 1:
        raise ConfigError("write at least 0 for permutations and baseline.selected, 1 for baseline.trees")
    if not config.baseline.strength > 0:
        raise ConfigError(f"baseline.strength={config.baseline.strength}: write more than 0")
    if not 0 <= config.baseline.leaf < 0.5:
        raise ConfigError(f"baseline.leaf={config.baseline.leaf}: write a share from 0 to below 0.5")
