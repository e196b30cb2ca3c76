"""Put the small files of partitions together: fewer, larger files with the same rows.

Nothing that is computed from responses notices: the rows, their order by channel and sample, and
the version of the partition (``versions.py``) stay what they were. What is replaced is taken from
the log in the transaction that adds the new file, and stays on disk for those who read it still,
until ``fstore gc``. ``docs/compact.md`` has the measurements.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from fstore import commands
from fstore.ending import leftover
from fstore.errors import DataError, FstoreError, StorageError, UnknownNameError
from fstore.store import sums
from fstore.store.adding import add_action, check_there, new_path, seal
from fstore.store.commits import storage, until_committed, writing
from fstore.store.delta_log import log_entries
from fstore.store.encode import ShardFile
from fstore.store.files import ACTIVATIONS, stored_file
from fstore.store.identity import Identity, Partition
from fstore.store.kept import sidecar_key
from fstore.store.leases import working
from fstore.store.maintenance import Selection
from fstore.store.merging import merge_files
from fstore.store.schema import PARTITION
from fstore.store.sources import UnfitError, open_source
from fstore.store.status import LoggedFile, logged_files
from fstore.store.tables import open_table, read_log
from fstore.types import OnProgress

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from fstore.store.place import Place

__all__ = ["COMPACT_COLUMNS", "TARGET_BYTES", "compact", "plan_compact"]

COMPACT_COLUMNS = (*PARTITION, "files_before", "files_after", "bytes_before", "bytes_after")
TARGET_BYTES = 256 * 10**6
"""Of a new file, at least; twice as many at most. A file with half of it is left as it is."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Files of one partition that become one: neighbours in order of their first sample."""

    partition: Partition
    files: tuple[LoggedFile, ...]

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(logged.size_bytes for logged in self.files)


@dataclass(slots=True)
class _Count:
    """What became of a partition's files; bytes after are None where only planned."""

    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int | None


@dataclass(frozen=True, slots=True)
class _Told:
    """Who is told what."""

    note: Callable[[str], object]
    problem: Callable[[str], object]


def _nobody(_: str) -> None:
    """Tell nobody."""


def plan_compact(
    root: "Place", selection: Selection | None = None, *, target_bytes: int = TARGET_BYTES
) -> list[dict[str, Any]]:
    """Say what :func:`compact` would do; ``bytes_after`` is None where files would be rewritten.

    Raises
    ------
    DataError, UnknownNameError
        As :func:`compact`.
    """
    listed = _listed(root, selection, target_bytes)
    return [_row(p, _count(files, target_bytes)) for p, files in listed.items()]


def compact(
    root: "Place",
    selection: Selection | None = None,
    *,
    target_bytes: int = TARGET_BYTES,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], object] | None = None,
    on_problem: Callable[[str], object] | None = None,
) -> list[dict[str, Any]]:
    """Write the rows of small files into fewer, larger ones, and have these in their place.

    Each new file is committed by itself: what was done before an interruption stays, and the next
    call does the rest. Files that another program wrote are left alone, and told. If the files of
    a new one were dropped or put together by somebody else meanwhile, the new one is thrown away.

    Parameters
    ----------
    root : Place
        The store.
    selection : Selection or None
        These activations only.
    target_bytes : int
        Of a new file, at least; files with half as many are left as they are.
    on_progress : callable or None
        Told of megabytes that are written again.
    on_note : callable or None
        Told of files that were left alone, being another program's or somebody else's meanwhile.
    on_problem : callable or None
        Told of files that are damaged, and stay as they are with those of the same new file.

    Returns
    -------
    list of dict
        Keys :data:`COMPACT_COLUMNS`, a row a partition.

    Raises
    ------
    DataError
        The target is no size.
    UnknownNameError
        No activations fit the selection.
    StorageError
        The store cannot be written.
    """
    told = _Told(on_note or _nobody, on_problem or _nobody)
    with working(root, "compact activations"):
        listed = _listed(root, selection, target_bytes)
        counts = {p: _count(files, target_bytes, planned=False) for p, files in listed.items()}
        for partition, files in listed.items():
            if foreign := [logged for logged in files if logged.file.is_foreign]:
                told.note(
                    f"{partition}: another program wrote {len(foreign)} of its files; left alone"
                )
        bundles = [b for p, files in listed.items() for b in _bundles(p, files, target_bytes)]
        progress = _Progress(bundles, on_progress)
        for bundle in bundles:
            count = counts[bundle.partition]
            new = _replace(root, bundle, progress=progress, told=told)
            if new is not None:
                count.files_after -= len(bundle.files) - 1
                count.bytes_after = (count.bytes_after or 0) + new - bundle.size_bytes
            progress.next(bundle)
    return [_row(partition, count) for partition, count in counts.items()]


