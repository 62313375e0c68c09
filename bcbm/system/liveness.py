"""Whether a process that has left its number somewhere still lives."""

import os
import socket
from functools import cache
from pathlib import Path

import psutil

CLOCK = 2.0  # seconds by which two readings of one process's start may differ where they follow the clock


@cache
def place() -> str:
    """This machine since it was started, as its processes are numbered: host, boot and container."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    names = Path("/proc/self/ns/pid")
    known = boot.read_text(encoding="utf-8").strip() if boot.exists() else ""
    return f"{socket.gethostname()} {known} {names.readlink() if names.is_symlink() else ''}"


def started(process: int) -> float | None:
    """When a process was started, in seconds; None: there is no such process, or it has ended.

    They count from when the machine was, where /proc tells: setting the clock changes nothing then. Elsewhere
    from 1970.
    """
    try:
        known = psutil.Process(process)
        if known.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        facts = Path(f"/proc/{process}/stat")
        if facts.exists():
            ticks = facts.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[19]
            return int(ticks) / os.sysconf("SC_CLK_TCK")
        return float(known.create_time())
    except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
        return None


def lives(process: int, since: float) -> bool:
    """Whether a process of this machine that was started then still runs; its number may be another's now."""
    begun = started(process)
    return begun is not None and abs(begun - since) <= CLOCK
