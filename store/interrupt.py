"""Calls into DuckDB that Ctrl-C and a time limit end at once, and what it puts on disk meanwhile.

DuckDB does not look for signals while it computes, and Python handles none until a call returns.
So the call runs in a thread, and whoever waits for it can be interrupted and interrupt it.
"""

import math
import shutil
import tempfile
import threading
import uuid
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

from fstore.ending import leftover
from fstore.errors import QueryError

__all__ = ["SPILL_BYTES", "Limit", "interruptible", "spill_config"]

T = TypeVar("T")

SPILL_BYTES = 16 * 10**9
"""The most that a session puts on disk when memory is short; never more than half of what is free.
"""

LONGEST_SECONDS = 1e8
"""More than three years; a longer limit is none."""

CANCEL_SECONDS = 5.0
"""How long one waits for a call that was told to stop."""


class Limit:
    """When a statement is to be over.

    Parameters
    ----------
    seconds : float or None
        From now; None for no limit.

    Raises
    ------
    QueryError
        It is not a finite number above 0.
    """

    def __init__(self, seconds: float | None) -> None:
        if seconds is not None and not (math.isfinite(seconds) and seconds > 0):
            raise QueryError(f"timeout {seconds:g} is no number of seconds above 0")
        self.seconds = seconds
        self._end = None if seconds is None else monotonic() + seconds

    @property
    def left(self) -> float | None:
        """Seconds that are left, at least 0; None for no limit."""
        return (
            None if self._end is None else min(max(0.0, self._end - monotonic()), LONGEST_SECONDS)
        )


def interruptible(function: Callable[[], T], cancel: Callable[[], object], limit: Limit) -> T:
    """Return what a function returns; end it when a signal comes or a limit is reached.

    Parameters
    ----------
    function : callable
        Runs in a thread of its own.
    cancel : callable
        Makes the function end soon, with whatever error.
    limit : Limit

    Raises
    ------
    QueryError
        The limit is reached.
    """
    results: list[T] = []
    errors: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again where one waits
            errors.append(error)
        finally:
            over.set()

    threading.Thread(target=work, name="fstore-query", daemon=True).start()
    try:
        in_time = over.wait(limit.left)
    except BaseException:
        _cancel(cancel, over)
        raise
    if not in_time:
        _cancel(cancel, over)
        raise QueryError(f"the statement was stopped after {limit.seconds:g} s, its time limit")
    if errors:
        raise errors[0]
    return results[0]


def _cancel(cancel: Callable[[], object], over: threading.Event) -> None:
    """Cancel until it is over: a call that has not begun yet does not hear it."""
    end = monotonic() + CANCEL_SECONDS
    while not over.is_set() and monotonic() < end:
        cancel()
        over.wait(0.02)


def spill_config(owner: object) -> dict[str, Any]:
    """Return DuckDB's settings for a folder that goes with its owner, or with the process.

    Parameters
    ----------
    owner : object
        The session.
    """
    place = Path(tempfile.gettempdir())
    folder = place / f"fstore-sql-{uuid.uuid4().hex}"
    keep = ExitStack()
    keep.enter_context(leftover(folder))
    weakref.finalize(owner, _remove, folder, keep)
    allowed = min(SPILL_BYTES, shutil.disk_usage(place).free // 2)
    return {
        "temp_directory": str(folder),
        "max_temp_directory_size": f"{allowed // 10**6}MB",
    }


def _remove(folder: Path, keep: ExitStack) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    keep.close()
