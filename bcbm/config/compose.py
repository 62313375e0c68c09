"""The typed configuration: schema <- conf/ <- experiments/<name>.yaml <- key=value on the command line."""

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from glob import escape
from itertools import product
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bcbm.config.checks import check, nearest
from bcbm.config.places import experiment_file, experiment_files, experiment_name, settings_folder
from bcbm.config.reading import read_value, read_yaml, require_values
from bcbm.config.schema import Config, described_keys
from bcbm.errors import ConfigError, Note

TUNABLE = ("model", "baseline", "loss", "data", "augment", "trainer")
# What a trial is trained on: no setting of the model, and several devices would start the command again.
HARDWARE = tuple(f"trainer.{name}" for name in ("accelerator", "devices", "num_nodes", "parallel", "profile"))
GROUPS = ("cohort", "model", "augment", "trainer", "tracking")
ALWAYS = ("experiment", "cohort", "task", "split", "model", "trainer", "run")  # in every run's config.yaml
NOTHING = ("", "null", "Null", "NULL")  # words for no value
# What version 0.1 called a key, and what it is called now.
ALIASES = {"task.receptors": "task.targets", "loss.receptor_weights": "loss.target_weights"}


def compose(arguments: Sequence[str] = ()) -> Config:
    """Resolve the configuration of a command line.

    Args:
        arguments: `key=value` words; `experiment=NAME` picks an experiment, `BASE+NAME` puts one on
            top of another, `experiments=DIR` is where they are looked up first, `<group>=NAME` picks a
            file of conf/.

    Raises:
        ConfigError: an unknown key (with the nearest right one), a wrong type, a missing file.
    """
    words = [_word(argument) for argument in arguments]
    _require_one_name([name for name, _ in words], "the command line")
    words = [(_current(name), value) for name, value in words]
    given, home = dict(words), settings_folder()
    experiment, own = given.get("experiment", Config().experiment), given.get("experiments")
    names = [experiment] if Path(experiment).is_file() else experiment.split("+")
    layers = [layer for name in names for layer in _experiment_layers(name, own)]
    chosen = dict(_read(home / "conf" / "config.yaml")["defaults"])
    for _, layer in layers:
        chosen.update(layer.pop("defaults", {}))
    chosen.update({name: value for name, value in words if name in GROUPS})

    config = OmegaConf.structured(Config)
    required: dict[str, str] = {}  # `???` in a file: the key that is still to be set, and the file
    for group, name in chosen.items():
        if group not in GROUPS:
            raise ConfigError(f"'{group}' is not a group of conf/; {nearest(str(group), GROUPS)}")
        path = home / "conf" / group / f"{name}.yaml"
        _require(path, f"{group}={name}", sorted(other.stem for other in path.parent.glob("*.yaml")))
        content = {group: _read(path)}
        required |= dict.fromkeys(_required(content), str(path.relative_to(home)))
        config = _merge(config, OmegaConf.create(content), str(path.relative_to(home)))
    for path, layer in layers:
        required = _still_open(required, layer)
        required |= dict.fromkeys(_required(layer), path.name)
        config = _merge(config, OmegaConf.create(layer), path.name)
    for name, value in words:
        if name not in GROUPS:
            word = _dotted(name, value)
            required = _still_open(required, OmegaConf.to_container(word))  # type: ignore[arg-type]
            config = _merge(config, word, f"{name}={value}")
    config.experiment = "+".join(_title(name, own) for name in names)
    try:
        resolved: Config = OmegaConf.to_object(config)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise ConfigError(f"key '{error.full_key}': {str(error).splitlines()[0]}") from None
    for name, file in required.items():
        raise ConfigError(f"{name} is not set, and {file} needs it; set {name}=VALUE")
    check(resolved)
    _check_tune(resolved)
    return resolved


