"""The files of ``activations``: how they are named, found in the log, and committed.

A file's name says what it holds: first and last sample, number of samples, the fingerprint of its
partition, the checksum of its rows, and something unique. All of it is therefore in Delta's log,
in one transaction with the data. ``docs/decisions/0002-commits.md`` says why.
"""

import json
import shlex
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote, unquote

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore.errors import IdentityError, StorageError
from fstore.store.encode import ShardFile
from fstore.store.schema import CHANNEL, PARTITION, SAMPLE_ID
from fstore.store.tables import COMMIT_TRIES, open_table, storage, writing

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["Identity", "Partition", "StoredFile", "commit", "list_files", "new_path", "present"]

ACTIVATIONS = "activations"
IDENTITY_KEY = "fstore.identity"

NewFiles: TypeAlias = "Mapping[Partition, tuple[ShardFile, Path, Identity]]"
"""Sealed files of one shard, by the partition that they fill."""


@dataclass(frozen=True, slots=True, order=True)
class Partition:
    """One layer's responses of one checkpoint to one view of a data set."""

    network: str
    ckpt: str
    dataset: str
    view: str
    layer: str

    @property
    def values(self) -> dict[str, str]:
        """Partition column -> value."""
        return {name: getattr(self, name) for name in PARTITION}

    @property
    def folder(self) -> str:
        """Path below the table, ``/`` and ``:`` in names percent-encoded."""
        return "/".join(f"{k}={quote(v, safe='')}" for k, v in self.values.items())

    def __str__(self) -> str:
        return f"{self.network}/{self.ckpt} {self.dataset}.{self.view} {self.layer}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a partition's values depend on: part -> hash or setting; the hash of all is its name.

    Parts are ``weights``, ``definition`` (the network up to the tap), ``preprocessing``,
    ``samples`` (the view's manifest), ``stored precision`` and ``compute precision``.
    """

    parts: Mapping[str, str]

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the sha256 of the parts."""
        import hashlib

        text = json.dumps(dict(self.parts), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A committed file, read off its path."""

    path: Path
    partition: Partition
    first_sample: int
    last_sample: int
    n_samples: int
    fingerprint: str
    checksum: int

    @classmethod
    def parse(cls, path: str) -> "StoredFile":
        """Read a path of the log."""
        *_, network, ckpt, dataset, view, layer, name = path.split("/")
        values = [unquote(part.split("=", 1)[1]) for part in (network, ckpt, dataset, view, layer)]
        first, last, n_samples, fingerprint, checksum, _ = name.split(".")[0].split("-")
        return cls(
            path=Path(path),
            partition=Partition(*values),
            first_sample=int(first),
            last_sample=int(last),
            n_samples=int(n_samples),
            fingerprint=fingerprint,
            checksum=int(checksum, 16),
        )

    @property
    def sample_ids(self) -> NDArray[np.int64]:
        """Samples in the file; read from it only where the range has holes."""
        if self.n_samples == self.last_sample - self.first_sample + 1:
            return np.arange(self.first_sample, self.last_sample + 1)
        with storage(f"cannot read {self.path}"):
            rows = pq.read_table(
                self.path, columns=[SAMPLE_ID], filters=[(CHANNEL, "=", 0)], partitioning=None
            )
        ids: NDArray[np.int64] = rows[SAMPLE_ID].to_numpy()
        return ids

    @property
    def identity(self) -> Identity:
        """The parts behind the fingerprint, from the file's footer."""
        with storage(f"cannot read {self.path}"):
            metadata = pq.read_metadata(self.path).metadata
        return Identity(json.loads(metadata[IDENTITY_KEY.encode()]))


def new_path(root: Path, partition: Partition) -> Path:
    """Return an unused path for a file that is being written; its folder exists."""
    folder = root / ACTIVATIONS / partition.folder
    with storage(f"cannot write {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{uuid.uuid4().hex[:12]}.parquet.tmp"


def seal(file: ShardFile, n_samples: int, identity: Identity) -> Path:
    """Give a finished file its final name."""
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
    return file.path.rename(file.path.with_name(f"{name}.parquet"))


def list_files(delta: "DeltaTable", **equal: str) -> list[StoredFile]:
    """List the committed files whose partition values equal the given ones."""
    wanted = [(column, "=", value) for column, value in equal.items()]
    return [StoredFile.parse(uri) for uri in delta.file_uris(file_pruning_predicate=wanted or None)]


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
        Says which parts differ and how to make room.
    """
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
        "Use another name, or make room with: fstore drop "
        + " ".join(f"--{column} {shlex.quote(value)}" for column, value in partition.values.items())
    )


def commit(root: Path, files: "NewFiles") -> bool:
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
        The log cannot be written.
    """
    from deltalake.exceptions import CommitFailedError

    for _ in range(COMMIT_TRIES):
        try:
            return _try_commit(root, files)
        except (CommitFailedError, StorageError) as error:
            if committed(root, files):  # what failed came after the commit: a log checkpoint, say
                return True
            if isinstance(error, StorageError):
                raise
        time.sleep(0.01)  # another process added to one of these partitions
    raise StorageError(f"{COMMIT_TRIES} commits in a row met another writer's")


def committed(root: Path, files: "NewFiles") -> bool:
    """Whether files are in the log; they are all there, or none."""
    delta = open_table(root, ACTIVATIONS)
    return any(
        path.name in {file.path.name for file in list_files(delta, **partition.values)}
        for partition, (_, path, _) in files.items()
    )


def _try_commit(root: Path, files: "NewFiles") -> bool:
    from deltalake import CommitProperties, Transaction

    delta = open_table(root, ACTIVATIONS)
    once = []
    for partition, (_, path, identity) in files.items():
        stored = list_files(delta, **partition.values)
        check_identity(stored, partition, identity)
        if _meets(stored, StoredFile.parse(str(path))):
            return False
        key = f"partition:{partition.folder}"
        once.append(Transaction(key, (delta.transaction_version(key) or 0) + 1))
    with writing("cannot commit", root / ACTIVATIONS):
        delta.create_write_transaction(
            [_action(root, p, file, path) for p, (file, path, _) in files.items()],
            mode="append",
            schema=delta.schema(),
            partition_by=list(PARTITION),
            commit_properties=CommitProperties(app_transactions=once),
        )
    return True


def _meets(stored: Sequence[StoredFile], new: StoredFile) -> bool:
    """Whether a sample of a new file is stored already."""
    near = [
        file
        for file in stored
        if file.first_sample <= new.last_sample and new.first_sample <= file.last_sample
    ]
    return bool(near) and bool(np.isin(new.sample_ids, present(near)).any())


def _action(root: Path, partition: Partition, file: ShardFile, path: Path) -> object:
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
        path=path.relative_to(root / ACTIVATIONS).as_posix(),
        size=file.size_bytes,
        partition_values=partition.values,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps(statistics),
    )
