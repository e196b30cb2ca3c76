"""Small files put together: the same rows, whatever happens meanwhile."""

import json
import os
import random
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError
from numpy.typing import NDArray
from pyarrow import parquet as pq
from typer.testing import CliRunner

from _build import add_dataset, add_layers, put, relu
from _kill import run_with_kills
from fstore.cli import app
from fstore.errors import DataError, StorageError, UnknownNameError
from fstore.store import Store, adding, compact, crowded, encode, merging, sums
from fstore.store.compact import plan_compact
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.store.index import index
from fstore.store.kept import sidecar_key
from fstore.store.maintenance import Selection
from fstore.store.status import logged_files
from fstore.store.topk import strongest
from fstore.store.totals import file_totals
from fstore.store.versions import partition_version

NET = "torchvision:x"
SHAPES = {"dense": (5, 3, 3), "fire2/concat": (7, 4, 4), "odd name": (3, 2, 2), "fc": (11, 1, 1)}
N = 90
PARTS = (range(60, 75), range(75, 90), range(0, 40, 2), range(1, 40, 2), range(44, 58))
"""Samples of the files of a partition: not in order, interleaved, with gaps (40 to 43, 58, 59)."""


def place_of(layer: str) -> Partition:
    """Return the partition of a layer."""
    return Partition(NET, "5k/a", "d", "image", layer)


def drawn() -> dict[str, NDArray[np.float32]]:
    """Return responses by layer: dense and signed; sparse; with odd numbers; without maps."""
    values = {name: relu(i, N, c, h * w) for i, (name, (c, h, w)) in enumerate(SHAPES.items())}
    values["dense"] -= np.float32(0.5)
    values["fire2/concat"] = np.maximum(values["fire2/concat"] - np.float32(0.4), 0)
    values["fire2/concat"][:, 2] = 0
    odd = values["odd name"]
    odd[3, 0, 1], odd[4, 1, 2], odd[60, 2, 0], odd[89, 0, 0] = -0.0, np.inf, -np.inf, 1e-40
    return values


@pytest.fixture
def values() -> dict[str, NDArray[np.float32]]:
    """Return what is in the store."""
    return drawn()


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a store of four layers, each in five files."""
    made = Store.create(tmp_path_factory.mktemp("template") / "s")
    add_dataset(made, "d", ["train"] * N)
    add_layers(made, NET, SHAPES)
    for layer, x in drawn().items():
        fill(made, layer, x)
    return made.path


@pytest.fixture
def store(tmp_path: Path, template: Path) -> Store:
    """Return a store of four layers, each in five files, to be changed."""
    return Store.open(shutil.copytree(template, tmp_path / "s"))


def fill(store: Store, layer: str, x: NDArray[np.float32], **more: Any) -> None:  # noqa: ANN401
    """Commit a layer's responses, a file for each of the parts."""
    for ids in PARTS:
        put(store, place_of(layer), x[list(ids)], sample_ids=ids, **more)


