"""The statements of a session's views: a store's tables, as DuckDB reads their files.

Partition values are the log's. DuckDB can find them in the names of folders and then leaves files
unread that a condition on them rules out, but it looks at the whole path: a folder above the store
that is named ``ckpt=305k`` would change every row. So :func:`files_sql` lets it look only where no
folder above the table has an ``=``; elsewhere it names the folders to be looked at, counted from
the file, which prunes by conditions too (but not by what a join brings); and a file whose folders
do not say what the log says, as another program may write it, gets its values as constants.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from fstore import commands
from fstore.errors import StorageError
from fstore.store.delta_log import Log, log_entries
from fstore.store.files import ACTIVATIONS
from fstore.store.paths import duck_name, logged_key, logged_uris
from fstore.store.schema import PARTITION, TABLES, Table
from fstore.store.sums import check_files
from fstore.store.tables import sql_name, sql_text

if TYPE_CHECKING:
    import duckdb

    from fstore.store.place import Place

__all__ = [
    "DERIVED",
    "FILES",
    "SOURCES",
    "define_view",
    "files_sql",
    "list_sql",
    "log_table",
    "refusing_view",
]

# Zeros are NULL on disk where a layer is sparse; where the map is 1x1 all but act_max is NULL.
RESPONSES = """
    SELECT network, ckpt, dataset, "view", layer, sample_id, channel,
        coalesce(act_max, 0) AS act_max,
        coalesce(act_sum, act_max, 0) AS act_sum,
        coalesce(nnz, (act_max != 0)::INTEGER, 0) AS nnz,
        coalesce(npos, (act_max > 0)::INTEGER, 0) AS npos,
        coalesce(argmax, 0) AS argmax,
        CASE WHEN map IS NULL THEN [coalesce(act_max, 0)]
             ELSE list_transform(map, lambda x: coalesce(x, 0)) END AS map
    FROM {files}
"""

ALL_LABELS = """
    SELECT s.dataset, s."view", s.sample_id, c.class, coalesce(l.label, -1) AS label
    FROM samples AS s
    JOIN (SELECT name AS dataset, unnest(classes) AS class FROM datasets) AS c USING (dataset)
    LEFT JOIN labels AS l USING (dataset, "view", sample_id, class)
"""

# What `fstore status` lists, in its units; _files is a copy of the log's list of files.
PARTITIONS = """
    SELECT f.network, f.ckpt, f.dataset, f."view", f.layer,
        sum(f.rows)::BIGINT // l.channels AS samples,
        sum(f.rows)::BIGINT AS rows,
        sum(f.bytes)::BIGINT AS bytes,
        4 * sum(f.rows)::BIGINT * l.height * l.width AS raw_bytes
    FROM _files AS f LEFT JOIN layers AS l USING (network, layer)
    GROUP BY f.network, f.ckpt, f.dataset, f."view", f.layer, l.channels, l.height, l.width
"""

# Filled by summaries.py.
SAMPLE_TOTALS = """
    SELECT network, ckpt, dataset, "view", layer, sample_id, nnz
    FROM _totals JOIN _files USING (file_name)
"""

DERIVED = {
    "all_labels": ALL_LABELS,
    "partitions": PARTITIONS,
    "sample_totals": SAMPLE_TOTALS,
}
"""Views of other views, by name."""

FILES = "_files"
"""A session's copy of the log's list of files of ``activations``."""

SOURCES = {
    "all_labels": ("samples", "datasets", "labels"),
    "partitions": (FILES, "layers"),
    "sample_totals": (FILES,),
}
"""The tables that a derived view reads."""


def define_view(
    duck: "duckdb.DuckDBPyConnection", root: "Place", view: str, *, name: str, entries: pa.Table
) -> None:
    """Define a view of some files of a table, for which DuckDB reads the footer of one.

    Parameters
    ----------
    duck : DuckDBPyConnection
    root : Place
        The store.
    view, name : str
        The view and the table.
    entries : pa.Table
        Rows of :func:`~fstore.store.delta_log.log_entries`.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    import duckdb

    table = TABLES[name]
    files = files_sql(root, table, entries.to_pylist()) or _no_rows(table)
    try:
        duck.execute(f"CREATE OR REPLACE VIEW {sql_name(view)} AS {_columns(table, files)}")
    except duckdb.Error as error:
        check_files(root, name, entries["path"].to_pylist())
        raise StorageError(
            f"table '{name}' cannot be read: {error}. Statements that do not name it still "
            f"work; {commands.verify(root)} lists what is wrong"
        ) from error


