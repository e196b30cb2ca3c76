"""Bring a store that an older fstore wrote up to the present tables; see ``schema.py``."""

from typing import TYPE_CHECKING

import pyarrow as pa

from fstore.store.commits import committing, storage, until_committed
from fstore.store.delta_log import log_entries
from fstore.store.paths import logged_key
from fstore.store.schema import TABLES
from fstore.store.tables import create_tables

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = ["OLDER", "upgrade"]

OLDER = (1,)
"""Schema versions that :func:`upgrade` knows."""

ADDED = {"reports": ("seconds",)}
"""Columns that older tables lack; NULL in the rows that are there."""


def upgrade(root: "Place") -> None:
    """Make the tables that are not there, and rewrite those that lack a column.

    A rewritten table has the column in all its files, so every reader finds it. Each step is one
    transaction and is done once: an upgrade that was killed goes on, and of two at once one waits.

    Raises
    ------
    StorageError
        The store cannot be written.
    """
    with root.lock("upgrade.lock"):
        for name, columns in ADDED.items():
            _add_columns(root, name, columns)
        create_tables(root)


def _add_columns(root: "Place", name: str, columns: tuple[str, ...]) -> None:
    """Rewrite a table until all its files have some columns.

    An older process may add a file without them at the moment at which the table is rewritten;
    after that it is refused by the table's new schema.
    """
    while until_committed(name, lambda: _widen(root, name, columns)):
        pass


def _widen(root: "Place", name: str, columns: tuple[str, ...]) -> bool:
    """Rewrite a table with some columns; False if it has them."""
    from deltalake import DeltaTable, write_deltalake

    with storage(f"cannot upgrade table '{name}'"):
        delta = DeltaTable(root.table(name))
        if _have(root, name, delta, columns):
            return False
    with committing(root, name, f"cannot upgrade table '{name}'"):
        write_deltalake(delta, _widened(delta, name), mode="overwrite", schema_mode="overwrite")
    return True


def _have(root: "Place", name: str, delta: "DeltaTable", columns: tuple[str, ...]) -> bool:
    """Whether a table and each of its files have some columns."""
    from pyarrow import parquet as pq

    schemas = [{field.name for field in delta.schema().fields}]
    for path in log_entries(delta)["path"].to_pylist():
        uri = root.uri(logged_key(root, name, path))
        schemas.append(set(pq.read_schema(uri, filesystem=root.filesystem).names))
    return all(schema >= set(columns) for schema in schemas)


def _widened(delta: "DeltaTable", name: str) -> pa.Table:
    """Return a table's rows with the present columns."""
    schema, old = TABLES[name].schema, delta.to_pyarrow_table()
    columns = {
        f.name: old[f.name].cast(f.type)
        if f.name in old.schema.names
        else pa.nulls(old.num_rows, f.type)
        for f in schema
    }
    return pa.table(columns, schema=schema)
