"""Check the tables, their logs, and what the catalogue says of samples and weights."""

import json
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pyarrow import parquet as pq

from fstore import commands
from fstore.ending import leftover
from fstore.errors import FstoreError
from fstore.store import sums
from fstore.store.catalog import DatasetInfo, datasets, hashes_of_rows
from fstore.store.commits import storage
from fstore.store.delta_log import log_entries
from fstore.store.files import ACTIVATIONS
from fstore.store.local import local_folder
from fstore.store.networks import checkpoints, weights_key
from fstore.store.place import inside
from fstore.store.proposals import VIEW as PROPOSAL
from fstore.store.proposals import hash_of_rows
from fstore.store.schema import TABLES
from fstore.store.tables import open_table, read_columns
from fstore.store.weights import tensor_sums
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["check_catalog", "check_rows_of", "check_table_log", "unchecked"]

Problem = tuple[str, str]
"""File, relative to the store, and what is wrong with it."""

ACTIONS = {
    "add", "remove", "txn", "metaData", "protocol", "commitInfo", "cdc", "domainMetadata",
    "sidecar", "checkpointMetadata",
}  # fmt: skip
"""What a line of a Delta log may be; readers skip any other without a word."""


PIECE_BYTES = 8 << 20


def check_table_log(root: "Place", name: str) -> Iterator[Problem]:
    """Yield what is wrong with a table's log, files that no longer matter included."""
    for file, problem in sums.damage(root, name, sums.log_files(root, name, all_of_it=True)):
        yield f"{name}/{file}", problem
    noted_sums = sums.noted(root, name)
    for file in sums.log_files(root, name):
        if (
            file.endswith(".json")
            and file not in noted_sums
            and (problem := _strange(root, f"{name}/{file}"))
        ):
            yield f"{name}/{file}", problem
    try:
        open_table(root, name, check=False)
    except FstoreError as error:
        yield f"{name}/{sums.LOG}", str(error)
        data = [f for f in noted_sums if not f.startswith(sums.LOG) and root.entry(f"{name}/{f}")]
        for file, problem in sums.damage(root, name, data):  # perhaps of rows that went
            yield f"{name}/{file}", problem


def _strange(root: "Place", key: str) -> str:
    """Say what is wrong with a commit that no sum is known of; empty if nothing can be seen."""
    try:
        actions = [json.loads(line) for line in root.read(key).decode().splitlines() if line]
        odd = [key for action in actions for key in action if key not in ACTIONS]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        return f"the commit cannot be read: {error}"
    return f"the commit has an entry {odd[0]!r}, which Delta does not know" if odd else ""


def check_rows_of(root: "Place", name: str) -> Iterator[Problem]:
    """Yield what is wrong with a table's data files; of ``activations``, where they lie only."""
    try:
        delta = open_table(root, name, check=False)
    except FstoreError:  # told by check_table_log
        return
    for row in log_entries(delta).to_pylist():
        file = unquote(row["path"])
        problem = _place_problem(root, name, row)
        if not problem and name != ACTIVATIONS:
            problems = (problem for _, problem in sums.damage(root, name, [file]))
            problem = next(problems, "") or _file_problem(root, name, row)
        if problem:
            yield f"{name}/{file}", problem


def _place_problem(root: "Place", name: str, row: dict[str, Any]) -> str:
    """Say so if a file lies elsewhere than the log says what it is of."""
    file = unquote(row["path"])
    try:
        inside(root, f"{name}/{file}", table=name, row="its log", folder=name)
    except FstoreError as error:
        return str(error)
    folders = [part.split("=", 1) for part in file.split("/")[:-1]]
    values = {pair[0]: unquote(pair[1]) for pair in folders if len(pair) == 2}
    said = {column: row[f"partition.{column}"] for column in TABLES[name].partition}
    if values and values != said:
        return f"the file lies in the folder of {values}, the log says {said}"
    return ""


def _file_problem(root: "Place", name: str, row: dict[str, Any]) -> str:
    key = f"{name}/{unquote(row['path'])}"
    if (entry := root.entry(key)) is None:
        return "the file is missing"
    if (size := entry.size_bytes) != row["size_bytes"]:
        return f"the file has {size} bytes, the log says {row['size_bytes']}"
    schema = TABLES[name].file_schema
    try:
        with (
            root.open(key) as content,
            pq.ParquetFile(content, page_checksum_verification=True) as file,
        ):
            rows = sum(b.num_rows for b in file.iter_batches(columns=schema.names))
    except Exception as error:  # noqa: BLE001 - damaged bytes lead to errors of every kind
        return f"the file cannot be read: {type(error).__name__}: {error}"
    if row.get("num_records") not in {None, rows}:
        return f"expected {row['num_records']} rows, found {rows}"
    return ""


