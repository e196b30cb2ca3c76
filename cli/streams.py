"""Where output goes: a stdout that is closed, full, or whose reader has left."""

import contextlib
import os
import sys
from io import TextIOBase
from typing import NoReturn

from fstore.errors import StorageError

__all__ = ["BROKEN_PIPE", "check_streams", "flush", "silence"]

BROKEN_PIPE = 141
"""Exit status where the reader of stdout is gone: what a shell tells of a tool it ends."""


class _Closed(TextIOBase):
    """A stdout that was closed before the program began."""

    def write(self, _text: str) -> NoReturn:
        """Refuse."""
        raise StorageError("cannot write to standard output: it is closed")

    def isatty(self) -> bool:
        """Tell that nobody watches."""
        return False


def check_streams() -> None:
    """Fill the places of standard streams that are closed, and let any text be written.

    Else the next file that is opened would take the place, and be printed into.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdout is None:
        sys.stdout = _Closed()
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def flush(status: int) -> int:
    """Write out what was printed; return the status, or that of a stdout which takes nothing."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        silence()
        return BROKEN_PIPE
    except OSError as error:
        silence()
        with contextlib.suppress(OSError):
            sys.stderr.write(f"error: cannot write to standard output: {error.strerror}\n")
            sys.stderr.flush()
        return status or 1
    return status


def silence() -> None:
    """Let what is still to be written to stdout go nowhere: the interpreter flushes once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    with contextlib.suppress(OSError):
        os.dup2(nowhere, 1)
    os.close(nowhere)