def override(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with other values under some keys, such as `{"model.dropout": 0.1}`, nothing to tune.

    Raises:
        ConfigError: an unknown key, a wrong type, or values that do not go together.
    """
    require_values(list(settings.items()))
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
    """The configuration of a run, from its `config.yaml`; keys that this version has not are left out.

    Raises:
        ConfigError: the file is missing or does not fit this version's schema.
    """
    _require(path, "run", [])
    layer = OmegaConf.create(known_settings(_read(path), path))
    resolved: Config = OmegaConf.to_object(_merge(OmegaConf.structured(Config), layer, str(path)))  # type: ignore[assignment]
    return resolved


def known_settings(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The part of a run's `config.yaml` whose keys this version has.

    Raises:
        ConfigError: it lacks what every version writes: it is empty or was cut off.

    Warns:
        Note: of every other key, with the version that wrote it.
    """
    if absent := [name for name in ALWAYS if name not in content]:
        raise ConfigError(
            f"{path}: has no {', '.join(absent)}: it is empty or was cut off; restore it, or fit anew"
        )
    known, others = _sifted(content, Config)
    if others:
        author = "another version"
        with suppress(OSError, ValueError, KeyError, TypeError):
            environment = json.loads((path.parent / "environment.json").read_text(encoding="utf-8"))
            author = f"bcbm {environment['versions']['bcbm']}"
        keys = ", ".join(f"'{name}'" for name in others)
        unknown = "is unknown" if len(others) == 1 else "are unknown"
        warnings.warn(f"{path}: {keys}, written by {author}, {unknown} here and ignored", Note, stacklevel=3)
    return known


def _sifted(content: Mapping[str, Any], schema: Any, prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """The part of nested keys and values that a schema has, and the dotted keys of everything else."""
    known: dict[str, Any] = {}
    others: list[str] = []
    parts = {item.name: item.type for item in fields(schema)}
    for name, value in content.items():
        if name not in parts:
            others.append(f"{prefix}{name}")
        elif is_dataclass(parts[name]) and isinstance(value, Mapping):
            known[name], inside = _sifted(value, parts[name], f"{prefix}{name}.")
            others += inside
        else:
            known[name] = value
    return known, others


def candidates(config: Config) -> list[dict[str, Any]]:
    """Every combination of the values that `tune` names."""
    return [dict(zip(config.tune, values, strict=True)) for values in product(*config.tune.values())]


def plain(config: Config) -> dict[str, Any]:
    """The configuration as plain containers."""
    return asdict(config)


def to_yaml(config: Config) -> str:
    """The resolved configuration as YAML text."""
    return OmegaConf.to_yaml(plain(config))


def _word(argument: str) -> tuple[str, str]:
    name, equals, value = argument.lstrip("-").partition("=")
    if not equals:
        raise ConfigError(
            f"'{argument}' is not key=value; write for example {name}=VALUE, or --help for the keys"
        )
    return name.strip(), value


def renamed(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys and values with the names of today for those of earlier versions, under `tune` too."""
    named = {}
    for name, value in content.items():
        key = _current(name) if prefix == "tune." else _current(prefix + name).removeprefix(prefix)
        named[key] = renamed(value, f"{prefix}{key}.") if isinstance(value, dict) else value
    return named


def _require_one_name(names: Iterable[str], source: str) -> None:
    """Refuse dotted keys that stand under the names of earlier versions and of today: one would be lost."""
    names = list(names)
    for old, new in ALIASES.items():
        if all(any(f"{name}.".startswith(f"{key}.") for name in names) for key in (old, new)):
            raise ConfigError(f"{source}: {old} and {new} are one key, its old name and its new; write {new}")


def _current(name: str) -> str:
    """The name of today of a dotted key, or of one inside it."""
    for old, new in ALIASES.items():
        if name == old or name.startswith(f"{old}."):
            return new + name.removeprefix(old)
    return name


def _experiment_layers(name: str, own: str | None) -> list[tuple[Path, dict[str, Any]]]:
    """The experiment's files, base first: `extends: OTHER` puts OTHER beneath."""
    layers: list[tuple[Path, dict[str, Any]]] = []
    parent: str | None = name
    while parent:
        path = experiment_file(parent, own)
        if layers and not path.is_file():  # beside the one that stands on it
            path = next(iter(layers[0][0].parent.glob(f"{escape(parent)}.yaml")), path)
        _require(path, f"experiment={parent}", list(experiment_files(own)))
        layer = _read(path)
        if not layer:
            raise ConfigError(f"{path}: holds no key: it is empty or was cut off; write keys into it")
        _check_base(path, layer)
        if any(path == seen for seen, _ in layers):
            raise ConfigError(f"{path.name} extends itself; remove the circle")
        layers.insert(0, (path, layer))
        parent = layer.pop("extends", None)
    return layers


def _check_base(path: Path, layer: Mapping[str, Any]) -> None:
    """Refuse an experiment that names what it stands on in another way than by one name."""
    if not isinstance(layer.get("extends", ""), str) or "+" in layer.get("extends", ""):
        raise ConfigError(f"{path}: extends is {layer['extends']}; name one experiment: extends: demo")
    if "experiment" in layer and not {"run", "split"} <= set(layer):  # as the configuration of a run has both
        text = f"{path}: experiment is the name of a run, and puts nothing beneath"
        raise ConfigError(f"{text}; write extends: {layer['experiment']}")
    defaults = layer.get("defaults", {})
    if not isinstance(defaults, Mapping) or not all(isinstance(name, str) for name in defaults.values()):
        raise ConfigError(
            f"{path}: defaults is {defaults}; name a file of a group: defaults: {{model: small}}"
        )


def _title(name: str, own: str | None) -> str:
    """What an experiment is called: its name, or its file's where that lies in no folder of experiments."""
    known = Path(experiment_name(experiment_file(name, own), own))
    return known.stem if known.is_absolute() else known.as_posix()


def _required(content: Any, prefix: str = "") -> list[str]:
    """The keys that a file leaves to be set: their value is `???`."""
    if isinstance(content, dict):
        return [key for name, value in content.items() for key in _required(value, f"{prefix}.{name}")]
    return [prefix.removeprefix(".")] if content == "???" else []


def _still_open(required: Mapping[str, str], content: dict[str, Any]) -> dict[str, str]:
    """The keys that are still to be set, with their files, once some keys are set."""
    values = flattened(content)
    return {name: file for name, file in required.items() if values.get(name) in (None, "???")}


def _dotted(name: str, value: str) -> Any:
    try:
        content = _content(name, value.strip())
        layer = OmegaConf.create({}) if content == value else OmegaConf.from_dotlist([f"{name}={value}"])
        OmegaConf.update(layer, name, content)
        return layer
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
    except Exception as error:  # the YAML parser's own errors
        hint = "; write a blank behind each colon" if re.search(r":[^ /]", value) else ""
        raise ConfigError(f"{name}={value}: not readable: {str(error).splitlines()[0]}{hint}") from None


def _content(name: str, value: str) -> Any:
    """The value of a word: that of a text is as it stands, whatever YAML sees in it, such as a comment."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    if name in _texts() and not quoted and value not in (*NOTHING, "???"):
        require_values(value)
        return value
    content = read_value(value)
    if content is None and value not in (*NOTHING, "~"):
        raise ConfigError(f"YAML reads nothing in '{value}'; write a value, or null for none")
    return content


def _require(path: Path, word: str, names: Sequence[str]) -> None:
    """Refuse a word whose file is not there, with the nearest name that could have been meant."""
    if not path.is_file():
        name = word.partition("=")[2]
        raise ConfigError(f"{word}: there is no {path}; {nearest(name, names) if names else 'name another'}")


def _read(path: Path) -> dict[str, Any]:
    """The keys and values of a file, as they are called today.

    Raises:
        ConfigError: it cannot be read, holds a key under its old and its new name, or a text in it is written
            as a number.
    """
    content = read_yaml(path)
    for names in (flattened(content), content.get("tune") or ()):
        _require_one_name(names, str(path))
    content = renamed(content)
    for name, value in flattened(content).items():
        if name in _texts() and isinstance(value, float | bool):
            raise ConfigError(f"{path}: {name} is a text, and {value} is none; write it in quotes")
    return content


@cache
def _texts() -> frozenset[str]:
    """The keys whose value is a text."""
    return frozenset(name for name, kind, *_ in described_keys() if kind in ("str", "str | None"))


@cache
def _maps() -> frozenset[str]:
    """The keys whose value is a map of names that are a user's."""
    return frozenset(name for name, kind, *_ in described_keys() if kind.startswith("dict"))


def _merge(config: Any, layer: Any, source: str) -> DictConfig:
    if isinstance(layer, DictConfig):
        _check_shape(OmegaConf.to_container(layer), Config, source)
        for name in _maps():  # an empty one has nothing of what stands beneath it
            if OmegaConf.select(layer, name) == {}:
                OmegaConf.update(config, name, {}, merge=False)
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


def _check_shape(content: Any, schema: Any, source: str, prefix: str = "") -> None:
    """Refuse a value in place of a group of keys, a word in place of a list, a list in place of a word."""
    for name, hint in get_type_hints(schema).items():
        value, key = content.get(name), f"{prefix}{name}"
        if value is None or value == "???":
            continue
        if is_dataclass(hint):
            if not isinstance(value, dict):
                first = fields(hint)[0].name
                raise ConfigError(
                    f"{source}: '{key}' is a group of keys; set for example {key}.{first}=VALUE"
                )
            _check_shape(value, hint, source, f"{key}.")
        elif get_origin(hint) is list and not isinstance(value, list):
            raise ConfigError(f"{source}: '{key}' takes a list; write {key}=[{value}]")
        elif get_origin(hint) is list and (
            inner := [item for item in value if isinstance(item, list | dict)]
        ):
            raise ConfigError(
                f"{source}: '{key}' takes words, and {inner[0]} is none; write {key}=[WORD, WORD]"
            )
    for name in (name for name in content if "." in str(name)):
        group, _, rest = str(name).partition(".")
        raise ConfigError(
            f"{source}: '{prefix}{name}' has a dot; write in a file {{{group}: {{{rest}: VALUE}}}}"
        )


def _check_tune(config: Config) -> None:
    """Try every combination that `tune` names before work starts."""
    for name in config.tune:
        if name.split(".")[0] not in TUNABLE:
            raise ConfigError(f"tune: '{name}' cannot be tuned; name keys of {', '.join(TUNABLE)}")
        if name in HARDWARE:
            raise ConfigError(
                f"tune: '{name}' cannot be tuned: it names the hardware; set {name}=VALUE for all candidates"
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
