"""NumPy's file of one array: the matrix alone, without names, labels or provenance."""

from pathlib import Path

from fstore.store.export.formats._api import Table, file_format

__all__ = ["write_npy"]


@file_format(".npy")
def write_npy(path: Path, table: Table) -> None:
    """Take the file that the matrix was collected in."""
    table.matrix.rename(path)
