"""Names that are imported when they are first used."""

import sys
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import Any


def imported(address: str) -> Any:
    """What lies at `module:name`; the module is imported now."""
    module, _, name = address.partition(":")
    return getattr(import_module(module), name)


def public_names(package: str, addresses: Mapping[str, str]) -> None:
    """Let `from <package> import <name>` give what lies at an address, and load nothing before.

    A name counts before a module of the same name inside the package, whichever is asked for first.

    Args:
        package: `__name__` of the package.
        addresses: `module:name`, by public name.
    """

    class Package(ModuleType):
        def __getattr__(self, name: str) -> Any:
            if name not in addresses:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return imported(addresses[name])

        def __setattr__(self, name: str, value: Any) -> None:
            if not (name in addresses and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*super().__dir__(), *addresses})

    sys.modules[package].__class__ = Package
