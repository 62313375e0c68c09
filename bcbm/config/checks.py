"""What a configuration may not hold, key by key, with what to write instead."""

import difflib
import operator
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bcbm.config.schema import Config
from bcbm.config.schema.cohort import INVENTED
from bcbm.errors import ConfigError
from bcbm.system.lazy import imported

SEQUENCE = re.compile("[A-Za-z0-9-]+")
HOLDS = {"least": operator.ge, "most": operator.le, "above": operator.gt, "below": operator.lt}
KNOWN_TARGETS = "bcbm.cohort.targets:known_targets"  # what may be predicted, of `cohort.targets`
READ_CARD = "bcbm.features.cards:read_card"  # of pretrained weights
# Keys that the network alone reads; but for those that any model does.
OF_NETWORK = (
    *("augment.", "loss.", "model.", "trainer.max_epochs", "trainer.min_epochs", "trainer.patience"),
    "trainer.learning_rate",
)
OF_ALL = ("model.kind", "loss.class_weights")
FARTHEST = 30.0  # mm from a lesion that a shell reaches
WORDS = {"least": "at least", "most": "at most", "above": "more than", "below": "less than"}


def nearest(word: str, known: Sequence[str], many: str = "see --help") -> str:
    """What a user may have meant by a word that is not known.

    Args:
        word: it.
        known: those that are.
        many: what to say where none is near, and they are too many to be listed.
    """
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:
        close = [name for name in known if name.split(".")[-1] == word.split(".")[-1]][:1]
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) if len(known) < 20 else many}"


def misspelt(words: Iterable[str], known: Iterable[str]) -> dict[str, str]:
    """Words that are not known and may stand for one that is, which is not among them; each with that."""
    words, known = list(words), list(known)
    absent = {name.casefold(): name for name in known if name not in words}
    near = {
        word: difflib.get_close_matches(word.casefold(), absent, n=1, cutoff=0.8)
        for word in words
        if word not in known
    }
    return {word: absent[names[0]] for word, names in near.items() if names}


def check(config: Config) -> None:
    """Refuse values that are out of their bounds or do not go together.

    Raises:
        ConfigError: all that is out of its bounds, one a line; else the first that does not go together.
    """
    problems = [text for name, value, item in settings(config) if (text := _refused(name, value, item))]
    try:
        targets = list(imported(KNOWN_TARGETS)(config.cohort.targets))
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    weights = [config.loss.target_weights.get(target, 1.0) for target in config.task.targets]
    if min(weights, default=1.0) < 0 or not sum(weights, start=0.0 if weights else 1.0) > 0:
        raise ConfigError("loss.target_weights: write numbers of at least 0, not all of them 0")
    for word in config.task.targets:
        if word not in targets:
            raise ConfigError(f"task.targets: unknown '{word}'; {nearest(word, targets)}")
    if not config.task.targets or len(set(config.task.targets)) != len(config.task.targets):
        names = ", ".join(targets)
        raise ConfigError(f"task.targets={config.task.targets}: name at least one of {names}, each once")
    for word in config.loss.target_weights:
        if word not in targets:
            raise ConfigError(f"loss.target_weights: unknown '{word}'; {nearest(word, targets)}")
    if config.features.coordinates and config.cohort.position != "image":
        raise ConfigError("features.coordinates=true needs cohort.position=image: names hold no millimetres")
    _check_features(config)
    if config.cohort.labels == "lesion" and not config.cohort.root:
        raise ConfigError("cohort.labels=lesion: the embedded cohort has a label a patient; set cohort.root")
    if config.prepared.jobs == 0:
        raise ConfigError("prepared.jobs=0: write a number of processes, or -1 for one a core")
    _check_sequences(config)
    _check_kind(config)
    _check_model(config)
    _check_devices(config)
    given = _check_given_folds(config)
    if config.fold != "all" and not (given and config.fold.isdecimal()):
        check_fold(config.fold, config.split.folds * config.split.repeats)


def check_fold(fold: str, folds: int) -> None:
    """Refuse a number of a fold that is not there."""
    if fold != "all" and not (fold.isdecimal() and int(fold) < folds):
        raise ConfigError(f"fold={fold}: write all, or a number from 0 to {folds - 1}")


