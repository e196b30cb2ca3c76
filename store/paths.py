"""What a path is, as the user, Delta's log, delta-rs and DuckDB write it; stated here, once.

Four languages for one file: a user gives a path or a URI; the log has names relative to the
table's folder, percent-encoded; delta-rs turns a folder into a URL and back; DuckDB takes a list
of files for patterns. Everything else in the store has keys (``place.py``).
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from fstore.errors import StorageError

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = [
    "check_place",
    "duck_name",
    "local_path",
    "logged_key",
]

URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/")
"""A scheme of two letters or more: one letter is a drive."""
MISREAD = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\\x00-\x1f\x7f]")
"""What delta-rs takes for something else in the path of a table: it decodes ``%20`` (and so opens
another folder), takes a backslash for a slash, and ends in a panic for the rest."""
GLOB = re.compile(r"[*?\[]")


def local_path(place: str | Path) -> Path:
    """Return the local path that a user means, who may have written a ``file://`` URI.

    Parameters
    ----------
    place : str or Path
        A ``Path`` has lost a ``./`` at its beginning and one of two slashes: give text where the
        user gave it.

    Raises
    ------
    StorageError
        It is a URI of another kind, or a ``file:`` URI of another machine.
    """
    if not isinstance(place, (str, Path)) or not str(place):
        given = repr(place) if isinstance(place, str) else type(place).__name__
        raise StorageError(
            f"{given} is no place of a store; give the path of its folder, as in 'my-store' "
            "(the current folder is '.')"
        )
    text = str(place)
    match = URI.match(text)
    if match is None:
        return Path(place)
    if match["scheme"].lower() == "file":
        return _decoded(text)
    raise StorageError(
        f"{text} is a URI, and fstore reads and writes local folders only; give the path of a "
        f"folder (one that is really named '{match['scheme']}:' is ./{match['scheme']}:)"
    )


def _decoded(uri: str) -> Path:
    """Return the path of a ``file:`` URI."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost") or parts.query or parts.fragment or not parts.path:
        raise StorageError(
            f"{uri} names no local file; expected file:///FOLDER, with %3F for ? and %23 for #, "
            "or the path itself"
        )
    return Path(unquote(parts.path))


def check_place(path: Path) -> Path:
    """Return a path that links are resolved in, if Delta's library reads it as we do.

    Raises
    ------
    StorageError
        It has a character that the library takes for something else, or is no UTF-8.
    """
    place = path.resolve()
    text = str(place)
    misread = MISREAD.search(text)
    if misread is not None:
        raise StorageError(
            f"a store cannot be below {text!r}: {misread[0]!r} in the path of a table is taken for "
            "something else by the library that writes the tables; rename the folder, or move "
            "the store (refused are [ ] ^ | \\, control characters, and % before two hex digits)"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise StorageError(
            f"a store cannot be below {text!r}: the path is no UTF-8; rename the folder"
        ) from error
    return place


def logged_key(root: "Place", name: str, entry: str) -> str:
    """Return the key of the file that an entry of a table's log names.

    Parameters
    ----------
    root : Place
        The store.
    name : str
        The table.
    entry : str
        As it is in the log: relative to the table's folder, percent-encoded.

    Raises
    ------
    StorageError
        The file lies outside the folder, as those of a shallow clone do.
    """
    file = unquote(entry)
    if URI.match(entry) or file.startswith("/") or ".." in file.split("/"):
        raise StorageError(
            f"the log of {root.uri(name)} names the file {file!r}, which lies outside the table; "
            "fstore reads only tables whose files are their own: make a full copy of the table"
        )
    return f"{name}/{file}"


def duck_name(uri: str) -> str:
    """Return a file's name for DuckDB, which takes ``*``, ``?`` and ``[`` for patterns."""
    return GLOB.sub(lambda match: f"[{match[0]}]", uri)
