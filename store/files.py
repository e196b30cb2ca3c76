"""The files of ``activations``: how they are named, and found in the log (``adding.py`` commits).

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pyarrow import parquet as pq

from fstore import commands
from fstore.errors import StorageError
from fstore.store.commits import storage
from fstore.store.delta_log import Log, log_entries
from fstore.store.identity import RECTIFIED, Identity, Partition
from fstore.store.paths import logged_key
from fstore.store.schema import CHANNEL, PARTITION, SAMPLE_ID

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = [
    "RECTIFIED",
    "Identity",
    "Partition",
    "StoredFile",
    "drop_command",
    "folder_of",
    "list_files",
    "make_again",
    "partition_of",
    "present",
    "stored_file",
]

ACTIVATIONS = "activations"
IDENTITY_KEY = "fstore.identity"
NAME = re.compile(
    r"(?P<first>\d+)-(?P<last>\d+)-(?P<n>\d+)-(?P<fingerprint>[0-9a-f]{16})"
    r"-(?P<checksum>[0-9a-f]{16,})-[0-9a-f]+\.parquet"
)
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What stands for NULL among partition values; only another program writes it."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A committed file: where it is, what it is of, and what its name says.

    A foreign file has no fingerprint, its checksum is a hash of its name, and its samples were
    read from it (none if it cannot be read).
    """

    place: "Place"
    key: str
    partition: Partition
    first_sample: int
    last_sample: int
    n_samples: int
    fingerprint: str
    checksum: int

    @classmethod
    def named(cls, place: "Place", key: str, partition: Partition) -> "StoredFile":
        """Describe a file by its name, or by its rows if the name is not ours."""
        parts = NAME.fullmatch(_name(key))
        if parts is None:
            return cls._foreign(place, key, partition)
        return cls(
            place=place,
            key=key,
            partition=partition,
            first_sample=int(parts["first"]),
            last_sample=int(parts["last"]),
            n_samples=int(parts["n"]),
            fingerprint=parts["fingerprint"],
            checksum=int(parts["checksum"], 16),
        )

    @classmethod
    def _foreign(cls, place: "Place", key: str, partition: Partition) -> "StoredFile":
        try:
            ids = _foreign_samples(place, key)
        except StorageError:  # whoever reads its rows is told
            ids = np.empty(0, dtype=np.int64)
        first, last = (int(ids[0]), int(ids[-1])) if len(ids) else (0, -1)
        # Another name is another file: what was computed from the old one is stale.
        checksum = int(hashlib.sha256(_name(key).encode()).hexdigest()[:16], 16)
        return cls(place, key, partition, first, last, len(ids), "", checksum)

    @property
    def name(self) -> str:
        """Name of the file, without folders."""
        return _name(self.key)

    @property
    def uri(self) -> str:
        """What messages, DuckDB, and pyarrow with the place's filesystem call the file."""
        return self.place.uri(self.key)

    def parquet(self) -> pq.ParquetFile:
        """Open the file; damaged pages are told by their checksums."""
        with storage(f"cannot read {self.uri}"):
            return pq.ParquetFile(
                self.uri, filesystem=self.place.filesystem, page_checksum_verification=True
            )

    def footer(self) -> dict[bytes, bytes]:
        """Return the keys and values of the file's footer."""
        with storage(f"cannot read {self.uri}"):
            metadata = pq.read_metadata(self.uri, filesystem=self.place.filesystem).metadata
        return metadata or {}

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
            return _foreign_samples(self.place, self.key)
        with storage(f"cannot read {self.uri}"):
            rows = pq.read_table(
                self.uri,
                columns=[SAMPLE_ID],
                filters=[(CHANNEL, "=", 0)],
                partitioning=None,
                filesystem=self.place.filesystem,
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
        footer = self.footer()
        try:
            return Identity(json.loads(footer[IDENTITY_KEY.encode()]))
        except (KeyError, ValueError) as error:
            raise StorageError(
                f"{self.uri} does not say what it was computed from: no {IDENTITY_KEY} in its "
                f"footer; another program wrote it. {make_again(self)}"
            ) from error


@lru_cache(maxsize=4096)
def _foreign_samples(place: "Place", key: str) -> NDArray[np.int64]:
    """Return the samples of a file's rows, ascending; files are never changed in place."""
    uri = place.uri(key)
    with storage(f"cannot read {uri}"):
        rows = pq.read_table(
            uri, columns=[SAMPLE_ID], partitioning=None, filesystem=place.filesystem
        )
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
    return commands.drop(file.place, file.partition.values)


def folder_of(partition: Partition) -> str:
    """Return the key of the folder that a partition's files are in."""
    return f"{ACTIVATIONS}/{partition.folder}"


def list_files(root: "Place", log: "DeltaTable | Log", **equal: str) -> list[StoredFile]:
    """List the committed files whose partition values equal the given ones."""
    return [stored_file(root, entry) for entry in log_entries(log, **equal).to_pylist()]


def stored_file(root: "Place", entry: Mapping[str, Any]) -> StoredFile:
    """Describe a file by its entry, a row of :func:`~fstore.store.delta_log.log_entries`."""
    return StoredFile.named(root, logged_key(root, ACTIVATIONS, entry["path"]), partition_of(entry))


def partition_of(entry: Mapping[str, Any]) -> Partition:
    """Return the partition that an entry of the log says."""
    values = (entry[f"partition.{column}"] for column in PARTITION)
    return Partition(*(NO_VALUE if value is None else value for value in values))


def present(files: Sequence[StoredFile]) -> NDArray[np.int64]:
    """Return the samples that files hold together, ascending."""
    if not files:
        return np.empty(0, dtype=np.int64)
    return np.unique(np.concatenate([file.sample_ids for file in files]))


def _name(key: str) -> str:
    return key.rpartition("/")[2]
