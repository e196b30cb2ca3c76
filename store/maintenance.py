"""Make room in a store: drop what is named, collect what no log refers to."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

from fstore import commands
from fstore.errors import DataError, StorageError, UnknownNameError
from fstore.names import network_name
from fstore.store import sums
from fstore.store.commits import committing, storage, until_committed
from fstore.store.delta_log import log_entries
from fstore.store.derived import derived_layers
from fstore.store.field_files import forget_fields
from fstore.store.files import ACTIVATIONS
from fstore.store.kept import FOLDER, sidecar_key
from fstore.store.leases import working
from fstore.store.local import local_folder
from fstore.store.locks import naming
from fstore.store.networks import weights_key
from fstore.store.place import inside
from fstore.store.proposals import VIEW as PROPOSAL
from fstore.store.proposals import hide_proposals
from fstore.store.removed import removed_since
from fstore.store.schema import TABLES
from fstore.store.status import logged_files
from fstore.store.tables import open_table, read_rows, sql_text
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Entry, Place

__all__ = ["Going", "Selection", "drop", "gc", "plan_drop"]

CHECKPOINTS = "checkpoints"
AT_ONCE = 16
"""Deletions that are under way to a server."""
OWN_NAMES = re.compile(
    r"\d+-\d+-\d+-[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}\.parquet"  # activations: adding.seal
    r"|\d+-\d+-\d+-[0-9a-f]{16}-[0-9a-f]{16}-[0-9a-f]{12}\.topk"  # their sidecars
    r"|[0-9a-f]{12}\.(parquet|topk)\.tmp"  # unfinished ones: adding.new_path, write_sidecar
    r"|part-\d{5}-[0-9a-f-]{36}(-c\d{3,})?(\.[a-z0-9]+)*\.parquet"  # Delta writers' data files
    r"|.+-[0-9a-f]{12}\.safetensors"  # checkpoints: networks._file_name
    r"|\.?weights\.safetensors(\.\w+)?"  # on their way there, in training/
    r"|\.\d{8}\.npy\.\w{8}"  # on their way to be the boxes of an image, in proposals/
    r"|[0-9a-f]{12}\.tmp"  # on their way to be a detector, in detectors/
)
"""Names of files that :func:`gc` may delete; any other file was put there by somebody else."""
OF_DATASET = ("overlaps", "detections", "unreadable", "splits", "labels", "samples", "datasets")
"""Tables that describe a data set, in the order in which a drop empties them."""

OF_VIEW = ("unreadable", "splits", "labels", "samples")
"""Those of them that tell views apart."""


@dataclass(frozen=True, slots=True)
class Selection:
    """What a drop is about: partition columns and their values; None is any."""

    network: str | None = None
    ckpt: str | None = None
    dataset: str | None = None
    view: str | None = None
    layer: str | None = None

    @classmethod
    def of(cls, **columns: str) -> Self:
        """Return the selection of columns by their values; an empty text is any."""
        return cls(**{column: value or None for column, value in columns.items()})

    @property
    def given(self) -> dict[str, str]:
        """Column -> value, of those that are given."""
        values = {name: getattr(self, name) for name in self.__slots__}
        if self.network is not None:
            values["network"] = network_name(self.network)
        return {name: value for name, value in values.items() if value is not None}

    def __str__(self) -> str:
        return " ".join(f"--{name} {value}" for name, value in self.given.items())


@dataclass(frozen=True, slots=True)
class Going:
    """Something that a drop removes: a partition, a checkpoint, or a table's rows."""

    what: str
    name: str
    rows: int
    bytes: int


def plan_drop(root: "Place", selection: Selection, *, checkpoint: bool = False) -> list[Going]:
    """Say what :func:`drop` would remove, without removing it.

    Raises
    ------
    DataError
        Nothing is selected, or ``checkpoint`` is asked of a part of its activations.
    UnknownNameError
        Nothing in the store fits.
    """
    _check(selection, checkpoint=checkpoint)
    going = _partitions(root, selection)
    if checkpoint:
        going += [_going(root, record) for record in _records(root, selection)]
    for table, equal in _described(root, selection):
        rows = read_rows(root, table, **equal).num_rows
        going += [Going(table, " ".join(equal.values()), rows, 0)] if rows else []
    if not going:
        raise UnknownNameError(
            f"nothing in the store fits {selection}; {commands.status(root)} lists what there is"
        )
    return going


