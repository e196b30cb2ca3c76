"""The nearest samples are those of comparing all, with far less read where bounds can tell."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from _build import add_dataset, add_layers, put
from fstore.errors import DataError, UnknownNameError
from fstore.store import Store
from fstore.store.features import What
from fstore.store.files import Partition
from fstore.store.nearest import Nearest, nearest

CONV = Partition("net", "5", "d", "image", "conv")
FC = Partition("net", "5", "d", "image", "fc")
WAYS: tuple[What, ...] = ("map", "sp_max")


def make(path: Path, n: int, channels: int = 6, side: int = 3) -> Store:
    """Make a store without responses."""
    store = Store.create(path)
    add_dataset(store, "d", ["train"] * n)
    add_layers(store, "net", {"conv": (channels, side, side), "fc": (channels, 1, 1)})
    return store


def drawn(seed: int, n: int, *, channels: int = 6, positions: int = 9) -> NDArray[np.float32]:
    """Draw samples of a few kinds, so that some are near; the second half of some are copies."""
    random = np.random.default_rng(seed)
    kinds = random.normal(size=(5, channels, positions)) * random.choice([1, 8], (5, 1, 1))
    x = kinds[random.integers(0, 5, n)] + 0.2 * random.normal(size=(n, channels, positions))
    x = np.round(np.maximum(x, 0) if seed % 2 else x, 2).astype(np.float32)
    copied = x[: len(x[n // 2 :: 3])]
    x[n // 2 :: 3] = copied
    return np.asarray(x, dtype=np.float32)


def compared(
    x: NDArray[np.float32], sample: int, k: int, among: list[int] | None = None
) -> list[int]:
    """Compare all in plain Python; x of shape (n_samples, n_values)."""
    values = x.reshape(len(x), -1).astype(np.float64)
    others = [i for i in (range(len(x)) if among is None else among) if i != sample]
    squares = {i: float(((values[i] - values[sample]) ** 2).sum()) for i in others}
    return sorted(others, key=lambda i: (round(squares[i], 9), i))[:k]


def check(answer: Nearest, x: NDArray[np.float32], sample: int, wanted: list[int]) -> None:
    """Compare samples and distances."""
    assert answer.sample_ids.tolist() == wanted
    flat = x.reshape(len(x), -1).astype(np.float64)
    right = np.linalg.norm(flat[wanted] - flat[sample], axis=1)
    assert answer.distances == pytest.approx(right, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_maps(tmp_path: Path, seed: int) -> None:
    """Whole maps of one, three or all filters, over several files, negative responses, copies."""
    store = make(tmp_path / "s", 150)
    x = drawn(seed, 150)
    for ids in (range(40), range(40, 110), range(110, 150)):
        put(store, CONV, x[ids.start : ids.stop], sample_ids=ids)
    random = np.random.default_rng(seed)
    for channels in ([3], [0, 2, 5], None):
        own = x if channels is None else x[:, channels]
        sample = int(random.integers(150))
        answer = nearest(store, CONV, sample, channels=channels, k=7)
        check(answer, own, sample, compared(own, sample, 7))
        assert answer.n_samples == 149
        among = np.sort(random.choice(150, 60, replace=False))
        some = nearest(store, CONV, sample, channels=channels, ids=among, k=100)
        check(some, own, sample, compared(own, sample, 100, among.tolist()))


def test_bounds_save_reading(tmp_path: Path) -> None:
    """Where samples differ much, most maps are not read, and the answer is the same."""
    store = make(tmp_path / "s", 200)
    x = drawn(1, 200)
    x *= np.linspace(1, 9, 200, dtype=np.float32)[:, None, None]
    for start in range(0, 200, 50):
        put(store, CONV, x[start : start + 50], sample_ids=range(start, start + 50))
    answer = nearest(store, CONV, 10, k=3)
    check(answer, x, 10, compared(x, 10, 3))
    assert answer.read < 0.3


@pytest.mark.parametrize("place", [CONV, FC])
def test_largest_responses(tmp_path: Path, place: Partition) -> None:
    """By sp_max, or of a layer without maps, the vectors of largest responses are compared."""
    store = make(tmp_path / "s", 90)
    x = drawn(2, 90, positions=9 if place is CONV else 1)
    put(store, place, x[:50], sample_ids=range(50))
    put(store, place, x[50:], sample_ids=range(50, 90))
    largest = x.max(axis=2)
    check(nearest(store, place, 4, what="sp_max"), largest, 4, compared(largest, 4, 9))
    some = nearest(store, place, 4, what="sp_max", channels=[5, 1], k=4)
    check(some, largest[:, [1, 5]], 4, compared(largest[:, [1, 5]], 4, 4))


def test_bad_questions(tmp_path: Path) -> None:
    """No such sample, no other one, no k, bits, no numbers: each is an error that says so."""
    store = make(tmp_path / "s", 20)
    x = drawn(3, 20)
    put(store, CONV, x)
    with pytest.raises(UnknownNameError, match="sample 20 of net/5"):
        nearest(store, CONV, 20)
    with pytest.raises(UnknownNameError, match=r"samples \[99\]"):
        nearest(store, CONV, 3, ids=np.array([1, 99]))
    with pytest.raises(DataError, match="no other sample"):
        nearest(store, CONV, 3, ids=np.array([3]))
    with pytest.raises(DataError, match="k must be"):
        nearest(store, CONV, 3, k=0)
    with pytest.raises(UnknownNameError, match="no channel 6"):
        nearest(store, CONV, 3, channels=[6])
    put(store, FC, x[:, :, :1], identity={"stored precision": "bit"})
    with pytest.raises(DataError, match="stored as bits"):
        nearest(store, FC, 3)
    x[7, 2, 4] = np.nan
    other = Partition("net", "6", "d", "image", "conv")
    put(store, other, x)
    for what in WAYS:
        with pytest.raises(DataError, match=r"NaN or infinite.* sample 7, channel 2"):
            nearest(store, other, 3, what=what)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 140))
def test_many_stores(tmp_path: Path, seed: int) -> None:
    """Of any store that is drawn, the nearest are those of comparing all."""
    random = np.random.default_rng(seed)
    n = int(random.integers(2, 120))
    store = make(tmp_path / "s", n)
    x = drawn(seed, n)
    cuts = [0, *np.sort(random.integers(0, n + 1, 3)).tolist(), n]
    for start, stop in pairwise(cuts):
        if stop > start:
            put(store, CONV, x[start:stop], sample_ids=range(start, stop))
    sample, k = int(random.integers(n)), int(random.integers(1, 12))
    check(nearest(store, CONV, sample, k=k), x, sample, compared(x, sample, k))
