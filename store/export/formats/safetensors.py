"""safetensors: tensors by name, mapped into memory by PyTorch and others.

Its own library writes what is in memory. The format is simple: the length of a header, the header
in JSON, and the tensors' bytes (https://github.com/huggingface/safetensors#format).
"""

import json
from pathlib import Path

import numpy as np

from fstore.errors import DataError
from fstore.store.export.formats._api import Table, file_format

__all__ = ["write_safetensors"]

LARGEST_HEADER = 100_000_000
"""Bytes that readers take."""

ALIGNMENT = 8
"""Bytes: where tensors of int64 may begin."""


@file_format(".safetensors")
def write_safetensors(path: Path, table: Table) -> None:
    """Write the numbers as tensors; texts are metadata: ``provenance``, and lists in JSON.

    Raises
    ------
    DataError
        The names of so many images do not fit into a header.
    """
    ids = table.rows.sample_ids.astype("<i8")
    shape, labels = np.asarray(table.shape, dtype="<i8"), table.rows.labels
    sizes = {  # those of larger elements first, so that each begins at a multiple of its size
        "sample_ids": ("I64", ids.shape, ids.nbytes),
        "shape": ("I64", shape.shape, shape.nbytes),
        "features": ("F32", table.features.shape, table.features.nbytes),
        "labels": ("I8", labels.shape, labels.nbytes),
    }
    with path.open("wb") as file:
        file.write(_header(table, sizes))
        file.write(ids.tobytes())
        file.write(shape.tobytes())
        for _, X in table.blocks():
            file.write(X.astype("<f4", copy=False).data)
        file.write(labels.tobytes())


def _header(table: Table, sizes: dict[str, tuple[str, tuple[int, ...], int]]) -> bytes:
    """Return the file's beginning: which tensor lies where, and the texts."""
    header: dict[str, object] = {
        "__metadata__": {
            "provenance": table.json(),
            "classes": json.dumps(table.rows.classes),
            "image_ids": json.dumps(table.rows.image_ids.to_pylist()),
        }
    }
    begin = 0
    for name, (dtype, shape, size) in sizes.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [begin, begin + size]}
        begin += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    if len(text) > LARGEST_HEADER:
        raise DataError(
            f"the names of {len(table.rows.sample_ids)} images take {len(text)} bytes, of which "
            f"a header of safetensors holds {LARGEST_HEADER}; export fewer samples (--part), or "
            "to .h5, .parquet or .lance"
        )
    return len(text).to_bytes(8, "little") + text