# What is to be done


def _listed(
    root: "Place", selection: Selection | None, target_bytes: int
) -> dict[Partition, list[LoggedFile]]:
    """Return the files of each partition, by first sample."""
    if target_bytes < 1:
        raise DataError(f"files of {target_bytes} bytes cannot be made; give a size above 0")
    equal = {} if selection is None else selection.given
    listed: dict[Partition, list[LoggedFile]] = defaultdict(list)
    for logged in logged_files(root, **equal):
        listed[logged.file.partition].append(logged)
    if equal and not listed:
        raise UnknownNameError(
            f"no activations in the store fit {selection}; {commands.status(root)} lists what "
            "there is"
        )
    return listed


def _count(files: Sequence[LoggedFile], target_bytes: int, *, planned: bool = True) -> _Count:
    """Count files and bytes; if only planned, what they will be as far as that is known."""
    n, size = len(files), sum(logged.size_bytes for logged in files)
    if not planned:
        return _Count(n, n, size, size)
    bundles = list(_bundles(files[0].file.partition, files, target_bytes))
    gone = sum(len(bundle.files) - 1 for bundle in bundles)
    return _Count(n, n - gone, size, None if bundles else size)


def _bundles(
    partition: Partition, files: Sequence[LoggedFile], target_bytes: int
) -> Iterator[Bundle]:
    """Yield which small files become one: neighbours, until they have the target's bytes.

    What is left at the end joins the last ones if it has less than half of the target, so that a
    second run finds no more than one small file, and nothing to do.
    """
    small: dict[str, list[LoggedFile]] = defaultdict(list)
    for logged in files:
        if not logged.file.is_foreign and 2 * logged.size_bytes < target_bytes:
            small[logged.file.fingerprint].append(logged)
    for alike in small.values():
        parts: list[list[LoggedFile]] = []
        size = target_bytes
        for logged in alike:
            if size >= target_bytes:
                parts.append([])
                size = 0
            parts[-1].append(logged)
            size += logged.size_bytes
        if len(parts) > 1 and 2 * size < target_bytes:
            rest = parts.pop()
            parts[-1] += rest
        yield from (Bundle(partition, tuple(part)) for part in parts if len(part) > 1)


def _row(partition: Partition, count: _Count) -> dict[str, Any]:
    told = {name: getattr(count, name) for name in COMPACT_COLUMNS[len(PARTITION) :]}
    return {**partition.values, **told}


