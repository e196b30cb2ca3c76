"""What a path is, as the user, Delta's log, delta-rs and DuckDB write it; stated here, once.

Four languages for one file: a user gives a path or a URI; the log has names relative to the
table's folder, percent-encoded; delta-rs turns a folder into a URL and back; DuckDB takes a list
of files for patterns. Everything else in the store has keys (``place.py``).
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import numpy as np

from fstore.errors import StorageError

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store.place import Place

__all__ = [
    "check_ids",
    "check_place",
    "check_uris",
    "duck_name",
    "local_path",
    "logged_key",
    "logged_uris",
]

URI = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/")
"""A scheme of two letters or more: one letter is a drive."""
MISREAD = re.compile(r"%[0-9A-Fa-f]{2}|[\[\]^|\\\x00-\x1f\x7f]")
"""What delta-rs takes for something else in the path of a table: it decodes ``%20`` (and so opens
another folder), takes a backslash for a slash, and ends in a panic for the rest."""
ODD = r"%|^/|\.\.|:"
"""What an entry of a log has that is not simply a file below the table's folder."""
GLOB = re.compile(r"[*?\[]")
UPWARDS = r"^/|^\.\.$|^\.\./|/\.\./|/\.\.$"


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
        f"{text} is a URI of a kind that fstore does not read; a store is in a local folder, or "
        "in object storage: s3://BUCKET/PREFIX, gs:// or az://, as a text, not a Path (a folder "
        f"that is really named '{match['scheme']}:' is ./{match['scheme']}:)"
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


def logged_uris(root: "Place", name: str, entries: "pa.ChunkedArray") -> "pa.ChunkedArray":
    """Return what the files are called that entries of a table's log name, as ``Place.uri`` says.

    Raises
    ------
    StorageError
        One lies outside the table's folder.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(entries, ODD)).as_py():
        keys = [logged_key(root, name, entry) for entry in entries.to_pylist()]
        return pa.chunked_array([pa.array(map(root.uri, keys), pa.string())])
    return pc.binary_join_element_wise(root.uri(name), entries, "/")


def duck_name(uri: str) -> str:
    """Return a file's name for DuckDB, which takes ``*``, ``?`` and ``[`` for patterns."""
    return GLOB.sub(lambda match: f"[{match[0]}]", uri)


def check_ids(ids: "pa.ChunkedArray", count: int, of: str) -> None:
    """Refuse samples that are not numbered 0, 1, ...: who takes the k-th would take another."""
    numbers, expected = ids.to_numpy(), np.arange(count)
    if np.array_equal(numbers, expected):
        return
    lacking = np.setdiff1d(expected, numbers)
    what = f"lacks sample {lacking[0]}" if len(lacking) else "has rows too many"
    raise StorageError(
        f"table 'samples' {what} of {of}: {len(numbers)} rows, {count} were registered; was it "
        "changed by another program? Undo what that program did (deltalake: "
        "DeltaTable(FOLDER).restore(VERSION), as long as it has not vacuumed), or restore the "
        "table from a copy"
    )


def check_uris(uris: "pa.ChunkedArray", dataset: str, view: str) -> None:
    """Refuse samples that are not below their data set's folder (its own links are followed)."""
    import pyarrow.compute as pc

    strange = pc.index(pc.match_substring_regex(uris, UPWARDS), True).as_py()
    if strange >= 0:
        raise StorageError(
            f"table 'samples', row {strange} of {dataset}.{view}: the path "
            f"{uris[strange].as_py()!r} does not lie in the data set's folder; fstore reads only "
            "what is there; was the table changed by another program?"
        )