def without_use(config: Config, names: Iterable[str]) -> list[str]:
    """Those of some keys that no model of `model.kind` reads."""
    if config.model.kind == "network":
        return [name for name in names if name.startswith("baseline.")]
    return [name for name in names if name.startswith(OF_NETWORK) and name not in OF_ALL]


def not_read(config: Config, names: Iterable[str]) -> str:
    """Which of some keys nothing reads in this configuration, and why, in words; empty where all count.

    Args:
        config: composed.
        names: keys that a person has set on the command line.
    """
    names = list(names)
    texts = []
    if again := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
        texts.append(f"{', '.join(again)}: given more than once, the last counts")
    if useless := without_use(config, dict.fromkeys(names)):
        others = "traditional models" if config.model.kind == "network" else "the network"
        texts.append(f"{', '.join(useless)}: read by {others} alone, and model.kind is {config.model.kind}")
    given = "split.holdout" if config.split.holdout else "split.file"
    if "split.folds" in names and (config.split.holdout or config.split.file):
        texts.append(f"split.folds: not read, as {given} gives the folds")
    if "split.inner" in names and not config.tune:
        texts.append("split.inner: not read, as there is nothing to tune")
    return "; ".join(texts)


def settings(config: Any, prefix: str = "") -> Iterator[tuple[str, Any, Field[Any]]]:
    """Every dotted key of a configuration with its value and its field of the schema."""
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item


def _refused(name: str, value: Any, item: Field[Any]) -> str:
    """What to write instead of a value that its field does not take; empty where it does."""
    if bounds := item.metadata["bounds"]:
        inside = value is None or all(HOLDS[word](value, bound) for word, bound in bounds.items())
        asks = " and ".join(f"{WORDS[word]} {bound:g}" for word, bound in bounds.items())
        if bounds.keys() == {"least", "most"}:
            asks = f"from {bounds['least']:g} to {bounds['most']:g}"
        return "" if inside else f"{name}={value}: write {asks}"
    if address := item.metadata["among"]:
        known = list(imported(address))
        if item.default is not MISSING and item.default not in known:  # such as auto
            known.insert(0, item.default)
        for word in value if isinstance(value, list) else [value]:
            if word not in known:
                return f"{name}: unknown '{word}'; {nearest(str(word), known)}"
        if isinstance(value, list) and len(set(value)) != len(value):
            return f"{name}={value}: name each once"
        if isinstance(value, list) and not value and not item.metadata["empty"]:
            return f"{name}=[]: name at least one of {', '.join(known)}"
    return ""


def _check_features(config: Config) -> None:
    """Refuse shells that do not lie around each other, and a pretrained network that nothing is known of."""
    edges, encoder = config.features.shells, config.features.encoder
    if not all(low < high <= FARTHEST for low, high in pairwise([0.0, *edges])):
        raise ConfigError(
            f"features.shells={edges}: write distances in mm, each greater than the one before and at most "
            f"{FARTHEST:g}, such as [3, 6]"
        )
    if config.model.shell_channels and not (edges and config.model.mask_channel):
        raise ConfigError(
            "model.shell_channels=true: the shells lie around the mask; write model.mask_channel=true and "
            "features.shells=[3, 6]"
        )
    if "deep_features" in config.task.modalities and not encoder:
        raise ConfigError(
            "task.modalities names deep_features; name the weights of the network that makes them with "
            "features.encoder=FILE"
        )
    if encoder:
        imported(READ_CARD)(Path(encoder).expanduser())


def _check_sequences(config: Config) -> None:
    """Refuse channels of the image that cannot be read."""
    sequences, synthetic = config.task.sequences, config.cohort.synthetic.sequences
    text = f"task.sequences=[{','.join(sequences)}]"
    if sequences[:1] != ["t1c"] or synthetic[0] != "t1c":
        raise ConfigError(f"{text}: begin with t1c, the post-contrast T1 that the masks are drawn on")
    if len(set(sequences)) != len(sequences) or not all(map(SEQUENCE.fullmatch, sequences)):
        raise ConfigError(f"{text}: name each once, in letters, digits and hyphens, as its files do")
    if config.cohort.root is None and (absent := [name for name in sequences if name not in synthetic]):
        raise ConfigError(
            f"{text}: the embedded cohort has no {', '.join(absent)}; {nearest(absent[0], INVENTED)} write "
            f"cohort.synthetic.sequences={text.partition('=')[2]} to invent it"
        )


