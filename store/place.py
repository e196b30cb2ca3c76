"""Where a store's own files lie: the one answer to "may this path be followed, or written?".

A store may come from somebody else, and its tables hold paths. A path out of a table is followed,
deleted or overwritten only after :func:`inside` said that it leads to a place in the store. What
a user names as an output is checked by :func:`outside`.
"""

from pathlib import Path, PurePosixPath

from fstore.errors import StorageError
from fstore.store.schema import TABLES

__all__ = ["PARTS", "inside", "outside"]

PARTS = {
    "images",
    "checkpoints",
    "detectors",
    "locks",
    "proposals",
    "sums",
    "training",
    "weights",
    *TABLES,
}
"""What a store's folder may hold, beside its marker."""


def inside(root: Path, relative: str, *, table: str, row: str, folder: str = "") -> Path:
    """Return the place in the store that a path of a table names.

    The path must be relative, without ``..``, and lie in the store after all links are followed.
    One link is trusted: the store's own first-level folder, which its owner may have put on
    another disk.

    Parameters
    ----------
    root : Path
        The store.
    relative : str
        What the table holds, with ``/``.
    table, row : str
        Where it stands, for the message.
    folder : str
        First-level folder in which it must lie; empty for any place in the store.

    Raises
    ------
    StorageError
        The path leads elsewhere.
    """
    parts = PurePosixPath(relative).parts
    odd = not relative or "\0" in relative or ".." in parts or PurePosixPath(relative).is_absolute()
    if odd or (folder and (parts[0] != folder or len(parts) == 1)):
        raise _strange(root, relative, table, row, folder)
    place = root.joinpath(*parts)
    own = root / parts[0] if parts and parts[0] in PARTS else root
    try:
        real = place.resolve()
        homes = (own.resolve(),) if folder else (root.resolve(), own.resolve())
    except (OSError, RuntimeError) as error:  # links in a circle
        raise _strange(root, relative, table, row, folder) from error
    if not any(real.is_relative_to(home) for home in homes):
        raise _strange(root, relative, table, row, folder)
    return place


def _strange(root: Path, relative: str, table: str, row: str, folder: str) -> StorageError:
    where = f"folder {folder}/ of the store" if folder else "the store"
    return StorageError(
        f"table '{table}', {row}: the path {relative!r} does not lie in {where} {root}; fstore "
        "follows and deletes only what is in the store; was the table changed by another program?"
    )


def outside(root: Path, path: Path) -> Path:
    """Return a path that a user wants written, unless it is among the store's own files.

    Raises
    ------
    StorageError
        It lies in a folder that fstore keeps for itself, or is the store's marker.
    """
    real, home = path.resolve(), root.resolve()
    taken = [home / name for name in sorted(PARTS)]
    taken += [place.resolve() for place in taken if place.is_symlink()]
    marker = real.parent == home and real.name.startswith("fstore.json")
    if marker or real == home or any(real.is_relative_to(place) for place in taken):
        raise StorageError(f"{path} is among the store's own files in {root}; write elsewhere")
    return path
