"""The configuration as a tracker is sent it: without what names a place of this machine."""

from typing import Any

from bcbm.config.compose import plain
from bcbm.config.schema import Config

# Where files lie on this machine, and what concerns the runs themselves.
PRIVATE = (
    "run",
    "prepared",
    "tracking",
    "experiments",
    "cohort.root",
    "cohort.names",
    "cohort.exclude",
    "cohort.radiomics",
    "split.file",
    "model.weights",
)


def sendable(config: Config) -> dict[str, Any]:
    """The resolved configuration without `PRIVATE`, also where `tune` names it."""
    content = plain(config)
    for name in PRIVATE:
        room, _, last = name.rpartition(".")
        del (content[room] if room else content)[last]
    content["tune"] = {name: values for name, values in content["tune"].items() if not is_private(name)}
    return content


def is_private(name: str) -> bool:
    """Whether a dotted key is one of `PRIVATE`, or inside one."""
    return any(f"{name}.".startswith(f"{private}.") for private in PRIVATE)
