"""A service outside: whether it answers, and what it calls a part of a run, which goes on under that name."""

import socket
from pathlib import Path
from urllib.parse import SplitResult

from bcbm.system.files import write_whole

FOLDER = "tracking"  # of a run: what each service calls its parts


def answers(address: SplitResult) -> bool:
    """Whether something listens there."""
    try:
        port = address.port or (80 if address.scheme == "http" else 443)
        socket.create_connection((address.hostname or "", port), timeout=3).close()
    except (OSError, ValueError):  # or a port that is none
        return False
    return True


def stored_id(folder: Path, service: str, part: str) -> str | None:
    """What a service calls a part that was begun before, None where it was not."""
    try:
        return (folder / FOLDER / service / part).read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def store_id(folder: Path, service: str, part: str, name: str) -> None:
    """Keep what a service calls a part."""
    write_whole(folder / FOLDER / service / part, name)
