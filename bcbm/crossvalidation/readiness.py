"""What an experiment asks for beside its cohort, looked for before anything is prepared."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from bcbm.errors import ConfigError

if TYPE_CHECKING:
    from bcbm.config.schema import Config


def require_ready(config: "Config") -> None:
    """Refuse what would otherwise fail after the preparation, in a run folder that nothing is in.

    Raises:
        ConfigError: a device or a tracker cannot be had, or the runs' folder cannot be written.
        InputError: a limit of this shell leaves too little memory to train a network.
    """
    from bcbm.model.devices import require_devices
    from bcbm.system.memory import TRAINING, require_address_space
    from bcbm.tracking import require_trackers

    if config.model.kind == "network":
        require_address_space(*TRAINING)
    require_devices(config)
    require_trackers(config)
    name = "run.folder" if config.run.folder else "run.root"
    folder = Path(config.run.folder or config.run.root).absolute()
    place = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not place.is_dir():
        raise ConfigError(f"{name}={folder}: {place} is a file; name a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ConfigError(f"{name}={folder}: {place} cannot be written; set {name} to a folder that can")
