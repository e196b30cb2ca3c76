"""Parquet: a row a sample, for every program that reads tables."""

from pathlib import Path

from pyarrow import parquet as pq

from fstore.store.export.formats._api import Table, file_format
from fstore.store.export.formats._arrow import arrow_batches, arrow_schema

__all__ = ["write_parquet"]


@file_format(".parquet")
def write_parquet(path: Path, table: Table) -> None:
    """Write a row group for each block of rows."""
    with pq.ParquetWriter(path, arrow_schema(table), compression="zstd") as writer:
        for batch in arrow_batches(table):
            writer.write_batch(batch)
