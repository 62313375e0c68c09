"""Who runs a trial, and whether that process still lives."""

import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Any

import psutil
from optuna.trial import FrozenTrial

BEAT = 30.0  # seconds between two signs of life
CLOCK = 2.0  # seconds by which two readings of one process's start may differ, if the clock was set
GRACE = 150.0  # seconds without one, after which a trial elsewhere counts as left


@cache
def place() -> str:
    """This machine since it was started, as its processes are numbered: host, boot and container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    names = Path("/proc/self/ns/pid")
    known = boot.read_text(encoding="utf-8").strip() if boot.exists() else ""
    return f"{socket.gethostname()} {known} {names.readlink() if names.is_symlink() else ''}"


def started(process: int) -> float | None:
    """When a process was started, in seconds since 1970; None: there is no such process, or it has ended."""
    try:
        known = psutil.Process(process)
        ended = known.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return None if ended else float(known.create_time())
    except psutil.NoSuchProcess:
        return None


def owner(token: str) -> dict[str, Any]:
    """The process that runs a trial, as the trial's attributes hold it.

    Args:
        token: names this run of the trial, and stands in its result.
    """
    return {"place": place(), "process": os.getpid(), "started": started(os.getpid()), "token": token}


class Watch:
    """Finds the running trials whose process is gone: at once here, elsewhere by signs of life that stop.

    The signs are counted, not timed by the other machine's clock, so it need not agree with this one's.
    """

    def __init__(self, grace: float = GRACE) -> None:
        self.grace = grace
        self._seen: dict[int, tuple[Any, float]] = {}

    def left(self, trial: FrozenTrial) -> bool:
        """Whether nobody runs this trial any more."""
        process_owner = trial.user_attrs.get("owner")
        if process_owner and process_owner["place"] == place():
            since = started(process_owner["process"])
            return since is None or abs(since - float(process_owner["started"])) > CLOCK
        sign = (process_owner and process_owner["token"], trial.user_attrs.get("beat"))
        before, since = self._seen.get(trial._trial_id, (None, 0.0))
        if sign != before:
            self._seen[trial._trial_id] = (sign, time.monotonic())
            return False
        return time.monotonic() - since > self.grace