def drop(root: "Place", selection: Selection, *, checkpoint: bool = False) -> list[Going]:
    """Remove partitions of activations, and with them what only they needed.

    Activations go first, in one transaction, and their files at once: exactly those that this
    transaction took from the log. A data set named alone loses its samples, labels, splits,
    overlaps, detections and its entry too (its images stay where they are); named with view
    ``proposal`` alone, it loses its proposals and their overlaps. A network named alone loses the
    record of its layers' shapes, and a layer that was derived, named with its network alone, that
    of its own. A drop that was cut short is finished by
    running it again.

    Only the store's own files are deleted: where a record names a file that does not lie among the
    store's checkpoints (or the log one that is not below its table), the record goes, the file
    stays, and what is returned says so.

    Parameters
    ----------
    root : Place
        The store.
    selection : Selection
        At least one column.
    checkpoint : bool
        Remove the fitting checkpoints as well, record and weights; ``selection`` then names the
        network, the checkpoint or both, and nothing else.

    Returns
    -------
    list of Going
        What went.

    Raises
    ------
    DataError, UnknownNameError
        As :func:`plan_drop`.
    """
    with naming(root), working(root, f"drop {selection}"):
        return _drop(root, selection, checkpoint=checkpoint)


def _drop(root: "Place", selection: Selection, *, checkpoint: bool) -> list[Going]:
    going = plan_drop(root, selection, checkpoint=checkpoint)
    files = _delete(root, ACTIVATIONS, selection.given)
    _unlink(root, files)
    _unlink(root, _sidecars(root, files))
    if checkpoint:
        records = _records(root, selection)
        for record in records:
            key = {"network": record["network"], "name": record["name"]}
            _delete(root, CHECKPOINTS, key)
        kept = {_weights(root, r) for r in read_rows(root, CHECKPOINTS).to_pylist()}
        _unlink(
            root, {w for r in records if (w := _weights(root, r)) is not None and w not in kept}
        )
    if selection.given == _proposals_of(selection.dataset):
        hide_proposals(root, str(selection.dataset))
    for table, equal in _described(root, selection):
        _delete(root, table, equal)
    if set(selection.given) == {"network"}:
        forget_fields(root, selection.given["network"])
    return going


def gc(root: "Place", *, older_than_hours: float = 24) -> list[tuple[str, int]]:
    """Delete data files of the tables, their sidecars, and weights, that no log refers to.

    Interrupted extractions leave such files, and so do rewritten tables. Files that were written
    or moved while work that is under way holds a lease (``store/leases.py``) stay, whatever their
    age; so do files whose names are not such as fstore or Delta give.

    Parameters
    ----------
    root : Place
        The store.
    older_than_hours : float
        Files that were written later stay, and those that a log let go later: who opened the
        table before may be reading them.

    Returns
    -------
    list of (str, int)
        What was deleted, relative to the store, and its bytes.
    """
    latest = time.time() - older_than_hours * 3600
    # Candidates first, then the leases, then the log: what is committed in between has a lease at
    # the second step, or is known as wanted at the third.
    settled = [f for f in _data_files(root) if f.written <= latest]
    since = root.oldest_lease()
    candidates = [(f.key, f.size_bytes) for f in settled if f.touched < since]
    wanted = {key for name in TABLES for key in _referred(open_table(root, name), name)}
    wanted |= {key for name in TABLES for key in removed_since(root, name, latest)}
    wanted |= {sidecar_key(key) for key in wanted if key.startswith(f"{ACTIVATIONS}/")}
    records = read_rows(root, CHECKPOINTS).to_pylist()
    wanted |= {w for r in records if (w := _weights(root, r)) is not None}
    orphans = [(key, size) for key, size in candidates if key not in wanted]
    _unlink(root, (key for key, _ in orphans))
    for name in TABLES:
        with storage(f"cannot write the sums of table '{name}'"):
            sums.prune(root, name)
    return orphans


def _check(selection: Selection, *, checkpoint: bool) -> None:
    if not selection.given:
        raise DataError(
            "a drop needs at least one of --network, --ckpt, --dataset, --view, --layer"
        )
    if checkpoint and not set(selection.given) <= {"network", "ckpt"}:
        raise DataError(
            f"--checkpoint removes the weights, which all activations of a checkpoint share; "
            f"give --network and --ckpt alone, not {selection}"
        )


def _partitions(root: "Place", selection: Selection) -> list[Going]:
    sums: dict[str, list[int]] = {}
    for logged in logged_files(root, **selection.given):
        total = sums.setdefault(str(logged.file.partition), [0, 0])
        total[0] += logged.rows
        total[1] += logged.size_bytes
    return [Going(ACTIVATIONS, name, rows, size) for name, (rows, size) in sums.items()]


