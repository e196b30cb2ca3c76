"""What a store holds: one row a partition of ``activations``."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyarrow import parquet as pq

from fstore.store.commits import storage
from fstore.store.delta_log import log_entries
from fstore.store.files import ACTIVATIONS, Partition, StoredFile, stored_file
from fstore.store.paths import logged_key
from fstore.store.tables import open_table, read_rows

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["STATUS_COLUMNS", "LoggedFile", "logged_files", "status"]

STATUS_COLUMNS = (
    "network", "ckpt", "dataset", "view", "layer", "samples", "rows", "bytes", "raw_bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LoggedFile:
    """A committed file and what the log says of it."""

    file: StoredFile
    key: str
    rows: int
    size_bytes: int


def logged_files(root: "Place", **equal: str) -> list[LoggedFile]:
    """List the committed files whose partition values equal the given ones, by partition."""
    delta = open_table(root, ACTIVATIONS)
    files = [
        LoggedFile(
            stored_file(root, row),
            logged_key(root, ACTIVATIONS, row["path"]),
            _rows(root, row),
            int(row["size_bytes"]),
        )
        for row in log_entries(delta, **equal).to_pylist()
    ]
    return sorted(files, key=lambda f: (f.file.partition, f.file.first_sample, f.file.path.name))


def _rows(root: "Place", entry: Mapping[str, Any]) -> int:
    """Return a file's number of rows: the log's, else (another program kept none) its footer's."""
    if entry["num_records"] is not None:
        return int(entry["num_records"])
    uri = root.uri(logged_key(root, ACTIVATIONS, entry["path"]))
    with storage(f"cannot read {uri}"):
        return int(pq.read_metadata(uri, filesystem=root.filesystem).num_rows)


def status(root: "Place") -> list[dict[str, Any]]:
    """Count samples, rows and bytes of each partition; only the log is read, and foreign files.

    Returns
    -------
    list of dict
        Keys :data:`STATUS_COLUMNS`, by network, checkpoint, data set, view, and layer in the
        network's order. ``bytes`` are on disk; ``raw_bytes`` are those of the responses as bare
        float32, None where the layer's shape is not recorded.
    """
    layers = {(r["network"], r["layer"]): r for r in read_rows(root, "layers").to_pylist()}
    files: dict[Partition, list[LoggedFile]] = defaultdict(list)
    for logged in logged_files(root):
        files[logged.file.partition].append(logged)
    rows = [_row(p, stored, layers.get((p.network, p.layer))) for p, stored in files.items()]

    def place(row: dict[str, Any]) -> tuple[object, ...]:
        layer = layers.get((row["network"], row["layer"]))
        order = layer["order"] if layer else len(layers)
        return (*(row[c] for c in STATUS_COLUMNS[:4]), order, row["layer"])

    return sorted(rows, key=place)


def _row(
    partition: Partition, files: list[LoggedFile], layer: dict[str, Any] | None
) -> dict[str, Any]:
    rows = sum(f.rows for f in files)
    return {
        **partition.values,
        "samples": sum(f.file.n_samples for f in files),
        "rows": rows,
        "bytes": sum(f.size_bytes for f in files),
        "raw_bytes": 4 * rows * layer["height"] * layer["width"] if layer else None,
    }
