"""How often files are read and unpacked."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bcbm.features import files


@contextmanager
def counted_readings() -> Iterator[Counter[str]]:
    """The names of the volumes that this process reads inside, each as often as it is read."""
    readings: Counter[str] = Counter()

    def counting(read: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Path, *words: Any) -> Any:
            readings[path.name] += 1
            return read(path, *words)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in ("open_volume", "open_box"):
            patch.setattr(files, name, counting(getattr(files, name)))
        yield readings
