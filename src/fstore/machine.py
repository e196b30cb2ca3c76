"""What this process may use of the machine: cores and memory."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["cores", "machine_memory"]

CGROUP = Path("/sys/fs/cgroup/memory.max")


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 4


def machine_memory() -> int:
    """Return the bytes of memory that this process may use; 8 GiB where nothing says."""
    found = []
    with suppress(AttributeError, ValueError, OSError):  # Windows
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with suppress(ValueError, OSError):  # "max", or no such file
        found.append(int(CGROUP.read_text(encoding="ascii")))
    return min(found, default=8 << 30)
