"""How a setting is written down."""

from dataclasses import field
from typing import Any


def key(
    default: Any,
    meaning: str,
    *,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    among: str = "",
    empty: bool = False,
) -> Any:
    """A settable key: its default value, its line in `--help`, and what it may be.

    Args:
        default: its value where nothing else is written.
        meaning: in a few words, with the unit.
        least: the smallest number that it may be, and `most` the largest; `above` and `below` shut them out.
        among: address `module:name` of a registry whose names are the values to choose from.
        empty: whether a list among a registry may name none.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    metadata = {
        "help": meaning,
        "bounds": {name: bound for name, bound in bounds.items() if bound is not None},
        "among": among,
        "empty": empty,
    }
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    if isinstance(default, type):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)