@pytest.fixture
def in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have row groups and slabs that are small beside the layers of this test."""
    monkeypatch.setattr(encode, "ROW_GROUP_BYTES", 1500)  # of 15 samples: a few channels
    monkeypatch.setattr(merging, "ROW_GROUP_BYTES", 4000)
    monkeypatch.setattr(merging, "ROW_GROUP_ROWS", 300)
    monkeypatch.setattr(merging, "SLAB_BYTES", 12000)


def raw(store: Store, layer: str) -> pa.Table:
    """Return a layer's rows by channel and sample, as pyarrow reads them from the log's files."""
    delta = DeltaTable(str(store.path / "activations"))
    uris = delta.file_uris(file_pruning_predicate=[("layer", "=", layer)])
    rows = pa.concat_tables(pq.ParquetFile(uri).read() for uri in uris)
    return rows.sort_by([("channel", "ascending"), ("sample_id", "ascending")])


def bits(rows: pa.Table) -> dict[str, Any]:
    """Return columns as whole numbers, NULL as 0 where it stands for it: NaN and -0.0 count."""
    columns: dict[str, Any] = {}
    for name in rows.schema.names:
        column = rows[name].combine_chunks()
        if pa.types.is_list(column.type):
            columns[f"{name} length"] = pa.array(
                [None if x is None else len(x) for x in column.to_pylist()]
            ).to_pylist()
            column = column.flatten()
        array = column.fill_null(0).to_numpy(zero_copy_only=False)
        columns[name] = array.view(f"u{array.itemsize}").tolist()
        if name not in ("act_max", "map"):
            columns[f"{name} nulls"] = column.null_count
    return columns


def files_on_disk(store: Store, folder: str) -> list[Path]:
    """Return all files below a folder, but of the log."""
    paths = (store.path / folder).rglob("*")
    return sorted(p for p in paths if p.is_file() and "_delta_log" not in p.parts)


def log_of(store: Store) -> list[dict[str, Any]]:
    """Return the actions of the last commit."""
    last = max((store.path / "activations" / "_delta_log").glob("*.json"))
    return [json.loads(line) for line in last.read_text().splitlines()]


def check_whole(store: Store, values: dict[str, NDArray[np.float32]]) -> None:
    """Compare a store with what was put into it: pixels of nobody's cache, and verify."""
    taken = sorted(i for ids in PARTS for i in ids)
    for layer, x in values.items():
        rows = raw(Store.open(store.path), layer)
        expected = x[taken].max(axis=2).T.reshape(-1)
        assert rows["sample_id"].to_pylist() == taken * x.shape[1]
        found = rows["act_max"].combine_chunks().fill_null(0).to_numpy()
        np.testing.assert_array_equal(found, expected)
    assert list(Store.open(store.path).verify()) == []


@pytest.mark.usefixtures("in_steps")
@pytest.mark.parametrize("layer", SHAPES)
def test_rows_are_the_same_bit_for_bit(store: Store, layer: str) -> None:
    """Each row has the bits that pyarrow read before, in one file, and Polars has the same sums."""
    before, version = raw(store, layer), partition_version(store.files(layer=layer))
    (row,) = store.compact(layer=layer)
    assert (row["files_before"], row["files_after"]) == (5, 1)
    (file,) = store.files(layer=layer)
    assert row["bytes_after"] == file.place.entry(file.key).size_bytes  # type: ignore[union-attr]
    after = raw(store, layer)
    assert bits(after) == bits(before)
    assert partition_version(store.files(layer=layer)) == version
    frame = pl.read_parquet(file.uri).with_columns(pl.col("act_max").fill_null(0))
    old = pl.DataFrame(pl.from_arrow(before)).with_columns(pl.col("act_max").fill_null(0))
    assert frame["act_max"].to_list() == old["act_max"].to_list()


@pytest.mark.usefixtures("in_steps")
@pytest.mark.parametrize("layer", SHAPES)
def test_features_and_strongest_are_the_same(
    store: Store, layer: str, values: dict[str, NDArray[np.float32]]
) -> None:
    """What readers give after is what was put in; of the strongest, what sorting it gives."""
    store.compact(layer=layer)
    taken = sorted(i for ids in PARTS for i in ids)
    x = values[layer][taken]
    parts = list(read_features(Store.open(store.path), place_of(layer)))
    found = np.concatenate([X for _, X in parts], axis=1)
    np.testing.assert_array_equal(found.view(np.uint32), x.view(np.uint32))
    if layer == "odd name":  # it holds infinities, of which none is the strongest
        with pytest.raises(DataError, match="NaN or infinite"):
            strongest(Store.open(store.path), place_of(layer), k=4)
        return
    top = strongest(Store.open(store.path), place_of(layer), k=4)
    order = np.argsort(-x.max(axis=2), axis=0, kind="stable")[:4].T
    np.testing.assert_array_equal(top.sample_ids, np.asarray(taken)[order])
    assert top.scanned == 0  # all from the sidecar


