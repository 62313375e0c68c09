"""The configuration as a tracker is sent it: without what names a place of this machine."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

from bcbm.config.compose import plain
from bcbm.config.schema import Config
from bcbm.runs.identity import NOT_IDENTITY, PLACES

# Where files lie on this machine, and what other commands than `fit` are asked for.
PRIVATE = (
    *(name for name in NOT_IDENTITY if name not in ("fold", "bootstrap")),
    *(f"{room}.{name}" for room, names in PLACES.items() for name in names),
)


def sendable(config: Config) -> dict[str, Any]:
    """The resolved configuration without `PRIVATE`, also where `tune` names it."""
    content = plain(config)
    for name in PRIVATE:
        room, _, last = name.rpartition(".")
        del (content[room] if room else content)[last]
    content["tune"] = tried(content["tune"])
    return content


def settings_text(config: Config) -> str:
    """The same as YAML, as Markdown shows it."""
    return f"```yaml\n{OmegaConf.to_yaml(OmegaConf.create(sendable(config)))}```"


def tried(settings: Mapping[str, object]) -> dict[str, object]:
    """What a trial tries, by dotted key, without `PRIVATE`."""
    return {name: value for name, value in settings.items() if not _is_private(name)}


def _is_private(name: str) -> bool:
    return any(f"{name}.".startswith(f"{private}.") for private in PRIVATE)
