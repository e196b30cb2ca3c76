"""Files of activations: names, commits, identities; odd names and two writers included."""

import json
import multiprocessing
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote, unquote

import duckdb
import numpy as np
import polars as pl
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from _build import put, relu, responses
from fstore.errors import IdentityError, StorageError
from fstore.store import Store
from fstore.store.adding import commit, new_path
from fstore.store.encode import ShardFile
from fstore.store.files import Identity, Partition, present, stored_file
from fstore.store.local import LocalPlace
from fstore.store.schema import PARTITION
from fstore.store.sink import missing_samples, write_shard
from fstore.types import ActivationBatch

ODD = ("5", "005", "torchvision:x", "fire2/concat", "a'b", "ü %41", "x=y", "a b#c?d")
WHERE = Partition("net", "5", "d", "image", "conv1")
ONE = Identity({"weights": "w1", "samples": "s1"})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store."""
    return Store.create(tmp_path / "s")


def batch(ids: list[int], layer: str = "conv1", seed: int = 0) -> ActivationBatch:
    """Return responses of two channels, 3 positions, that depend on the sample alone."""
    values = np.concatenate([relu(1000 * seed + i, 1, 2, 3) for i in ids])
    return ActivationBatch(np.array(ids), {layer: responses(values)})


def stored_ids(store: Store) -> list[int]:
    """Return the samples of channel 0, doubled ones twice."""
    rows = store.sql("SELECT sample_id FROM activations WHERE channel = 0 ORDER BY 1").arrow()
    ids: list[int] = rows["sample_id"].to_pylist()
    return ids


def on_disk(store: Store) -> set[Path]:
    """Return every file below the table but its log."""
    files = (store.path / "activations").rglob("*")
    return {p for p in files if p.is_file() and "_delta_log" not in p.parts}


# Names


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)


@given(values=st.tuples(*[NAMES] * 5), first=st.integers(0, 2**62), n=st.integers(1, 2**40))
def test_a_files_path_parses_back(values: tuple[str, ...], first: int, n: int) -> None:
    """Names come from the log, range and checksum from the file's name, whatever they are."""
    partition = Partition(*values)
    file = ShardFile(Path(partition.folder, "0a1b.parquet.tmp"), 1, 1, first, first + n, 1, n**2)
    name = f"{first}-{first + n}-{n}-{ONE.fingerprint}-{file.checksum:016x}-0a1b.parquet"
    place = LocalPlace(Path("/anywhere"))
    logged = {f"partition.{column}": value for column, value in partition.values.items()}
    found = stored_file(place, {"path": quote(f"{partition.folder}/{name}"), **logged})
    assert found.partition == partition
    assert Path(found.uri) == place.path / "activations" / partition.folder / name
    assert (found.first_sample, found.last_sample, found.n_samples) == (first, first + n, n)
    assert (found.fingerprint, found.checksum) == (ONE.fingerprint, n**2)
    assert partition.folder.count("/") == 4


@pytest.mark.parametrize("name", ODD)
def test_odd_names_survive_every_route(store: Store, name: str) -> None:
    """A name comes back as the same text from the path, the log, SQL, DuckDB and Polars."""
    where = Partition(name, name, name, "image", name)
    values = relu(1, 3, 2, 4)
    put(store, where, values)
    put(store, Partition("net", "15", "d", "image", "conv1"), values)
    (found,) = store.files(layer=name)
    assert found.partition == where
    assert Path(found.uri).is_file()
    assert np.array_equal(found.sample_ids, [0, 1, 2])
    query = "SELECT DISTINCT network, dataset, layer FROM activations WHERE ckpt = ? AND layer = ?"
    seen = store.sql(query, [name, name]).arrow().to_pylist()
    assert seen == [dict.fromkeys(("network", "dataset", "layer"), name)]
    with duckdb.connect(config={"threads": 1}) as connection:
        rows = connection.execute(
            "SELECT DISTINCT ckpt, layer FROM read_parquet(?, hive_partitioning = true,"
            " hive_types = {'ckpt': VARCHAR, 'layer': VARCHAR}) WHERE layer = ?",
            [[found.uri], name],
        ).fetchall()
    assert rows == [(name, name)]
    table = str(store.path / "activations")
    lazy = pl.scan_delta(table).filter(pl.col("ckpt") == name).select("layer", "act_max").collect()
    assert lazy["layer"].unique().to_list() == [name]
    assert len(lazy) == 6
    schema = dict.fromkeys(PARTITION, pl.String)
    files = pl.scan_parquet(found.uri, hive_partitioning=True, hive_schema=schema)
    assert files.select("network").unique().collect()["network"].to_list() == [name]


def test_the_log_names_files_as_its_protocol_says(store: Store) -> None:
    """Paths in the log are percent-encoded once more, so that readers decode them to the disk's."""
    put(store, Partition("n", "torchvision:x", "d", "image", "a/b"), relu(1, 3, 2, 4))
    log = max((store.path / "activations/_delta_log").glob("*.json")).read_text()
    (action,) = [a["add"] for a in map(json.loads, log.splitlines()) if "add" in a]
    assert "ckpt=torchvision%253Ax" in action["path"]
    assert (store.path / "activations" / unquote(action["path"])).is_file()
    assert action["partitionValues"]["ckpt"] == "torchvision:x"
    assert json.loads(action["stats"]) == {
        "numRecords": 6,
        "minValues": {"sample_id": 0, "channel": 0},
        "maxValues": {"sample_id": 2, "channel": 1},
        "nullCount": {"sample_id": 0, "channel": 0},
    }


