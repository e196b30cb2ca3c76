"""Check a store; here: that the files of ``activations`` hold what log and names say."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.errors import FstoreError
from fstore.store import sums
from fstore.store.encode import row_checksum
from fstore.store.files import ACTIVATIONS, Partition, make_again
from fstore.store.index import Shape, layer_shapes
from fstore.store.kept import sidecar_key
from fstore.store.maintenance import Selection
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
from fstore.store.status import LoggedFile, logged_files
from fstore.store.totals import file_totals
from fstore.store.verify_tables import check_catalog, check_rows_of, check_table_log
from fstore.store.verify_topk import sidecar_problems

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["PROBLEM_COLUMNS", "verify"]

PROBLEM_COLUMNS = (*PARTITION, "file", "problem")


def verify(root: "Place", selection: Selection | None = None) -> Iterator[dict[str, Any]]:
    """Yield what is wrong with a store; nothing if all is well.

    Of every table: the log and each file must be what was committed (``store/sums.py``), files
    must be there, have the size and the rows that the log says, and lie in the folder of their
    partition. Each file of ``activations`` must hold pages whose CRCs are right, and the rows,
    samples, checksum and fingerprint that its name says; its maps must give its summary columns;
    no sample may be in two files of a partition. A sidecar (``store/sidecars.py``) must hold what
    its data file gives; one that is not there is no problem. The samples and labels of data sets,
    and the weights and preprocessing of checkpoints, must have the hashes that were recorded.
    Everything is read once, a row group at a time (what sidecars are compared with, twice).

    Parameters
    ----------
    root : Place
        The store.
    selection : Selection or None
        Look at these activations only: to know that what one is about to ask for is whole.

    Yields
    ------
    dict
        Keys :data:`PROBLEM_COLUMNS`; ``file`` is relative to the store.
    """
    damaged = set()
    for name in TABLES if selection is None else (ACTIVATIONS,):
        for file, problem in (*check_table_log(root, name), *check_rows_of(root, name)):
            damaged.add(name)
            yield _row({}, file, problem)
    yield from _activations(root, {} if selection is None else selection.given)
    if selection is None:
        for key, file, problem in check_catalog(root, without=damaged):
            yield _row(key, file, problem)


def _row(key: Mapping[str, str], file: str, problem: str) -> dict[str, Any]:
    return {**dict.fromkeys(PARTITION, ""), **key, "file": file, "problem": problem}


def _activations(root: "Place", equal: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    partitions: dict[Partition, list[LoggedFile]] = defaultdict(list)
    try:
        for logged in logged_files(root, **equal):
            partitions[logged.file.partition].append(logged)
    except FstoreError:  # the log is damaged, which was told
        return
    shapes = _shapes(root)
    for partition, files in partitions.items():
        taken: dict[int, str] = {}
        for logged in files:
            file = logged.file.key.removeprefix(f"{ACTIVATIONS}/")
            problems, ids = _check_file(logged)
            problems = problems or [p for _, p in sums.damage(root, ACTIVATIONS, [file])]
            problems += _doubled(taken, ids, logged.file.name)
            for problem in problems:
                yield _row(partition.values, f"{ACTIVATIONS}/{file}", problem)
            shape = shapes.get((partition.network, partition.layer))
            for problem in () if problems else sidecar_problems(root, logged, shape):
                yield _row(partition.values, sidecar_key(logged.file.key), problem)


def _shapes(root: "Place") -> dict[tuple[str, str], Shape]:
    """Return the shapes of layers; none where their table is damaged, which is told."""
    try:
        return layer_shapes(root)
    except FstoreError:
        return {}


@dataclass
class _Found:
    """What reading a file counted."""

    rows: int = 0
    checksum: int = 0
    channels: int = 0
    sample_ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    fingerprint: str = ""
    disagree: int = 0  # rows whose map does not give their summary columns
    nnz: Counter[int] = field(default_factory=Counter)  # sample -> responses that are not 0
    totals: dict[int, int] = field(default_factory=dict)  # the same, as the footer says


def _check_file(logged: LoggedFile) -> tuple[list[str], NDArray[np.int64]]:
    """Return what is wrong with a file, and the samples that it holds."""
    none = np.empty(0, dtype=np.int64)
    entry = logged.file.place.entry(logged.file.key)
    if entry is None:
        return ["the file is missing"], none
    if entry.size_bytes != logged.size_bytes:
        return [f"the file has {entry.size_bytes} bytes, the log says {logged.size_bytes}"], none
    try:
        if logged.file.is_foreign:
            told = "another program wrote this file: it has no checksum or identity to compare"
            return [f"{told}. {make_again(logged.file)}"], logged.file.sample_ids
        read = _read(logged)
    except Exception as error:  # noqa: BLE001 - damaged bytes lead to errors of every kind
        return [f"the file cannot be read: {type(error).__name__}: {error}"], none
    return _differences(logged, read), read.sample_ids


def _read(logged: LoggedFile) -> _Found:
    own = logged.file
    content = _Found(fingerprint=own.identity.fingerprint, totals=file_totals(own))
    with own.parquet() as file:
        for i in range(file.metadata.num_row_groups):
            _add(content, file.read_row_group(i))
    return content


def _add(content: _Found, group: pa.Table) -> None:
    """Count the rows of a row group. NULL is how a sparse layer keeps a zero."""
    ids, channels = group[SAMPLE_ID].to_numpy(), group[CHANNEL].to_numpy()
    act_max = group[ACT_MAX].combine_chunks().fill_null(0).to_numpy()
    sums = group[ACT_SUM].combine_chunks()
    one_value = sums.null_count == len(sums)  # the map is 1x1
    act_sum = act_max.astype(np.float64) if one_value else sums.fill_null(0).to_numpy()
    content.disagree += 0 if one_value else _disagreeing(group, act_max)
    nnz = act_max != 0 if one_value else group[NNZ].to_numpy()
    samples, places = np.unique(ids, return_inverse=True)
    counts = np.bincount(places, weights=nnz).astype(np.int64)
    content.nnz.update(dict(zip(samples.tolist(), counts.tolist(), strict=True)))
    content.rows += len(ids)
    content.channels = max(content.channels, int(channels.max()) + 1)
    content.sample_ids = np.union1d(content.sample_ids, ids)
    content.checksum = (
        content.checksum + row_checksum(ids, channels, act_max, act_sum=act_sum)
    ) % 2**64


def _disagreeing(group: pa.Table, act_max: NDArray[np.float32]) -> int:
    """Count the rows whose map gives another largest response, its place, or other counts."""
    maps = group[MAP].combine_chunks().flatten().fill_null(0).to_numpy().reshape(len(act_max), -1)
    counts = {
        NNZ: np.count_nonzero(maps, axis=1),
        NPOS: np.count_nonzero(maps > 0, axis=1),
        ARGMAX: maps.argmax(axis=1),
    }
    wrong = (maps.max(axis=1) != act_max) & ~np.isnan(act_max)
    for column, values in counts.items():
        wrong |= values != group[column].to_numpy()
    return int(wrong.sum())


def _differences(logged: LoggedFile, content: _Found) -> list[str]:
    file, ids = logged.file, content.sample_ids
    said_and_found = (
        ("rows", logged.rows, content.rows),
        ("rows, samples times channels,", len(ids) * content.channels, content.rows),
        ("samples", file.n_samples, len(ids)),
        ("a first sample", file.first_sample, int(ids[0]) if len(ids) else None),
        ("a last sample", file.last_sample, int(ids[-1]) if len(ids) else None),
        ("a row checksum", f"{file.checksum:016x}", f"{content.checksum:016x}"),
        ("a fingerprint", file.fingerprint, content.fingerprint),
        ("totals in the footer", dict(content.nnz) == content.totals, True),
        ("a number of rows whose map belies their summary", 0, content.disagree),
    )
    return [
        f"expected {what} of {said}, found {counted}"
        for what, said, counted in said_and_found
        if said != counted
    ]


def _doubled(taken: dict[int, str], ids: NDArray[np.int64], name: str) -> list[str]:
    """Note whose samples these are; say so if another file has some of them."""
    again = [i for i in ids.tolist() if i in taken]
    taken.update((i, name) for i in ids.tolist() if i not in taken)
    if not again:
        return []
    return [f"{len(again)} samples, the first {again[0]}, are in {taken[again[0]]} too"]
