"""What a name may stand for: entries of this program, and those that installed packages add."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

from bcbm.errors import ConfigError
from bcbm.system.lazy import imported

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name: those of this program first, then those of installed packages, in their names' order.

    Names can be listed without importing anything; an entry that is given by its address is imported when it
    is asked for.

    Args:
        kind: the class of every entry.
        entries: those of this program, or their addresses `module:name`.
        group: entry points under which an installed package names an entry; None: nothing can be added.

    Example:
        >>> numbers = Registry(float, {"half": 0.5, "pi": "math:pi"})
        >>> list(numbers), round(numbers["pi"], 2)
        (['half', 'pi'], 3.14)
    """

    def __init__(
        self, kind: type[Entry], entries: Mapping[str, Entry | str], group: str | None = None
    ) -> None:
        self.kind, self.group = kind, group
        self.entries: dict[str, Entry | str] = dict(entries)

    @cached_property
    def installed(self) -> dict[str, EntryPoint]:
        """What installed packages add, by name.

        Raises:
            ConfigError: two packages add the same name, or one adds a name of ours.
        """
        added: dict[str, EntryPoint] = {}
        points = entry_points(group=self.group) if self.group else ()
        for point in sorted(points, key=lambda point: point.name):
            if point.name in self.entries or added.get(point.name, point) != point:
                raise ConfigError(
                    f"the installed package {_package(point)} adds '{point.name}' to {self.group}, which has "
                    "it already; uninstall one of the two"
                )
            added[point.name] = point
        return added

    def __iter__(self) -> Iterator[str]:
        yield from self.entries
        yield from self.installed

    def __len__(self) -> int:
        return len(self.entries) + len(self.installed)

    def __contains__(self, name: object) -> bool:
        return name in self.entries or name in self.installed

    def __getitem__(self, name: str) -> Entry:
        if name in self.entries:
            entry = self.entries[name]
            return imported(entry) if isinstance(entry, str) else entry
        point = self.installed[name]
        try:
            entry = point.load()
        except Exception as error:  # whatever a package's own code raises
            message = " ".join(str(error).split()) or type(error).__name__
            raise ConfigError(
                f"'{name}' of the installed package {_package(point)} cannot be loaded ({message}); "
                "upgrade or uninstall it"
            ) from error
        if not isinstance(entry, self.kind):
            raise ConfigError(
                f"'{name}' of the installed package {_package(point)} is a {type(entry).__name__}, and "
                f"{self.group} takes a {self.kind.__name__}; upgrade or uninstall it"
            )
        return entry


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.value