def test_holes_in_a_files_range_are_known(store: Store) -> None:
    """A file with gaps between its samples says which it holds."""
    put(store, WHERE, relu(1, 3, 2, 4), sample_ids=[2, 5, 9])
    put(store, WHERE, relu(1, 2, 2, 4), sample_ids=[3, 4])
    assert present(store.files()).tolist() == [2, 3, 4, 5, 9]
    missing = missing_samples(
        store.place, np.arange(11), {WHERE: Identity({"weights": "5", "samples": "s"})}
    )
    assert missing[WHERE].tolist() == [0, 1, 6, 7, 8, 10]


# Commits


def sealed(
    store: Store, ids: list[int], where: Partition = WHERE
) -> tuple[ShardFile, str, Identity]:
    """Write a file that is not committed yet."""
    from fstore.store.sink import _write

    found = _write(
        store.place, [batch(ids, where.layer)], where, wanted=np.array(ids), identity=ONE
    )
    assert (store.path / found[1]).exists()
    return found


def test_samples_are_never_committed_twice(store: Store) -> None:
    """A file that shares a sample with a committed one is not added; one that fits between is."""
    assert commit(store.place, {WHERE: sealed(store, [0, 1, 5])})
    assert not commit(store.place, {WHERE: sealed(store, [4, 5])})
    assert commit(store.place, {WHERE: sealed(store, [2, 4])})
    assert stored_ids(store) == [0, 1, 2, 4, 5]


def test_a_shard_is_visible_as_a_whole_or_not_at_all(store: Store) -> None:
    """If one layer's file may not be added, no file of the shard is."""
    other = Partition("net", "5", "d", "image", "fc")
    assert commit(store.place, {WHERE: sealed(store, [1])})
    assert not commit(store.place, {other: sealed(store, [0], other), WHERE: sealed(store, [0, 1])})
    assert [f.partition for f in store.files()] == [WHERE]


def test_threads_that_commit_the_same_add_it_once(store: Store) -> None:
    """Four writers of the very same shard: one adds it, three add nothing, no file is left."""
    barrier = Barrier(4)

    def work(_: int) -> int:
        barrier.wait()
        return write_shard(store.place, [batch([0, 1]), batch([2, 3])], {WHERE: ONE}).rows

    with ThreadPoolExecutor(4) as pool:
        rows = sorted(pool.map(work, range(4)))
    assert rows == [0, 0, 0, 8]
    assert stored_ids(store) == [0, 1, 2, 3]
    assert on_disk(store) == {Path(f.uri) for f in store.files()}


def write_in_process(root: Path, ids: list[int], barrier: Any) -> None:  # noqa: ANN401 - private type
    """Write a shard when all processes are ready."""
    barrier.wait()
    write_shard(LocalPlace(root), [batch(ids)], {WHERE: ONE})