@pytest.mark.usefixtures("in_steps")
def test_a_filter_is_a_small_range(store: Store) -> None:
    """Rows are in order of channel, then sample; row groups hold whole channels and no others'."""
    store.compact()
    for layer in SHAPES:
        (file,) = store.files(layer=layer)
        rows = pq.ParquetFile(file.uri).read(["channel", "sample_id"])
        pairs = list(zip(*(rows[c].to_pylist() for c in ("channel", "sample_id")), strict=True))
        assert pairs == sorted(pairs)
        meta = pq.read_metadata(file.uri)
        groups = [meta.row_group(i).column(1).statistics for i in range(meta.num_row_groups)]
        ranges = [(group.min, group.max) for group in groups]
        assert len(ranges) > 1
        assert all(low[1] < high[0] for low, high in pairwise(ranges))


def test_the_footer_counts(store: Store, values: dict[str, NDArray[np.float32]]) -> None:
    """The new footer has each sample's non-zeros, the negatives, and the partition's identity."""
    identity = store.files(layer="dense")[0].identity
    store.compact()
    for layer, x in values.items():
        (file,) = store.files(layer=layer)
        taken = sorted(i for ids in PARTS for i in ids)
        assert file_totals(file) == {i: int(np.count_nonzero(x[i])) for i in taken}
        assert int(file.footer()[b"fstore.negative"]) == np.count_nonzero(x[taken] < 0)
        assert file.identity == identity


def test_one_transaction(store: Store) -> None:
    """The new file comes and the old ones go in one commit, which says that no row changed."""
    store.compact(layer="fire2/concat")
    actions = log_of(store)
    added = [a["add"] for a in actions if "add" in a]
    removed = [a["remove"] for a in actions if "remove" in a]
    assert (len(added), len(removed)) == (1, 5)
    assert not any(a["dataChange"] for a in (*added, *removed))
    assert json.loads(added[0]["stats"])["numRecords"] == 84 * 7
    assert [a["txn"]["version"] for a in actions if "txn" in a] == [6]


def test_again_is_nothing(store: Store) -> None:
    """A second run has nothing to do, commits nothing, and says so."""
    store.compact()
    version = DeltaTable(str(store.path / "activations")).version()
    rows = store.compact()
    assert [(r["files_before"], r["files_after"]) for r in rows] == [(1, 1)] * 4
    assert DeltaTable(str(store.path / "activations")).version() == version


def test_sidecars_and_verify(store: Store) -> None:
    """Nothing is wrong afterwards, and the sidecars are those that would be written."""
    store.compact()
    assert list(store.verify()) == []
    rows = index(store.place)
    assert [(r["files"], r["had"], r["written"]) for r in rows] == [(1, 1, 0)] * 4


def test_bits_have_no_sidecar(empty: Store) -> None:
    """Files of bits are put together, too; of bits none is the strongest."""
    add_dataset(empty, "d", ["train"] * N)
    add_layers(empty, NET, SHAPES)
    x = (drawn()["dense"] > 0).astype(np.float32)
    fill(empty, "dense", x, identity={"weights": "w", "stored precision": "bit"})
    before = raw(empty, "dense")
    empty.compact()
    assert bits(raw(empty, "dense")) == bits(before)
    assert files_on_disk(empty, "topk") == []
    assert list(empty.verify()) == []


# What is put together


def test_sizes(store: Store) -> None:
    """A new file has the target's bytes or more; a rest below half of it joins the last one."""
    sizes = [f.size_bytes for f in logged_files(store.place, layer="dense")]
    target = sizes[0] + sizes[1] - 1  # two, two, and one that joins them
    (row,) = plan_compact(store.place, Selection(layer="dense"), target_bytes=target)
    assert (row["files_before"], row["files_after"], row["bytes_after"]) == (5, 2, None)
    (row,) = compact.compact(store.place, Selection(layer="dense"), target_bytes=target)
    assert row["files_after"] == len(store.files(layer="dense")) == 2
    first, second = sorted(store.files(layer="dense"), key=lambda f: f.first_sample)
    assert first.last_sample < second.first_sample + 40  # neighbours went together


