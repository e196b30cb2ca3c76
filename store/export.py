"""Write a layer's features to a file for other programs: .npy, .npz or .parquet."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.ending import leftover
from fstore.errors import DataError, UnknownNameError
from fstore.names import checkpoint_name, network_name
from fstore.store.commits import storage
from fstore.store.features import What, layer_shape, read_features, stored_samples
from fstore.store.files import Partition
from fstore.store.place import outside
from fstore.store.remedies import how_to_make, no_view

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["SUFFIXES", "export_features", "find_partition"]

SUFFIXES = (".npy", ".npz", ".parquet")
PARQUET_BYTES = 1 << 24  # of features in one row group


def find_partition(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "image",
    network: str | None = None,
) -> Partition:
    """Return the one stored partition that fits.

    Raises
    ------
    UnknownNameError
        None fits, or checkpoints of several networks do (all are listed).
    """
    info = store.dataset(dataset)
    if view not in info.views:
        raise UnknownNameError(no_view(store, info, view), dataset=dataset)
    ckpt, network = checkpoint_name(ckpt), None if network is None else network_name(network)
    where = {"layer": layer, "dataset": dataset, "view": view}
    stored = {file.partition for file in store.files(**where)}
    names = {ckpt, *([f"{network}/{ckpt}"] if network else [])}
    fit = sorted(
        p
        for p in stored
        if (p.ckpt in names or f"{p.network}/{p.ckpt}" in names) and network in (None, p.network)
    )
    if len(fit) == 1:
        return fit[0]
    if fit:
        candidates = ", ".join(f"{p.network}/{p.ckpt}" for p in fit)
        raise UnknownNameError(f"checkpoint '{ckpt}' is ambiguous: {candidates}; add --network")
    ckpts = ", ".join(sorted({f"{p.network}/{p.ckpt}" for p in stored}))
    others = f"those of {ckpts}" if ckpts else "none"
    raise UnknownNameError(
        f"no activations of layer '{layer}' for checkpoint '{ckpt}' and {dataset}.{view}; "
        f"of this layer there are {others}; "
        + how_to_make(store, Partition(network or "", ckpt, dataset, view, layer))
    )


def export_features(
    store: "Store",
    partition: Partition,
    out: Path,
    *,
    samples: NDArray[np.int64] | None = None,
    what: What = "map",
    overwrite: bool = False,
) -> Path:
    """Write a layer's features, one row a sample in ascending order.

    The matrix has shape (n_samples, channels * positions), float32, channels outermost: the value
    of channel c at row y, column x of a map of height H and width W is in column
    ``c*H*W + y*W + x``. It is written through a memory map; no more than a block of channels is
    held.

    Parameters
    ----------
    store : Store
    partition : Partition
    out : Path
        ``.npy``: the matrix. ``.npz``: arrays ``features``, ``sample_ids`` (n_samples,),
        ``image_ids`` (n_samples,), ``labels`` (n_samples, n_classes) of 1, 0 (only difficult
        objects) and -1, ``classes`` (n_classes,). ``.parquet``: columns ``sample_id``,
        ``image_id`` and ``features``, a list.
    samples : array of int64 or None
        Wanted samples; None for all that are stored.
    what : {"map", "sp_max"}
        Whole maps, or the largest response of each.
    overwrite : bool
        Replace a file that is there.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        The name has another suffix, or the file exists.
    StorageError
        The file would lie among the store's own, or cannot be written.
    UnknownNameError
        No such partition, or a sample is not stored.
    """
    _check_out(outside(store.place, out), overwrite=overwrite)
    ids = stored_samples(store, partition) if samples is None else np.unique(samples)
    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder,
            leftover(Path(folder)),
        ):
            matrix = Path(folder) / "features.npy"
            _write_matrix(store, partition, matrix, ids=ids, what=what)
            finished = Path(folder) / f"out{out.suffix}"
            if out.suffix == ".npz":
                _write_npz(finished, matrix, _describe(store, partition, ids))
            elif out.suffix == ".parquet":
                _write_parquet(finished, matrix, _describe(store, partition, ids))
            else:
                finished = matrix
            finished.replace(out)
    return out


def _check_out(out: Path, *, overwrite: bool) -> None:
    if out.suffix not in SUFFIXES:
        raise DataError(f"cannot export to '{out}'; its name must end in {', '.join(SUFFIXES)}")
    if out.exists() and not overwrite:
        raise DataError(f"{out} exists; choose another name, or add --overwrite")


def _write_matrix(
    store: "Store", partition: Partition, path: Path, *, ids: NDArray[np.int64], what: What
) -> None:
    shape = layer_shape(store, partition)
    positions = shape.positions if what == "map" else 1
    with _memory_map(path, (len(ids), shape.channels * positions)) as matrix:
        for channels, block in read_features(store, partition, samples=ids, what=what, bits=True):
            first = int(channels[0]) * positions
            matrix[:, first : first + len(channels) * positions] = block.reshape(len(ids), -1)


@contextmanager
def _memory_map(path: Path, shape: tuple[int, int]) -> Iterator[np.memmap]:
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    yield matrix
    matrix.flush()


@dataclass(frozen=True)
class _Rows:
    """What the rows of a matrix are."""

    sample_ids: NDArray[np.int64]
    image_ids: list[str]
    labels: NDArray[np.int8]
    classes: list[str]


def _describe(store: "Store", partition: Partition, ids: NDArray[np.int64]) -> _Rows:
    dataset, view = partition.dataset, partition.view
    names = store.samples(dataset, view)["image_id"].to_pylist()
    classes = list(store.dataset(dataset).classes)
    column, row = {c: i for i, c in enumerate(classes)}, {int(s): i for i, s in enumerate(ids)}
    labels = np.full((len(ids), len(classes)), -1, dtype=np.int8)
    for r in store.labels(dataset, view).to_pylist():
        if r["sample_id"] in row:
            labels[row[r["sample_id"]], column[r["class"]]] = r["label"]
    return _Rows(ids, [names[i] for i in ids], labels, classes)


def _write_npz(path: Path, matrix: Path, rows: _Rows) -> None:
    arrays = {
        "sample_ids": rows.sample_ids,
        "image_ids": np.asarray(rows.image_ids, dtype=np.str_),
        "labels": rows.labels,
        "classes": np.asarray(rows.classes, dtype=np.str_),
    }
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        archive.write(matrix, "features.npy")
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def _write_parquet(path: Path, matrix: Path, rows: _Rows) -> None:
    X = np.load(matrix, mmap_mode="r")
    width = X.shape[1]
    kind = pa.list_(pa.float32(), width)
    schema = pa.schema({"sample_id": pa.int64(), "image_id": pa.string(), "features": kind})
    step = max(1, PARQUET_BYTES // (4 * width))
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, len(X), step):
            part = slice(start, start + step)
            values = pa.array(np.array(X[part]).reshape(-1))
            features = pa.FixedSizeListArray.from_arrays(values, width)
            ids, names = rows.sample_ids[part], rows.image_ids[part]
            columns = [pa.array(ids), pa.array(names, pa.string()), features]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
