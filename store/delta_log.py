"""The log of a Delta table: what it says of the files, and checkpoints that must not hide it.

A checkpoint sums up the commits before it. Delta's library opens a table by the newest checkpoint,
and fails if that one is cut off or gone, although those commits are all there. The checkpoint is
then dropped, and the commits are read.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["drop_broken_checkpoints", "log_entries"]

HINT = "_last_checkpoint"
"""File that names the newest checkpoint."""


def log_entries(delta: "DeltaTable", **equal: str) -> pa.Table:
    """Return what a table's log says of its files, of those with the given partition values.

    Returns
    -------
    pa.Table
        Columns ``path`` (for :func:`fstore.store.paths.logged_path`), ``size_bytes``,
        ``num_records`` (NULL where another program kept no count), and ``partition.COLUMN``.
    """
    entries = pa.table(delta.get_add_actions(flatten=True))
    if "num_records" not in entries.schema.names:
        entries = entries.append_column("num_records", pa.nulls(len(entries), pa.int64()))
    for column, value in equal.items():
        entries = entries.filter(pc.equal(entries[f"partition.{column}"], value))
    return entries


def drop_broken_checkpoints(log: Path) -> bool:
    """Put checkpoints out of the way that nobody can read, if all commits are whole.

    They are renamed to ``NAME.damaged``, which Delta does not look at. Nothing is touched where a
    commit is missing or broken: the checkpoint might be all that is left of it.

    Parameters
    ----------
    log : Path
        Folder ``_delta_log`` of a table.

    Returns
    -------
    bool
        Whether something was put out of the way, so that opening the table may work now.
    """
    try:
        if not _whole(log):
            return False
        broken = [p for p in log.glob("*.checkpoint*.parquet") if not _readable(p)]
        hint = log / HINT
        misleads = hint.exists() and (bool(broken) or not _names_one(hint))
        for path in broken:
            path.replace(path.with_name(f"{path.name}.damaged"))
        if misleads:
            hint.unlink(missing_ok=True)
    except OSError:  # a store that cannot be written: the first error is told
        return False
    return bool(broken) or misleads


def _whole(log: Path) -> bool:
    """Whether every commit from the first one on is there and is JSON."""
    commits = sorted(p for p in log.glob("*.json") if p.stem.isdigit() and len(p.stem) == 20)
    if not commits or [int(p.stem) for p in commits] != list(range(len(commits))):
        return False
    try:
        for path in commits:
            for line in path.read_text("utf-8").splitlines():
                json.loads(line)
    except ValueError:
        return False
    return True


def _readable(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _names_one(hint: Path) -> bool:
    """Whether the hint names a checkpoint that is there."""
    try:
        version = int(json.loads(hint.read_text("utf-8"))["version"])
    except (ValueError, KeyError, TypeError):
        return False
    return any(hint.parent.glob(f"{version:020d}.checkpoint*.parquet"))
