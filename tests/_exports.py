"""Exported files, each read by the library of its format."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import lance
import numpy as np
import pyarrow as pa
import safetensors
from numpy.typing import NDArray
from pyarrow import parquet as pq

__all__ = ["READERS", "Read", "features", "of_arrow", "read_h5", "read_npz", "read_safetensors"]


@dataclass
class Read:
    """An exported file, as its own library reads it."""

    features: NDArray[np.float32]
    sample_ids: list[int]
    image_ids: list[str]
    labels: NDArray[np.int8]
    classes: list[str]
    provenance: dict[str, Any]
    shape: list[int]


def read_npz(path: Path) -> Read:
    """Read an archive by NumPy."""
    with np.load(path, allow_pickle=False) as z:
        return Read(
            z["features"], z["sample_ids"].tolist(), z["image_ids"].tolist(), z["labels"],
            z["classes"].tolist(), json.loads(str(z["provenance"])), z["shape"].tolist(),
        )  # fmt: skip


def read_h5(path: Path) -> Read:
    """Read a file by h5py."""
    with h5py.File(path) as file:
        names, classes = (file[key].asstr()[:].tolist() for key in ("image_ids", "classes"))
        return Read(
            file["features"][:], file["sample_ids"][:].tolist(), names, file["labels"][:],
            classes, json.loads(file.attrs["provenance"]), file["shape"][:].tolist(),
        )  # fmt: skip


def read_safetensors(path: Path) -> Read:
    """Read a file by its own library."""
    with safetensors.safe_open(path, "numpy") as file:
        texts = {key: json.loads(text) for key, text in file.metadata().items()}
        return Read(
            file.get_tensor("features"), file.get_tensor("sample_ids").tolist(),
            texts["image_ids"], file.get_tensor("labels"), texts["classes"],
            texts["provenance"], file.get_tensor("shape").tolist(),
        )  # fmt: skip


def of_arrow(table: pa.Table) -> Read:
    """Take a file apart that is a table."""
    texts = {key.decode(): json.loads(text) for key, text in table.schema.metadata.items()}
    rows = table.to_pylist()
    return Read(
        np.array([row["features"] for row in rows], dtype="f4"),
        [row["sample_id"] for row in rows], [row["image_id"] for row in rows],
        np.array([row["labels"] for row in rows], dtype="i1"), texts["classes"],
        texts["provenance"], texts["provenance"]["shape"],
    )  # fmt: skip


READERS: dict[str, Callable[[Path], Read]] = {
    ".npz": read_npz,
    ".h5": read_h5,
    ".safetensors": read_safetensors,
    ".parquet": lambda path: of_arrow(pq.read_table(path)),
    ".lance": lambda path: of_arrow(lance.dataset(str(path)).to_table()),
}


def features(path: Path) -> NDArray[np.float32]:
    """Return the matrix of a file of any format."""
    if path.suffix == ".npy":
        X: NDArray[np.float32] = np.load(path)
        return X
    return READERS[path.suffix](path).features
