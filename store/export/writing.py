"""Write features: collected in a matrix on disk, from there to a file, which then appears whole."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.ending import leftover
from fstore.errors import DataError
from fstore.registry import Entry
from fstore.store.commits import storage
from fstore.store.export.formats import FORMATS, Table, check_installed
from fstore.store.export.source import Source, partition_source
from fstore.store.features import LayerShape, What, read_features, stored_samples
from fstore.store.files import Partition
from fstore.store.parts import Part
from fstore.store.place import Place, outside

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["check_out", "export_features", "write_features"]

PREFIX = ".fstore-export-"
"""Of folders of work in hand, beside the file that is written."""

CHUNK = 1 << 20
"""Bytes, written at once."""


def export_features(
    store: "Store",
    partition: Partition,
    out: Path,
    *,
    samples: NDArray[np.int64] | None = None,
    part: Part | None = None,
    what: What = "map",
    overwrite: bool = False,
) -> Path:
    """Write a layer's features, one row a sample in ascending order.

    The matrix has shape (n_samples, channels * positions), float32, channels outermost: the value
    of channel c at row y, column x of a map of height H and width W is in column
    ``c*H*W + y*W + x``. It is written through a memory map; no more than a block of channels, or
    of rows, is held.

    Parameters
    ----------
    store : Store
    partition : Partition
    out : Path
        Its ending says in which format, see ``docs/export.md``: ``.npy``, the matrix alone;
        ``.npz``, ``.h5``, ``.safetensors``, arrays by name; ``.parquet``, ``.lance``, a row a
        sample.
    samples : array of int64 or None
        Wanted samples; None for all that are stored.
    part : Part or None
        What these samples are, for the file's provenance.
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
        The name has another ending, or the file exists.
    MissingExtraError
        The format needs a library that is not installed.
    StorageError
        The file would lie among the store's own, or cannot be written.
    UnknownNameError
        No such partition, or a sample is not stored.
    """
    check_out(store.place, out, overwrite=overwrite)
    ids = stored_samples(store, partition) if samples is None else np.unique(samples)
    blocks = read_features(store, partition, samples=ids, what=what, bits=True)
    source = partition_source(store, partition, blocks, ids=ids, part=part, what=what)
    return write_features(store.place, out, source, overwrite=overwrite)


def write_features(place: Place, out: Path, source: Source, *, overwrite: bool = False) -> Path:
    """Write features that are read, or computed, block by block; return ``out``.

    The file appears when it is whole. Work in hand is in a hidden folder beside it, which goes
    however the work ends, unless the process is killed at once (``SIGKILL``).

    Parameters
    ----------
    place : Place
        Of a store, whose own files are not written over.
    out : Path
    source : Source
    overwrite : bool

    Raises
    ------
    DataError, MissingExtraError, StorageError
        As :func:`export_features`.
    """
    entry = check_out(place, out, overwrite=overwrite)
    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(prefix=PREFIX, dir=out.parent) as folder,
            leftover(Path(folder)),
        ):
            finished = Path(folder) / f"whole{out.suffix}"
            entry.function(finished, _collect(source, Path(folder) / "matrix"))
            with _out_of_the_way(out):
                finished.replace(out)
    return out


def check_out(place: Place, out: Path, *, overwrite: bool) -> Entry[Any]:
    """Return the format that a path's ending says, if something may be written there.

    Parameters
    ----------
    place : Place
    out : Path
    overwrite : bool

    Raises
    ------
    DataError, MissingExtraError, StorageError
        As :func:`export_features`.
    """
    outside(place, out)
    suffixes = [entry.name for entry in FORMATS]
    if out.suffix not in suffixes:
        raise DataError(f"cannot export to '{out}'; its name must end in {', '.join(suffixes)}")
    entry = FORMATS[out.suffix]
    check_installed(entry)
    if not out.exists() and not out.is_symlink():
        return entry
    is_ours = entry.meta["is_folder"]
    if is_ours is None and out.is_dir():
        raise DataError(f"{out} is a folder, and a file is to be written; choose another name")
    if is_ours is not None and not (out.is_dir() and is_ours(out)):
        raise DataError(
            f"{out} exists and is not a folder of {entry.name} files alone, so it is not replaced; "
            "choose another name"
        )
    if not overwrite:
        raise DataError(f"{out} exists; choose another name, or add --overwrite")
    return entry


@contextmanager
def _out_of_the_way(out: Path) -> Iterator[None]:
    """Put a folder aside, since no folder can be moved over it; it is back if nothing came."""
    if not out.is_dir():
        yield
        return
    # not registered as a leftover: between two moves this is the only copy
    with TemporaryDirectory(prefix=PREFIX, dir=out.parent) as folder:
        old = Path(folder) / out.name
        out.rename(old)
        try:
            yield
        finally:
            if not out.exists():
                old.rename(out)


# The matrix


def _collect(source: Source, path: Path) -> Table:
    """Write the matrix to a file, and return what is to be exported of it."""
    blocks = iter(source.blocks)
    first = next(blocks)
    positions = first[1].shape[2]  # an ablation may leave fewer
    layer = source.layer
    with _memory_map(path, (len(source.ids), layer.channels * positions)) as matrix:
        for channels, X in chain([first], blocks):
            start = int(channels[0]) * positions
            matrix[:, start : start + len(channels) * positions] = X.reshape(len(X), -1)
    shape = _shape(layer, positions)
    return Table(path, shape, source.describe, {**source.provenance, "shape": shape})


def _shape(layer: LayerShape, positions: int) -> tuple[int, int, int]:
    """Return channels, height and width of what is exported."""
    if positions == layer.positions:
        return layer.channels, layer.height, layer.width
    return layer.channels, 1, positions


@contextmanager
def _memory_map(path: Path, shape: tuple[int, int]) -> Iterator[np.memmap]:
    """Give a matrix that lies in a new file."""
    matrix = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    _take_room(path, header=matrix.offset)
    yield matrix
    matrix.flush()


def _take_room(path: Path, *, header: int) -> None:
    """Have the disk give a file of zeros all of its blocks now.

    A write to a map of a block that a full disk has not would kill the process (``SIGBUS``).
    """
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        file.seek(header)  # macOS has no such call
        for start in range(header, size, CHUNK):
            file.write(bytes(min(CHUNK, size - start)))
