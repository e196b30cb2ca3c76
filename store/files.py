"""The files of ``activations``: how they are named, found in the log, and committed.

A file's name says what it holds: first and last sample, number of samples, the fingerprint of its
partition, the checksum of its rows, and something unique. All of it is therefore in Delta's log,
in one transaction with the data. ``docs/decisions/0002-commits.md`` says why.

Partition values come from the log, never from folders. A file of another name is *foreign*: another
program rewrote the rows (``optimize``, ``delete``, ``update``). Its samples are read from it; what
it was computed from nobody knows, so nothing is added to its partition.
"""

import hashlib
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore import commands
from fstore.errors import IdentityError, StorageError
from fstore.store import sums
from fstore.store.commits import storage, until_committed, writing
from fstore.store.delta_log import log_entries
from fstore.store.encode import ShardFile
from fstore.store.identity import RECTIFIED, Identity, Partition
from fstore.store.paths import logged_key
from fstore.store.schema import CHANNEL, PARTITION, SAMPLE_ID
from fstore.store.tables import open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = [
    "RECTIFIED",
    "Identity",
    "Partition",
    "StoredFile",
    "commit",
    "list_files",
    "new_path",
    "present",
]

ACTIVATIONS = "activations"
IDENTITY_KEY = "fstore.identity"
NAME = re.compile(
    r"(?P<first>\d+)-(?P<last>\d+)-(?P<n>\d+)-(?P<fingerprint>[0-9a-f]{16})"
    r"-(?P<checksum>[0-9a-f]{16,})-[0-9a-f]+\.parquet"
)
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What stands for NULL among partition values; only another program writes it."""

NewFiles: TypeAlias = "Mapping[Partition, tuple[ShardFile, str, Identity]]"
"""Sealed files of one shard and their keys, by the partition that they fill."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A committed file: where it is, what it is of, and what its name says.

    A foreign file has no fingerprint, its checksum is a hash of its name, and its samples were
    read from it (none if it cannot be read).
    """

    path: Path
    partition: Partition
    first_sample: int
    last_sample: int
    n_samples: int
    fingerprint: str
    checksum: int

    @classmethod
    def named(cls, path: Path, partition: Partition) -> "StoredFile":
        """Describe a file by its name, or by its rows if the name is not ours."""
        parts = NAME.fullmatch(path.name)
        if parts is None:
            return cls._foreign(path, partition)
        return cls(
            path=path,
            partition=partition,
            first_sample=int(parts["first"]),
            last_sample=int(parts["last"]),
            n_samples=int(parts["n"]),
            fingerprint=parts["fingerprint"],
            checksum=int(parts["checksum"], 16),
        )

    @classmethod
    def _foreign(cls, path: Path, partition: Partition) -> "StoredFile":
        try:
            ids = _foreign_samples(path)
        except StorageError:  # whoever reads its rows is told
            ids = np.empty(0, dtype=np.int64)
        first, last = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
        # Another name is another file: what was computed from the old one is stale.
        checksum = int(hashlib.sha256(path.name.encode()).hexdigest()[:16], 16)
        return cls(path, partition, first, last, len(ids), "", checksum)

    @property
    def root(self) -> Path | None:
        """The store that the file lies in; None if another program's log has it elsewhere."""
        return next((p.parent for p in self.path.parents if p.name == ACTIVATIONS), None)

    @property
    def is_foreign(self) -> bool:
        """Whether another program than fstore wrote the file."""
        return not self.fingerprint

    @property
    def is_rectified(self) -> bool:
        """Whether negative responses were stored as 0; False of a file that does not say."""
        try:
            return RECTIFIED.items() <= self.identity.parts.items()
        except StorageError:
            return False

    @property
    def sample_ids(self) -> NDArray[np.int64]:
        """Samples in the file; read from it only where the range has holes."""
        if self.n_samples == self.last_sample - self.first_sample + 1:
            return np.arange(self.first_sample, self.last_sample + 1)
        if self.is_foreign:
            return _foreign_samples(self.path)
        with storage(f"cannot read {self.path}"):
            rows = pq.read_table(
                self.path, columns=[SAMPLE_ID], filters=[(CHANNEL, "=", 0)], partitioning=None
            )
        ids: NDArray[np.int64] = rows[SAMPLE_ID].to_numpy()
        return ids

    @property
    def identity(self) -> Identity:
        """The parts behind the fingerprint, from the file's footer.

        Raises
        ------
        StorageError
            The file cannot be read, or its footer has no identity.
        """
        with storage(f"cannot read {self.path}"):
            metadata = pq.read_metadata(self.path).metadata or {}
        try:
            return Identity(json.loads(metadata[IDENTITY_KEY.encode()]))
        except (KeyError, ValueError) as error:
            raise StorageError(
                f"{self.path} does not say what it was computed from: no {IDENTITY_KEY} in its "
                f"footer; another program wrote it. {make_again(self)}"
            ) from error


