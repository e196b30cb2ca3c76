"""Take a shard's activations, write the files of all its layers, make them visible at once."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.ending import leftover
from fstore.errors import FstoreError
from fstore.store.adding import NewFiles, check_identity, commit, committed, new_path, seal
from fstore.store.commits import storage
from fstore.store.encode import ShardFile, write_layer
from fstore.store.encoders import Encoders
from fstore.store.files import ACTIVATIONS, IDENTITY_KEY, Identity, Partition, list_files, present
from fstore.store.kept import sidecar_key
from fstore.store.leases import working
from fstore.store.tables import read_log
from fstore.types import ActivationBatch, LayerResponses

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = [
    "ShardFiles",
    "ShardReport",
    "commit_files",
    "missing_samples",
    "write_files",
    "write_shard",
]


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What a commit added: rows, bytes on disk, bytes as raw float32, seconds spent."""

    rows: int = 0
    bytes: int = 0
    raw_bytes: int = 0
    encode_s: float = 0.0
    commit_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ShardFiles:
    """Files of a shard that are in the store and in no log yet, and what they hold."""

    files: NewFiles
    report: ShardReport


def missing_samples(
    root: "Place", wanted: NDArray[np.int64], identities: Mapping[Partition, Identity]
) -> dict[Partition, NDArray[np.int64]]:
    """Return, by partition, which of the wanted samples are not stored yet; none are left out.

    Raises
    ------
    IdentityError
        A partition holds other content under the same name.
    """
    log = read_log(root, ACTIVATIONS)
    missing = {}
    for partition, identity in identities.items():
        stored = list_files(root, log, **partition.values)
        check_identity(stored, partition, identity)
        low, high = (wanted[0], wanted[-1]) if len(wanted) else (0, -1)
        near = [f for f in stored if f.first_sample <= high and low <= f.last_sample]
        missing[partition] = np.setdiff1d(wanted, present(near), assume_unique=True)
    return missing


def write_shard(
    root: "Place",
    batches: Sequence[ActivationBatch],
    identities: Mapping[Partition, Identity],
    *,
    encoders: Encoders | None = None,
    turn: Callable[[], object] | None = None,
) -> ShardReport:
    """Write what is not stored yet of a shard's activations and commit it in one transaction.

    Parameters
    ----------
    root : Place
        The store.
    batches : sequence of ActivationBatch
        Samples ascending over all of them; every partition's layer is in every batch.
    identities : partition -> Identity
        The partitions to fill.
    encoders : Encoders or None
        Which encode several layers, and row groups of one, at once; None: this thread.
    turn : callable or None
        Returns when the files may be committed, as those of the shard before are; what it raises
        is raised, and nothing is committed.

    Returns
    -------
    ShardReport
        Of what this call added; another process may have added the rest meanwhile.

    Raises
    ------
    IdentityError
        A partition holds other content.
    StorageError
        The disk is full, the store cannot be written, or another program deleted the files before
        they were committed; nothing of the shard is visible then.
    """
    with working(root, "write a shard of activations"):
        return _write_shard(root, batches, identities, encoders=encoders, turn=turn)


def _write_shard(
    root: "Place",
    batches: Sequence[ActivationBatch],
    identities: Mapping[Partition, Identity],
    *,
    encoders: Encoders | None,
    turn: Callable[[], object] | None,
) -> ShardReport:
    encode_s = commit_s = 0.0
    while True:
        shard = write_files(root, batches, identities, encoders=encoders)
        encode_s += shard.report.encode_s
        _await(turn, root, shard)
        started = time.perf_counter()
        done = commit_files(root, shard.files)
        commit_s += time.perf_counter() - started
        if done:
            return replace(shard.report, encode_s=encode_s, commit_s=commit_s)


def _await(turn: Callable[[], object] | None, root: "Place", shard: ShardFiles) -> None:
    """Wait until a shard may be committed; delete its files if it never may."""
    try:
        if turn is not None:
            turn()
    except BaseException:
        _discard(root, shard.files)
        raise


