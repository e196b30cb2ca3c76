"""The strongest samples are those of a full scan, however they are stored and asked for."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from _build import add_dataset, add_layers, put
from fstore.errors import DataError, UnknownNameError
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.kept import sidecar_key
from fstore.store.sidecars import read_sidecar
from fstore.store.topk import Strongest, strongest, strongest_by_class

WHERE = Partition("net", "5", "d", "image", "conv")
FC = Partition("net", "5", "d", "image", "fc")


def make(path: Path, n: int, *, channels: int = 3, side: int = 2) -> Store:
    """Make a store that has samples and two layers, and no responses."""
    store = Store.create(path)
    add_dataset(store, "d", ["train"] * n)
    add_layers(store, "net", {"conv": (channels, side, side), "fc": (channels, 1, 1)})
    return store


def full_scan(
    x: NDArray[np.float32], k: int, ids: Sequence[int] | None = None
) -> list[list[tuple[int, float, int]]]:
    """Sort all responses in plain Python: channel -> (sample, value, place), the first k."""
    chosen = range(len(x)) if ids is None else ids
    rows = []
    for c in range(x.shape[1]):
        ranked = sorted(chosen, key=lambda i: (-float(x[i, c].max()), i))[:k]
        rows.append([(i, float(x[i, c].max()), list(x[i, c]).index(max(x[i, c]))) for i in ranked])
    return rows


def told(answer: Strongest) -> list[list[tuple[int, float, int]]]:
    """Return an answer in the form of :func:`full_scan`."""
    triples = (answer.sample_ids, answer.values, answer.places)
    return [
        list(zip(*(rows.tolist() for rows in own), strict=True))
        for own in zip(*triples, strict=True)
    ]


def drawn(seed: int, n: int, *, channels: int = 3, positions: int = 4) -> NDArray[np.float32]:
    """Draw few distinct values, many of them 0, some below: ties everywhere."""
    random = np.random.default_rng(seed)
    x = random.integers(-3, 12, (n, channels, positions)).astype(np.float32) / 4
    x[random.random(x.shape) < 0.4] = 0
    x[:, 0] = np.where(random.random(x[:, 0].shape) < 0.97, 0, x[:, 0])  # mostly 0
    return x.astype(np.float32)


def put_parts(store: Store, place: Partition, x: NDArray[np.float32], cuts: Sequence[int]) -> None:
    """Commit samples in several files."""
    edges = [0, *cuts, len(x)]
    for start, stop in pairwise(edges):
        if stop > start:
            put(store, place, x[start:stop], sample_ids=range(start, stop))


def test_the_answer_comes_from_sidecars(tmp_path: Path) -> None:
    """With a sidecar beside each file no column is read, and ranks, values and places are right."""
    store = make(tmp_path / "s", 200)
    x = np.random.default_rng(0).normal(size=(200, 3, 4)).astype(np.float32)
    put_parts(store, WHERE, x, [100])
    answer = strongest(store, WHERE, k=9)
    assert told(answer) == full_scan(x, 9)
    assert answer.scanned == 0
    assert answer.channels.tolist() == [0, 1, 2]
    some = strongest(store, WHERE, channels=[2, 0, 2], k=64)
    whole = full_scan(x, 64)
    assert told(some) == [whole[2], whole[0], whole[2]]


def test_what_is_proven_and_what_is_not(tmp_path: Path) -> None:
    """Columns are read of those files only in which a sample that was left out may come."""
    store = make(tmp_path / "s", 400)
    x = np.random.default_rng(1).random((400, 3, 4)).astype(np.float32)
    x[:200, 1] += 1  # of channel 1 the first file has all the strongest
    put_parts(store, WHERE, x, [200])
    assert strongest(store, WHERE, k=64).scanned == 0
    answer = strongest(store, WHERE, k=65)
    assert told(answer) == full_scan(x, 65)
    assert answer.scanned == 1
    assert told(strongest(store, WHERE, k=1000)) == full_scan(x, 400)


def test_layers_without_maps_keep_less(tmp_path: Path) -> None:
    """A fully connected layer keeps 16 a file; what files keep together answers for more."""
    store = make(tmp_path / "s", 400)
    x = np.random.default_rng(2).random((400, 3, 1)).astype(np.float32)
    put_parts(store, FC, x, [100, 200, 300])
    (kept, *_) = [read_sidecar(store.place, f.key) for f in store.files()]
    assert kept is not None
    assert kept.n_kept == 16
    answer = strongest(store, FC, k=20)
    assert (told(answer), answer.scanned) == (full_scan(x, 20), 0)
    assert told(strongest(store, FC, k=70)) == full_scan(x, 70)


def test_files_with_few_samples_have_none(tmp_path: Path) -> None:
    """A file that has no more samples than would be kept gets no sidecar; its column answers."""
    store = make(tmp_path / "s", 64)
    x = drawn(3, 64)
    put(store, WHERE, x)
    assert list(store.place.entries("topk")) == []
    assert told(strongest(store, WHERE)) == full_scan(x, 9)


@pytest.mark.parametrize("damage", ["gone", "cut", "flipped", "another", "empty"])
def test_lost_and_damaged_sidecars(tmp_path: Path, damage: str) -> None:
    """A sidecar that is gone, cut, changed or another file's is passed over: answers stay right."""
    store = make(tmp_path / "s", 200)
    x = drawn(4, 200)
    put_parts(store, WHERE, x, [100])
    first, second = (store.path / sidecar_key(f.key) for f in store.files())
    content = first.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    if damage == "gone":
        first.unlink()
    else:
        new = {
            "cut": content[:-1],
            "flipped": bytes(flipped),
            "another": second.read_bytes(),
            "empty": b"",
        }
        first.write_bytes(new[damage])
    answer = strongest(store, WHERE, k=9)
    assert told(answer) == full_scan(x, 9)
    assert answer.scanned == 3


