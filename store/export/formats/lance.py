"""Lance: a folder, of rows that are read at random quickly."""

from pathlib import Path

import pyarrow as pa

from fstore.store.export.formats._api import Table, file_format
from fstore.store.export.formats._arrow import arrow_batches, arrow_schema

__all__ = ["write_lance"]

OWN = {
    "_deletions",
    "_indices",
    "_latest.manifest",
    "_refs",
    "_transactions",
    "_versions",
    "data",
    "tree",
}
"""What a data set's folder may hold."""


def _is_lance(folder: Path) -> bool:
    """Tell whether a folder is a data set that Lance opens, and nothing else."""
    import lance

    if {entry.name for entry in folder.iterdir()} - OWN:
        return False
    try:
        lance.dataset(str(folder))
    except (ValueError, OSError):
        return False
    return True


@file_format(".lance", needs="lance", extra="lance", is_folder=_is_lance)
def write_lance(path: Path, table: Table) -> None:
    """Write a data set of one version."""
    import lance

    schema = arrow_schema(table)
    reader = pa.RecordBatchReader.from_batches(schema, arrow_batches(table))
    lance.write_dataset(reader, str(path), mode="create")
