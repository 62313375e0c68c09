"""The typed configuration: schema <- conf/ <- experiments/<name>.yaml <- key=value on the command line."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

HOME = Path(__file__).resolve().parent.parent
GROUPS = ("cohort", "model", "augment", "trainer", "tracking")
RECEPTORS = ("ER", "PR", "HER2")
MODALITIES = ("image", "radiomics", "position")
CATEGORIES = ("lesion", "target", "retreatment", "margin", "cavity", "structure")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key and what to write instead."""


def key(default: Any, meaning: str) -> Any:
    """A settable key with its default value and its line in `--help`."""
    metadata = {"help": meaning}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Synthetic:
    """The embedded cohort that stands in for the download."""

    patients: int = key(120, "patients to invent")
    signal: float = key(1.0, "strength of the planted signal; 0 gives labels that nothing can predict")
    images: bool = key(
        True, "write images and masks; false writes the two workbooks only (fast, large cohorts)"
    )
    seed: int = key(0, "seed of the cohort")


@dataclass
class Cohort:
    """Where the lesions come from."""

    root: str | None = key(None, "folder of the TCIA download; empty: the embedded synthetic cohort")
    strict: bool = key(False, "stop on any problem instead of excluding the lesion with a reason")
    categories: list[str] = key(
        ["lesion", "target", "retreatment"],
        "categories of segmentation that enter: lesion target retreatment margin cavity structure",
    )
    synthetic: Synthetic = key(Synthetic, "the embedded cohort")


@dataclass
class Prepared:
    """What is made from the cohort, kept for the next run."""

    root: str | None = key(
        None, "folder of tables and crops; empty: a cache folder named by the cohort's content"
    )
    jobs: int = key(-1, "processes that prepare images and radiomics; -1: one a core")


@dataclass
class Features:
    """What is measured on a lesion."""

    radiomics: Literal["workbook", "extract"] = key(
        "workbook", "published values of the workbook, or our own PyRadiomics run"
    )
    crop_size: int = key(32, "edge of the cubic crop, voxels")
    crop_spacing: float = key(1.0, "edge of a crop voxel, mm")


@dataclass
class Task:
    """What is predicted and from what."""

    receptors: list[str] = key(list(RECEPTORS), "receptors to predict, any of ER PR HER2")
    modalities: list[str] = key(list(MODALITIES), "modalities to fuse, any of image radiomics position")


@dataclass
class Split:
    """How patients are divided."""

    unit: Literal["patient", "study", "lesion"] = key(
        "patient", "what is kept whole; study and lesion exist to show the leak and are marked LEAKY"
    )
    folds: int = key(5, "cross-validation folds")
    repeats: int = key(1, "times the cross-validation is repeated with other folds")
    validation: float = key(0.2, "part of a fold's training patients held back for early stopping")
    seed: int = key(0, "seed of the folds")


@dataclass
class Data:
    """How lesions become batches."""

    batch_size: int = key(16, "lesions a batch, summed over devices")
    workers: int = key(0, "processes that load and augment")
    sampling: Literal["patient", "even"] = key(
        "patient", "draw a lesion with weight 1 / lesions of its patient, or every lesion alike"
    )


@dataclass
class Augment:
    """Augmentation of the training crops."""

    flip: float = key(0.5, "chance of a left-right flip; the hemisphere follows")
    affine: float = key(0.5, "chance of a random rotation, scaling and shift")
    degrees: float = key(15.0, "largest rotation, degrees")
    scale: float = key(0.1, "largest relative scaling")
    shift: float = key(2.0, "largest shift, mm")
    noise: float = key(0.3, "chance of Gaussian noise (up to 0.2 brain standard deviations)")
    gamma: float = key(0.3, "chance of a random gamma (log gamma up to 0.2)")


@dataclass
class Model:
    """The network."""

    encoder: Literal["resnet10", "resnet18", "resnet34", "resnet50"] = key("resnet10", "MONAI 3D ResNet")
    widen: float = key(0.25, "factor on the encoder's channels")
    stem: int = key(3, "kernel of the first convolution, voxels")
    stem_stride: int = key(2, "stride of the first convolution")
    max_pool: bool = key(False, "max pooling behind the first convolution; it destroys small lesions")
    mask_channel: bool = key(False, "give the lesion's mask to the encoder as a second channel")
    image_features: int = key(32, "image features that enter the fusion")
    radiomics_hidden: int = key(32, "hidden units of the radiomics MLP")
    radiomics_features: int = key(16, "radiomics features that enter the fusion")
    radiomics_dropout: float = key(0.2, "dropout in the radiomics MLP")
    fusion: Literal["concat"] = key("concat", "how modalities are fused")
    trunk: int = key(32, "units of the shared trunk")
    dropout: float = key(0.3, "dropout before and behind the trunk")


