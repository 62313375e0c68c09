"""The typed configuration: `from bcbm.config import compose, load, plain, Config`."""

from typing import TYPE_CHECKING

from bcbm.system.lazy import public_names

if TYPE_CHECKING:
    from bcbm.config.compose import compose as compose
    from bcbm.config.compose import load as load
    from bcbm.config.compose import plain as plain
    from bcbm.config.schema import Config as Config
    from bcbm.errors import ConfigError as ConfigError

public_names(
    __name__,
    {
        "compose": "bcbm.config.compose:compose",
        "load": "bcbm.config.compose:load",
        "plain": "bcbm.config.compose:plain",
        "Config": "bcbm.config.schema:Config",
        "ConfigError": "bcbm.errors:ConfigError",
    },
)