def refusing_view(name: str, why: str) -> str:
    """Return a statement with a table's columns, which fails with a text when it runs."""
    columns = ", ".join(f'NULL::{_sql_type(f.type)} AS "{f.name}"' for f in TABLES[name].schema)
    return f"SELECT {columns} WHERE error({sql_text(why)}) IS NULL"


def _columns(table: Table, files: str) -> str:
    if table.name == ACTIVATIONS:
        return RESPONSES.format(files=files)
    return f"SELECT {', '.join(sql_name(name) for name in table.schema.names)} FROM {files}"


def _no_rows(table: Table) -> str:
    columns = ", ".join(f'NULL::{_sql_type(f.type)} AS "{f.name}"' for f in table.schema)
    return f"(SELECT {columns} WHERE false)"


def files_sql(root: "Place", table: Table, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return what stands after FROM for a table's files; empty if there are none.

    Parameters
    ----------
    root : Place
        The store.
    table : Table
    entries : sequence of mapping
        Rows of :func:`~fstore.store.delta_log.log_entries`.
    """
    regular: list[str] = []
    others: dict[tuple[str | None, ...], list[str]] = defaultdict(list)
    for entry in entries:
        key = logged_key(root, table.name, entry["path"])
        values = tuple(entry[f"partition.{column}"] for column in table.partition)
        if _said(key.split("/")[1:-1]) == list(zip(table.partition, values, strict=True)):
            regular.append(root.uri(key))
        else:
            others[values].append(root.uri(key))
    parts = [_regular(root, table, regular)] if regular else []
    parts += [_constant(table, values, uris) for values, uris in others.items()]
    if len(parts) <= 1:
        return "".join(parts)
    return f"({' UNION ALL BY NAME '.join(f'FROM {part}' for part in parts)})"


def _said(folders: Sequence[str]) -> list[tuple[str, str]]:
    """Return the columns and values that folders below a table are named for."""
    pairs = (folder.partition("=") for folder in folders)
    return [(column, unquote(value)) for column, _, value in pairs]


def _regular(root: "Place", table: Table, uris: Sequence[str]) -> str:
    """Read files whose folders below the table say what the log says."""
    if not table.partition:
        return _read(uris, "hive_partitioning = false")
    if "=" not in root.uri(table.name):
        types = ", ".join(f"'{name}': VARCHAR" for name in table.partition)
        return _read(uris, f"hive_partitioning = true, hive_types = {{{types}}}")
    # -1 is the file, -2 the folder that it is in; a value comes after the column and "="
    places = range(-1 - len(table.partition), -1)
    columns = ", ".join(
        f"url_decode(substr(split_part(filename, '/', {place}), {len(name) + 2})) "
        f"AS {sql_name(name)}"
        for name, place in zip(table.partition, places, strict=True)
    )
    files = _read(uris, "hive_partitioning = false, filename = true")
    return f"(SELECT * EXCLUDE (filename), {columns} FROM {files})"


def _constant(table: Table, values: Sequence[str | None], uris: Sequence[str]) -> str:
    """Read files of one partition, which their folders do not tell."""
    columns = ", ".join(
        f"{'NULL' if value is None else sql_text(value)}::VARCHAR AS {sql_name(name)}"
        for name, value in zip(table.partition, values, strict=True)
    )
    return f"(SELECT *, {columns} FROM {_read(uris, 'hive_partitioning = false')})"


def _read(uris: Sequence[str], options: str) -> str:
    return f"read_parquet({list_sql(uris)}, {options})"


def list_sql(uris: Sequence[str]) -> str:
    """Return files as a list of DuckDB's."""
    return f"[{', '.join(sql_text(duck_name(uri)) for uri in uris)}]"


def log_table(root: "Place", log: Log) -> pa.Table:
    """Return the log of ``activations`` as rows of a session's table ``_files``."""
    entries = log_entries(log)
    columns = {name: entries[f"partition.{name}"].cast(pa.string()) for name in PARTITION}
    columns |= {"rows": entries["num_records"], "bytes": entries["size_bytes"]}
    return pa.table({**columns, "file_name": logged_uris(root, ACTIVATIONS, entries["path"])})


def _sql_type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"{_sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return f"STRUCT({', '.join(f'{sql_name(f.name)} {_sql_type(f.type)}' for f in kind)})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ"
    names = {"string": "VARCHAR", "int64": "BIGINT", "int32": "INTEGER", "bool": "BOOLEAN"}
    return {**names, "float": "FLOAT", "double": "DOUBLE"}[str(kind)]
