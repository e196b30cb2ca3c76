"""Bring a store that an older fstore wrote up to the present tables; see ``schema.py``."""

import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fstore.store import sums
from fstore.store.delta_log import log_entries
from fstore.store.leases import working
from fstore.store.locks import alone, naming
from fstore.store.paths import folder_of, logged_path, table_folder
from fstore.store.schema import TABLES
from fstore.store.tables import (
    COMMIT_TRIES,
    append_once,
    create_tables,
    read_rows,
    replace_rows,
    starved,
    storage,
)

if TYPE_CHECKING:
    from pathlib import Path

    from deltalake import DeltaTable

__all__ = ["OLDER", "upgrade"]

OLDER = (1, 2)
"""Schema versions that :func:`upgrade` knows."""

ADDED = {"reports": ("seconds",), "datasets": ("proposals",), "runs": ("seconds",)}
"""Columns that older tables lack; NULL in the rows that are there."""


def upgrade(root: "Path") -> None:
    """Make the tables that are not there, rewrite those that lack a column, and fill these.

    A rewritten table has the column in all its files, so every reader finds it. Each step is one
    transaction and is done once: an upgrade that was killed goes on, and of two at once one waits.

    Raises
    ------
    StorageError
        The store cannot be written.
    """
    with alone(root / "locks" / "upgrade.lock"):
        for name, columns in ADDED.items():
            _add_columns(root, name, columns)
        create_tables(root)
        _note_proposals(root)
        _note_unreadable(root)


def _note_unreadable(root: "Path") -> None:
    """Fill the table of samples that cannot be read with what runs on record told of them."""

    def missing() -> list[dict[str, Any]]:
        if read_rows(root, "unreadable").num_rows:
            return []
        runs = read_rows(root, "runs").to_pylist()
        told = [(bad, run["finished_at"]) for run in runs for bad in run["quarantined"] or ()]
        each = {(bad["dataset"], bad["view"], bad["sample_id"]): (bad, at) for bad, at in told}
        return [{**bad, "noted_at": at} for bad, at in each.values()]

    append_once(root, "unreadable", missing, key="unreadable")


def _note_proposals(root: "Path") -> None:
    """Write beside each view ``proposal`` how it was found, where only a run on record told it."""
    with naming(root):
        for row in read_rows(root, "datasets").to_pylist():
            views = {view["view"]: view["manifest"] for view in row["views"]}
            if "proposal" in views and row["proposals"] is None:
                how = _found_by_a_run(root, {f"{row['name']}.proposal": views["proposal"]})
                if how is not None:
                    replace_rows(root, "datasets", [{**row, "proposals": how}], name=row["name"])


def _found_by_a_run(root: "Path", fingerprints: dict[str, str]) -> str | None:
    """Return the parameters of the last run that found these very proposals, as JSON."""
    runs = read_rows(root, "runs", kind="proposals", exit="ok").sort_by("finished_at")
    for run in reversed(runs.to_pylist()):
        if json.loads(run["fingerprints"]) == fingerprints:
            parameters = json.loads(run["parameters"])
            return json.dumps({key: parameters[key] for key in ("identity", "added")})
    return None


def _add_columns(root: "Path", name: str, columns: tuple[str, ...]) -> None:
    """Rewrite a table until all its files have some columns.

    An older process may add a file without them at the moment at which the table is rewritten;
    after that it is refused by the table's new schema.
    """
    from deltalake import DeltaTable, write_deltalake
    from deltalake.exceptions import CommitFailedError

    for _ in range(COMMIT_TRIES):
        with storage(f"cannot upgrade table '{name}'"):
            delta = DeltaTable(str(table_folder(root, name)))
            if _have(delta, columns):
                return
        try:
            with storage(f"cannot upgrade table '{name}'"), working(root, f"upgrade {name}"):
                write_deltalake(
                    delta, _widened(delta, name), mode="overwrite", schema_mode="overwrite"
                )
        except CommitFailedError:  # another process adds to the table
            continue
        sums.record(root, name)
    raise starved(name)


def _have(delta: "DeltaTable", columns: tuple[str, ...]) -> bool:
    """Whether a table and each of its files have some columns."""
    from pyarrow import parquet as pq

    schemas = [{field.name for field in delta.schema().fields}]
    folder = folder_of(delta)
    files = (logged_path(folder, path) for path in log_entries(delta)["path"].to_pylist())
    schemas += [set(pq.read_schema(file).names) for file in files]
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
