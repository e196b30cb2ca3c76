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
from fstore.store.schema import TABLES, Table, check_rows
from fstore.system_errors import is_panic, reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deltalake import DeltaTable, Schema

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
LEAST_FREE = 1 << 20
"""Bytes without which no commit is begun."""


def create_tables(root: "Path") -> None:
    """Create every table that is not there yet."""
    for table in TABLES.values():
        with storage(f"cannot create table '{table.name}'"):
            _create(root, table)


def _create(root: "Path", table: Table) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    place = str(root / table.name)
    try:
        DeltaTable.create(
            place,
            table.schema,
            mode="ignore",
            partition_by=list(table.partition) or None,
            # Delta keeps no other statistics of ours; maps have none worth keeping.
            configuration={"delta.dataSkippingNumIndexedCols": "0"},
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(place):  # else another process was quicker
            raise


def open_table(root: "Path", name: str) -> "DeltaTable":
    """Open the newest version of a table and check its columns.

    Raises
    ------
    StorageError
        The table's folder or log is missing or unreadable.
    SchemaError
        The table has other columns or types than ``store/schema.py`` says.
    """
    from deltalake import DeltaTable

    with storage(f"cannot open table '{name}'"):
        delta = DeltaTable(str(root / name))
    _check_columns(name, delta)
    return delta


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
    in_path = [(c, "=", v) for c, v in equal.items() if c in table.partition]
    paths = [
        f.removeprefix("file://") for f in delta.file_uris(file_pruning_predicate=in_path or None)
    ]
    if not paths:
        return table.schema.empty_table().select(list(columns))
    keys = pa.schema([table.schema.field(c) for c in table.partition])
    files = ds.dataset(
        paths,
        schema=table.schema,
        format="parquet",
        partition_base_dir=str(root / name),
        partitioning=ds.partitioning(keys, flavor="hive"),
    )
    wanted = None
    for column, value in equal.items():
        test = ds.field(column) == value
        wanted = test if wanted is None else wanted & test
    with storage(f"cannot read table '{name}'"):
        return files.to_table(columns=list(columns), filter=wanted)


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
            with writing(f"cannot write table '{name}'", root / name):
                write_deltalake(delta, data, mode="append", commit_properties=once)
        except CommitFailedError:
            continue
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
            with writing(f"cannot write table '{name}'", root / name):
                write_deltalake(delta, data, mode="overwrite", predicate=predicate)
        except CommitFailedError:  # another process wrote to the table meanwhile
            continue
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
