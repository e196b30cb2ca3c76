"""Sidecars are written with their data files, go with them, and are made again where they lack."""

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from numpy.typing import NDArray
from typer.testing import CliRunner

from _build import Built, add_dataset, add_layers, put, responses
from _kill import run_with_kills
from fstore.cli import app
from fstore.errors import DataError, StorageError, UnknownNameError
from fstore.store import Store
from fstore.store.encode import write_layer
from fstore.store.files import Identity, Partition
from fstore.store.index import index
from fstore.store.kept import Kept, choose, merge, pack, sidecar_key, unpack
from fstore.store.maintenance import Selection
from fstore.store.sidecars import read_sidecar, write_sidecar
from fstore.store.sink import write_shard
from fstore.store.topk import strongest
from fstore.types import ActivationBatch

CONV = Partition("net", "5", "d", "image", "conv")
FC = Partition("net", "5", "d", "image", "fc")
N = 150

KILLED = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[2])
from test_sidecars import shard
from fstore.store import Store
store = Store.open(sys.argv[1])
for i in range(30):
    shard(store, i * 70, 70)
    print(i, flush=True)
"""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Make a store of two layers in two files each, all with sidecars."""
    store = Store.create(tmp_path / "s")
    add_dataset(store, "d", ["train"] * N)
    add_layers(store, "net", {"conv": (3, 2, 2), "fc": (4, 1, 1)})
    values = {"conv": drawn(0, 3, 4), "fc": drawn(1, 4, 1)}
    for place in (CONV, FC):
        for ids in (range(80), range(80, N)):
            put(store, place, values[place.layer][ids.start : ids.stop], sample_ids=ids)
    return Built(store, values)


def drawn(seed: int, channels: int, positions: int, n: int = N) -> NDArray[np.float32]:
    """Draw responses, half of them 0."""
    x = np.random.default_rng(seed).normal(size=(n, channels, positions))
    return np.maximum(x, 0).astype(np.float32)


def shard(store: Store, first: int, n: int) -> int:
    """Write a shard of both layers as an extraction does; return the rows that it added."""
    ids = np.arange(first, first + n)
    layers = {
        "conv": responses(drawn(first, 3, 4, n)),
        "fc": responses(drawn(first + 1, 4, 1, n)),
    }
    identities = {place: Identity({"weights": "5", "samples": "s"}) for place in (CONV, FC)}
    return write_shard(store.place, [ActivationBatch(ids, layers)], identities).rows


def sidecars(store: Store) -> set[str]:
    """List the files below ``topk/``."""
    return {entry.key for entry in store.place.entries("topk")}


def expected(store: Store) -> set[str]:
    """List the sidecars of the files that the log has."""
    return {sidecar_key(file.key) for file in store.files()}


def run(store: Store, *words: str) -> Any:  # noqa: ANN401 - typer's own result
    """Run ``fstore --store STORE WORDS``."""
    return CliRunner().invoke(app, ["--store", str(store.path), *words])


# The format


@pytest.mark.parametrize("positions", [1, 4, 300, 70_000])
def test_what_is_packed_is_unpacked(positions: int) -> None:
    """Samples of any size, places of any map, values below 0, infinities: all come back."""
    random = np.random.default_rng(positions)
    values = -np.sort(-random.normal(size=(5, 7)).astype(np.float32), axis=1)
    values[0, :2], values[1, -1] = np.inf, -np.inf
    ids = random.integers(10**9, 10**9 + positions, (5, 7))
    places = random.integers(0, positions, (5, 7)).astype(np.int32)
    content = pack(Kept(ids, values, places, 99, 3), "a.parquet")
    again = unpack(content, "a.parquet")
    some = unpack(content, "a.parquet", channels=np.array([0, 3], np.int32))
    assert again is not None
    assert some is not None
    assert (some.sample_ids == ids[[0, 3]]).all()
    assert (some.values == values[[0, 3]]).all()
    assert (some.places == places[[0, 3]]).all()
    assert unpack(content, "a.parquet", channels=np.array([5], np.int32)) is None
    assert (again.n_samples, again.not_finite) == (99, 3)
    for name in ("sample_ids", "values", "places"):
        array, wanted = getattr(again, name), {"sample_ids": ids, "places": places}
        assert (array == wanted.get(name, values)).all()
    kinds = again.sample_ids.dtype, again.values.dtype, again.places.dtype
    assert kinds == (np.dtype("i8"), np.dtype("f4"), np.dtype("i4"))