def _check_given_folds(config: Config) -> str:
    """Refuse what does not go with folds of a column or a file; the key that gives them, empty if drawn."""
    split = config.split
    if split.file and split.holdout:
        raise ConfigError("split.file and split.holdout both give the folds; write one of them")
    if split.later is not None and not split.holdout:
        raise ConfigError(f"split.later={split.later:g}: name its column with split.holdout, such as year")
    given = f"split.file={split.file}" if split.file else f"split.holdout={split.holdout}"
    if not split.file and not split.holdout:
        return ""
    if split.file and not Path(split.file).expanduser().is_file():
        raise ConfigError(
            f"{given}: is not a file; it needs the columns patient and fold, or patient and part"
        )
    if split.unit != "patient":
        raise ConfigError(f"{given} keeps patients whole; leave split.unit={split.unit} out")
    if split.repeats > 1:
        raise ConfigError(f"{given} gives the folds once; leave split.repeats={split.repeats} out")
    return given


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
    model, encoders = config.model, imported("bcbm.model.encoders:ENCODERS")
    encoder = encoders[model.encoder]
    if config.features.crop_size < (smallest := encoder.smallest(model)):
        raise ConfigError(
            f"features.crop_size={config.features.crop_size}: {model.encoder} with model.max_pool="
            f"{str(model.max_pool).lower()} needs at least {smallest} voxels"
        )
    reach = config.features.crop_size * config.features.crop_spacing / 2
    if config.augment.shift >= reach and "image" in config.task.modalities:
        raise ConfigError(
            f"augment.shift={config.augment.shift:g}: moves lesions out of a crop that shows {reach:g} mm "
            "around their centre; write less"
        )
    if model.weights and not encoder.weights:
        able = [name for name in encoders if encoders[name].weights]
        raise ConfigError(
            f"model.weights: no weights are known for {model.encoder}; leave it empty, or write "
            f"model.encoder={'|'.join(able)}"
        )
    if model.weights and len(config.task.sequences) > 1:
        raise ConfigError(
            f"model.weights: MedicalNet was trained on one channel, and task.sequences has "
            f"{len(config.task.sequences)}; write task.sequences=[t1c], or leave model.weights empty"
        )
    if model.weights and not Path(model.weights).expanduser().is_file():
        raise ConfigError(
            f"model.weights={model.weights}: is not a file; name MedicalNet's, or leave it empty"
        )
    if model.encoder_training != "full" and not model.weights:
        raise ConfigError(
            f"model.encoder_training={model.encoder_training} would freeze random weights; name MedicalNet's "
            "file with model.weights=FILE, or write model.encoder_training=full"
        )
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
    useless = without_use(config, config.tune)
    if useless and "model.kind" not in config.tune:
        raise ConfigError(f"tune: {', '.join(useless)} changes nothing of model.kind={kind}; leave it out")
    modalities = imported("bcbm.modalities:MODALITIES")
    if kind == "network":
        if tables := [name for name in chosen if not modalities[name].encoder]:
            raise ConfigError(
                f"task.modalities: only traditional models read {', '.join(tables)}; leave it out, or set "
                "model.kind=logistic_l2"
            )
        if config.permutations:
            raise ConfigError("permutations are for traditional models; write 0, or name a model.kind")
    else:
        if volumes := [name for name in chosen if not modalities[name].tabular]:
            tabular = ",".join(name for name in chosen if name not in volumes) or "radiomics,position"
            raise ConfigError(
                f"model.kind={kind} reads tables only; leave {', '.join(volumes)} out: "
                f"task.modalities=[{tabular}]"
            )
        if kind == "no_conversion" and chosen != ["primary"]:
            raise ConfigError(
                f"model.kind={kind} reads the status of the primary tumour alone; write "
                "task.modalities=[primary]"
            )
        if config.task.aggregate == "attention":
            raise ConfigError(f"model.kind={kind} learns no attention; choose another task.aggregate")
    if config.permutations and config.calibration == "isotonic":
        raise ConfigError(
            "calibration=isotonic makes ties, which permutations do not repeat; write another calibration, "
            "such as logistic, which changes no order, or permutations=0"
        )
    if config.permutations and config.tune:
        raise ConfigError("permutations do not repeat the choice of tune; leave permutations or tune out")
