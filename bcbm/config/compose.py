"""The typed configuration: schema <- conf/ <- experiments/<name>.yaml <- key=value on the command line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcbm.config.checks import check, nearest
from bcbm.config.schema import HOME, Config, described_keys
from bcbm.errors import ConfigError

EXPERIMENTS = HOME / "experiments"
TUNABLE = ("model", "baseline", "loss", "data", "augment", "trainer")
# What a trial is trained on: no setting of the model, and several devices would start the command again.
HARDWARE = tuple(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "parallel", "profile"))
GROUPS = ("cohort", "model", "augment", "trainer", "tracking")
# What version 0.1 called a key, and what it is called now.
ALIASES = {"task.receptors": "task.targets", "loss.receptor_weights": "loss.target_weights"}


def compose(arguments: Sequence[str] = ()) -> Config:
    """Resolve the configuration of a command line.

    Arguments:
        arguments: `key=value` words; `experiment=NAME` picks an experiment, `BASE+NAME` puts one on
            top of another, `<group>=NAME` picks a file of conf/.

    Raises:
        ConfigError: an unknown key (with the nearest right one), a wrong type, a missing file.
    """
    words = [_word(argument) for argument in arguments]
    experiment = next((value for name, value in reversed(words) if name == "experiment"), Config().experiment)
    names = [experiment] if Path(experiment).is_file() else experiment.split("+")
    layers = [layer for name in names for layer in _experiment_layers(name)]
    chosen = dict(_read(HOME / "conf" / "config.yaml")["defaults"])
    for _, layer in layers:
        chosen.update(layer.pop("defaults", {}))
    chosen.update({name: value for name, value in words if name in GROUPS})

    config = OmegaConf.structured(Config)
    required: dict[str, str] = {}  # `???` in a file: the key, and the file that wants it set
    for group, name in chosen.items():
        if group not in GROUPS:
            raise ConfigError(f"'{group}' is no group of conf/; {nearest(str(group), GROUPS)}")
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
    config.experiment = "+".join(_title(name) for name in names)
    try:
        resolved: Config = OmegaConf.to_object(config)  # type: ignore[assignment]
        unset = [name for name in required if OmegaConf.select(config, name) is None]
    except OmegaConfBaseException as error:
        raise ConfigError(f"key '{error.full_key}': {str(error).splitlines()[0]}") from None
    if unset:
        raise ConfigError(f"{unset[0]} is not set, and {required[unset[0]]} needs it; set {unset[0]}=VALUE")
    check(resolved)
    _check_tune(resolved)
    return resolved


def override(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with other values under some keys, such as `{"model.dropout": 0.1}`, nothing to tune.

    Raises:
        ConfigError: an unknown key, a wrong type, or values that do not go together.
    """
    merged = OmegaConf.structured(replace(config, tune={}))
    for name, value in settings.items():
        layer = OmegaConf.create({})
        OmegaConf.update(layer, name, value)
        merged = _merge(merged, layer, f"{name}={value}")
    resolved: Config = OmegaConf.to_object(merged)  # type: ignore[assignment]
    check(resolved)
    _check_tune(resolved)
    return resolved


def load(path: Path) -> Config:
    """The configuration of a run, from its `config.yaml`.

    Raises:
        ConfigError: the file is missing or does not fit this version's schema.
    """
    layer = OmegaConf.create(_read(_existing(path, "run")))
    resolved: Config = OmegaConf.to_object(_merge(OmegaConf.structured(Config), layer, str(path)))  # type: ignore[assignment]
    return resolved


def candidates(config: Config) -> list[dict[str, Any]]:
    """Every combination of the values that `tune` names."""
    return [dict(zip(config.tune, values, strict=True)) for values in product(*config.tune.values())]


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
    return _current(name.strip()), value


