"""The table as Arrow has it, for the formats that are made of record batches."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from fstore.store.export.formats._api import Table

__all__ = ["arrow_batches", "arrow_schema"]


def arrow_schema(table: Table) -> pa.Schema:
    """Return the columns; ``classes`` and ``provenance`` are metadata, texts of JSON."""
    columns = {
        "sample_id": pa.int64(),
        "image_id": pa.string(),
        "labels": pa.list_(pa.int8()),  # of no fixed length: there may be no class
        "features": pa.list_(pa.float32(), table.n_features),
    }
    classes = json.dumps(table.rows.classes, ensure_ascii=False)
    return pa.schema(columns, metadata={"classes": classes, "provenance": table.json()})


def arrow_batches(table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows, some at a time."""
    rows, schema = table.rows, arrow_schema(table)
    width = len(rows.classes)
    for part, X in table.blocks():
        features = pa.FixedSizeListArray.from_arrays(pa.array(X.reshape(-1)), table.n_features)
        ends = np.arange(len(X) + 1, dtype=np.int32) * width
        labels = pa.ListArray.from_arrays(ends, pa.array(rows.labels[part].reshape(-1)))
        columns = [pa.array(rows.sample_ids[part]), rows.image_ids[part], labels, features]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)
