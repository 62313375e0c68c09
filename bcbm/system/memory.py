"""How much memory there is for the next thing."""

import gc
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from bcbm.errors import InputError, Problem

# Address space that is taken, whatever the cohort: bytes, and bytes a core (buffers and stacks of threads).
# Measured on one and two cores with torch 2.13 for CPUs; its builds for GPUs take more.
ANY_WORK = (950_000_000, 80_000_000)
TRAINING = (3_300_000_000, 100_000_000)

# New containers between two looks for circles of them (Python: 700). Loading torch and scikit-learn makes
# millions that stay, and looking through them again and again is a fifth of the time that it takes.
CONTAINERS = 10_000

_LIMITS = (  # of the control group of a container or a batch job: limit and use, version 2 and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def seldom_collected() -> None:
    """Have Python look for circles of containers less often in this process and in what is forked from it."""
    gc.set_threshold(CONTAINERS, *gc.get_threshold()[1:])


def available_memory() -> int:
    """Bytes that this process can still take: what the machine has free, less where a limit is nearer.

    Counted are the limits of the process itself (`ulimit -v`) and of the container or job that it runs in.
    """
    import psutil

    available = [psutil.virtual_memory().available]
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):  # no such group, or "max"
            most, taken = (int(Path(file).read_text(encoding="utf-8")) for file in (limit, used))
            available.append(most - taken)
    if (space := _address_space()) is not None:
        available.append(space - psutil.Process().memory_info().vms)
    return max(0, min(available))


def free_gpu_memory() -> int:
    """Bytes that are free on every GPU of this machine; 0 where its driver does not say, or one is in parts.

    The driver is asked by its own command: a process that has started CUDA itself cannot fork.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return 0
    words = [tool, "--query-gpu=memory.free,mig.mode.current", "--format=csv,noheader,nounits"]
    try:
        lines = subprocess.run(
            words, capture_output=True, text=True, timeout=30, check=True
        ).stdout.splitlines()
        gpus = [line.split(",") for line in lines]
        return min(0 if "Enabled" in mode else int(free) * 2**20 for free, mode in gpus)
    except (OSError, subprocess.SubprocessError, ValueError):  # no answer, none that is understood, no GPU
        return 0


def require_address_space(base: int, per_core: int) -> None:
    """Refuse a limit of address space below what this takes, before any library meets it.

    OpenBLAS asks for its buffers again and again while it is loaded, and nothing but a kill ends that; others
    abort the process.

    Args:
        base: bytes, and `per_core` those for every thread of a library.

    Raises:
        InputError: the limit (`ulimit -v`) is lower.
    """
    space = _address_space()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    threads = os.environ.get("OMP_NUM_THREADS", "")
    least = base + per_core * (min(cores, int(threads)) if threads.isdecimal() else cores)
    if space is not None and space < least:
        text = (
            f"{space / 1e9:.1f} GB of address space are allowed, and at least {least / 1e9:.1f} GB are needed"
        )
        raise InputError(Problem("ulimit -v", text, "raise the limit, or lift it (ulimit -v unlimited)"))


def _address_space() -> int | None:
    """The limit of this process's address space, bytes; None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit
