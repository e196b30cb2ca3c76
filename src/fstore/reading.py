"""Read a text file that a user named: what is wrong with it is said with its name."""

import os
import stat
from pathlib import Path

from fstore.errors import DataError

__all__ = ["is_endless", "read_text"]

HANDED = (Path("/dev/fd"), Path("/proc/self/fd"), Path("/dev/stdin"), Path("/dev/stdout"))

MOST_BYTES = 1 << 26
"""A statement or a study of more is no text that somebody wrote."""


def read_text(path: Path) -> str:
    """Return a file's text, which is UTF-8, with or without byte order mark.

    Raises
    ------
    DataError
        It is not there, is a folder or a named pipe, is too large, or is no UTF-8.
    """
    try:
        _check(path)
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot read {path}: byte {error.start} is no UTF-8; save the file as UTF-8"
        ) from error
    except FileNotFoundError as error:
        beside = "" if path.is_absolute() else f" (looked for in {Path.cwd()})"
        raise DataError(f"no file {path}{beside}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error


def _check(path: Path) -> None:
    """Refuse what would never end, or is not meant."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise DataError(f"{path} is a folder, not a file")
    if is_endless(path):
        raise DataError(f"{path} is no regular file")
    if about.st_size > MOST_BYTES:
        raise DataError(f"{path} has {about.st_size} bytes; expected at most {MOST_BYTES}")


def is_endless(path: Path) -> bool:
    """Tell whether reading a path may wait for ever, or never come to an end: a pipe, a device.

    What a shell hands over, as ``<(...)`` and ``/dev/stdin``, is read.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong
    handed = any(path == s or s in path.parents for s in HANDED)
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or handed or path == Path(os.devnull))