def test_every_byte_counts() -> None:
    """Whichever byte of a sidecar is changed, or wherever it is cut, it is refused."""
    kept = Kept(np.arange(4)[None], np.ones((1, 4), np.float32), np.zeros((1, 4), np.int32), 9, 0)
    content = pack(kept, "a.parquet")
    for i in range(len(content)):
        with pytest.raises(StorageError):
            unpack(content[:i] + bytes([content[i] ^ 4]) + content[i + 1 :], "a.parquet")
        with pytest.raises(StorageError):
            unpack(content[:i], "a.parquet")
    with pytest.raises(StorageError, match=r"another file, a\.parquet"):
        unpack(content, "b.parquet")


def test_order_of_values() -> None:
    """NaN comes first, then values descending; equal ones, 0 and -0 among them, from the left."""
    x = np.array([[0.0, -0.0, np.nan, -1, np.inf, 0, 2, -np.inf, 2, -np.nan]], np.float32)
    assert choose(x, 10).tolist() == [[2, 9, 4, 6, 8, 0, 1, 5, 3, 7]]
    assert choose(x, 4).tolist() == [[2, 9, 4, 6]]


def kept_of(x: NDArray[np.float32], ids: range, k: int) -> Kept:
    """Sort in Python: x of shape (n_samples, n_channels)."""
    order = [sorted(ids, key=lambda i: (-float(x[i, c]), i))[:k] for c in range(x.shape[1])]
    at = np.array(order)
    values = np.take_along_axis(x.T, at, axis=1)
    return Kept(at.astype(np.int64), values, (at % 3).astype(np.int32), len(ids), 0)


@pytest.mark.parametrize("seed", range(5))
def test_merging_keeps_what_is_proven(seed: int) -> None:
    """Merged, what three files keep is a beginning of the order of all their samples."""
    x = np.random.default_rng(seed).integers(0, 9, (90, 4)).astype(np.float32)
    parts = [kept_of(x, r, 10) for r in (range(50), range(50, 55), range(55, 90))]
    merged, whole = merge(parts, k=12), kept_of(x, range(90), 12)
    n = merged.n_kept
    assert 10 <= n <= 12
    assert merged.n_samples == 90
    assert (merged.sample_ids == whole.sample_ids[:, :n]).all()
    assert (merged.values == whole.values[:, :n]).all()
    assert (merged.places == whole.places[:, :n]).all()
    everything = merge([kept_of(x, r, 99) for r in (range(50), range(50, 90))], k=99)
    assert (everything.sample_ids == kept_of(x, range(90), 99).sample_ids).all()
    with pytest.raises(DataError, match="the same channels"):
        merge([parts[0], kept_of(x[:, :2], range(5), 5)])


# Written with the data


