"""A copy of stored responses that any engine reads right: zeros are 0, and all columns whole.

The copy is a Delta table of its own, partitioned as ``activations``. It is written beside its place
and renamed once its rows have been read back and agree with what was written: all or nothing.
"""

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fstore.ending import leftover
from fstore.errors import StorageError, UnknownNameError
from fstore.store.commits import storage
from fstore.store.delta_log import log_entries
from fstore.store.identity import Partition
from fstore.store.locks import alone, is_held
from fstore.store.paths import check_place
from fstore.store.portable_files import Sums, WrittenFile, read_sums, write_files
from fstore.store.schema import CHANNEL, PARTITION, SAMPLE_ID, TABLES

if TYPE_CHECKING:
    from deltalake.transaction import AddAction

    from fstore.store.files import StoredFile

__all__ = ["PortableCopy", "write_portable"]

PREFIX = ".fstore-portable-"
"""Of folders of work in hand, beside the copy."""
LOCK = "lock"
"""In such a folder: held while its process lives."""
DESCRIPTION = "Responses copied from an fstore store: a zero is 0, no value is NULL."

Progress = Callable[[str, int, int, str], None]


@dataclass(frozen=True, slots=True)
class PortableCopy:
    """A finished copy."""

    path: Path
    rows: int
    partitions: int
    files: int
    size_bytes: int


def write_portable(
    files: "Sequence[StoredFile]", out: Path, *, on_progress: Progress | None = None
) -> PortableCopy:
    """Copy stored files into a new Delta table in which no value is NULL for 0.

    Parameters
    ----------
    files : sequence of StoredFile
    out : Path
        A local folder that does not exist yet.
    on_progress : callable or None
        Called with what is done, stored files copied, files in all, and rows a second.

    Returns
    -------
    PortableCopy

    Raises
    ------
    UnknownNameError
        There are no files.
    StorageError
        The folder is there; a file cannot be read, or does not hold the rows that it was committed
        with; the copy does not read back as it was written. Nothing is left under ``out``.
    """
    if not files:
        raise UnknownNameError("nothing that is stored fits the given names")
    _check_new(out)
    with storage(f"cannot write {out}"):
        out.parent.mkdir(parents=True, exist_ok=True)
        check_place(out)
        with _draft(out) as draft:
            table = draft / "table"
            written = _write(files, table, on_progress or (lambda *_: None))
            _compare(table, written)
            _check_new(out)
            table.rename(out)
    in_all = Sums()
    for _, file in written:
        in_all.include(file.sums)
    size = sum(path.stat().st_size for path in out.rglob("*.parquet"))
    return PortableCopy(out, in_all.rows, len({f.partition for f in files}), len(written), size)


def _check_new(out: Path) -> None:
    if out.exists() or out.is_symlink():
        raise StorageError(f"{out} exists already; name a new folder for the copy, or delete it")


@contextmanager
def _draft(out: Path) -> Iterator[Path]:
    """Make a hidden folder beside the copy; remove those of runs that were killed."""
    prefix = f"{PREFIX}{out.name}-"
    for old in out.parent.glob(f"{PREFIX}*"):
        if old.name.startswith(prefix) and (old / LOCK).exists() and not is_held(old / LOCK):
            shutil.rmtree(old, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
    with leftover(draft), alone(draft / LOCK):
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _write(
    files: "Sequence[StoredFile]", table: Path, on_progress: Progress
) -> list[tuple[Partition, WrittenFile]]:
    """Write all partitions' files, and then the log that names them."""
    parts: dict[Partition, list[StoredFile]] = {}
    for file in sorted(files, key=lambda f: (f.partition, f.first_sample)):
        parts.setdefault(file.partition, []).append(file)
    written: list[tuple[Partition, WrittenFile]] = []
    done, began = 0, time.monotonic()
    for partition, of_partition in parts.items():
        for new in write_files(table / partition.folder, of_partition):
            if new is not None:
                written.append((partition, new))
                continue
            done += 1
            files_s = done / max(time.monotonic() - began, 1e-9)
            on_progress(f"copying {partition}", done, len(files), f"{files_s:.1f} files/s")
    on_progress("comparing", done, len(files), "")
    _commit(table, written)
    return written


def _commit(table: Path, written: Sequence[tuple[Partition, WrittenFile]]) -> None:
    from deltalake import DeltaTable

    delta = DeltaTable.create(
        str(table),
        TABLES["activations"].schema,
        partition_by=list(PARTITION),
        description=DESCRIPTION,
    )
    delta.create_write_transaction(
        [_added(table, partition, file) for partition, file in written],
        mode="append",
        schema=delta.schema(),
        partition_by=list(PARTITION),
    )


def _added(table: Path, partition: Partition, file: WrittenFile) -> "AddAction":
    from deltalake.transaction import AddAction

    statistics = {
        "numRecords": file.sums.rows,
        "minValues": {SAMPLE_ID: file.samples[0], CHANNEL: file.channels[0]},
        "maxValues": {SAMPLE_ID: file.samples[1], CHANNEL: file.channels[1]},
        "nullCount": {SAMPLE_ID: 0, CHANNEL: 0},
    }
    return AddAction(
        path=file.path.relative_to(table).as_posix(),
        size=file.path.stat().st_size,
        partition_values=partition.values,
        modification_time=int(time.time() * 1000),
        data_change=True,
        stats=json.dumps(statistics),
    )


def _compare(table: Path, written: Sequence[tuple[Partition, WrittenFile]]) -> None:
    """Read the files that the copy's log names, and compare their rows with what was written."""
    from deltalake import DeltaTable

    wanted = {file.path: file.sums for _, file in written}
    entries = log_entries(DeltaTable(str(table)))["path"].to_pylist()
    if {table / unquote(entry) for entry in entries} != set(wanted):
        raise StorageError(f"the log of the copy in {table} does not name the files written")
    for path, sums in wanted.items():
        if (read := read_sums(path)) != sums:
            raise StorageError(
                f"the copy does not read back as it was written: {read} for {sums} in {path.name}; "
                "nothing is left of it; is the disk sound?"
            )
