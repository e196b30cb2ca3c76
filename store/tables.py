"""Delta tables under one root: create, append, replace; each change is one transaction."""

import errno
import os
import shutil
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.errors import SchemaError, StorageError
from fstore.store import sums
from fstore.store.delta_log import drop_broken_checkpoints, log_entries
from fstore.store.leases import working
from fstore.store.paths import folder_of, logged_path, table_folder
from fstore.store.schema import TABLES, Table, check_rows
from fstore.system_errors import is_panic, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deltalake import DeltaTable, Schema
    from pyarrow.dataset import Expression, FileSystemDataset

__all__ = [
    "append_once",
    "create_tables",
    "open_table",
    "read_columns",
    "read_rows",
    "replace_rows",
    "sql_text",
    "starved",
    "storage",
    "writing",
]

COMMIT_TRIES = 100

DESCRIPTIONS = {
    "activations": (
        "NULL in act_max and in map stands for 0; columns that are NULL as a whole follow from "
        "act_max. Partition values are texts. See docs/store.md of fstore."
    )
}
"""What other programs show of a table."""

LEAST_FREE = 1 << 20
"""Bytes without which no commit is begun."""

HARMLESS = frozenset(("timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"))
"""Features of a Delta table that change nothing about the rows in its files."""


def create_tables(root: "Path") -> None:
    """Create every table that is not there yet."""
    for table in TABLES.values():
        with storage(f"cannot create table '{table.name}'"):
            sums.forget_if_none(root, table.name)
            _create(root, table)
            sums.record(root, table.name)