def renamed(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys and values with the names of today for those of earlier versions, under `tune` too."""
    named = {}
    for name, value in content.items():
        key = _current(name) if prefix == "tune." else _current(prefix + name).removeprefix(prefix)
        named[key] = renamed(value, f"{prefix}{key}.") if isinstance(value, dict) else value
    return named


def _current(name: str) -> str:
    """The name of today of a dotted key, or of one inside it."""
    for old, new in ALIASES.items():
        if name == old or name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name


def _experiment_layers(name: str) -> list[tuple[Path, dict[str, Any]]]:
    """The experiment's files, base first: `extends: OTHER` puts OTHER beneath."""
    layers: list[tuple[Path, dict[str, Any]]] = []
    parent: str | None = name
    while parent:
        path = _file(parent)
        layer = _read(_existing(path, f"experiment={parent}"))
        if any(path == seen for seen, _ in layers):
            raise ConfigError(f"{path.name} extends itself; remove the circle")
        layers.insert(0, (path, layer))
        parent = layer.pop("extends", None)
    return layers


def _file(name: str) -> Path:
    """The file of an experiment, given by its name in experiments/ or as a path."""
    given = Path(name)
    return given if given.suffix in {".yaml", ".yml"} else EXPERIMENTS / f"{name}.yaml"


def _title(name: str) -> str:
    """What an experiment is called: its place in experiments/, or its file's name where it lies elsewhere."""
    path = _file(name).resolve()
    inside = path.is_relative_to(EXPERIMENTS)
    return (path.relative_to(EXPERIMENTS).with_suffix("") if inside else Path(path.stem)).as_posix()


def _required(content: Any, prefix: str = "") -> list[str]:
    """The keys that a file leaves to be set: their value is `???`."""
    if isinstance(content, dict):
        return [found for name, value in content.items() for found in _required(value, f"{prefix}.{name}")]
    return [prefix.removeprefix(".")] if content == "???" else []


def _dotted(name: str, value: str) -> Any:
    try:
        return OmegaConf.from_dotlist([f"{name}={value}"])
    except Exception as error:  # the YAML parser's own errors
        hint = "; write a blank behind each colon" if re.search(r":[^ /]", value) else ""
        raise ConfigError(f"{name}={value}: not readable: {str(error).splitlines()[0]}{hint}") from None


def _existing(path: Path, asked: str) -> Path:
    if not path.is_file():
        names = sorted(other.stem for other in path.parent.glob("*.yaml"))
        raise ConfigError(f"{asked}: there is no {path}; {nearest(path.stem, names)}")
    return path


def _read(path: Path) -> dict[str, Any]:
    try:
        content = OmegaConf.to_container(OmegaConf.load(path))
    except Exception as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected keys and values")
    return renamed({str(name): value for name, value in content.items()})


def _merge(config: Any, layer: Any, source: str) -> DictConfig:
    try:
        return OmegaConf.unsafe_merge(config, layer)  # type: ignore[return-value]
    except TypeError:
        raise ConfigError(f"{source}: expected keys with values; see --help") from None
    except OmegaConfBaseException as error:
        full = str(error.full_key or "")
        known = [name for name, *_ in described_keys()]
        if "not in" in str(error).splitlines()[0]:
            raise ConfigError(f"{source}: unknown key '{full}'; {nearest(full, known)}") from None
        raise ConfigError(f"{source}: key '{full}': {str(error).splitlines()[0]}") from None


def _check_tune(config: Config) -> None:
    """Try every combination that `tune` names before work starts."""
    for name in config.tune:
        if name.split(".")[0] not in TUNABLE:
            raise ConfigError(f"tune: '{name}' cannot be tuned; name keys of {', '.join(TUNABLE)}")
        if name in HARDWARE:
            raise ConfigError(
                f"tune: '{name}' cannot be tuned: it is what is trained on; set {name}=VALUE for all"
            )
        if not config.tune[name]:
            raise ConfigError(f"tune: {name} has no value to choose from")
    if config.tune:
        if config.split.inner < 2:
            raise ConfigError(f"split.inner={config.split.inner}: write at least 2 inner folds to tune on")
        for settings in candidates(config):
            override(config, settings)


def flattened(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key; what holds names of its own stays whole."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        inside = isinstance(value, dict) and f"{prefix}{name}" not in ("tune", "cohort.targets")
        flat |= flattened(value, f"{prefix}{name}.") if inside else {f"{prefix}{name}": value}
    return flat
