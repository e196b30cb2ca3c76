"""What a store holds: one row a partition of ``activations``."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from fstore.store.commits import storage
from fstore.store.delta_log import log_entries
from fstore.store.files import (
    ACTIVATIONS,
    NAME,
    Partition,
    StoredFile,
    partition_of,
    stored_file,
)
from fstore.store.paths import logged_key, logged_uris
from fstore.store.schema import PARTITION
from fstore.store.tables import read_log, read_rows

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["STATUS_COLUMNS", "LoggedFile", "logged_files", "status"]

STATUS_COLUMNS = (
    "network", "ckpt", "dataset", "view", "layer", "samples", "rows", "bytes", "raw_bytes",
)  # fmt: skip
COUNTED = ("samples", "rows", "bytes")
SAID = f"(?:^|/){NAME.pattern}$"
"""What an entry's name says: NAME, for Arrow's own expressions."""


@dataclass(frozen=True, slots=True)
class LoggedFile:
    """A committed file and what the log says of it."""

    file: StoredFile
    rows: int
    size_bytes: int


def logged_files(root: "Place", **equal: str) -> list[LoggedFile]:
    """List the committed files whose partition values equal the given ones, by partition."""
    log = read_log(root, ACTIVATIONS)
    files = [
        LoggedFile(
            stored_file(root, row),
            _rows(root, row),
            int(row["size_bytes"]),
        )
        for row in log_entries(log, **equal).to_pylist()
    ]
    return sorted(files, key=lambda f: (f.file.partition, f.file.first_sample, f.file.name))


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
    rows = [
        {**partition.values, **counts, "raw_bytes": _raw_bytes(counts["rows"], shape)}
        for partition, counts in _counts(root, log_entries(read_log(root, ACTIVATIONS))).items()
        for shape in [layers.get((partition.network, partition.layer))]
    ]

    def place(row: dict[str, Any]) -> tuple[object, ...]:
        layer = layers.get((row["network"], row["layer"]))
        order = layer["order"] if layer else len(layers)
        return (*(row[c] for c in STATUS_COLUMNS[:4]), order, row["layer"])

    return sorted(rows, key=place)


def _raw_bytes(rows: int, layer: Mapping[str, Any] | None) -> int | None:
    return 4 * rows * layer["height"] * layer["width"] if layer else None


def _counts(root: "Place", entries: pa.Table) -> dict[Partition, dict[str, int]]:
    """Count a log's samples, rows and bytes by partition."""
    logged_uris(root, ACTIVATIONS, entries["path"])  # refuses files outside the table
    n_samples = pc.struct_field(pc.extract_regex(entries["path"], SAID), "n").cast(pa.int64())
    keys = [f"partition.{column}" for column in PARTITION]
    sums = entries.append_column("n", n_samples).filter(
        pc.and_(pc.is_valid(n_samples), pc.is_valid(entries["num_records"]))
    )
    counts: dict[Partition, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTED, 0))
    wanted = [("n", "sum"), ("num_records", "sum"), ("size_bytes", "sum")]
    for row in sums.group_by(keys).aggregate(wanted).to_pylist():
        added = (row["n_sum"], row["num_records_sum"], row["size_bytes_sum"])
        _add(counts[partition_of(row)], added)
    others = pc.or_(pc.is_null(n_samples), pc.is_null(entries["num_records"]))
    for row in entries.filter(others).to_pylist():  # another program's
        file = stored_file(root, row)
        _add(counts[file.partition], (file.n_samples, _rows(root, row), row["size_bytes"]))
    return dict(counts)


def _add(counts: dict[str, int], more: Sequence[int]) -> None:
    for name, value in zip(COUNTED, more, strict=True):
        counts[name] += int(value)
