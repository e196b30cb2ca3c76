"""What this process may use of the machine: cores and memory."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["BRIEFLY", "cores", "machine_memory", "spin"]

BRIEFLY = 10_000
"""Looks of a waiting thread before it sleeps: a fraction of a millisecond in all."""

SPINS = "GOMP_SPINCOUNT"
_set_here: set[str] = set()

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


def spin(looks: int) -> None:
    """Say how often a network's threads that wait for one another look before they sleep.

    Training a small network takes up to half as long again where they sleep at once (0). Extraction
    is faster so: the cores are wanted for decoding and encoding. GNU's OpenMP, which torch has on
    Linux, reads this on loading; others only whether threads wait passively. What the caller's
    environment says stays.
    """
    given = {"OMP_WAIT_POLICY", SPINS}.intersection(os.environ)
    if given and os.environ.get(SPINS) not in _set_here:
        return
    _set_here.add(str(looks))
    os.environ[SPINS] = str(looks)
    if not looks:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
