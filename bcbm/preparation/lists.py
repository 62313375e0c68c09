"""Lists that a person may correct where they lie: what was changed is kept, whatever is written anew."""

import warnings
from itertools import count
from pathlib import Path

from bcbm.errors import Note
from bcbm.runs.tables import sum_of, write_with_sum
from bcbm.system.content import file_sum

CORRECTED = "-corrected"  # behind the name of a list that a person has changed


def write_list(path: Path, content: str, key: str) -> None:
    """Write a list, and its sum beside it; one that a person has changed is kept under another name.

    Args:
        path: of the list.
        content: of the CSV.
        key: of the configuration that reads a corrected one.

    Warns:
        Note: a list that was changed is not read, and is kept.
    """
    own = content.encode()
    there = path.read_bytes() if path.is_file() else own  # another process may be about to write it
    if there != own and (not sum_of(path).is_file() or is_corrected(path)):  # lists of before have no sum
        names = (f"{path.stem}{CORRECTED}{'' if number == 1 else f'-{number}'}.csv" for number in count(1))
        kept = next(place for name in names if not (place := path.with_name(name)).exists())
        path.replace(kept)
        text = f"{path} was changed by hand and is not read: it is kept as {kept.name}; set {key}={kept}"
        warnings.warn(text, Note, stacklevel=2)
    write_with_sum(path, own)


def is_corrected(path: Path) -> bool:
    """Whether a list is not what was written, or one that was kept for that."""
    beside = sum_of(path)
    if path.suffix != ".csv" or not beside.is_file():
        return CORRECTED in path.stem
    return beside.read_text(encoding="utf-8").split()[:1] != [file_sum(path)]
