"""The one place that turns errors into text: named ones, those from below, and our own faults."""

import os

from fstore.errors import FstoreError
from fstore.system_errors import REASONS, reason

__all__ = ["TRACEBACK", "error_text", "wants_traceback"]

TRACEBACK = "FSTORE_TRACEBACK"
"""Environment variable: with 1, what fstore did not foresee ends in Python's traceback."""

LONGEST = 500
"""Characters of a text from below that are shown."""


def wants_traceback() -> bool:
    """Tell whether the user asked for tracebacks."""
    return os.environ.get(TRACEBACK, "") not in {"", "0"}


def error_text(error: BaseException) -> str:
    """Return what is said of an error, after ``error:``; one paragraph, never a traceback.

    Parameters
    ----------
    error : BaseException
        A :class:`FstoreError`; or what Python, the system or a library raised and nobody nearer to
        the cause translated. Of the last kind the text names the type and how to see more.
    """
    if isinstance(error, FstoreError):
        return _printable(str(error))
    worded = isinstance(error, OSError) and error.errno in REASONS
    return _printable(reason(error)) if worded else _text(error)


def _text(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return (
            f"out of memory{_told(error)}; use a smaller batch, fewer workers, or a larger machine"
        )
    if isinstance(error, RecursionError):
        return "nested too deeply to be read; give it with fewer levels"
    if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)):
        return _unicode_text(error)
    return (
        f"unexpected {type(error).__name__}{_told(error)}; this is a fault of fstore: please "
        f"report it, with the traceback that {TRACEBACK}=1 shows"
    )


def _unicode_text(error: UnicodeDecodeError | UnicodeEncodeError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"bytes that are no {error.encoding}, at byte {error.start}; convert them to UTF-8"
    bad = error.object[error.start : error.end]
    return f"a text holds {bad!a}, which {error.encoding} cannot write; give valid UTF-8"


def _told(error: BaseException) -> str:
    """Return an error's own words, in one line."""
    text = " ".join(_printable(str(error)).split())
    return f": {text[:LONGEST]}{'...' if len(text) > LONGEST else ''}" if text else ""


def _printable(text: str) -> str:
    """Return a text whose every character UTF-8 can write."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