def unchecked(root: "Place") -> dict[str, list[str]]:
    """Return table -> its files of data and log that have no sum, relative to the table's folder.

    Raises
    ------
    StorageError
        A table is damaged.
    """
    counts = {}
    for name in TABLES:
        noted_sums = sums.noted(root, name)
        files = [unquote(row["path"]) for row in log_entries(open_table(root, name)).to_pylist()]
        files += sums.log_files(root, name)
        if new := [file for file in files if file not in noted_sums]:
            counts[name] = new
    return counts


def check_catalog(
    root: "Place", *, without: Collection[str]
) -> Iterator[tuple[dict[str, str], str, str]]:
    """Yield what is wrong with what is named: (partition columns, file, problem).

    The samples and labels of each view must have the hashes that its data set's entry has; the
    weights and the preprocessing of each checkpoint those of its record. What depends on a table
    of ``without``, which are known to be damaged, is not looked at.
    """
    try:
        whole = {"datasets", "samples", "labels"}.isdisjoint(without)
        registered = datasets(root) if whole else []
        records = [] if "checkpoints" in without else checkpoints(root)
    except FstoreError as error:
        yield {}, "datasets", str(error)
        return
    for dataset in registered:
        for view in dataset.views:
            for problem in _view_problems(root, dataset, view):
                yield {"dataset": dataset.name, "view": view}, "samples", problem
    for record in records:
        key = {"network": record.network, "ckpt": record.name}
        for problem in _checkpoint_problems(root, record):
            yield key, record.uri, problem


def _view_problems(root: "Place", dataset: DatasetInfo, view: str) -> Iterable[str]:
    where = {"dataset": dataset.name, "view": view}
    try:
        samples = read_columns(
            root, "samples", ["sample_id", "image_id", "uri", "digest", "box", "difficult"], **where
        ).sort_by("sample_id")
        labels: dict[int, dict[str, int]] = defaultdict(dict)
        for row in read_columns(
            root, "labels", ["sample_id", "class", "label"], **where
        ).to_pylist():
            labels[row["sample_id"]][row["class"]] = row["label"]
        ids = samples["sample_id"].to_pylist()
        if ids != list(range(dataset.counts[view])):
            return [f"expected samples 0 to {dataset.counts[view] - 1}, found {len(ids)} rows"]
        counted = (
            (hash_of_rows(samples), dataset.labels[view])
            if view == PROPOSAL
            else hashes_of_rows(samples.to_pylist(), labels)
        )
    except FstoreError as error:
        return [str(error)]
    said = (dataset.views[view], dataset.labels[view])
    return [
        f"the {what} are not those that were registered: their hash begins {b[:12]}, not {a[:12]}"
        for what, a, b in zip(("samples", "labels"), said, counted, strict=True)
        if a != b
    ]


@contextmanager
def _on_disk(root: "Place", key: str) -> "Iterator[Path]":
    """Give a file's local path; one of a store elsewhere is read there now, not an older copy."""
    folder = local_folder(root)
    if folder is not None:
        yield folder / key
        return
    with TemporaryDirectory() as temporary, leftover(Path(temporary)):
        path = Path(temporary) / key.rpartition("/")[2]
        reading = storage(f"cannot read {root.uri(key)}")
        with reading, root.open(key) as stored, path.open("wb") as copy:
            shutil.copyfileobj(stored, copy, PIECE_BYTES)
        yield path


def _checkpoint_problems(root: "Place", record: CheckpointRecord) -> Iterable[str]:
    import hashlib

    try:
        key = weights_key(root, record)
        if root.entry(key) is None:
            return ["the file is missing"]
        with _on_disk(root, key) as path:
            content = tensor_sums(path)
    except FstoreError as error:
        return [str(error)]
    try:
        mean_image = dict(json.loads(record.preprocessing or "{}")).get("mean_image")
    except (ValueError, TypeError) as error:
        return [f"the record's preprocessing cannot be read: {error}"]
    preprocessing = hashlib.sha256(record.preprocessing.encode()).hexdigest()
    said_and_found = [
        ("the weights", record.sha256, content.weights),
        ("the mean image", mean_image, content.mean_image),
    ]
    if record.preprocessing_hash:
        said_and_found.append(
            ("the preprocessing of the record", record.preprocessing_hash, preprocessing)
        )
    drop = commands.drop(root, {"network": record.network, "ckpt": record.name}, checkpoint=True)
    return [
        f"{what} changed: expected sha256 {_short(said)}, found {_short(counted)}; bring the file "
        f"back from a copy, or: {drop}"
        for what, said, counted in said_and_found
        if said != counted
    ]


def _short(digest: str | None) -> str:
    return "none" if digest is None else f"{digest[:16]}..."
