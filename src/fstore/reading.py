"""Read a text file that a user named: what is wrong with it is said with its name."""

import codecs
import os
import re
import stat
from contextlib import suppress
from pathlib import Path

from fstore.errors import DataError

__all__ = ["check_local", "is_endless", "read_text"]

HANDED = (Path("/dev/fd"), Path("/proc/self/fd"), Path("/dev/stdin"), Path("/dev/stdout"))

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)

_LATIN = "latin-1"
_NO_TEXT = frozenset({"idna", "punycode", "raw-unicode-escape", "undefined", "unicode-escape"})
"""Codecs for parts of other texts; no file is written in them."""

_ELSEWHERE = re.compile(r"(s3a?|gs|gcs|az|abfss?|adl|hdfs|https?|memory):/+", re.IGNORECASE)

MOST_BYTES = 1 << 26
"""A statement or a study of more is no text that somebody wrote."""


def read_text(path: Path, *, encoding: str | None = None) -> str:
    """Return a file's text, its lines ended by a line feed alone.

    Parameters
    ----------
    path : Path
    encoding : str or None
        Name of the encoding. Without one (None or ""), the text is UTF-8, with or without byte
        order mark, or UTF-16 or UTF-32 with one. None says too that the caller has no option
        ``--encoding`` that a message could advise.

    Raises
    ------
    DataError
        It is not there, is a folder or a named pipe, is too large, holds a zero byte, or is not
        in the encoding; there is no such encoding.
    """
    try:
        _check(path)
        data = path.read_bytes()
    except DataError:
        raise
    except FileNotFoundError as error:
        beside = "" if path.is_absolute() else f" (looked for in {Path.cwd()})"
        raise DataError(f"no file {path}{beside}") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {path}: {reason}") from error
    text = _decode(data, path, encoding)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise DataError(f"{path}, line {line}: a zero byte; this is no text file")
    return text


def _decode(data: bytes, path: Path, encoding: str | None) -> str:
    """Decode by the encoding that is named, or by the byte order mark, or as UTF-8."""
    mark = next((name for start, name in _MARKS if data.startswith(start)), "utf-8")
    name = _known(encoding) if encoding else mark
    try:
        return data.decode(name).removeprefix("\ufeff")
    except UnicodeError as error:
        start = getattr(error, "start", 0)
        line = len(data[:start].decode(name, "replace").splitlines() or [""])
        line += data[:start].endswith((b"\n", b"\r"))
        where = f"cannot read {path}: line {line}, byte {start}"
        shown = f" (0x{data[start]:02x})" if start < len(data) else ""
        what = {"utf-8": "UTF-8", "utf-8-sig": "UTF-8"}.get(name, name)
        hint = "" if encoding is None else f", or name its encoding: --encoding {_LATIN}"
        raise DataError(f"{where} is no {what}{shown}; save the file as UTF-8{hint}") from error


def _known(encoding: str) -> str:
    """Return the name of a text encoding that reads bytes as characters, nothing else."""
    with suppress(LookupError, ValueError):
        name = codecs.lookup(encoding).name
        "".encode(name)
        b"".decode(name)
        if name not in _NO_TEXT:
            return name
    raise DataError(
        f"no encoding {encoding!r}; expected one such as utf-8, {_LATIN}, cp1252 or utf-16"
    )


def _check(path: Path) -> None:
    """Refuse what would never end, or is not meant."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise DataError(f"{path} is a folder, not a file")
    if is_endless(path):
        raise DataError(f"{path} is no regular file")
    if about.st_size > MOST_BYTES:
        raise DataError(f"{path} has {about.st_size} bytes; expected at most {MOST_BYTES}")


def check_local(path: Path, option: str, *, instead: str = "") -> None:
    """Refuse a path that is the URI of a file elsewhere.

    Parameters
    ----------
    path : Path
    option : str
        Where it was given.
    instead : str
        What to do; empty for what helps with any file.

    Raises
    ------
    DataError
        It begins as in ``s3://``, and no folder here has that name.
    """
    address = _ELSEWHERE.match(str(path))
    if address is None or Path(path.parts[0]).exists():
        return
    where = f"{address[1]}://{str(path)[address.end() :]}"  # a Path has one slash of two
    instead = instead or "give a local path, and copy what it is for from there, or to there"
    raise DataError(f"{option} is {where}; only a store may be elsewhere: {instead}")


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