@lru_cache(maxsize=4096)
def _foreign_samples(path: Path) -> NDArray[np.int64]:
    """Return the samples of a file's rows, ascending; files are never changed in place."""
    with storage(f"cannot read {path}"):
        rows = pq.read_table(path, columns=[SAMPLE_ID], partitioning=None)
    ids: NDArray[np.int64] = np.unique(rows[SAMPLE_ID].drop_null().to_numpy())
    ids.flags.writeable = False
    return ids


def make_again(file: StoredFile) -> str:
    """Say how the partition of a file gets files of fstore's own again."""
    return (
        "To have fstore's files back, undo what that program did "
        "(deltalake: DeltaTable(FOLDER).restore(VERSION), as long as it has not vacuumed), or "
        f"remove and extract it again: {drop_command(file)}"
    )


def drop_command(file: StoredFile) -> str:
    """Return the command that removes the partition of a file."""
    return commands.drop(file.root, file.partition.values)


def new_path(root: "Place", partition: Partition) -> Path:
    """Return an unused path for a file that is being written; its folder exists."""
    with storage(f"cannot write {partition}"):
        return root.draft(_folder(partition), ".parquet.tmp")


def seal(
    root: "Place", partition: Partition, file: ShardFile, *, n_samples: int, identity: Identity
) -> str:
    """Put a finished file into the store under its final name; return its key."""
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
    key = f"{_folder(partition)}/{name}.parquet"
    root.put(file.path, key)
    return key


def _folder(partition: Partition) -> str:
    return f"{ACTIVATIONS}/{partition.folder}"


def list_files(root: "Place", delta: "DeltaTable", **equal: str) -> list[StoredFile]:
    """List the committed files whose partition values equal the given ones."""
    return [stored_file(root, entry) for entry in log_entries(delta, **equal).to_pylist()]


def stored_file(root: "Place", entry: Mapping[str, Any]) -> StoredFile:
    """Describe a file by its entry, a row of :func:`~fstore.store.delta_log.log_entries`."""
    values = (entry[f"partition.{column}"] for column in PARTITION)
    partition = Partition(*(NO_VALUE if value is None else value for value in values))
    return StoredFile.named(root.local(logged_key(root, ACTIVATIONS, entry["path"])), partition)


def present(files: Sequence[StoredFile]) -> NDArray[np.int64]:
    """Return the samples that files hold together, ascending."""
    if not files:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.concatenate([file.sample_ids for file in files]))


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
            f"{partition} holds a file that another program wrote ({foreign.path.name}): what it "
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

    def attempt() -> bool:
        try:
            return _try_commit(root, files)
        except (CommitFailedError, StorageError):
            if committed(root, files):  # what failed came after: a log checkpoint, say
                return True
            raise

    done = until_committed(ACTIVATIONS, attempt)
    sums.record(root, ACTIVATIONS)
    return done


def committed(root: "Place", files: "NewFiles") -> bool:
    """Whether files are in the log; they are all there, or none."""
    delta = open_table(root, ACTIVATIONS)
    return any(
        _name(key) in {file.path.name for file in list_files(root, delta, **partition.values)}
        for partition, (_, key, _) in files.items()
    )


def _name(key: str) -> str:
    return key.rpartition("/")[2]


def _try_commit(root: "Place", files: "NewFiles") -> bool:
    from deltalake import CommitProperties, Transaction

    delta = open_table(root, ACTIVATIONS)
    _check_there(root, files)
    once = []
    for partition, (_, key, identity) in files.items():
        stored = list_files(root, delta, **partition.values)
        check_identity(stored, partition, identity)
        if _meets(stored, StoredFile.named(root.local(key), partition)):
            return False
        once_key = f"partition:{partition.folder}"
        once.append(Transaction(once_key, (delta.transaction_version(once_key) or 0) + 1))
    with writing(root, ACTIVATIONS, "cannot commit"):
        delta.create_write_transaction(
            [_action(p, file, key) for p, (file, key, _) in files.items()],
            mode="append",
            schema=delta.schema(),
            partition_by=list(PARTITION),
            commit_properties=CommitProperties(app_transactions=once),
        )
    return True


def _check_there(root: "Place", files: "NewFiles") -> None:
    """Refuse to name files in the log that somebody deleted or cut since they were written."""
    for file, key, _ in files.values():
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


def _action(partition: Partition, file: ShardFile, key: str) -> object:
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
        data_change=True,
        stats=json.dumps(statistics),
    )