@dataclass
class Loss:
    """The loss."""

    class_weights: bool = key(True, "weigh positives by negatives / positives among the training patients")
    receptor_weights: dict[str, float] = key({"ER": 1.0, "PR": 1.0, "HER2": 1.0}, "weight of each receptor")


@dataclass
class Trainer:
    """How long and on what."""

    max_epochs: int = key(24, "most epochs a fold")
    patience: int = key(8, "epochs without a better validation AUROC before a fold stops")
    learning_rate: float = key(2e-3, "peak learning rate of AdamW (one-cycle)")
    weight_decay: float = key(0.05, "weight decay of AdamW")
    accelerator: str = key("auto", "auto, cpu or gpu")
    devices: int = key(1, "devices a node; more than one trains with DDP")
    num_nodes: int = key(1, "nodes")
    precision: str = key("32-true", "Lightning precision, such as 32-true or bf16-mixed")


@dataclass
class Tracking:
    """Weights & Biases on top of the run folder."""

    mode: Literal["auto", "online", "offline", "off"] = key(
        "auto", "auto: online with a key and a network, else offline; never asks"
    )
    project: str = key("bcbm", "W&B project")
    entity: str | None = key(None, "W&B team or user")


@dataclass
class Run:
    """Where a run is written."""

    root: str = key("runs", "folder of all runs")
    folder: str | None = key(
        None,
        "folder of this run; empty: the unfinished or finished run of the same configuration, else a new one",
    )


@dataclass
class Config:
    """Everything that can be set."""

    experiment: str = key("demo", "name of a file in experiments/, or a path to one")
    fold: str = key("all", "one fold to train (0, 1, ...), or all")
    seed: int = key(0, "seed of training")
    bootstrap: int = key(2000, "bootstrap resamples of patients for the intervals")
    cohort: Cohort = key(Cohort, "")
    prepared: Prepared = key(Prepared, "")
    features: Features = key(Features, "")
    task: Task = key(Task, "")
    split: Split = key(Split, "")
    data: Data = key(Data, "")
    augment: Augment = key(Augment, "")
    model: Model = key(Model, "")
    loss: Loss = key(Loss, "")
    trainer: Trainer = key(Trainer, "")
    tracking: Tracking = key(Tracking, "")
    run: Run = key(Run, "")


def described_keys(schema: type = Config, prefix: str = "") -> Iterator[tuple[str, str, str, str]]:
    """Yield (key, type, default, meaning) for every settable key, in the schema's order."""
    hints = get_type_hints(schema)
    default = schema()
    for item in fields(schema):
        hint = hints[item.name]
        if is_dataclass(hint):
            yield from described_keys(hint, f"{prefix}{item.name}.")  # type: ignore[arg-type]
        else:
            plain_type = isinstance(hint, type) and not getattr(hint, "__args__", None)
            name = getattr(hint, "__name__", "") if plain_type else str(hint)
            if "Literal" in name:
                name = name.replace("typing.Literal", "").replace(" | None", "").strip("[]")
            value = str(getattr(default, item.name))
            yield f"{prefix}{item.name}", name.replace("'", ""), value, item.metadata["help"]


def compose(arguments: Sequence[str] = ()) -> Config:
    """Resolve the configuration of a command line.

    Arguments:
        arguments: `key=value` words; `experiment=NAME` picks an experiment, `<group>=NAME` a file of conf/.

    Raises:
        ConfigError: an unknown key (with the nearest right one), a wrong type, a missing file.
    """
    words = [_word(argument) for argument in arguments]
    experiment = next((value for name, value in reversed(words) if name == "experiment"), Config().experiment)
    layers = _experiment_layers(experiment)
    chosen = dict(_read(HOME / "conf" / "config.yaml")["defaults"])
    for _, layer in layers:
        chosen.update(layer.pop("defaults", {}))
    chosen.update({name: value for name, value in words if name in GROUPS})

    config = OmegaConf.structured(Config)
    required: dict[str, str] = {}  # `???` in a file: the key, and the file that wants it set
    for group, name in chosen.items():
        if group not in GROUPS:
            raise ConfigError(f"'{group}' is no group of conf/; {_nearest(str(group), GROUPS)}")
        path = _existing(HOME / "conf" / group / f"{name}.yaml", f"{group}={name}")
        content = {group: _read(path)}
        required |= dict.fromkeys(_required(content), str(path.relative_to(HOME)))
        config = _merge(config, OmegaConf.create(content), str(path.relative_to(HOME)))
    for path, layer in layers:
        required |= dict.fromkeys(_required(layer), path.name)
        config = _merge(config, OmegaConf.create(layer), path.name)
    for name, value in words:
        if name not in GROUPS:
            config = _merge(config, _dotted(name, value), f"{name}={value}")
    config.experiment = Path(experiment).stem
    try:
        resolved: Config = OmegaConf.to_object(config)  # type: ignore[assignment]
        unset = [name for name in required if OmegaConf.select(config, name) is None]
    except OmegaConfBaseException as error:
        raise ConfigError(f"key '{error.full_key}': {str(error).splitlines()[0]}") from None
    if unset:
        raise ConfigError(f"{unset[0]} is not set, and {required[unset[0]]} needs it; set {unset[0]}=VALUE")
    _check(resolved)
    return resolved


