"""Write the sidecars that data files lack: of older stores, and in place of damaged ones."""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore import commands
from fstore.errors import DataError, StorageError, UnknownNameError
from fstore.store.commits import storage
from fstore.store.files import StoredFile
from fstore.store.identity import Partition
from fstore.store.kept import Kept, kept_count, sidecar_key, stacked
from fstore.store.leases import working
from fstore.store.maintenance import Selection
from fstore.store.scan import scan
from fstore.store.schema import PARTITION
from fstore.store.sidecars import holds_bits, read_sidecar, write_sidecar
from fstore.store.status import LoggedFile, logged_files
from fstore.store.tables import read_rows
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = [
    "INDEX_COLUMNS",
    "Shape",
    "fits",
    "index",
    "kept_of_file",
    "layer_shapes",
    "wants_sidecar",
]

INDEX_COLUMNS = (*PARTITION, "files", "had", "written", "without", "bytes", "percent")

Shape = tuple[int, int]
"""Channels of a layer, and places of one of its maps."""


@dataclass
class _Count:
    """What was done for a partition."""

    files: int = 0
    had: int = 0
    written: int = 0
    without: int = 0
    bytes: int = 0
    data_bytes: int = 0


def index(
    root: "Place",
    selection: Selection | None = None,
    *,
    on_progress: OnProgress | None = None,
    on_problem: Callable[[str], object] | None = None,
) -> list[dict[str, Any]]:
    """Write the sidecars that are missing or damaged, and say what there is then.

    What was written before an interruption stays, and is not written again.

    Parameters
    ----------
    root : Place
        The store.
    selection : Selection or None
        Look at these activations only.
    on_progress : callable or None
        Told of each file.
    on_problem : callable or None
        Told of each data file that cannot be read; it is passed over.

    Returns
    -------
    list of dict
        Keys :data:`INDEX_COLUMNS`, a row a partition: its data files; how many of them ``had`` a
        sidecar, how many were ``written``, and how many are ``without``, since they have no more
        samples than would be kept, hold bits, were written by another program, or cannot be read;
        ``bytes`` of all sidecars, and ``percent`` of the data files' bytes.

    Raises
    ------
    UnknownNameError
        No activations fit the selection.
    StorageError
        The store cannot be written.
    """
    equal = {} if selection is None else selection.given
    counts: dict[Partition, _Count] = defaultdict(_Count)
    with working(root, "index activations"):
        files = logged_files(root, **equal)
        if equal and not files:
            raise UnknownNameError(
                f"no activations in the store fit {selection}; "
                f"{commands.status(root)} lists what there is"
            )
        shapes = layer_shapes(root)
        for done, logged in enumerate(files):
            place = logged.file.partition
            if on_progress is not None:
                on_progress("files", done, len(files), str(place))
            shape = shapes.get((place.network, place.layer))
            problem = _one(root, logged, shape, count=counts[place])
            if problem and on_problem is not None:
                on_problem(problem)
    return [_row(place, count) for place, count in counts.items()]


def _row(partition: Partition, count: _Count) -> dict[str, Any]:
    told = {name: getattr(count, name) for name in INDEX_COLUMNS[len(PARTITION) : -1]}
    percent = 100 * count.bytes / count.data_bytes if count.data_bytes else None
    return {**partition.values, **told, "percent": percent}


def _one(root: "Place", logged: LoggedFile, shape: Shape | None, *, count: _Count) -> str:
    """Write the sidecar of a file, unless it has one or gets none; return what went wrong."""
    file, problem, kept = logged.file, "", None
    count.files += 1
    count.data_bytes += logged.size_bytes
    try:
        if shape is None or not wants_sidecar(file, shape[1]):
            count.without += 1
        elif fits(read_sidecar(root, file.key), file, shape):
            count.had += 1
        else:
            kept = kept_of_file(file, shape)
    except (StorageError, DataError) as error:
        count.without += 1
        problem = str(error)
    if kept is not None:
        with storage(f"cannot write the sidecar of {file.uri}"):
            write_sidecar(root, file.key, kept)
        count.written += 1
    if root.entry(file.key) is None:  # dropped meanwhile
        root.delete(sidecar_key(file.key))
        return ""
    entry = root.entry(sidecar_key(file.key))
    count.bytes += 0 if entry is None else entry.size_bytes
    return problem


def layer_shapes(root: "Place") -> dict[tuple[str, str], Shape]:
    """Return (network, layer) -> its shape, of all layers on record."""
    return {
        (row["network"], row["layer"]): (row["channels"], row["height"] * row["width"])
        for row in read_rows(root, "layers").to_pylist()
    }


def wants_sidecar(file: StoredFile, positions: int) -> bool:
    """Whether a file gets a sidecar when it is written; ``positions`` are those of a map."""
    if file.is_foreign or file.n_samples <= kept_count(positions):
        return False
    return not holds_bits(file.identity.parts)


def fits(kept: Kept | None, file: StoredFile, shape: Shape) -> bool:
    """Whether a sidecar is what would be written of a file now, as far as its sizes tell."""
    if kept is None or kept.n_samples != file.n_samples:
        return False
    return kept.values.shape == (shape[0], kept_count(shape[1]))


def kept_of_file(file: StoredFile, shape: Shape) -> Kept:
    """Return a file's strongest samples, from its columns.

    Raises
    ------
    StorageError
        The file cannot be read.
    """
    channels, rows = np.arange(shape[0], dtype=np.int32), np.arange(file.n_samples)
    k = kept_count(shape[1])
    parts = scan(file, channels, rows, k=k, positions=shape[1])
    with storage(f"cannot read {file.uri}"):
        return stacked([kept for _, kept in parts])
