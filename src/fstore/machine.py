"""What this process may use of the machine: cores and memory."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["BRIEFLY", "cores", "machine_memory", "spin"]

BRIEFLY = 10_000
"""Looks of a waiting thread before it sleeps: a fraction of a millisecond in all."""

SPINS = "GOMP_SPINCOUNT"

WAITS, SHORTLY = "OPENBLAS_THREAD_TIMEOUT", "16"
"""How long OpenBLAS's threads look for work before they sleep: 2^16 cycles, about 0.02 ms. With its
own 2^26 they keep a core busy between two products. Tables 3 and 7 of the demo took 29 s with that,
53 s of the processor; with 2^16 they take 17 s and 17 s.
"""
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
    """Say how often threads that wait for one another look before they sleep.

    Training a small network takes up to half as long again where they sleep at once (0). Extraction
    is faster so: the cores are wanted for decoding and encoding. GNU's OpenMP, which torch has on
    Linux, reads this on loading; others only whether threads wait passively. Those of NumPy's
    OpenBLAS always sleep soon. What the caller's environment says stays.
    """
    os.environ.setdefault(WAITS, SHORTLY)
    given = {"OMP_WAIT_POLICY", SPINS}.intersection(os.environ)
    if given and os.environ.get(SPINS) not in _set_here:
        return
    _set_here.add(str(looks))
    os.environ[SPINS] = str(looks)
    if not looks:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