def plain(config: Any) -> dict[str, Any]:
    """The configuration as plain containers."""
    result = OmegaConf.to_container(OmegaConf.structured(config))
    assert isinstance(result, dict)
    return {str(name): value for name, value in result.items()}


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML text."""
    return OmegaConf.to_yaml(OmegaConf.structured(config))


def _word(argument: str) -> tuple[str, str]:
    name, equals, value = argument.lstrip("-").partition("=")
    if not equals:
        raise ConfigError(
            f"'{argument}' is no key=value; write for example {name}=VALUE, or --help for the keys"
        )
    return name.strip(), value


def _experiment_layers(name: str) -> list[tuple[Path, dict[str, Any]]]:
    """The experiment's files, base first: `extends: OTHER` puts OTHER beneath."""
    layers: list[tuple[Path, dict[str, Any]]] = []
    parent: str | None = name
    while parent:
        given = Path(parent)
        path = given if given.suffix in {".yaml", ".yml"} else HOME / "experiments" / f"{parent}.yaml"
        layer = _read(_existing(path, f"experiment={parent}"))
        if any(path == seen for seen, _ in layers):
            raise ConfigError(f"{path.name} extends itself; remove the circle")
        layers.insert(0, (path, layer))
        parent = layer.pop("extends", None)
    return layers


def _required(content: Any, prefix: str = "") -> list[str]:
    """The keys that a file leaves to be set: their value is `???`."""
    if isinstance(content, dict):
        return [found for name, value in content.items() for found in _required(value, f"{prefix}.{name}")]
    return [prefix.removeprefix(".")] if content == "???" else []


def _dotted(name: str, value: str) -> Any:
    try:
        return OmegaConf.from_dotlist([f"{name}={value}"])
    except Exception as error:  # the YAML parser's own errors
        raise ConfigError(f"{name}={value}: not readable: {str(error).splitlines()[0]}") from None


def _existing(path: Path, asked: str) -> Path:
    if not path.is_file():
        names = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise ConfigError(f"{asked}: there is no {path}; {_nearest(path.stem, names)}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values")
    return {str(name): value for name, value in content.items()}


def _merge(config: Any, layer: Any, source: str) -> DictConfig:
    try:
        return OmegaConf.unsafe_merge(config, layer)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        full = str(error.full_key or "")
        known = [name for name, *_ in described_keys()]
        if "not in" in str(error).splitlines()[0]:
            raise ConfigError(f"{source}: unknown key '{full}'; {_nearest(full, known)}") from None
        raise ConfigError(f"{source}: key '{full}': {str(error).splitlines()[0]}") from None


def _nearest(word: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if not close:
        close = [name for name in known if name.split(".")[-1] == word.split(".")[-1]][:1]
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known) if len(known) < 20 else 'see --help'}"


def _check(config: Config) -> None:
    for name, chosen, known in (
        ("cohort.categories", config.cohort.categories, CATEGORIES),
        ("task.receptors", config.task.receptors, RECEPTORS),
        ("task.modalities", config.task.modalities, MODALITIES),
        ("loss.receptor_weights", list(config.loss.receptor_weights), RECEPTORS),
    ):
        for word in chosen:
            if word not in known:
                raise ConfigError(f"{name}: unknown '{word}'; {_nearest(word, known)}")
        if not chosen or len(set(chosen)) != len(chosen):
            raise ConfigError(f"{name}={chosen}: name at least one of {', '.join(known)}, each once")
    missing = set(config.task.receptors) - set(config.loss.receptor_weights)
    if missing:
        raise ConfigError(f"loss.receptor_weights has no weight for {', '.join(sorted(missing))}")
    if config.split.folds < 2 or config.split.repeats < 1 or not 0 < config.split.validation < 1:
        raise ConfigError("split: folds must be at least 2, repeats at least 1, validation between 0 and 1")
    if config.fold != "all" and not (
        config.fold.isdecimal() and int(config.fold) < config.split.folds * config.split.repeats
    ):
        last = config.split.folds * config.split.repeats - 1
        raise ConfigError(f"fold={config.fold}: write all, or a number from 0 to {last}")