def test_a_sidecar_is_there_before_its_file(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the log takes a file its sidecar is on disk and synced: part of the same commit."""
    seen: list[set[str]] = []
    synced: list[str] = []
    real, sync = DeltaTable.create_write_transaction, os.fsync

    def looks(self: DeltaTable, actions: Any, *args: Any, **options: Any) -> None:  # noqa: ANN401
        seen.append({sidecar_key(f"activations/{action.path}") for action in actions})
        assert seen[-1] <= sidecars(built.store)
        real(self, actions, *args, **options)

    def notes(handle: int) -> None:
        synced.append(Path(f"/proc/self/fd/{handle}").readlink().name.split(".", 1)[1])
        sync(handle)

    monkeypatch.setattr(DeltaTable, "create_write_transaction", looks)
    monkeypatch.setattr("os.fsync", notes)
    assert shard(built.store, 200, 70) == 70 * 7
    assert [len(keys) for keys in seen] == [2]
    assert sorted(synced) == ["parquet.tmp"] * 2 + ["topk.tmp"] * 2
    assert sidecars(built.store) == expected(built.store)


@pytest.mark.parametrize("failing", ["commit", "sidecar"])
def test_what_fails_leaves_nothing(
    built: Built, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    """If the commit fails, or the disk is full at a sidecar, no file of the shard is left."""
    before = sidecars(built.store)

    def full(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if failing == "commit":
        monkeypatch.setattr(DeltaTable, "create_write_transaction", full)
    else:
        monkeypatch.setattr("fstore.store.sidecars.pack", full)
    with pytest.raises(StorageError, match="No space left"):
        shard(built.store, 200, 70)
    assert sidecars(built.store) == before == expected(built.store)
    assert len(list(built.store.place.entries("activations/network=net"))) == 4
    monkeypatch.undo()
    assert shard(built.store, 200, 70) == 70 * 7


@pytest.mark.slow
def test_killed_at_any_moment(tmp_path: Path) -> None:
    """After SIGKILL at random moments each visible file has its sidecar; gc takes the rest."""
    store = Store.create(tmp_path / "s")
    add_dataset(store, "d", ["train"] * 2100)
    add_layers(store, "net", {"conv": (3, 2, 2), "fc": (4, 1, 1)})
    run_with_kills(KILLED, store.path, Path(__file__).parent, kills=6, longest=20)
    assert len(store.files()) == 60
    assert expected(store) <= sidecars(store)
    store.gc(older_than_hours=0)
    assert sidecars(store) == expected(store)
    assert strongest(store, CONV, k=64).scanned == 0
    assert list(store.verify()) == []


# Dropped and collected


def test_drop_takes_sidecars(built: Built) -> None:
    """A dropped partition's sidecars go with its files, the other's stay."""
    built.store.drop(layer="fc")
    assert len(sidecars(built.store)) == 2
    assert sidecars(built.store) == expected(built.store)


def test_drop_follows_no_link(built: Built, tmp_path: Path) -> None:
    """A folder of sidecars that is a link to elsewhere keeps its files when a partition goes."""
    elsewhere = tmp_path / "elsewhere"
    (built.store.path / "topk/network=net").rename(elsewhere)
    (built.store.path / "topk/network=net").symlink_to(elsewhere)
    built.store.drop(layer="fc")
    assert len(list(elsewhere.rglob("*.topk"))) == 4


def test_gc_takes_what_no_file_needs(built: Built) -> None:
    """Sidecars of files that are not in the log, and unfinished ones, go; others' files stay."""
    place, before = built.store.place, sidecars(built.store)
    folder = next(iter(before)).rpartition("/")[0]
    lost = f"{folder}/0-9-10-{'a' * 16}-{'b' * 16}-{'c' * 12}.topk"
    draft, own = f"{folder}/{'d' * 12}.topk.tmp", f"{folder}/notes.topk"
    for key in (lost, draft, own):
        place.write(key, b"x")
    assert {key for key, _ in built.store.gc(older_than_hours=1)} == set()
    assert {key for key, _ in built.store.gc(older_than_hours=0)} == {lost, draft}
    assert sidecars(built.store) == before | {own}


def test_another_program_rewrites(built: Built) -> None:
    """Files of another program get no sidecar, and those of the old files are collected."""
    DeltaTable(str(built.store.path / "activations")).optimize.compact()
    rows = index(built.store.place)
    assert [(row["files"], row["written"], row["without"]) for row in rows] == [(1, 0, 1)] * 2
    with pytest.raises(DataError, match="another program"):
        strongest(built.store, CONV)
    answer = strongest(built.store, CONV, bits=True)
    ranked = [
        sorted(range(N), key=lambda i: (-float(built.values["conv"][i, c].max()), i))[:9]
        for c in range(3)
    ]
    assert answer.sample_ids.tolist() == ranked
    built.store.gc(older_than_hours=0)
    assert sidecars(built.store) == set()


# Index


def test_index_writes_what_is_missing(built: Built) -> None:
    """Of a store without sidecars index writes the very bytes that an extraction writes; once."""
    store = built.store
    before = {key: store.place.read(key) for key in sidecars(store)}
    for key in before:
        store.place.delete(key)
    (conv,) = index(store.place, Selection(layer="conv"))
    assert (conv["layer"], conv["files"], conv["had"], conv["written"]) == ("conv", 2, 0, 2)
    told: list[tuple[str, int, int]] = []
    rows = index(store.place, on_progress=lambda what, i, n, _: told.append((what, i, n)))
    assert [(row["had"], row["written"]) for row in rows] == [(2, 0), (0, 2)]
    assert told == [("files", i, 4) for i in range(4)]
    assert {key: store.place.read(key) for key in sidecars(store)} == before
    assert [row["written"] for row in index(store.place)] == [0, 0]
    assert sum(row["bytes"] for row in index(store.place)) == sum(map(len, before.values()))
    with pytest.raises(UnknownNameError, match="no activations in the store fit --layer conv9"):
        index(store.place, Selection(layer="conv9"))


def test_verify_names_a_damaged_sidecar(built: Built) -> None:
    """Verify says which sidecar is damaged or wrong, and the command that it names mends it."""
    store = built.store
    cut, wrong = sorted(sidecars(store))[:2]
    store.place.write(cut, store.place.read(cut)[:-3])
    (file,) = (f for f in store.files() if sidecar_key(f.key) == wrong)
    kept = read_sidecar(store.place, file.key)
    assert kept is not None
    swapped = Kept(kept.sample_ids[::-1], kept.values, kept.places, kept.n_samples, 0)
    write_sidecar(store.place, file.key, swapped)
    problems = {row["file"]: row["problem"] for row in store.verify()}
    assert problems.keys() == {cut, wrong}
    assert "not what was written" in problems[cut]
    assert "does not hold the strongest samples" in problems[wrong]
    for problem in problems.values():
        assert "index --network net --ckpt 5 --dataset d --view image --layer" in problem
    store.place.delete(wrong)
    assert [row["written"] for row in index(store.place)] == [2, 0]
    assert list(store.verify()) == []


def test_index_passes_over_a_damaged_file(built: Built) -> None:
    """A data file that cannot be read is named, the others get their sidecars; the status is 1."""
    store = built.store
    for key in sidecars(store):
        store.place.delete(key)
    path = Path(min(f.uri for f in store.files()))
    path.write_bytes(path.read_bytes()[:100])
    done = run(store, "index", "--json")
    assert done.exit_code == 1
    assert [(r["written"], r["without"]) for r in json.loads(done.stdout)] == [(1, 1), (2, 0)]
    assert f"not indexed: cannot read {path}" in done.stderr.replace("\n", " ")


def test_index_command(built: Built) -> None:
    """A row a partition, as table, JSON and CSV; what was done in all stands on stderr."""
    (first, *_) = sorted(sidecars(built.store))
    built.store.place.delete(first)
    done = run(built.store, "index")
    assert (done.exit_code, done.stderr.split(";")[0]) == (
        0,
        "wrote 1, 3 had been written, 0 files get none",
    )
    assert done.stdout.splitlines()[0].split()[-6:] == [
        "files", "had", "written", "without", "bytes", "percent",
    ]  # fmt: skip
    (row,) = json.loads(run(built.store, "index", "--layer", "conv", "--json").stdout)
    size = sum(e.size_bytes for e in built.store.place.entries("topk") if "layer=conv" in e.key)
    assert (row["had"], row["written"], row["bytes"]) == (2, 0, size)
    assert run(built.store, "index", "--layer", "no").exit_code == 1


def test_old_stores_answer_without_an_index(built: Built) -> None:
    """A store of an older fstore has no folder topk/: answers are the same, and gc says nothing."""
    wanted = strongest(built.store, CONV)
    for key in sidecars(built.store):
        built.store.place.delete(key)
    answer = strongest(built.store, CONV)
    assert (answer.sample_ids == wanted.sample_ids).all()
    assert (answer.places == wanted.places).all()
    assert (wanted.scanned, answer.scanned) == (0, 6)
    assert built.store.gc(older_than_hours=0) == []
    assert list(built.store.verify()) == []


def test_the_data_file_is_what_it_was(tmp_path: Path) -> None:
    """Keeping the strongest changes no byte of a data file."""
    x = responses(drawn(5, 3, 4))
    file = write_layer(tmp_path / "a.parquet", [np.arange(N)], [x], metadata={})
    assert file.kept is not None
    assert file.kept.n_kept == 64
    few = responses(drawn(5, 3, 4)[:64])
    assert write_layer(tmp_path / "b.parquet", [np.arange(64)], [few], metadata={}).kept is None