def _create(root: "Path", table: Table) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    place = str(table_folder(root, table.name))
    try:
        DeltaTable.create(
            place,
            table.schema,
            mode="ignore",
            partition_by=list(table.partition) or None,
            description=DESCRIPTIONS.get(table.name),
            # Delta keeps no other statistics of ours; maps have none worth keeping.
            configuration={"delta.dataSkippingNumIndexedCols": "0"},
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(place):  # else another process was quicker
            raise


def open_table(root: "Path", name: str, *, check: bool = True) -> "DeltaTable":
    """Open the newest version of a table and check its log and its columns.

    Parameters
    ----------
    root : Path
        The store.
    name : str
        The table.
    check : bool
        Compare the log with the sums that were noted (``store/sums.py``).

    Raises
    ------
    StorageError
        The table's folder or log is missing, unreadable or damaged.
    SchemaError
        The table has other columns or types than ``store/schema.py`` says.
    """
    from deltalake import DeltaTable

    if check:
        sums.check_log(root, name)
    place = table_folder(root, name)
    try:
        with storage(f"cannot open table '{name}'"):
            delta = DeltaTable(str(place))
    except StorageError:
        if not drop_broken_checkpoints(place / "_delta_log"):
            raise
        with storage(f"cannot open table '{name}'"):
            delta = DeltaTable(str(place))
    _check_protocol(name, delta)
    _check_columns(name, delta)
    return delta


def _check_protocol(name: str, delta: "DeltaTable") -> None:
    """Refuse a table whose files do not hold its rows as they are: some would be read wrongly."""
    protocol, settings = delta.protocol(), delta.metadata().configuration
    used = set(protocol.reader_features or ()) - HARMLESS
    if settings.get("delta.columnMapping.mode", "none") != "none":
        used.add("columnMapping")
    if used:
        raise StorageError(
            f"table '{name}' uses what fstore does not read: {', '.join(sorted(used))}; another "
            "program turned it on. Have that program write the rows into plain files and turn it "
            "off (Spark: REORG TABLE ... APPLY (PURGE), then ALTER TABLE ... DROP FEATURE), or "
            "bring the table back from a copy of the store"
        )


def _check_columns(name: str, delta: "DeltaTable") -> None:
    found = {field.name: field.type for field in delta.schema().fields}
    expected = {field.name: field.type for field in _delta_schema(name).fields}
    hint = "was the store written by another version of fstore?"
    if found.keys() != expected.keys():
        raise SchemaError(
            f"table '{name}' has columns {sorted(found)}, expected {sorted(expected)}; {hint}"
        )
    for column, kind in expected.items():
        if found[column] != kind:
            raise SchemaError(
                f"table '{name}' has column {column} of type {found[column]}, expected {kind}; "
                + hint
            )


@cache
def _delta_schema(name: str) -> "Schema":
    from deltalake import Schema

    return Schema.from_arrow(TABLES[name].schema)


def read_rows(root: "Path", name: str, /, **equal: str) -> pa.Table:
    """Read a table's rows where the given columns equal the given values."""
    return read_columns(root, name, TABLES[name].schema.names, **equal)


def read_columns(root: "Path", name: str, columns: Sequence[str], /, **equal: str) -> pa.Table:
    """Read some columns of the rows where the given columns equal the given values."""
    from pyarrow import dataset as ds

    table = TABLES[name]
    delta = open_table(root, name)
    in_path = {c: v for c, v in equal.items() if c in table.partition}
    entries = log_entries(delta, **in_path).to_pylist()
    if not entries:
        return table.schema.empty_table().select(list(columns))
    files = _files(table, folder_of(delta), entries)
    sums.check_files(root, name, (entry["path"] for entry in entries))
    wanted = None
    for column, value in equal.items():
        # a file that was rewritten for a drop may hold its texts as another kind (string_view)
        test = ds.field(column).cast(table.schema.field(column).type) == value
        wanted = test if wanted is None else wanted & test
    with storage(f"cannot read table '{name}'"):
        return files.to_table(columns=list(columns), filter=wanted)


def _files(table: Table, folder: "Path", entries: Sequence[dict[str, Any]]) -> "FileSystemDataset":
    """Return a table's files for Arrow; partition values are the log's, never the path's."""
    from pyarrow import dataset as ds
    from pyarrow.fs import LocalFileSystem

    parquet, local = ds.ParquetFileFormat(), LocalFileSystem()
    fragments = [
        parquet.make_fragment(str(logged_path(folder, entry["path"])), local, _values(table, entry))
        for entry in entries
    ]
    return ds.FileSystemDataset(fragments, table.schema, parquet, local)


def _values(table: Table, entry: dict[str, Any]) -> "Expression | None":
    """Return what a file's partition columns are, as an expression."""
    from pyarrow import dataset as ds

    known = None
    for column in table.partition:
        value = entry[f"partition.{column}"]
        here = ds.field(column).is_null() if value is None else ds.field(column) == value
        known = here if known is None else known & here
    return known


def append_once(
    root: "Path",
    name: str,
    rows: "Callable[[], Sequence[dict[str, Any]] | pa.Table]",
    *,
    key: str,
) -> int:
    """Append what ``rows()`` returns, safe against a second process that does the same.

    ``rows`` looks at the store and returns what is still to be added (empty: nothing to do); it is
    called again whenever another process committed under the same ``key`` in between.

    Returns
    -------
    int
        Rows appended.
    """
    from deltalake import CommitProperties, Transaction, write_deltalake
    from deltalake.exceptions import CommitFailedError

    for _ in range(COMMIT_TRIES):
        delta = open_table(root, name)
        new = rows()
        data = as_table(name, new)
        if data.num_rows == 0:
            return 0
        version = (delta.transaction_version(key) or 0) + 1
        once = CommitProperties(app_transactions=[Transaction(key, version)])
        try:
            doing = f"cannot write table '{name}'"
            with writing(doing, root / name), working(root, f"write {name}"):
                write_deltalake(delta, data, mode="append", commit_properties=once)
        except CommitFailedError:
            continue
        sums.record(root, name)
        return int(data.num_rows)
    raise starved(name)


def replace_rows(
    root: "Path", name: str, rows: Sequence[dict[str, Any]] | pa.Table, /, **equal: str
) -> None:
    """Replace the rows where the given columns equal the given values, in one transaction."""
    from deltalake import write_deltalake
    from deltalake.exceptions import CommitFailedError

    data = as_table(name, rows)
    predicate = " AND ".join(f"{column} = {sql_text(value)}" for column, value in equal.items())
    for _ in range(COMMIT_TRIES):
        delta = open_table(root, name)
        try:
            doing = f"cannot write table '{name}'"
            with writing(doing, root / name), working(root, f"write {name}"):
                write_deltalake(delta, data, mode="overwrite", predicate=predicate)
        except CommitFailedError:  # another process wrote to the table meanwhile
            continue
        sums.record(root, name)
        return
    raise starved(name)


def starved(name: str) -> StorageError:
    """Return the error of a writer that others were always quicker than."""
    return StorageError(f"table '{name}': {COMMIT_TRIES} commits in a row met another writer's")


def as_table(name: str, rows: Sequence[dict[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as an Arrow table of the table's schema, checked."""
    table = TABLES[name]
    if isinstance(rows, pa.Table):
        return check_rows(table, rows)
    return pa.Table.from_pylist(list(rows), schema=table.schema)


@contextmanager
def storage(doing: str) -> "Iterator[None]":
    """Turn what a full disk or a damaged store raises into a :class:`StorageError`.

    A ``CommitFailedError`` passes: another process was quicker, and the caller tries again.
    """
    from deltalake.exceptions import CommitFailedError, DeltaError

    try:
        yield
    except CommitFailedError:
        raise
    except (OSError, DeltaError, pa.ArrowException) as error:
        raise StorageError(f"{doing}: {reason(error)}") from error
    except BaseException as error:
        if is_panic(error):
            raise StorageError(f"{doing}: {reason(error)}") from error
        raise


@contextmanager
def writing(doing: str, folder: "Path") -> "Iterator[None]":
    """As :func:`storage`, after a look whether a folder can be written at all.

    Where it cannot, deltalake's own threads would write a report of their crash to stderr.
    """
    with storage(doing):
        if not os.access(folder, os.W_OK):
            where = os.statvfs(folder)  # or an error: it is not there
            number = errno.EROFS if where.f_flag & os.ST_RDONLY else errno.EACCES
            raise OSError(number, os.strerror(number), str(folder))
        if shutil.disk_usage(folder).free < LEAST_FREE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        yield


def sql_text(value: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"
