"""Who works on a part of a run: one process at a time, on whichever machine that shares the folder."""

import json
import os
import signal
import socket
import threading
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from glob import escape
from pathlib import Path
from uuid import uuid4

from bcbm.errors import InputError, Note, Problem, note_if_long
from bcbm.system.liveness import lives, place, started

BEAT = 5.0  # seconds between two signs of life
GRACE = 60.0  # seconds without one, after which an owner elsewhere counts as gone
LOOKS = 3  # for one's own file, which may be put back behind one of them


class AlreadyRunning(InputError):
    """Another process works on it."""


@dataclass(frozen=True)
class Owner:
    """The process that works on a part of a run, as the file of that part names it.

    Attributes:
        host: where it runs.
        place: that machine since it was started, as its processes are numbered.
        process: its number there.
        started: when it was started, as `liveness.started` counts.
        token: names this piece of work.
    """

    host: str
    place: str
    process: int
    started: float
    token: str

    @classmethod
    def this_process(cls) -> "Owner":
        """The owner that this process is."""
        process = os.getpid()
        return cls(socket.gethostname(), place(), process, started(process) or 0.0, uuid4().hex)

    def __str__(self) -> str:
        return f"PID {self.process} on {self.host}"


@contextmanager
def sole_owner(parts: Mapping[str, Path], patience: float = 0.0) -> Iterator[None]:
    """Own parts of a run while what is inside runs.

    The file of a part names its owner and is touched every few seconds. On the same machine the process is
    looked for, so that one that was killed is known at once. Elsewhere the file is watched until it is
    touched again, or has not been for a minute, by the clock of its disk: machines need not agree on the
    time. A part whose owner is gone is taken over. An owner that finds another in its place, as after a night
    asleep, is interrupted.

    Args:
        parts: the file of each part, by what it is in words, such as `fold 3 of runs/demo/...`.
        patience: seconds to wait for a part that another process works on.

    Raises:
        AlreadyRunning: another process works on one of them; all of those.
    """
    own, owned, problems, done = Owner.this_process(), list[Path](), list[Problem](), threading.Event()
    beating = threading.Thread(target=_beat, args=(owned, own, done), daemon=True)
    beating.start()
    try:
        for part, file in parts.items():
            until = time.monotonic() + patience
            with note_if_long(f"waiting for {part}: another process works on it"):
                while (other := _claim(part, file, own)) is not None and time.monotonic() < until:
                    time.sleep(0.1)
            if other is None:
                owned.append(file)
                continue
            remedy = "wait for it, or end it and run the same command again"
            problems.append(Problem(part, f"is already running as {other or 'another process'}", remedy))
        if problems:
            raise AlreadyRunning(*problems)
        yield
    finally:
        done.set()
        beating.join()
        for file in owned:
            _give_back(file, own)


def _claim(part: str, file: Path, own: Owner) -> Owner | str | None:
    """Take a part; who works on it, empty where that cannot be told, None where it is taken."""
    file.parent.mkdir(parents=True, exist_ok=True)
    while True:
        try:
            with file.open("x", encoding="utf-8") as stream:
                json.dump(asdict(own), stream)
            return None
        except FileExistsError:
            other = _read(file)
            if _works(part, file, other):
                return other or ""
            _take_away(file, other, own)


def _read(file: Path) -> Owner | None:
    """The owner that a file names; None where there is none, or it is being written."""
    try:
        return Owner(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _works(part: str, file: Path, other: Owner | None) -> bool:
    """Whether the owner that a file names still works."""
    if other is not None and other.place == place():
        return lives(other.process, other.started)
    with suppress(FileNotFoundError):
        sign = _touched(file)
        seconds = min(
            GRACE, GRACE - (_clock(file) - sign) / 1e9
        )  # a sign of the time to come: a clock was set
        if seconds > 0:
            text = f"{part} was begun by {other or 'another process'}; watching for up to {seconds:.0f} s "
            warnings.warn(f"{text}whether that still runs", Note, stacklevel=2)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.2)
            if _touched(file) != sign:
                return _read(file) is not None
    return False


def _touched(file: Path) -> int:
    """When a file was last touched, ns; it is opened for that, as a network file system then looks anew."""
    with file.open("rb") as stream:
        return os.fstat(stream.fileno()).st_mtime_ns


def _clock(file: Path) -> int:
    """The time of the disk that a file lies on, ns."""
    probe = file.with_name(f"{file.name}.{uuid4().hex}")
    try:
        probe.touch()
        return probe.stat().st_mtime_ns
    finally:
        probe.unlink(missing_ok=True)


def _take_away(file: Path, other: Owner | None, own: Owner) -> None:
    """Remove the file of an owner that is gone; what another has written meanwhile is put back."""
    grave = file.with_name(f"{file.name}.{own.token}")
    with suppress(FileNotFoundError):  # another was faster
        file.rename(grave)
        if _read(grave) == other:
            grave.unlink()
        else:
            grave.rename(file)


def _give_back(file: Path, own: Owner) -> None:
    """Remove the file of this owner, also where another has it in hand for a moment, see `_take_away`."""
    for _ in range(LOOKS):
        for where in (file, *file.parent.glob(f"{escape(file.name)}.*")):
            if _read(where) == own:
                where.unlink(missing_ok=True)
                return


def _beat(owned: list[Path], own: Owner, done: threading.Event) -> None:
    """Touch the files of an owner until its work is done."""
    while not done.wait(BEAT):
        for file in list(owned):
            other = _read(file)
            if other is not None and other != own:
                text = f"{file.parent}: {other} works on it since this process did not stir; this one ends"
                warnings.warn(text, Note, stacklevel=2)
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            with suppress(OSError):  # the folder is gone, or not there for a moment
                os.utime(file)