class _Progress:
    """How many megabytes of all were written again."""

    def __init__(self, bundles: Sequence[Bundle], told: OnProgress | None) -> None:
        self._told = told
        self._all = sum(bundle.size_bytes for bundle in bundles)
        self._done = 0

    def within(self, bundle: Bundle, share: float) -> None:
        """Tell of a share of a bundle."""
        if self._told is not None:
            done = self._done + share * bundle.size_bytes
            self._told(str(bundle.partition), int(done / 1e6), -(-self._all // 10**6), "MB")

    def next(self, bundle: Bundle) -> None:
        """Count a bundle as done."""
        self._done += bundle.size_bytes


# One new file


def _replace(root: "Place", bundle: Bundle, *, progress: _Progress, told: _Told) -> int | None:
    """Have one file in the place of several; return its bytes, None if they stay."""
    path = new_path(root, bundle.partition)
    try:
        sources = [open_source(logged.file) for logged in bundle.files]
        with storage(f"cannot write {bundle.partition}"), leftover(path):
            file = merge_files(
                path,
                sources,
                on_channels=lambda n: progress.within(bundle, n / sources[0].n_channels),
            )
            key = _seal(root, bundle, file, identity=sources[0].identity)
    except UnfitError as error:
        paths = _logged(root, bundle.partition)
        if all(logged.file.key in paths for logged in bundle.files):
            n = len(bundle.files)
            told.problem(f"{bundle.partition}: {n} files stay as they are: {error}")
        else:
            told.note(_meanwhile(bundle))
        return None
    finally:
        path.unlink(missing_ok=True)  # a sealed file has another name by now
    if _exchange(root, bundle, file, key=key):
        return file.size_bytes
    told.note(_meanwhile(bundle))
    return None


def _meanwhile(bundle: Bundle) -> str:
    return (
        f"{bundle.partition}: its files were dropped or put together by somebody else meanwhile; "
        "nothing of it was changed"
    )


def _seal(root: "Place", bundle: Bundle, file: ShardFile, *, identity: Identity) -> str:
    n_samples = sum(logged.file.n_samples for logged in bundle.files)
    return seal(root, bundle.partition, file, n_samples=n_samples, identity=identity)


def _exchange(root: "Place", bundle: Bundle, file: ShardFile, *, key: str) -> bool:
    """Have a new file in the place of others, in one transaction; False if one of them is gone."""
    from deltalake.exceptions import CommitFailedError

    def attempt() -> bool:
        try:
            return _try_exchange(root, bundle, file, key=key)
        except (CommitFailedError, StorageError):
            if key in _logged(root, bundle.partition):  # what failed came after
                return True
            raise

    done = False
    try:
        done = until_committed(ACTIVATIONS, attempt)
    finally:
        if not done:
            with suppress(FstoreError):  # where the log cannot be read, it is left for gc
                _discard(root, bundle.partition, key)
    sums.record(root, ACTIVATIONS)
    return done


def _try_exchange(root: "Place", bundle: Bundle, file: ShardFile, *, key: str) -> bool:
    from deltalake import CommitProperties, Transaction
    from deltalake.transaction import RemoveAction

    delta = open_table(root, ACTIVATIONS)
    partition, now = bundle.partition, int(time.time() * 1000)
    paths = _logged(root, partition, delta)
    if key in paths:
        return True
    if not all(logged.file.key in paths for logged in bundle.files):
        return False
    check_there(root, file, key)
    gone = [
        RemoveAction(
            path=unquote(paths[logged.file.key]),
            data_change=False,
            deletion_timestamp=now,
            size=logged.size_bytes,
            partition_values=partition.values,
        )
        for logged in bundle.files
    ]
    once_key = f"partition:{partition.folder}"
    once = Transaction(once_key, (delta.transaction_version(once_key) or 0) + 1)
    with writing(root, ACTIVATIONS, "cannot commit"):
        delta.create_write_transaction(
            [add_action(partition, file, key, data_change=False), *gone],
            mode="append",
            schema=delta.schema(),
            partition_by=list(PARTITION),
            commit_properties=CommitProperties(app_transactions=[once]),
        )
    return True


def _logged(
    root: "Place", partition: Partition, delta: "DeltaTable | None" = None
) -> dict[str, str]:
    """Return key -> path in the log, of the files of a partition."""
    opened = read_log(root, ACTIVATIONS) if delta is None else delta
    entries = log_entries(opened, **partition.values).to_pylist()
    return {stored_file(root, entry).key: entry["path"] for entry in entries}


def _discard(root: "Place", partition: Partition, key: str) -> None:
    """Delete a file that no log names, and its sidecar."""
    if key not in _logged(root, partition):
        root.delete(key)
        root.delete(sidecar_key(key))