def test_among_some_samples(tmp_path: Path) -> None:
    """Among a subset the answer is that of sorting it, proven by sidecars where it can be."""
    store = make(tmp_path / "s", 300)
    x = np.random.default_rng(5).random((300, 3, 4)).astype(np.float32)
    put_parts(store, WHERE, x, [100, 200])
    half = np.arange(0, 300, 2)
    answer = strongest(store, WHERE, k=5, ids=half)
    assert (told(answer), answer.scanned) == (full_scan(x, 5, half.tolist()), 0)
    few = np.array([1, 2, 250])
    assert told(strongest(store, WHERE, k=9, ids=few)) == full_scan(x, 9, few.tolist())
    with pytest.raises(UnknownNameError, match=r"samples \[300\]"):
        strongest(store, WHERE, ids=np.array([3, 300]))


def test_by_class(tmp_path: Path) -> None:
    """By class the samples that show it are ranked alone; a class without samples is left out."""
    store = make(tmp_path / "s", 300)  # classes a and b in turn
    x = drawn(6, 300)
    put_parts(store, WHERE, x, [150])
    answers = strongest_by_class(store, WHERE, k=7)
    assert list(answers) == ["a", "b"]
    for first, name in enumerate("ab"):
        assert told(answers[name]) == full_scan(x, 7, range(first, 300, 2))
    (only,) = strongest_by_class(store, WHERE, classes=["b"], channels=[1], k=3).values()
    assert told(only) == [full_scan(x, 3, range(1, 300, 2))[1]]
    assert list(strongest_by_class(store, WHERE, ids=np.arange(0, 10, 2))) == ["a"]
    with pytest.raises(UnknownNameError, match="no class 'c'; it has: a, b"):
        strongest_by_class(store, WHERE, classes=["c"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [WHERE, FC])
def test_no_numbers(tmp_path: Path, bad: float, place: Partition) -> None:
    """A response that is NaN or infinite is an error that names it, and only where it is asked."""
    store = make(tmp_path / "s", 200)
    x = drawn(7, 200, positions=4 if place is WHERE else 1)
    x[150, 1] = bad
    put_parts(store, place, x, [100])
    with pytest.raises(DataError, match=r"NaN or infinite.* sample 150, channel 1"):
        strongest(store, place)
    with np.errstate(invalid="ignore"):
        wanted = full_scan(x[:150], 9)
    assert told(strongest(store, place, ids=np.arange(150))) == wanted
    assert told(strongest(store, place, channels=[0, 2])) == [
        full_scan(np.delete(x, 1, axis=1), 9)[i] for i in (0, 1)
    ]


def test_bits_are_refused(tmp_path: Path) -> None:
    """Of bits none is the strongest: they get no sidecar, and a question about them is refused."""
    store = make(tmp_path / "s", 200)
    x = (drawn(8, 200) > 0).astype(np.float32)
    put(store, WHERE, x, identity={"stored precision": "bit"})
    assert list(store.place.entries("topk")) == []
    with pytest.raises(DataError, match="stored as bits"):
        strongest(store, WHERE)
    assert told(strongest(store, WHERE, bits=True)) == full_scan(x, 9)


def test_bad_questions(tmp_path: Path) -> None:
    """No k, no such channel, no such partition: each is an error that says so."""
    store = make(tmp_path / "s", 70)
    put(store, WHERE, drawn(9, 70))
    with pytest.raises(DataError, match="k must be at least 1"):
        strongest(store, WHERE, k=0)
    with pytest.raises(UnknownNameError, match="no channel 3"):
        strongest(store, WHERE, channels=[3])
    with pytest.raises(UnknownNameError, match=r"no activations of net/5 d.image fc"):
        strongest(store, FC)


def check_random_store(path: Path, seed: int) -> None:
    """Compare every kind of question with a full scan, on a store that is drawn."""
    random = np.random.default_rng(seed)
    n = int(random.integers(1, 420))
    positions = int(random.choice([1, 4]))
    place = WHERE if positions > 1 else FC
    store = make(path, n)
    x = drawn(seed, n, positions=positions)
    if seed % 3 == 0:
        x = np.round(random.normal(size=x.shape), 2).astype(np.float32)
    cuts = np.sort(random.integers(0, n + 1, random.integers(0, 5))).tolist()
    put_parts(store, place, x, cuts)
    for file in store.files():
        if random.random() < 0.3:
            store.place.delete(sidecar_key(file.key))
    for k in (1, 9, 16, 64, 100):
        assert told(strongest(store, place, k=k)) == full_scan(x, k)
        ids = np.sort(random.choice(n, random.integers(1, n + 1), replace=False))
        assert told(strongest(store, place, k=k, ids=ids)) == full_scan(x, k, ids.tolist())
    for many in (4, 0):  # one class after another from sidecars; all from columns
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fstore.store.topk.MANY", many)
            answers = strongest_by_class(store, place, k=5)
        assert list(answers) == ["a", "b"][:n]
        for name, answer in answers.items():
            assert told(answer) == full_scan(x, 5, range("ab".index(name), n, 2))


@pytest.mark.parametrize("seed", range(4))
def test_random_stores(tmp_path: Path, seed: int) -> None:
    """Ties, zeros, negative values, several files, lost sidecars, subsets: as a full scan."""
    check_random_store(tmp_path / "s", seed)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(4, 10**6))
def test_many_random_stores(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """Of any store that is drawn, every answer is that of a full scan."""
    check_random_store(tmp_path_factory.mktemp("random") / "s", seed)
