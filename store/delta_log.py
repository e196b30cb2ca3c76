"""The log of a Delta table: what it says of the files, and checkpoints that must not hide it.

A checkpoint sums up the commits before it. Delta's library opens a table by the newest checkpoint,
and fails if that one is cut off or gone, although those commits are all there. The checkpoint is
then dropped, and the commits are read.
"""

import json
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = [
    "HINT",
    "Log",
    "advanced",
    "commit_key",
    "drop_broken_checkpoints",
    "is_parquet",
    "log_entries",
    "log_of",
]

HINT = "_last_checkpoint"
"""File that names the newest checkpoint."""
COMMIT = re.compile(r"\d{20}\.json")
PLAIN_PROTOCOL = (1, 2)
"""Versions for readers and writers that our tables are made with."""
PLAIN = re.compile(r"[A-Za-z0-9_=./~%-]+")
"""A path that Delta's library gives as it is in the log."""


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """What a table's log says of its files at one version; it never changes.

    Attributes
    ----------
    version : int
    mark : hashable
        What the place says of the version's commit and of the checkpoint: another one, another log.
    entries : pa.Table
        As of :func:`log_entries`.
    is_plain : bool
        Whether a commit is nothing but its actions: no program turned on what asks for more.
    """

    version: int
    mark: Hashable
    entries: pa.Table
    is_plain: bool


def log_of(delta: "DeltaTable", mark: Hashable) -> Log:
    """Return what an open table's log says."""
    protocol = delta.protocol()
    features = [*(protocol.reader_features or ()), *(protocol.writer_features or ())]
    is_plain = (
        (protocol.min_reader_version, protocol.min_writer_version) == PLAIN_PROTOCOL
        and not features
        and delta.metadata().configuration.keys() <= {"delta.dataSkippingNumIndexedCols"}
    )
    return Log(delta.version(), mark, _entries(delta), is_plain)


def commit_key(name: str, version: int) -> str:
    """Return the key of a commit of a table's log."""
    return f"{name}/_delta_log/{version:020d}.json"


def advanced(log: Log, commits: Sequence[bytes], mark: Hashable) -> Log | None:
    """Return what a log says after more commits, of which the last has a mark.

    None where they hold more than plain files that come and go: a table's settings, deletion
    vectors. Delta's own library reads those.
    """
    added: dict[str, dict[str, Any]] = {}
    changed: set[str] = set()
    try:
        for line in (line for commit in commits for line in commit.splitlines() if line.strip()):
            ((kind, action),) = json.loads(line).items()
            if kind in ("add", "remove"):
                path = action["path"]
                if not PLAIN.fullmatch(path):
                    return None
                changed.add(path)
                added.pop(path, None)
                if kind == "add":
                    added[path] = _row(action)
            elif kind not in ("txn", "commitInfo"):
                return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    kept = log.entries
    schema = kept.schema
    gone = pc.is_in(kept["path"], value_set=pa.array(changed, schema.field("path").type))
    if pc.any(gone).as_py():
        kept = kept.filter(pc.invert(gone))
    try:
        new = pa.Table.from_pylist(list(added.values()), schema=schema)
    except pa.ArrowException:
        return None
    entries = pa.concat_tables([new, kept]).combine_chunks()
    return Log(log.version + len(commits), mark, entries, log.is_plain)


def _row(add: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an action of a commit says of a new file.

    Raises
    ------
    ValueError
        It says more than a row of :func:`log_entries` can.
    """
    values = add["partitionValues"]
    if add.get("deletionVector") or "" in values.values():  # "" stands for NULL
        raise ValueError(add["path"])
    row = {f"partition.{column}": value for column, value in values.items()}
    records = json.loads(add.get("stats") or "{}").get("numRecords")
    return {"path": add["path"], "size_bytes": add["size"], "num_records": records, **row}


def log_entries(delta: "DeltaTable | Log", **equal: str) -> pa.Table:
    """Return what a table's log says of its files, of those with the given partition values.

    Returns
    -------
    pa.Table
        Columns ``path`` (for :func:`fstore.store.paths.logged_key`), ``size_bytes``,
        ``num_records`` (NULL where another program kept no count), and ``partition.COLUMN``.
    """
    entries = delta.entries if isinstance(delta, Log) else _entries(delta)
    wanted = None
    for column, value in equal.items():
        test = pc.equal(entries[f"partition.{column}"], value)
        wanted = test if wanted is None else pc.and_(wanted, test)
    return entries if wanted is None else entries.filter(wanted)


def _entries(delta: "DeltaTable") -> pa.Table:
    entries = pa.table(delta.get_add_actions(flatten=True))
    if "num_records" not in entries.schema.names:
        entries = entries.append_column("num_records", pa.nulls(len(entries), pa.int64()))
    values = [name for name in entries.schema.names if name.startswith("partition.")]
    return entries.select(["path", "size_bytes", "num_records", *values]).combine_chunks()


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
    from pyarrow import parquet as pq

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