def test_large_files_stay(store: Store) -> None:
    """A file with half of the target's bytes is left as it is."""
    sizes = [f.size_bytes for f in logged_files(store.place, layer="dense")]
    (row,) = plan_compact(store.place, Selection(layer="dense"), target_bytes=2 * min(sizes))
    assert row["files_after"] == 5
    assert row["bytes_after"] == sum(sizes)


def test_wrong_requests(store: Store) -> None:
    """No such activations, or a size that is none, is refused with a word on what to do."""
    with pytest.raises(
        UnknownNameError, match=r"nothing|no activations in the store fit --layer x"
    ):
        store.compact(layer="x")
    with pytest.raises(DataError, match="give a size above 0"):
        store.compact(target_mb=0)


def test_foreign_files_are_left_alone(store: Store) -> None:
    """A file of another program stays where it is, its samples too, and it is told."""
    delta = DeltaTable(str(store.path / "activations"))
    delta.delete("layer = 'dense' AND sample_id = 61")
    before = raw(store, "dense")
    notes: list[str] = []
    (row,) = compact.compact(store.place, Selection(layer="dense"), on_note=notes.append)
    assert (row["files_before"], row["files_after"]) == (5, 2)
    assert bits(raw(store, "dense")) == bits(before)
    assert notes == [f"{place_of('dense')}: another program wrote 1 of its files; left alone"]


# Readers


def test_those_who_read_already_read_on(store: Store) -> None:
    """A session, and readers of an older version, still have the old files; gc waits a day."""
    statement = "SELECT count(*), sum(act_max) FROM activations WHERE layer = 'dense'"
    reader = Store.open(store.path)
    before = list(reader.sql(statement).rows())
    version = DeltaTable(str(store.path / "activations")).version()
    old = files_on_disk(store, "activations")
    for path in old:
        os.utime(path, (1, 1))  # written long ago
    store.compact()
    assert list(reader.sql(statement).rows()) == before
    assert store.gc() == []
    assert list(reader.sql(statement).rows()) == before
    then = DeltaTable(str(store.path / "activations"), version=version)
    assert then.to_pyarrow_table(columns=["channel"]).num_rows == 84 * sum(
        c for c, _, _ in SHAPES.values()
    )
    gone = {name for name, _ in store.gc(older_than_hours=0)}
    assert {str(path.relative_to(store.path)) for path in old} <= gone
    assert list(Store.open(store.path).sql(statement).rows()) == before
    assert len(files_on_disk(store, "activations")) == 4


# Others meanwhile


