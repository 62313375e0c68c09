"""bcbm: receptor status of breast-cancer brain metastases from one post-contrast T1 MRI."""

import os
from typing import TYPE_CHECKING

from bcbm.system.lazy import public_names
from bcbm.system.version import __version__ as __version__

if TYPE_CHECKING:
    from bcbm.config.compose import compose as compose
    from bcbm.errors import ConfigError as ConfigError
    from bcbm.errors import InputError as InputError
    from bcbm.interface import compare as compare
    from bcbm.interface import evaluate as evaluate
    from bcbm.interface import fit as fit
    from bcbm.interface import ingest as ingest
    from bcbm.interface import prepare as prepare
    from bcbm.interface import read_run as read_run

# Idle OpenMP threads must sleep: with one busy core, spinning ones were seen to slow torch 20-fold.
# It has to be set before torch is imported anywhere.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

public_names(
    __name__,
    {
        "compose": "bcbm.config.compose:compose",
        "ingest": "bcbm.interface:ingest",
        "prepare": "bcbm.interface:prepare",
        "fit": "bcbm.interface:fit",
        "evaluate": "bcbm.interface:evaluate",
        "compare": "bcbm.interface:compare",
        "read_run": "bcbm.interface:read_run",
        "ConfigError": "bcbm.errors:ConfigError",
        "InputError": "bcbm.errors:InputError",
    },
)
