"""Row groups encoded by several threads: order, errors, how many are in hand, the same bytes."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from _build import responses
from fstore.errors import DataError
from fstore.store import encode
from fstore.store.encode import ShardFile, write_layer
from fstore.store.encoders import Encoders, encoder_threads, in_order
from fstore.types import LayerResponses

N, CHANNELS = 40, 96


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 2), (16, 8)])
def test_half_of_the_cores_encode(cores: int, threads: int) -> None:
    """At least half of the cores encode, and never none."""
    assert encoder_threads(cores) == threads


def test_results_come_in_the_order_of_the_tasks() -> None:
    """A first task that ends last is still the first result."""
    late = threading.Event()

    def first() -> int:
        assert late.wait(10)
        return 0

    def second() -> int:
        late.set()
        return 1

    with Encoders(2) as encoders:
        assert list(encoders.in_order([first, second, lambda: 2])) == [0, 1, 2]


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_tasks_are_taken_than_are_in_hand(threads: int) -> None:
    """Tasks are asked for two ahead of the threads, so an endless stream of them is fine."""
    asked: list[int] = []

    def endless() -> Iterator[Callable[[], int]]:
        while True:
            asked.append(len(asked))
            yield partial(int, len(asked))

    with Encoders(threads) as encoders:
        results = encoders.in_order(endless())
        assert next(results) == 1
        assert len(asked) == threads + 2
        assert next(results) == 2
        assert len(asked) == threads + 3


@pytest.mark.parametrize("threads", [None, 2])
def test_an_error_is_raised_in_its_place(threads: int | None) -> None:
    """What comes before it is handed out; the threads then take other work."""

    def fails() -> int:
        raise DataError("no")

    with Encoders(threads or 1) as pool:
        results = in_order([lambda: 1, fails, lambda: 3], pool if threads else None)
        assert next(results) == 1
        with pytest.raises(DataError, match="no"):
            next(results)
        assert list(pool.in_order([lambda: 4])) == [4]


def layer(positions: int) -> list[LayerResponses]:
    """Draw two batches of a layer, half of whose values are 0."""
    random = np.random.default_rng(positions)
    x = np.maximum(random.normal(size=(N, CHANNELS, positions)), 0).astype(np.float32)
    return [responses(x[:25]), responses(x[25:])]


@pytest.mark.parametrize(("positions", "groups"), [(1, 8), (49, 12)])
def test_the_bytes_are_those_of_one_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, positions: int, groups: int
) -> None:
    """Files that one, and four, threads encode are byte for byte that of no thread at all."""
    monkeypatch.setattr(encode, "ROW_GROUP_BYTES", 8 * 4 * 49 * N)
    monkeypatch.setattr(encode, "ROW_GROUP_ROWS", 12 * N)
    ids = [np.arange(25), np.arange(25, N)]

    def written(name: str, encoders: Encoders | None) -> tuple[str, ShardFile]:
        path = tmp_path / name
        file = write_layer(path, ids, layer(positions), metadata={}, encoders=encoders)
        return hashlib.sha256(path.read_bytes()).hexdigest(), file

    alone, file = written("alone", None)
    assert pq.read_metadata(tmp_path / "alone").num_row_groups == groups
    for threads in (1, 4):
        with Encoders(threads) as encoders:
            digest, other = written(f"{threads}", encoders)
        assert digest == alone
        assert (other.checksum, other.rows) == (file.checksum, file.rows)