@pytest.mark.slow
def test_processes_that_overlap_lose_and_double_nothing(store: Store) -> None:
    """Two processes with shards that share samples: each sample is stored once."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    shards = ([0, 1, 2, 3], [2, 3, 4, 5])
    running = [
        context.Process(target=write_in_process, args=(store.path, ids, barrier)) for ids in shards
    ]
    for process in running:
        process.start()
    for process in running:
        process.join(60)
    assert [p.exitcode for p in running] == [0, 0]
    assert stored_ids(store) == [0, 1, 2, 3, 4, 5]
    assert on_disk(store) == {Path(f.uri) for f in store.files()}


@pytest.mark.parametrize("error", [DeltaError("checkpoint failed"), CommitFailedError("unsure")])
def test_an_error_after_the_commit_loses_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """If the log has the commit, an error that follows it must not remove the files."""
    real = DeltaTable.create_write_transaction

    def fails_late(*args: Any, **options: Any) -> None:  # noqa: ANN401 - whatever is passed
        real(*args, **options)
        raise error

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails_late)
    assert write_shard(store.place, [batch([0, 1])], {WHERE: ONE}).rows == 4
    monkeypatch.undo()
    assert stored_ids(store) == [0, 1]


def test_a_failed_commit_leaves_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the log does not take the commit, the error is ours and the files are gone."""

    def fails(*_args: object, **_options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    with pytest.raises(StorageError, match=r"cannot commit.*No space left"):
        write_shard(store.place, [batch([0, 1])], {WHERE: ONE})
    assert on_disk(store) == set()


def test_a_failed_write_leaves_no_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the second layer's file cannot be written, the first one's is removed too."""
    fc = Partition("net", "5", "d", "image", "fc")
    both = ActivationBatch(np.array([0]), {**batch([0]).layers, **batch([0], "fc").layers})
    calls = iter((False, True))

    def full(_: int) -> None:
        if next(calls):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match=r"cannot write net/5 d.image fc: .*No space left"):
        write_shard(store.place, [both], {WHERE: ONE, fc: ONE})
    assert on_disk(store) == set()


def test_only_what_is_missing_is_written(store: Store) -> None:
    """A shard over a partition that holds some samples adds the others, from any batch."""
    write_shard(store.place, [batch([1, 2])], {WHERE: ONE})
    report = write_shard(store.place, [batch([0, 1]), batch([2, 3])], {WHERE: ONE})
    assert (report.rows, report.raw_bytes) == (4, 4 * 4 * 3)
    assert write_shard(store.place, [batch([0, 3])], {WHERE: ONE}).rows == 0
    assert stored_ids(store) == [0, 1, 2, 3]


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(cuts=st.lists(st.integers(1, 9), max_size=4))
def test_batches_and_shards_do_not_show(tmp_path: Path, cuts: list[int]) -> None:
    """However ten samples are cut into batches and shards, the same rows are stored."""
    root = tmp_path / "-".join(map(str, cuts)) / "s"
    store = Store.create(root)
    edges = sorted({0, 10, *cuts})
    parts = [list(range(a, b)) for a, b in pairwise(edges)]
    for at in range(0, len(parts), 2):
        write_shard(LocalPlace(root), [batch(ids) for ids in parts[at : at + 2]], {WHERE: ONE})
    rows = store.sql("SELECT sample_id, channel, map FROM activations ORDER BY ALL").arrow()
    expected = batch(list(range(10))).layers["conv1"].maps
    assert expected is not None
    assert np.array_equal(np.stack(rows["map"].to_pylist()).reshape(expected.shape), expected)


# Identities


@pytest.mark.parametrize(
    ("parts", "differs"),
    [
        ({"weights": "w2", "samples": "s1"}, r"in: weights \(stored w1, now w2\)\."),
        ({"weights": "w1", "samples": "s2"}, r"in: samples \(stored s1, now s2\)\."),
        ({"weights": "w1"}, r"in: samples \(stored s1, now none\)\."),
        ({"weights": "w2", "samples": "s2"}, "in: samples .*, weights "),
    ],
)
def test_other_content_is_refused_by_part(
    store: Store, parts: Mapping[str, str], differs: str
) -> None:
    """The error says which parts differ, from what to what, and how to make room."""
    write_shard(store.place, [batch([0])], {WHERE: ONE})
    with pytest.raises(IdentityError, match=differs) as caught:
        write_shard(store.place, [batch([1])], {WHERE: Identity(parts)})
    text = str(caught.value)
    assert text.startswith("net/5 d.image conv1 is stored already with other content")
    assert "fstore drop --network net --ckpt 5 --dataset d --view image --layer conv1" in text
    assert stored_ids(store) == [0]


def test_the_command_in_the_error_can_be_pasted(store: Store) -> None:
    """Names that a shell would take apart are quoted in the suggested command."""
    where = Partition("net", "a'b", "my data", "image", "x;y")
    write_shard(store.place, [batch([0], "x;y")], {where: ONE})
    with pytest.raises(IdentityError, match="differs in") as caught:
        write_shard(store.place, [batch([1], "x;y")], {where: Identity({"weights": "w2"})})
    words = shlex.split(str(caught.value).split("make room with: ")[1])
    assert words[4:] == [
        "--ckpt",
        "a'b",
        "--dataset",
        "my data",
        "--view",
        "image",
        "--layer",
        "x;y",
        "--store",
        str(store.path),
    ]


def test_a_fingerprint_is_of_all_parts_in_any_order() -> None:
    """The order of parts plays no role; each part's name and value does."""
    same = Identity({"samples": "s1", "weights": "w1"})
    others = [
        {"weights": "w1"},
        {"weights": "s1", "samples": "w1"},
        {"weights": "w1", "samples": ""},
    ]
    assert same.fingerprint == ONE.fingerprint
    assert len({ONE.fingerprint, *(Identity(o).fingerprint for o in others)}) == 4


def test_a_files_footer_holds_its_identity(store: Store) -> None:
    """The parts behind a fingerprint are read back from the file."""
    write_shard(store.place, [batch([0])], {WHERE: ONE})
    (file,) = store.files()
    assert file.identity == ONE


def test_a_damaged_file_is_named(store: Store) -> None:
    """A file that was cut off is an error of ours that names it."""
    write_shard(store.place, [batch([0, 2])], {WHERE: ONE})
    (file,) = store.files()
    Path(file.uri).write_bytes(Path(file.uri).read_bytes()[:50])
    with pytest.raises(StorageError, match=f"cannot read .*{file.name}"):
        _ = file.sample_ids
    with pytest.raises(StorageError, match=f"cannot read .*{file.name}"):
        _ = file.identity


def test_unfinished_files_are_invisible(store: Store) -> None:
    """A file that is being written is in no listing, and its name is not taken for data."""
    path = new_path(store.place, WHERE)
    path.write_bytes(b"half")
    assert path.name.endswith(".tmp")
    assert store.files() == []
    assert stored_ids(store) == []
