"""Delta tables under one root: create, append, replace; each change is one transaction."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.errors import SchemaError, StorageError
from fstore.store import sums
from fstore.store.commits import committing, storage, until_committed
from fstore.store.delta_log import (
    HINT,
    Log,
    advanced,
    commit_key,
    drop_broken_checkpoints,
    log_entries,
    log_of,
)
from fstore.store.paths import logged_key
from fstore.store.recent import Recent
from fstore.store.schema import TABLES, Table, check_rows

if TYPE_CHECKING:
    from deltalake import DeltaTable, Schema
    from pyarrow.dataset import Expression, FileSystemDataset

    from fstore.store.place import Place

__all__ = [
    "append_once",
    "create_tables",
    "open_table",
    "read_columns",
    "read_log",
    "read_rows",
    "replace_rows",
    "sql_name",
    "sql_text",
]

DESCRIPTIONS = {
    "activations": (
        "NULL in act_max and in map stands for 0; columns that are NULL as a whole follow from "
        "act_max. Partition values are texts. See docs/store.md of fstore."
    )
}
"""What other programs show of a table."""

HARMLESS = frozenset(("timestampNtz", "v2Checkpoint", "vacuumProtocolCheck"))
"""Features of a Delta table that change nothing about the rows in its files."""


def create_tables(root: "Place") -> None:
    """Create every table that is not there yet."""
    for table in TABLES.values():
        with storage(f"cannot create table '{table.name}'"):
            sums.forget_if_none(root, table.name)
            _create(root, table)
            sums.record(root, table.name)


def _create(root: "Place", table: Table) -> None:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    place, options = root.table(table.name), root.storage_options
    try:
        DeltaTable.create(
            place,
            table.schema,
            mode="ignore",
            partition_by=list(table.partition) or None,
            description=DESCRIPTIONS.get(table.name),
            # Delta keeps no other statistics of ours; maps have none worth keeping.
            configuration={"delta.dataSkippingNumIndexedCols": "0"},
            storage_options=options,
        )
    except DeltaError:
        if not DeltaTable.is_deltatable(place, options):  # else another process was quicker
            raise


def open_table(root: "Place", name: str, *, check: bool = True) -> "DeltaTable":
    """Open the newest version of a table and check its log and its columns.

    Parameters
    ----------
    root : Place
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
    place = root.table(name)
    try:
        with storage(f"cannot open table '{name}'"):
            delta = DeltaTable(place, storage_options=root.storage_options)
    except StorageError:
        if not drop_broken_checkpoints(root, name):
            raise
        with storage(f"cannot open table '{name}'"):
            delta = DeltaTable(place, storage_options=root.storage_options)
    _check_protocol(name, delta)
    _check_columns(name, delta)
    return delta


_logs: dict[tuple["Place", str], Log] = {}  # what was read last, by store and table
MOST_COMMITS = 200
"""More than these are read by Delta's library, which has checkpoints for it."""


def read_log(root: "Place", name: str) -> Log:
    """Return what the newest version of a table's log says; only what is new of it is read.

    What a process has read before is believed as long as the log has that version's commit, and
    the same checkpoint, untouched.

    Raises
    ------
    StorageError, SchemaError
        As of :func:`open_table`.
    """
    kept = _logs.get((root, name))
    if kept is not None:
        new = _newer(root, name, kept)
        if new is not None:
            _logs[root, name] = new
            return new
    delta = open_table(root, name)
    log = log_of(delta, _mark(root, name, delta.version()))
    _logs[root, name] = log
    return log


def _mark(root: "Place", name: str, version: int) -> Hashable:
    """Return what tells a log from another: its last commit's file, and that of its checkpoint."""
    files = (commit_key(name, version), f"{name}/_delta_log/{HINT}")
    return tuple(entry.version if (entry := root.entry(file)) else None for file in files)


def _newer(root: "Place", name: str, kept: Log) -> Log | None:
    """Return a log as of now; None if all of it must be read."""
    if _mark(root, name, kept.version) != kept.mark:
        return None
    commits: list[bytes] = []
    while root.entry(key := commit_key(name, kept.version + len(commits) + 1)):
        with storage(f"cannot open table '{name}'"):
            commits.append(root.read(key))
        if len(commits) > MOST_COMMITS:
            return None
    if not commits:
        return kept
    version = kept.version + len(commits)
    sums.check_commits(root, name, range(kept.version + 1, version + 1))
    return advanced(kept, commits, _mark(root, name, version))


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
    columns = {field.name: field.type for field in delta.schema().fields}
    expected = {field.name: field.type for field in _delta_schema(name).fields}
    hint = "was the store written by another version of fstore?"
    if columns.keys() != expected.keys():
        raise SchemaError(
            f"table '{name}' has columns {sorted(columns)}, expected {sorted(expected)}; {hint}"
        )
    for column, kind in expected.items():
        if columns[column] != kind:
            raise SchemaError(
                f"table '{name}' has column {column} of type {columns[column]}, expected {kind}; "
                + hint
            )


