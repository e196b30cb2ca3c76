"""Short steps of linear algebra in one thread: several would spend their time waiting."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

__all__ = ["one_thread"]

_taken = threading.Lock()


@contextmanager
def one_thread(wanted: bool = True) -> Iterator[None]:
    """Give BLAS one thread within the block, in the whole process.

    Whoever is first also gives the others back; for others that are inside meanwhile nothing
    changes but their speed.

    Parameters
    ----------
    wanted : bool
        With False nothing happens.
    """
    if not wanted or not _taken.acquire(blocking=False):
        yield
        return
    try:
        with _libraries(len(sys.modules)).limit(limits=1, user_api="blas"):
            yield
    finally:
        _taken.release()


@lru_cache(maxsize=1)
def _libraries(n_modules: int) -> Any:  # noqa: ANN401, ARG001 - looked for again after imports
    """Return the libraries that have threads: 3 ms."""
    import scipy.linalg
    from threadpoolctl import ThreadpoolController

    del scipy  # its BLAS is loaded now
    return ThreadpoolController()
