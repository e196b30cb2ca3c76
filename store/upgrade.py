"""Bring a store that an older fstore wrote up to the present tables; see ``schema.py``."""

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.store.commits import committing, storage, until_committed
from fstore.store.delta_log import log_entries
from fstore.store.locks import naming
from fstore.store.paths import logged_key
from fstore.store.schema import TABLES
from fstore.store.tables import append_once, create_tables, read_rows, replace_rows

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = ["OLDER", "upgrade"]

OLDER = (1, 2, 3)
"""Schema versions that :func:`upgrade` knows."""

ADDED = {"reports": ("seconds", "draws"), "datasets": ("proposals",), "runs": ("seconds",)}
"""Columns that older tables lack; NULL in the rows that are there."""


def upgrade(root: "Place") -> None:
    """Make the tables that are not there, rewrite those that lack a column, and fill these.

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
        _note_proposals(root)
        _note_unreadable(root)


def _note_unreadable(root: "Place") -> None:
    """Fill the table of samples that cannot be read with what runs on record told of them.

    Notes of data sets that are gone are left out: another one may be given their name.
    """

    def missing() -> list[dict[str, Any]]:
        if read_rows(root, "unreadable").num_rows:
            return []
        runs = read_rows(root, "runs").to_pylist()
        told = [(bad, run["finished_at"]) for run in runs for bad in run["quarantined"] or ()]
        each = {(bad["dataset"], bad["view"], bad["sample_id"]): (bad, at) for bad, at in told}
        rows = read_rows(root, "datasets").to_pylist()
        present = {(row["name"], view["view"]) for row in rows for view in row["views"]}
        return [
            {**bad, "noted_at": at} for (*of, _), (bad, at) in each.items() if tuple(of) in present
        ]

    append_once(root, "unreadable", missing, key="unreadable")


def _note_proposals(root: "Place") -> None:
    """Write beside each view ``proposal`` how it was found, where only a run on record told it."""
    with naming(root):
        for row in read_rows(root, "datasets").to_pylist():
            views = {view["view"]: view["manifest"] for view in row["views"]}
            if "proposal" in views and row["proposals"] is None:
                how = _found_by_a_run(root, {f"{row['name']}.proposal": views["proposal"]})
                if how is not None:
                    replace_rows(root, "datasets", [{**row, "proposals": how}], name=row["name"])


def _found_by_a_run(root: "Place", fingerprints: dict[str, str]) -> str | None:
    """Return the parameters of the last run that found these very proposals, as JSON."""
    runs = read_rows(root, "runs", kind="proposals", exit="ok").sort_by("finished_at")
    for run in reversed(runs.to_pylist()):
        if json.loads(run["fingerprints"]) == fingerprints:
            parameters = json.loads(run["parameters"])
            return json.dumps({key: parameters[key] for key in ("identity", "added")})
    return None


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
        delta = DeltaTable(root.table(name), storage_options=root.storage_options)
        if _have(root, name, delta, columns=columns):
            return False
    with committing(root, name, f"cannot upgrade table '{name}'"):
        write_deltalake(delta, _widened(delta, name), mode="overwrite", schema_mode="overwrite")
    return True


def _have(root: "Place", name: str, delta: "DeltaTable", *, columns: tuple[str, ...]) -> bool:
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
