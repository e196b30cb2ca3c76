"""Put the files of small tables together: they grow by a file with each command that adds rows.

What is replaced stays on disk for those who read it still, until ``fstore gc``. The rows, and their
order, stay what they were.
"""

from collections import Counter
from typing import TYPE_CHECKING

from fstore.store import sums
from fstore.store.commits import committing, until_committed
from fstore.store.delta_log import log_entries
from fstore.store.files import ACTIVATIONS
from fstore.store.schema import TABLES
from fstore.store.tables import open_table, read_log

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["FEW_FILES", "compact_tables", "plan_tables"]

FEW_FILES = 8
"""So many files of a table's partition are left as they are."""


def plan_tables(root: "Place") -> dict[str, tuple[int, int]]:
    """Say what :func:`compact_tables` would do: files before and after, by table.

    Tables of few files are left out.
    """
    counted = {name: _files(root, name) for name in TABLES if name != ACTIVATIONS}
    return {
        name: (counts.total(), len(counts))
        for name, counts in counted.items()
        if counts and max(counts.values()) > FEW_FILES
    }


def compact_tables(root: "Place") -> dict[str, tuple[int, int]]:
    """Write the rows of tables that have many files into one file a partition.

    Each table is a transaction by itself. Readers and writers may go on meanwhile. Files are
    compared with their sums first: a damaged one must not get a new sum.

    Returns
    -------
    dict
        Table -> files before and after; tables of few files are left out.

    Raises
    ------
    StorageError
        A file is damaged, or the store cannot be read or written.
    """
    return {name: _compact(root, name) for name in plan_tables(root)}


def _compact(root: "Place", name: str) -> tuple[int, int]:
    def attempt() -> None:
        delta = open_table(root, name)
        sums.check_files(root, name, log_entries(delta)["path"].to_pylist())
        with committing(root, name, f"cannot write table '{name}'"):
            delta.optimize.compact()

    before = _files(root, name).total()
    until_committed(name, attempt)
    return before, _files(root, name).total()


def _files(root: "Place", name: str) -> Counter[tuple[str | None, ...]]:
    """Count the files of each partition of a table."""
    entries = log_entries(read_log(root, name))
    columns = [entries[f"partition.{column}"].to_pylist() for column in TABLES[name].partition]
    if not columns:
        return Counter({(): entries.num_rows}) if entries.num_rows else Counter()
    return Counter(zip(*columns, strict=True))
