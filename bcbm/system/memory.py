"""How much memory there is for the next thing."""

from contextlib import suppress
from pathlib import Path

import psutil

_LIMITS = (  # of the control group of a container or a batch job: limit and use, version 2 and 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def available_memory() -> int:
    """Bytes that this process can still take: what the machine has free, less where a limit is nearer.

    Counted are the limits of the process itself (`ulimit -v`) and of the container or job that it runs in.
    """
    available = [psutil.virtual_memory().available]
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):  # no such group, or "max"
            most, taken = (int(Path(file).read_text(encoding="utf-8")) for file in (limit, used))
            available.append(most - taken)
    with suppress(ImportError):  # Windows
        import resource

        limit_here = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit_here != resource.RLIM_INFINITY:
            available.append(limit_here - psutil.Process().memory_info().vms)
    return max(0, min(available))