def write_files(
    root: "Place",
    batches: Sequence[ActivationBatch],
    identities: Mapping[Partition, Identity],
    *,
    encoders: Encoders | None = None,
) -> ShardFiles:
    """Write the files of what is not stored yet of a shard; :func:`commit_files` makes them seen.

    Who calls it sees to it that a lease is held until they are committed. See :func:`write_shard`.
    """
    ids = np.concatenate([batch.sample_ids for batch in batches])
    missing = {p: m for p, m in missing_samples(root, ids, identities).items() if len(m)}
    written: dict[Partition, tuple[ShardFile, str, Identity]] = {}
    started = time.perf_counter()
    try:
        _write_all(
            root, batches, missing, identities=identities, encoders=encoders, written=written
        )
    except BaseException:
        _discard(root, written)
        raise
    return ShardFiles(written, _report(batches, written, time.perf_counter() - started))


def commit_files(root: "Place", files: NewFiles) -> bool:
    """Commit the files of a shard in one transaction; none are left if they are not committed.

    Returns
    -------
    bool
        False if another process committed some of the samples first: nothing was added.

    Raises
    ------
    IdentityError, StorageError
        See :func:`write_shard`.
    """
    if not files:
        return True
    try:
        done = commit(root, files)
    except BaseException:
        with suppress(FstoreError):  # where the log cannot be read, they are left for gc
            if not committed(root, files):
                _discard(root, files)
        raise
    if not done:
        _discard(root, files)
    return done


def _discard(root: "Place", files: NewFiles) -> None:
    for _, key, _ in files.values():
        root.delete(key)
        root.delete(sidecar_key(key))


def _write_all(
    root: "Place",
    batches: Sequence[ActivationBatch],
    missing: Mapping[Partition, NDArray[np.int64]],
    *,
    identities: Mapping[Partition, Identity],
    encoders: Encoders | None,
    written: dict[Partition, tuple[ShardFile, str, Identity]],
) -> None:
    """Write a file a partition into ``written``, those of a failing call too.

    One file more is in hand than there are encoders: while one is synced, they go on with another.
    """
    files = 1 if encoders is None else encoders.threads + 1
    with ThreadPoolExecutor(files, thread_name_prefix="fstore-file") as pool:
        tasks = {
            partition: pool.submit(
                _write,
                root,
                batches,
                partition,
                wanted=wanted,
                identity=identities[partition],
                encoders=encoders,
            )
            for partition, wanted in missing.items()
        }
    for partition, task in tasks.items():
        if task.exception() is None:
            written[partition] = task.result()
    for task in tasks.values():
        task.result()


def _write(
    root: "Place",
    batches: Sequence[ActivationBatch],
    partition: Partition,
    *,
    wanted: NDArray[np.int64],
    identity: Identity,
    encoders: Encoders | None = None,
) -> tuple[ShardFile, str, Identity]:
    chosen = [_rows(b.sample_ids, b.layers[partition.layer], wanted) for b in batches]
    chosen = [(ids, responses) for ids, responses in chosen if len(ids)]
    metadata = {IDENTITY_KEY: json.dumps(dict(identity.parts), sort_keys=True)}
    path = new_path(root, partition)
    try:
        with storage(f"cannot write {partition}"), leftover(path):
            ids, responses = [i for i, _ in chosen], [r for _, r in chosen]
            file = write_layer(path, ids, responses, metadata=metadata, encoders=encoders)
            key = seal(root, partition, file, n_samples=len(wanted), identity=identity)
            return file, key, identity
    finally:
        path.unlink(missing_ok=True)  # sealed files have another name by now


def _rows(
    sample_ids: NDArray[np.int64], responses: LayerResponses, wanted: NDArray[np.int64]
) -> tuple[NDArray[np.int64], LayerResponses]:
    """Keep the wanted samples of a batch."""
    keep = np.isin(sample_ids, wanted)
    if keep.all():
        return sample_ids, responses
    columns: dict[str, Any] = {
        name: None if (column := getattr(responses, name)) is None else column[keep]
        for name in LayerResponses.__slots__
    }
    return sample_ids[keep], LayerResponses(**columns)


def _report(batches: Sequence[ActivationBatch], written: NewFiles, encode_s: float) -> ShardReport:
    first = batches[0].layers
    files = {p: file for p, (file, _, _) in written.items()}
    positions = {p: 1 if (maps := first[p.layer].maps) is None else maps.shape[2] for p in files}
    return ShardReport(
        rows=sum(file.rows for file in files.values()),
        bytes=sum(file.size_bytes for file in files.values()),
        raw_bytes=sum(4 * file.rows * positions[p] for p, file in files.items()),
        encode_s=encode_s,
    )
