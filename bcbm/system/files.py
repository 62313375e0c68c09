"""Files that are there whole or not at all, whatever ends the process: a kill, a full disk, a power cut."""

import json
import math
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO

from bcbm.errors import readable

_BINS = ("$recycle.bin", "system volume information", "@eadir", "lost+found", "__macosx")


def write_whole(path: Path, content: bytes | str, private: bool = False) -> None:
    """Write a file in one step: it is there complete, also after a power cut, or not at all.

    A text is written as UTF-8; what cannot be, as a file name's lone surrogates, stands as its escape.

    Args:
        path: of the file.
        content: all of it.
        private: only its owner can read it (mode 600), from its first byte on.
    """
    with writing_whole(path, private) as file:
        file.write(content.encode(errors="backslashreplace") if isinstance(content, str) else content)


def strict_json(content: Any) -> str:
    """JSON that every reader takes, with null for what is undefined (NaN) or without end (infinite).

    Example:
        >>> strict_json({"auroc": [0.5, float("nan"), -float("inf")]}).split()
        ['{', '"auroc":', '[', '0.5,', 'null,', 'null', ']', '}']
    """
    return json.dumps(_with_nulls(content), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _with_nulls(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _with_nulls(item) for name, item in content.items()}
    if isinstance(content, list | tuple):
        return [_with_nulls(item) for item in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def read_json(path: Path, remedy: str, kind: type = dict) -> Any:
    """What a JSON file holds.

    Args:
        path: of the file.
        remedy: what to do where it cannot be used.
        kind: of what it holds: names with values, or a list.

    Raises:
        InputError: it is missing or damaged, holds something else, or one name twice, of which one would be
            lost.
    """
    with readable(path, remedy):
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_each_once)
        if not isinstance(content, kind):
            raise ValueError(f"it holds no {'list' if kind is list else 'names with values'}")
        return content


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Names with values as an object of JSON has them; ValueError where a name stands in it twice."""
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"'{next(name for name in names if names.count(name) > 1)}' stands in it twice")
    return content


@contextmanager
def writing_whole(path: Path, private: bool = False) -> Iterator[BinaryIO]:
    """The same for content that comes piece by piece; an error, a full disk too, leaves nothing behind.

    Raises:
        OSError: the disk refuses; it names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.partial")
    try:
        if private:
            partial.touch(0o600)
            partial.chmod(0o600)  # one that an earlier process has left may be open to all
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.filename in (None, str(partial)):  # which nobody knows of
            error.filename = str(path)
        raise
    finally:
        partial.unlink(missing_ok=True)


def free_folder(first: Path, name: str, is_own: Callable[[Path], bool]) -> Path:
    """Where results may be written without replacing others: a folder, or one with a number behind its name.

    Args:
        first: the folder.
        name: of the file in it that says what the results are of.
        is_own: whether that file says what is to be written.
    """
    for number in count(1):
        folder = first if number == 1 else first.with_name(f"{first.name}-{number}")
        path = folder / name
        if not path.is_file() or is_own(path):
            break
    return folder


def files_below(folder: Path) -> list[Path]:
    """The files in a folder and below, sorted, those behind links to folders too, and none of a hidden folder
    or a bin, where what was removed lies.

    Raises:
        OSError: a folder cannot be looked into; it names it.
    """
    return [path for path in _names_below(folder) if path.is_file()]


def broken_links(folder: Path) -> list[Path]:
    """The links in a folder and below to what is not there, sorted; as `files_below`."""
    return [path for path in _names_below(folder) if is_broken_link(path)]


def is_broken_link(path: Path) -> bool:
    """Whether a path is a link to what is not there, as a file that was not fetched."""
    return path.is_symlink() and not path.exists()


def _names_below(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    files = []
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        here = Path(place)
        above = {os.path.realpath(path) for path in (here, *here.parents) if path.is_relative_to(folder)}
        folders[:] = [name for name in folders if os.path.realpath(here / name) not in above]  # links back
        folders[:] = [name for name in folders if name[0] != "." and name.lower() not in _BINS]
        files += [here / name for name in names if not name.startswith("._")]  # as macOS writes them
    return sorted(files)


def bytes_of(folder: Path) -> int:
    """The size of all files in a folder together, bytes; 0 where it is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
