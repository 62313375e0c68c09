"""The typed configuration: schema <- conf/ <- experiments/<name>.yaml <- key=value on the command line."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcbm.schema import MODALITIES, RECEPTORS, Config

HOME = Path(__file__).resolve().parent.parent
GROUPS = ("cohort", "model", "augment", "trainer", "tracking")


class ConfigError(ValueError):
    """A configuration that cannot be used; the message says which key and what to write instead."""


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
    if config.features.coordinates and config.cohort.position != "image":
        raise ConfigError("features.coordinates=true needs cohort.position=image: names hold no millimetres")
    if config.features.crop_size < 8:
        raise ConfigError(f"features.crop_size={config.features.crop_size}: write at least 8 voxels")
    if not config.features.crop_spacing > 0:
        raise ConfigError(f"features.crop_spacing={config.features.crop_spacing}: write more than 0 mm")
    if config.prepared.jobs == 0:
        raise ConfigError("prepared.jobs=0: write a number of processes, or -1 for one a core")
    if config.features.crop_margin is not None and config.features.crop_margin < 0:
        raise ConfigError("features.crop_margin: write at least 0 mm, or null for all of the cube")
    if config.fold != "all" and not (
        config.fold.isdecimal() and int(config.fold) < config.split.folds * config.split.repeats
    ):
        last = config.split.folds * config.split.repeats - 1
        raise ConfigError(f"fold={config.fold}: write all, or a number from 0 to {last}")