@cache
def _delta_schema(name: str) -> "Schema":
    from deltalake import Schema

    return Schema.from_arrow(TABLES[name].schema)


def read_rows(root: "Place", name: str, /, **equal: str) -> pa.Table:
    """Read a table's rows where the given columns equal the given values."""
    return read_columns(root, name, TABLES[name].schema.names, **equal)


def read_columns(root: "Place", name: str, columns: Sequence[str], /, **equal: str) -> pa.Table:
    """Read some columns of the rows where the given columns equal the given values."""
    table = TABLES[name]
    log = read_log(root, name)
    in_path = {c: v for c, v in equal.items() if c in table.partition}
    entries = log_entries(log, **in_path).to_pylist()
    if not entries:
        return table.schema.empty_table().select(list(columns))
    sums.check_files(root, name, (entry["path"] for entry in entries))
    key = log, tuple(columns), tuple(sorted(equal.items()))
    return _recent.get(key, lambda: _read(root, table, entries, columns=columns, equal=equal))


_recent = Recent()


def _read(
    root: "Place",
    table: Table,
    entries: Sequence[dict[str, Any]],
    *,
    columns: Sequence[str],
    equal: Mapping[str, str],
) -> pa.Table:
    """Read some columns of files' rows where the given columns equal the given values."""
    from pyarrow import dataset as ds

    files = _files(root, table, entries)
    wanted = None
    for column, value in equal.items():
        # a file that was rewritten for a drop may hold its texts as another kind (string_view)
        test = ds.field(column).cast(table.schema.field(column).type) == value
        wanted = test if wanted is None else wanted & test
    with storage(f"cannot read table '{table.name}'"):
        return files.to_table(columns=list(columns), filter=wanted)


def _files(root: "Place", table: Table, entries: Sequence[dict[str, Any]]) -> "FileSystemDataset":
    """Return a table's files for Arrow; partition values are the log's, never the path's."""
    from pyarrow import dataset as ds

    parquet, files = ds.ParquetFileFormat(), root.filesystem
    fragments = [
        parquet.make_fragment(
            root.uri(logged_key(root, table.name, entry["path"])), files, _values(table, entry)
        )
        for entry in entries
    ]
    return ds.FileSystemDataset(fragments, table.schema, parquet, files)


def _values(table: Table, entry: dict[str, Any]) -> "Expression | None":
    """Return what a file's partition columns are, as an expression."""
    from pyarrow import dataset as ds

    values = None
    for column in table.partition:
        value = entry[f"partition.{column}"]
        here = ds.field(column).is_null() if value is None else ds.field(column) == value
        values = here if values is None else values & here
    return values


def append_once(
    root: "Place",
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

    def attempt() -> int:
        delta = open_table(root, name)
        data = as_table(name, rows())
        if data.num_rows:
            version = (delta.transaction_version(key) or 0) + 1
            once = CommitProperties(app_transactions=[Transaction(key, version)])
            with committing(root, name, f"cannot write table '{name}'"):
                write_deltalake(delta, data, mode="append", commit_properties=once)
        return int(data.num_rows)

    return until_committed(name, attempt)


def replace_rows(
    root: "Place", name: str, rows: Sequence[dict[str, Any]] | pa.Table, /, **equal: str
) -> None:
    """Replace the rows where the given columns equal the given values, in one transaction."""
    from deltalake import write_deltalake

    data = as_table(name, rows)
    predicate = " AND ".join(f"{column} = {sql_text(value)}" for column, value in equal.items())

    def attempt() -> None:
        delta = open_table(root, name)
        with committing(root, name, f"cannot write table '{name}'"):
            write_deltalake(delta, data, mode="overwrite", predicate=predicate)

    until_committed(name, attempt)


def as_table(name: str, rows: Sequence[dict[str, Any]] | pa.Table) -> pa.Table:
    """Return rows as an Arrow table of the table's schema, checked."""
    table = TABLES[name]
    if isinstance(rows, pa.Table):
        return check_rows(table, rows)
    return pa.Table.from_pylist(list(rows), schema=table.schema)


def sql_name(name: str) -> str:
    """Return a column's or a view's name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(value: str) -> str:
    """Return a text as a SQL literal."""
    return "'" + value.replace("'", "''") + "'"
