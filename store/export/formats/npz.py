"""NumPy's archive of several arrays, uncompressed; no pickle is needed to read it."""

import zipfile
from pathlib import Path

import numpy as np

from fstore.store.export.formats._api import Table, file_format

__all__ = ["write_npz"]


@file_format(".npz")
def write_npz(path: Path, table: Table) -> None:
    """Write the arrays; ``provenance`` is a text of JSON."""
    rows = table.rows
    arrays = {
        "sample_ids": rows.sample_ids,
        "image_ids": np.asarray(rows.image_ids.to_pylist(), dtype=np.str_),
        "labels": rows.labels,
        "classes": np.asarray(rows.classes, dtype=np.str_),
        "shape": np.asarray(table.shape, dtype=np.int64),
        "provenance": np.asarray(table.json(), dtype=np.str_),
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        archive.write(table.matrix, "features.npy")
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