def _described(root: "Place", selection: Selection) -> list[tuple[str, dict[str, str]]]:
    """Return the tables, and which of their rows, that go with what is selected as a whole."""
    given = selection.given
    if given == _proposals_of(selection.dataset):
        of_dataset = {"dataset": given["dataset"]}
        return [("overlaps", of_dataset), *((t, given) for t in OF_VIEW)]
    if set(given) == {"dataset"}:
        return [
            (t, {"name" if t == "datasets" else "dataset": given["dataset"]}) for t in OF_DATASET
        ]
    if set(given) == {"network", "layer"} and derived_layers(root, **given):
        return [("layers", given)]  # a layer of the network itself is one still
    return [("layers", given)] if set(given) == {"network"} else []


def _proposals_of(dataset: str | None) -> dict[str, str]:
    """Return what selects a data set's proposals as a whole."""
    return {} if dataset is None else {"dataset": dataset, "view": PROPOSAL}


def _records(root: "Place", selection: Selection) -> list[dict[str, str]]:
    names = {"network": "network", "ckpt": "name"}
    equal = {names[column]: value for column, value in selection.given.items()}
    records: list[dict[str, str]] = read_rows(root, CHECKPOINTS, **equal).to_pylist()
    return records


def _weights(root: "Place", record: Mapping[str, str]) -> str | None:
    """Return the key of a checkpoint's file; None if the record names none of the store's."""
    named = CheckpointRecord(record["network"], record["name"], uri=record["uri"])
    try:
        return weights_key(root, named)
    except StorageError:
        return None


def _going(root: "Place", record: Mapping[str, str]) -> Going:
    name, weights = f"{record['network']}/{record['name']}", _weights(root, record)
    if weights is None:
        name += f" (the record only: {record['uri']!r} is not the store's, and stays)"
        return Going("checkpoint", name, 1, 0)
    return Going("checkpoint", name, 1, _size(root, weights))


def _delete(root: "Place", name: str, equal: dict[str, str]) -> set[str]:
    """Delete rows in one transaction; return the whole files that it took from the log."""
    predicate = " AND ".join(f'"{c}" = {sql_text(value)}' for c, value in equal.items())
    in_path = set(equal) <= set(TABLES[name].partition)

    def attempt() -> set[str]:
        delta = open_table(root, name)
        gone = _own(root, name, delta, equal=equal) if in_path else set()
        with committing(root, name, f"cannot delete from table '{name}'"):
            delta.delete(predicate)
        return gone

    return until_committed(name, attempt)


def _referred(delta: "DeltaTable", name: str, **equal: str) -> set[str]:
    """Return the files that a table's log refers to; names in the log are percent-encoded."""
    paths = log_entries(delta, **equal)["path"].to_pylist()
    return {f"{name}/{unquote(path)}" for path in paths}


def _own(root: "Place", name: str, delta: "DeltaTable", *, equal: Mapping[str, str]) -> set[str]:
    """Return the files of some partitions that lie below their table, where drop may delete."""
    values = set()
    for entry in log_entries(delta, **equal)["path"].to_pylist():
        path = f"{name}/{unquote(entry)}"
        with suppress(StorageError):
            values.add(inside(root, path, table=name, row="its log", folder=name))
    return values


def _sidecars(root: "Place", files: Iterable[str]) -> set[str]:
    """Return the keys of the sidecars of data files, of those that lie in their own folder."""
    keys = set()
    for file in files:
        with suppress(StorageError):
            key = sidecar_key(file)
            keys.add(inside(root, key, table=ACTIVATIONS, row="its log", folder=FOLDER))
    return keys


def _data_files(root: "Place") -> Iterator["Entry"]:
    """Yield every data file and weights file that has a name such as fstore or Delta give."""
    for folder in (*TABLES, FOLDER, "training", "weights", "proposals", "detectors"):
        for entry in root.entries(folder):
            *folders, name = entry.key.split("/")
            if "_delta_log" not in folders and OWN_NAMES.fullmatch(name):
                yield entry


def _size(root: "Place", key: str) -> int:
    entry = root.entry(key)
    return 0 if entry is None else entry.size_bytes


def _unlink(root: "Place", keys: Iterable[str]) -> None:
    """Delete files; a server that is far away is asked for several at a time."""

    def delete(key: str) -> None:
        with storage(f"cannot delete {root.uri(key)}"):
            root.delete(key)

    if local_folder(root) is not None:
        for key in keys:
            delete(key)
        return
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(delete, keys))
