"""Totals by sample, from the footers of files: what a question over whole layers needs no row for.

``write_layer`` puts into each file's footer, under ``fstore.totals``, how many of each sample's
responses are not 0. The totals are committed with the file, so they are never out of step with it.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from pyarrow import parquet as pq

from fstore.store.encode import TOTALS_KEY
from fstore.store.files import StoredFile
from fstore.store.schema import NNZ, PARTITION, SAMPLE_ID
from fstore.store.tables import storage

__all__ = ["file_totals", "totals_sql"]

SHAPE = json.dumps({SAMPLE_ID: ["BIGINT"], NNZ: ["BIGINT"]})


def file_totals(path: Path) -> dict[int, int]:
    """Return sample -> responses that are not 0, from a file's footer; empty if it has none."""
    with storage(f"cannot read {path}"):
        metadata = pq.read_metadata(path).metadata or {}
    totals = json.loads(metadata.get(TOTALS_KEY.encode(), b"{}"))
    return dict(zip(totals.get(SAMPLE_ID, ()), totals.get(NNZ, ()), strict=True))


def totals_sql(files: Sequence[StoredFile]) -> str:
    """Return a SELECT of the partition columns, ``sample_id`` and ``nnz``: one row a sample.

    Only footers are read; a file without totals gives no rows.

    Parameters
    ----------
    files : sequence of StoredFile
        At least one.
    """
    paths = ", ".join(_text(str(file.path.resolve())) for file in files)
    columns = ", ".join(f'"{column}"' for column in PARTITION)
    return f"""
        SELECT {columns}, unnest(t.{SAMPLE_ID}) AS {SAMPLE_ID}, unnest(t.{NNZ}) AS {NNZ}
        FROM (
            SELECT {columns}, from_json(decode(value)::JSON, '{SHAPE}') AS t
            FROM parquet_kv_metadata([{paths}]) JOIN _files USING (file_name)
            WHERE decode(key) = '{TOTALS_KEY}'
        )
    """


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
