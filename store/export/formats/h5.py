"""HDF5: arrays by name, for MATLAB, R, Julia and h5py."""

from pathlib import Path

from fstore.store.export.formats._api import Table, file_format

__all__ = ["write_h5"]


@file_format(".h5", needs="h5py", extra="h5")
def write_h5(path: Path, table: Table) -> None:
    """Write a data set for each array; ``provenance`` is an attribute of the file."""
    import h5py

    rows, text = table.rows, h5py.string_dtype()
    with h5py.File(path, "w") as file:
        features = file.create_dataset("features", table.features.shape, "f4")
        for part, X in table.blocks():
            features[part] = X
        file["sample_ids"] = rows.sample_ids
        file.create_dataset("image_ids", data=rows.image_ids.to_pylist(), dtype=text)
        file["labels"] = rows.labels
        file.create_dataset("classes", (len(rows.classes),), data=list(rows.classes), dtype=text)
        file["shape"] = table.shape
        file.attrs["provenance"] = table.json()
