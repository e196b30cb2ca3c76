"""The log of a Delta table: what it says of the files, and checkpoints that must not hide it.

A checkpoint sums up the commits before it. Delta's library opens a table by the newest checkpoint,
and fails if that one is cut off or gone, although those commits are all there. The checkpoint is
then dropped, and the commits are read.
"""

import json
import re
from fnmatch import fnmatch
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = ["drop_broken_checkpoints", "is_parquet", "log_entries"]

HINT = "_last_checkpoint"
"""File that names the newest checkpoint."""
COMMIT = re.compile(r"\d{20}\.json")


def log_entries(delta: "DeltaTable", **equal: str) -> pa.Table:
    """Return what a table's log says of its files, of those with the given partition values.

    Returns
    -------
    pa.Table
        Columns ``path`` (for :func:`fstore.store.paths.logged_key`), ``size_bytes``,
        ``num_records`` (NULL where another program kept no count), and ``partition.COLUMN``.
    """
    entries = pa.table(delta.get_add_actions(flatten=True))
    if "num_records" not in entries.schema.names:
        entries = entries.append_column("num_records", pa.nulls(len(entries), pa.int64()))
    for column, value in equal.items():
        entries = entries.filter(pc.equal(entries[f"partition.{column}"], value))
    return entries


def drop_broken_checkpoints(root: "Place", name: str) -> bool:
    """Put a log's checkpoints out of the way that nobody can read, if all commits are whole.

    They are renamed to ``NAME.damaged``, which Delta does not look at. Nothing is touched where a
    commit is missing or broken: the checkpoint might be all that is left of it.

    Parameters
    ----------
    root : Place
        The store.
    name : str
        The table.

    Returns
    -------
    bool
        Whether something was put out of the way, so that opening the table may work now.
    """
    log = f"{name}/_delta_log"
    try:
        if not _whole(root, log):
            return False
        broken = [file for file in _checkpoints(root, log) if not is_parquet(root, file)]
        hint = f"{log}/{HINT}"
        misleads = root.entry(hint) is not None and (bool(broken) or not _names_one(root, log))
        for file in broken:
            root.write(f"{file}.damaged", root.read(file))
            root.delete(file)
        if misleads:
            root.delete(hint)
    except OSError:  # a store that cannot be written: the first error is told
        return False
    return bool(broken) or misleads


def _checkpoints(root: "Place", log: str) -> list[str]:
    names = root.names(log)
    return [f"{log}/{name}" for name in names if fnmatch(name, "*.checkpoint*.parquet")]


def _whole(root: "Place", log: str) -> bool:
    """Whether every commit from the first one on is there and is JSON."""
    commits = sorted(name for name in root.names(log) if COMMIT.fullmatch(name))
    if not commits or [int(name[:20]) for name in commits] != list(range(len(commits))):
        return False
    try:
        for name in commits:
            for line in root.read(f"{log}/{name}").decode().splitlines():
                json.loads(line)
    except ValueError:
        return False
    return True


def is_parquet(root: "Place", key: str) -> bool:
    """Whether a reader would take a file for a whole one."""
    try:
        with root.open(key) as file:
            pq.read_metadata(file)
    except (OSError, pa.ArrowException):
        return False
    return True


def _names_one(root: "Place", log: str) -> bool:
    """Whether the hint names a checkpoint that is there."""
    try:
        version = int(json.loads(root.read(f"{log}/{HINT}").decode())["version"])
    except (ValueError, KeyError, TypeError):
        return False
    begins = f"{log}/{version:020d}.checkpoint"
    return any(file.startswith(begins) for file in _checkpoints(root, log))
