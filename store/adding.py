"""New files of ``activations``: put into the store, and committed in one transaction a shard.

``docs/decisions/0002-commits.md`` says why.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fstore.errors import IdentityError, StorageError
from fstore.store import sums
from fstore.store.appending import append_files, is_ours
from fstore.store.commits import storage, until_committed, writing
from fstore.store.delta_log import Log
from fstore.store.encode import ShardFile
from fstore.store.files import (
    ACTIVATIONS,
    StoredFile,
    drop_command,
    folder_of,
    list_files,
    make_again,
    present,
)
from fstore.store.hashing import put_hashed
from fstore.store.identity import Identity, Partition
from fstore.store.kept import sidecar_key
from fstore.store.local import local_folder
from fstore.store.schema import CHANNEL, PARTITION, SAMPLE_ID
from fstore.store.sidecars import holds_bits, write_sidecar
from fstore.store.tables import open_table, read_log

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

    from fstore.store.place import Place

__all__ = [
    "NewFiles",
    "add_action",
    "check_identity",
    "check_there",
    "commit",
    "committed",
    "new_path",
    "seal",
]

SERVER_TRIES = 4
"""Commits, at most, that a server of object storage fails."""

NewFiles: TypeAlias = "Mapping[Partition, tuple[ShardFile, str, Identity]]"
"""Sealed files of one shard and their keys, by the partition that they fill."""


def new_path(root: "Place", partition: Partition) -> Path:
    """Return an unused path for a file that is being written; its folder exists."""
    with storage(f"cannot write {partition}"):
        return root.draft(folder_of(partition), ".parquet.tmp")


def seal(
    root: "Place", partition: Partition, file: ShardFile, *, n_samples: int, identity: Identity
) -> str:
    """Put a finished file, and its sidecar, into the store under its final name; return its key."""
    name = "-".join(
        (
            str(file.first_sample),
            str(file.last_sample),
            str(n_samples),
            identity.fingerprint,
            f"{file.checksum:016x}",
            file.path.name.split(".")[0],
        )
    )
    key = f"{folder_of(partition)}/{name}.parquet"
    if file.kept is not None and not holds_bits(identity.parts):
        write_sidecar(root, key, file.kept)  # first: whoever sees the file sees its sidecar
    try:
        put_hashed(root, file.path, key)
    except BaseException:
        root.delete(sidecar_key(key))
        raise
    return key


def check_identity(files: Sequence[StoredFile], partition: Partition, identity: Identity) -> None:
    """Refuse to add to a partition that holds other content.

    Raises
    ------
    IdentityError
        Says which parts differ and how to make room; or that another program wrote some of it.
    """
    foreign = next((f for f in files if f.is_foreign), None)
    if foreign is not None:
        raise IdentityError(
            f"{partition} holds a file that another program wrote ({foreign.name}): what it "
            "was computed from cannot be told, so nothing is added to it; sql and export read it. "
            + make_again(foreign)
        )
    other = next((f for f in files if f.fingerprint != identity.fingerprint), None)
    if other is None:
        return
    stored = other.identity.parts
    differ = [
        f"{part} (stored {stored.get(part, 'none')[:16]},"
        f" now {identity.parts.get(part, 'none')[:16]})"
        for part in sorted({*stored, *identity.parts})
        if stored.get(part) != identity.parts.get(part)
    ]
    raise IdentityError(
        f"{partition} is stored already with other content; it differs in: {', '.join(differ)}. "
        f"Use another name, or make room with: {drop_command(other)}"
    )


def commit(root: "Place", files: "NewFiles") -> bool:
    """Make files visible in one Delta transaction.

    Returns
    -------
    bool
        False if another process committed some of these samples first: nothing was added.

    Raises
    ------
    IdentityError
        A partition holds other content by now.
    StorageError
        The log cannot be written, or a file is not there any more: nothing was added.
    """
    from deltalake.exceptions import CommitFailedError

    failures = 0

    def attempt() -> bool:
        nonlocal failures
        if failures and committed(root, files):  # its answer was lost, and it arrived late
            return True
        try:
            return _try_commit(root, files)
        except (CommitFailedError, StorageError) as error:
            if committed(root, files):  # what failed came after: a log checkpoint, say
                return True
            failures += isinstance(error, StorageError)
            if isinstance(error, CommitFailedError) or failures == SERVER_TRIES:
                raise
            if local_folder(root) is not None:  # which will fail again
                raise
            time.sleep(failures)
            raise CommitFailedError("the server did not answer; it is asked again") from error

    done = until_committed(ACTIVATIONS, attempt)
    sums.record(root, ACTIVATIONS)
    return done


def committed(root: "Place", files: "NewFiles") -> bool:
    """Whether files are in the log; they are all there, or none."""
    log = read_log(root, ACTIVATIONS)
    return any(
        key in {file.key for file in list_files(root, log, **partition.values)}
        for partition, (_, key, _) in files.items()
    )


def _try_commit(root: "Place", files: "NewFiles") -> bool:
    log = read_log(root, ACTIVATIONS)
    for file, key, _ in files.values():
        check_there(root, file, key)
    for partition, (_, key, identity) in files.items():
        stored = list_files(root, log, **partition.values)
        check_identity(stored, partition, identity)
        if _meets(stored, StoredFile.named(root, key, partition)):
            return False
    added = [add_action(p, file, key) for p, (file, key, _) in files.items()]
    once = [f"partition:{partition.folder}" for partition in files]
    with writing(root, ACTIVATIONS, "cannot commit"):
        if is_ours(log):
            append_files(root, ACTIVATIONS, log, added=added, once=once)
        else:
            _commit_by_library(root, log, added, once=once)
    return True


def _commit_by_library(
    root: "Place", log: Log, added: "Sequence[AddAction]", *, once: Sequence[str]
) -> None:
    from deltalake import CommitProperties, Transaction
    from deltalake.exceptions import CommitFailedError

    delta = open_table(root, ACTIVATIONS)
    if delta.version() != log.version:  # what was looked at is out of date
        raise CommitFailedError("another writer was quicker")
    versions = [(delta.transaction_version(key) or 0) + 1 for key in once]
    transactions = [Transaction(*pair) for pair in zip(once, versions, strict=True)]
    delta.create_write_transaction(
        list(added),
        mode="append",
        schema=delta.schema(),
        partition_by=list(PARTITION),
        commit_properties=CommitProperties(app_transactions=transactions),
    )


def check_there(root: "Place", file: ShardFile, key: str) -> None:
    """Refuse to name a file in the log that somebody deleted or cut since it was written.

    Raises
    ------
    StorageError
    """
    entry = root.entry(key)
    if entry is None or entry.size_bytes != file.size_bytes:
        state = "it is gone" if entry is None else f"it has {entry.size_bytes} bytes"
        raise StorageError(
            f"{root.uri(key)} was written with {file.size_bytes} bytes, now {state}; another "
            "program deleted or changed files of the store (a vacuum?) before they were "
            "committed. Nothing of this shard was added: run the same command again"
        )


def _meets(stored: Sequence[StoredFile], new: StoredFile) -> bool:
    """Whether a sample of a new file is stored already."""
    near = [
        file
        for file in stored
        if file.first_sample <= new.last_sample and new.first_sample <= file.last_sample
    ]
    return bool(near) and bool(np.isin(new.sample_ids, present(near)).any())


def add_action(
    partition: Partition, file: ShardFile, key: str, *, data_change: bool = True
) -> "AddAction":
    """Return what the log says of a new file; ``data_change``: whether its rows are new as well."""
    from deltalake.transaction import AddAction

    low = {SAMPLE_ID: file.first_sample, CHANNEL: 0}
    high = {SAMPLE_ID: file.last_sample, CHANNEL: file.n_channels - 1}
    statistics = {
        "numRecords": file.rows,
        "minValues": low,
        "maxValues": high,
        "nullCount": dict.fromkeys(low, 0),
    }
    return AddAction(
        path=key.removeprefix(f"{ACTIVATIONS}/"),
        size=file.size_bytes,
        partition_values=partition.values,
        modification_time=int(time.time() * 1000),
        data_change=data_change,
        stats=json.dumps(statistics),
    )
