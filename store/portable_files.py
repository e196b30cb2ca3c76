"""The Parquet files of a portable copy: few, plain, without NULL; and what their rows add up to."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyarrow import parquet as pq

from fstore import commands
from fstore.errors import StorageError
from fstore.store.commits import storage
from fstore.store.encode import NULL_KEY, row_checksum
from fstore.store.frames import fill_zeros
from fstore.store.schema import (
    ACT_MAX,
    ACT_SUM,
    ARGMAX,
    CHANNEL,
    MAP,
    NNZ,
    NPOS,
    PARTITION,
    SAMPLE_ID,
    TABLES,
)

if TYPE_CHECKING:
    from fstore.store.files import StoredFile

__all__ = ["Sums", "WrittenFile", "read_sums", "write_files"]

COLUMNS = [name for name in TABLES["activations"].schema.names if name not in PARTITION]
SCHEMA = pa.schema([TABLES["activations"].schema.field(name) for name in COLUMNS]).with_metadata(
    {NULL_KEY: json.dumps({})}
)
GROUP_BYTES = 16 << 20
"""Of raw responses: a row group of the copy, at least; and a batch of rows, at most."""
FILE_BYTES = 256 << 20
"""On disk: a file of the copy that has as many is full."""


@dataclass
class Sums:
    """What rows add up to, in whatever order they come; equal sums of equal rows."""

    rows: int = 0
    checksum: int = 0
    nonzero: int = 0
    map_bits: int = 0

    def add(self, rows: pa.Table) -> None:
        """Count rows that have no NULL."""
        largest, total, nnz = (rows[name].to_numpy() for name in (ACT_MAX, ACT_SUM, NNZ))
        ids, channels = rows[SAMPLE_ID].to_numpy(), rows[CHANNEL].to_numpy()
        maps = rows[MAP].combine_chunks()
        maps = maps.chunk(0) if isinstance(maps, pa.ChunkedArray) else maps
        bits = maps.flatten().to_numpy(zero_copy_only=False).view(np.uint32)
        checksum = row_checksum(ids, channels, largest, act_sum=total)
        self.include(
            Sums(len(rows), checksum, int(nnz.sum(dtype=np.int64)), int(bits.sum(dtype=np.uint64)))
        )

    def include(self, other: "Sums") -> None:
        """Add the sums of other rows."""
        self.rows += other.rows
        self.checksum = (self.checksum + other.checksum) % 2**64
        self.nonzero += other.nonzero
        self.map_bits = (self.map_bits + other.map_bits) % 2**64


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A file of the copy, and what was written into it."""

    path: Path
    sums: Sums
    samples: tuple[int, int]
    """Smallest and largest."""
    channels: tuple[int, int]


def write_files(folder: Path, files: "Sequence[StoredFile]") -> Iterator[WrittenFile | None]:
    """Write the rows of one partition's files, in their order, into as few new files.

    Parameters
    ----------
    folder : Path
        Of the partition; it is made.
    files : sequence of StoredFile

    Yields
    ------
    WrittenFile or None
        Each new file once it is whole; None after each stored file, for who counts them.

    Raises
    ------
    StorageError
        A file cannot be read or written, or does not hold the rows it was committed with.
    """
    with storage(f"cannot write {folder}"):
        folder.mkdir(parents=True)
    count, writer = 0, _Writer(folder / "part-00000.parquet")
    try:
        for file in files:
            for rows in _checked_rows(file):
                writer.add(rows)
                if writer.size_bytes >= FILE_BYTES:
                    yield writer.close()
                    count += 1
                    writer = _Writer(folder / f"part-{count:05d}.parquet")
            yield None
        if writer.sums.rows:
            yield writer.close()
    finally:
        writer.drop()


class _Writer:
    """A new file. Rows are held until they make a row group."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums = Sums()
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._writer: pq.ParquetWriter | None = None
        self._bounds: list[tuple[int, int, int, int]] = []

    @property
    def size_bytes(self) -> int:
        """Bytes on disk so far."""
        return self.path.stat().st_size if self._writer else 0

    def add(self, rows: pa.Table) -> None:
        if not len(rows):
            return
        self.sums.add(rows)
        ids, channels = rows[SAMPLE_ID].to_numpy(), rows[CHANNEL].to_numpy()
        self._bounds.append(
            (int(ids.min()), int(ids.max()), int(channels.min()), int(channels.max()))
        )
        self._held.append(rows)
        self._held_bytes += rows.nbytes
        if self._held_bytes >= GROUP_BYTES:
            self._write()

    def _write(self) -> None:
        with storage(f"cannot write {self.path}"):
            if self._writer is None:
                self._writer = pq.ParquetWriter(
                    self.path,
                    SCHEMA,
                    compression="zstd",
                    compression_level=1,
                    # of floats there are too many, and other encodings not all engines read
                    use_dictionary=[SAMPLE_ID, CHANNEL, NNZ, NPOS, ARGMAX],
                    write_statistics=[SAMPLE_ID, CHANNEL, ACT_MAX],
                    write_page_checksum=True,
                )
            rows = pa.concat_tables(self._held)
            self._writer.write_table(rows, row_group_size=len(rows))
        self._held, self._held_bytes = [], 0

    def close(self) -> WrittenFile:
        if self._held:
            self._write()
        self.drop()
        first, last, low, high = zip(*self._bounds, strict=True)
        return WrittenFile(
            self.path, self.sums, (min(first), max(last)), channels=(min(low), max(high))
        )

    def drop(self) -> None:
        """Close the file if it is open."""
        writer, self._writer = self._writer, None
        if writer is not None:
            with storage(f"cannot write {self.path}"):
                writer.close()


def _checked_rows(file: "StoredFile") -> Iterator[pa.Table]:
    """Yield a stored file's rows with all columns; then compare them with its name."""
    sums = Sums()
    for rows in _rows(file):
        sums.add(rows)
        yield rows
    if not file.is_foreign and sums.checksum != file.checksum:
        raise StorageError(
            f"{file.uri} does not hold the rows that it was committed with; nothing was exported. "
            f"See what is wrong: {commands.verify(file.place)}"
        )


def _rows(file: "StoredFile") -> Iterator[pa.Table]:
    with storage(f"cannot read {file.uri}"):
        parquet = file.parquet()
        for batch in parquet.iter_batches(_batch_rows(parquet), columns=COLUMNS):
            yield fill_zeros(pa.Table.from_batches([batch])).select(COLUMNS).cast(SCHEMA)


def _batch_rows(parquet: pq.ParquetFile) -> int:
    """Return how many rows of a file are decoded at once."""
    if not parquet.metadata.num_row_groups:
        return 1
    group = parquet.metadata.row_group(0)
    leaves = (group.column(i) for i in range(group.num_columns))
    values = sum(leaf.num_values for leaf in leaves if leaf.path_in_schema.startswith(MAP))
    rows: int = GROUP_BYTES * group.num_rows // (4 * max(values, 1))
    return max(rows, 1024)


def read_sums(path: Path) -> Sums:
    """Return the sums of the rows of a copied file, as they are on disk.

    Raises
    ------
    StorageError
    """
    sums = Sums()
    with storage(f"cannot read {path}"):
        parquet = pq.ParquetFile(path, page_checksum_verification=True)
        for batch in parquet.iter_batches(_batch_rows(parquet), columns=COLUMNS):
            sums.add(pa.Table.from_batches([batch]))
    return sums
