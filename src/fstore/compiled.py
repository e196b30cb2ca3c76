"""Loops that numba compiles: without Python's lock, and kept for the next process.

A module of such loops imports numba at its top, which takes a third of a second. So the module is
itself imported inside the functions that need it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba

__all__ = ["compiled"]

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Have a function of arrays and numbers compiled, at its first call with each types.

    The machine code lies beside the source, or in the user's cache (``NUMBA_CACHE_DIR``) where
    that cannot be written. Where nothing can be, each process compiles for itself.
    """
    try:
        made: Loop = numba.njit(loop, cache=True, nogil=True)
    except RuntimeError:  # "no locator available"
        made = numba.njit(loop, nogil=True)
    return made
