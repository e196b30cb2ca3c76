"""Totals by sample, from the footers of files: what a question over whole layers needs no row for.

``write_layer`` puts into each file's footer, under ``fstore.totals``, how many of each sample's
responses are not 0. The totals are committed with the file, so they are never out of step with it.
A session reads a footer once, when a question needs it.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.store.encode import TOTALS_KEY
from fstore.store.files import StoredFile
from fstore.store.schema import NNZ, PARTITION, SAMPLE_ID
from fstore.store.tables import sql_text
from fstore.store.views import list_sql

if TYPE_CHECKING:
    import duckdb

__all__ = ["file_totals", "load_totals", "totals_sql"]

SHAPE = json.dumps({SAMPLE_ID: ["BIGINT"], NNZ: ["BIGINT"]})


def file_totals(file: StoredFile) -> dict[int, int]:
    """Return sample -> responses that are not 0, from a file's footer; empty if it has none."""
    totals = json.loads(file.footer().get(TOTALS_KEY.encode(), b"{}"))
    return dict(zip(totals.get(SAMPLE_ID, ()), totals.get(NNZ, ()), strict=True))


def load_totals(duck: "duckdb.DuckDBPyConnection", uris: Sequence[str]) -> None:
    """Copy the totals of files into a session's table ``_totals``; only footers are read.

    A file without totals adds no rows. Rows that are there are replaced.
    """
    files = list_sql(uris)
    duck.execute(f"DELETE FROM _totals WHERE file_name IN (SELECT unnest({files}))")
    duck.execute(
        f"""
        INSERT INTO _totals
        SELECT file_name, unnest(t.{SAMPLE_ID}) AS {SAMPLE_ID}, unnest(t.{NNZ}) AS {NNZ}
        FROM (
            SELECT file_name, from_json(decode(value)::JSON, '{SHAPE}') AS t
            FROM parquet_kv_metadata({files}) WHERE decode(key) = '{TOTALS_KEY}'
        )
        """
    )


def totals_sql(files: Sequence[StoredFile]) -> str:
    """Return a SELECT of the partition columns, ``sample_id`` and ``nnz``: one row a sample.

    Their totals must be loaded (:meth:`fstore.store.Store.load_totals`).

    Parameters
    ----------
    files : sequence of StoredFile
        At least one.
    """
    columns = ", ".join(f'"{column}"' for column in PARTITION)
    partitions = sorted({file.partition for file in files})
    wanted = ", ".join(f"({', '.join(map(sql_text, p.values.values()))})" for p in partitions)
    return f"""
        SELECT {columns}, {SAMPLE_ID}, {NNZ} FROM _totals JOIN _files USING (file_name)
        WHERE ({columns}) IN ({wanted})
    """