def between(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Have something done once, after the new file is written and before it is committed."""
    seal = adding.seal
    done: list[int] = []

    def sealed(*args: Any, **kwargs: Any) -> str:  # noqa: ANN401
        key = seal(*args, **kwargs)
        if not done:
            done.append(1)
            do()
        return key

    monkeypatch.setattr(compact, "seal", sealed)


def test_dropped_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped while it was put together stays dropped, on the disk too; it is told."""
    between(monkeypatch, lambda: Store.open(store.path).drop(layer="dense"))
    notes: list[str] = []
    compact.compact(store.place, Selection(layer="dense"), on_note=notes.append)
    assert store.files(layer="dense") == []
    assert not any("dense" in str(p) for p in files_on_disk(store, "activations"))
    assert not any("dense" in str(p) for p in files_on_disk(store, "topk"))
    assert len(notes) == 1
    assert "were dropped or put together by somebody else meanwhile" in notes[0]


def test_dropped_before_it_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was dropped before its files were read is told as that, not as damage."""
    listed = logged_files

    def late(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        files = listed(*args, **kwargs)
        Store.open(store.path).drop(layer="dense")
        return files

    monkeypatch.setattr(compact, "logged_files", late)
    notes: list[str] = []
    problems: list[str] = []
    compact.compact(
        store.place, Selection(layer="dense"), on_note=notes.append, on_problem=problems.append
    )
    assert (len(notes), problems) == (1, [])


def test_extracted_meanwhile(
    store: Store, monkeypatch: pytest.MonkeyPatch, values: dict[str, NDArray[np.float32]]
) -> None:
    """Samples that come meanwhile are there afterwards, beside the new file."""
    more = [40, 41, 42, 43]
    between(
        monkeypatch,
        lambda: put(store, place_of("dense"), values["dense"][more], sample_ids=more),
    )
    (row,) = store.compact(layer="dense")
    assert row["files_after"] == 1
    assert sorted(f.n_samples for f in store.files(layer="dense")) == [4, 84]
    assert list(store.verify()) == []
    before = raw(store, "dense")
    store.compact(layer="dense")
    assert bits(raw(store, "dense")) == bits(before)
    assert [f.n_samples for f in store.files(layer="dense")] == [88]


def test_put_together_twice(
    store: Store, monkeypatch: pytest.MonkeyPatch, values: dict[str, NDArray[np.float32]]
) -> None:
    """Of two that put the same files together, one does, and the other's file is not left."""
    between(monkeypatch, lambda: Store.open(store.path).compact())
    store.compact()
    assert [len(store.files(layer=layer)) for layer in SHAPES] == [1] * 4
    store.gc(older_than_hours=0)
    assert len(files_on_disk(store, "activations")) == 4
    assert len(files_on_disk(store, "topk")) == 4
    check_whole(store, values)


# Ended at any moment


class EndError(Exception):
    """What ends a run in these tests; no code of ours expects it."""


STEPS: Sequence[tuple[Any, str]] = (
    (compact, "open_source"),
    (compact, "merge_files"),
    (merging, "_slab"),
    (encode, "_chunks"),
    (os, "fsync"),
    (compact, "seal"),
    (adding, "write_sidecar"),
    (compact, "open_table"),
    (compact, "check_there"),
    (compact, "add_action"),
    (sums, "record"),
)


@pytest.mark.usefixtures("in_steps")
@pytest.mark.parametrize(("module", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize(
    ("after", "error"), [(False, EndError), (True, KeyboardInterrupt)], ids=["before", "after"]
)
def test_ended_at_a_step(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, NDArray[np.float32]],
    *,
    module: Any,  # noqa: ANN401
    name: str,
    after: bool,
    error: type[BaseException],
) -> None:
    """Whatever step a run ends at, no row is lost or doubled, and the next run does the rest."""
    whole, calls = getattr(module, name), []

    def ends(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        calls.append(1)
        if len(calls) < 3:
            return whole(*args, **kwargs)
        if after:
            whole(*args, **kwargs)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(module, name, ends)
        with pytest.raises(error):
            store.compact()
    check_whole(store, values)
    store.compact()
    check_whole(store, values)
    assert [len(store.files(layer=layer)) for layer in SHAPES] == [1] * 4
    store.gc(older_than_hours=0)
    assert len(files_on_disk(store, "activations")) == len(files_on_disk(store, "topk")) == 4


@pytest.mark.parametrize("error", [CommitFailedError, OSError])
def test_a_commit_that_was_answered_with_an_error(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    values: dict[str, NDArray[np.float32]],
    error: type[Exception],
) -> None:
    """A commit that is in the log is done, whatever was answered; its file is not thrown away."""
    commit = DeltaTable.create_write_transaction

    def fails(*args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        commit(*args, **kwargs)
        raise error("no answer")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    (row,) = store.compact(layer="dense")
    assert row["files_after"] == len(store.files(layer="dense")) == 1
    check_whole(store, values)


def test_a_commit_that_never_works(
    store: Store, monkeypatch: pytest.MonkeyPatch, values: dict[str, NDArray[np.float32]]
) -> None:
    """Where the log cannot be written, that is said and nothing of the new file stays."""

    def fails(*_: Any, **__: Any) -> None:  # noqa: ANN401
        raise OSError("disk full")

    monkeypatch.setattr(DeltaTable, "create_write_transaction", fails)
    old = files_on_disk(store, "activations"), files_on_disk(store, "topk")
    with pytest.raises(StorageError, match="cannot commit: disk full"):
        store.compact()
    assert (files_on_disk(store, "activations"), files_on_disk(store, "topk")) == old
    check_whole(store, values)


# Damage


def test_damage_is_not_written_again(store: Store, seed: int) -> None:
    """With a bit flipped anywhere in a file, it is refused, or each row is what it was."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    before = bits(raw(store, "fire2/concat"))
    path = store.path / store.files(layer="fire2/concat")[0].key
    whole, copy = path.read_bytes(), store.path.with_name("copy")
    shutil.copytree(store.path, copy)
    refused = 0
    for _ in range(30):
        at = rng.randrange(len(whole))
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << rng.randrange(8)]) + whole[at + 1 :])
        problems: list[str] = []
        (row,) = store.compact(layer="fire2/concat", on_problem=problems.append)
        assert row["files_after"] == (5 if problems else 1)
        refused += len(problems)
        if problems:
            assert path.name in problems[0]
            assert "5 files stay as they are" in problems[0]
        else:
            assert bits(raw(store, "fire2/concat")) == before
            shutil.rmtree(store.path)
            shutil.copytree(copy, store.path)  # as if nothing had been done
    assert refused > 15


def test_damage_of_one_is_not_all(store: Store) -> None:
    """The command names the damaged file, does the rest, and its status is 1."""
    path = store.path / store.files(layer="dense")[0].key
    path.write_bytes(path.read_bytes()[:-9])
    done = CliRunner().invoke(app, ["--store", str(store.path), "compact", "--json"])
    assert done.exit_code == 1
    assert [row["files_after"] for row in json.loads(done.stdout)] == [5, 1, 1, 1]
    assert "not compacted" in done.stderr
    assert path.name in done.stderr


# The command


def test_dry_run(store: Store) -> None:
    """``--dry-run`` says how many files there would be, and changes nothing."""
    old = files_on_disk(store, ".")
    done = CliRunner().invoke(
        app, ["--store", str(store.path), "compact", "--layer", "fc", "--dry-run"]
    )
    assert done.exit_code == 0, done.output
    assert "5 files would become 1; nothing was changed" in done.stderr
    assert files_on_disk(store, ".") == old


def test_command(store: Store) -> None:
    """The command prints a row a partition, and the command that frees the old files."""
    done = CliRunner().invoke(app, ["--store", str(store.path), "compact"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert tuple(lines[0].split()) == compact.COMPACT_COLUMNS
    assert len(lines) == 2 + 4
    assert "20 files are 4 now" in done.stderr
    assert f"fstore gc --store {store.path}" in done.stderr
    again = CliRunner().invoke(app, ["--store", str(store.path), "compact"])
    assert "4 files; none of them are small ones" in again.stderr


def test_sidecar_before_the_commit(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever sees a new file in the log finds its sidecar."""
    commit, seen = DeltaTable.create_write_transaction, []

    def sees(delta: DeltaTable, actions: list[Any], **kwargs: Any) -> None:  # noqa: ANN401
        seen.append(store.place.entry(sidecar_key(f"activations/{actions[0].path}")) is not None)
        commit(delta, actions, **kwargs)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", sees)
    store.compact()
    assert seen == [True] * 4


# Many files

KILLED = """
import sys
from fstore.store import Store
store = Store.open(sys.argv[1])
for i in range(60):
    if len(store.files(layer=f"l{i}")) > 1:
        store.compact(layer=f"l{i}")
        print(i, flush=True)
"""


@pytest.mark.slow
def test_killed(empty: Store, seed: int) -> None:
    """Killed at random moments, ten times, no row is lost or doubled, and the rest is done."""
    add_dataset(empty, "d", ["train"] * N)
    add_layers(empty, NET, {f"l{i}": (4, 3, 3) for i in range(60)})
    for i in range(60):
        for ids in (range(40), range(40, N)):
            put(empty, place_of(f"l{i}"), relu(i, N, 4, 9)[list(ids)], sample_ids=ids)
    last = run_with_kills(KILLED, empty.path, kills=10, longest=4, seed=seed)
    assert last == sorted(last)
    for i in range(60):
        rows = raw(empty, f"l{i}")
        expected = relu(i, N, 4, 9).max(axis=2).T.reshape(-1)
        np.testing.assert_array_equal(rows["act_max"].fill_null(0).to_numpy(), expected)
    assert list(empty.verify()) == []
    empty.gc(older_than_hours=0)
    assert len(files_on_disk(empty, "activations")) == 60


AGAIN_AND_AGAIN = """
import sys
from pathlib import Path
from fstore.store import Store
store = Store.open(sys.argv[1])
while not Path(sys.argv[2]).exists():
    store.compact()
"""


@pytest.mark.slow
def test_two_put_together_what_a_third_adds_and_a_fourth_drops(
    empty: Store, tmp_path: Path
) -> None:
    """At every moment a reader has all that was added before, once; what is dropped is gone."""
    add_dataset(empty, "d", ["train"] * 400)
    add_layers(empty, NET, {"dense": (3, 3, 3), "gone": (3, 3, 3)})
    x, over = relu(0, 400, 3, 9), tmp_path / "over"
    statement = "SELECT count(*), count(DISTINCT sample_id) FROM activations WHERE layer = 'dense'"
    command = [sys.executable, "-c", AGAIN_AND_AGAIN, str(empty.path), str(over)]
    workers = [subprocess.Popen(command) for _ in range(2)]
    try:
        for i in range(0, 400, 10):
            ids = range(i, i + 10)
            put(empty, place_of("dense"), x[i : i + 10], sample_ids=ids)
            put(empty, place_of("gone"), x[i : i + 10], sample_ids=ids)
            (row,) = Store.open(empty.path).sql(statement).rows()
            assert list(row.values()) == [3 * i + 30, i + 10]
            if i % 50 == 40:
                Store.open(empty.path).drop(layer="gone")
                assert empty.files(layer="gone") == []
    finally:
        over.touch()
        statuses = [worker.wait() for worker in workers]
    assert statuses == [0, 0]
    assert list(empty.verify()) == []
    np.testing.assert_array_equal(
        raw(empty, "dense")["act_max"].fill_null(0).to_numpy(), x.max(axis=2).T.reshape(-1)
    )
    empty.gc(older_than_hours=0)
    assert len(files_on_disk(empty, "activations")) == len(empty.files())


@pytest.mark.slow
def test_no_more_than_a_slab_is_in_memory(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty files, 20 MiB as float32, are put together in the memory of a few slabs."""
    monkeypatch.setattr(merging, "SLAB_BYTES", 1 << 20)
    add_dataset(empty, "d", ["train"] * 200)
    add_layers(empty, NET, {"wide": (100, 16, 16)})
    block = relu(0, 5, 100, 256)
    for i in range(0, 200, 5):
        put(empty, place_of("wide"), block, sample_ids=range(i, i + 5))
    tracemalloc.start()
    try:
        empty.compact()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(empty.files()) == 1
    assert peak < 10 << 20  # all of it is 20 MiB


def test_extract_says_when_files_are_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A partition with more than a thousand files is named with the command for it, no other."""
    assert crowded.MANY_FILES == 1000
    monkeypatch.setattr(crowded, "MANY_FILES", 4)
    among = {str(place_of("dense")), str(place_of("odd name"))}
    lines = crowded.crowded(store.place, among)
    assert [line.split(" has ")[0] for line in lines] == sorted(among)
    where = "--network torchvision:x --ckpt 5k/a --dataset d --view image --layer 'odd name'"
    assert lines[1].endswith(f"fstore compact {where} --store {store.path}")
    monkeypatch.setattr(crowded, "MANY_FILES", 5)
    assert crowded.crowded(store.place, among) == []
