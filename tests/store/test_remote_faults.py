"""A server of object storage that fails now and then: nothing is lost, nothing is doubled.

The faults are those of ``tests/_fault_proxy.py``, drawn from a seed (``FSTORE_TEST_SEED``).
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from _build import build, put, relu
from _fault_proxy import FAULTS, Fault, Plan, Proxy, proxied
from _object_server import ObjectServer, use
from fstore.errors import StorageError
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.places import place_at

pytestmark = pytest.mark.slow

RATE = 0.2
SAMPLES = range(0, 18, 6)


@pytest.fixture
def proxy(
    seaweed: ObjectServer, remote: str, monkeypatch: pytest.MonkeyPatch, seed: int
) -> Iterator[Proxy]:
    """Put a proxy before the server, and let nobody wait long for an answer."""
    assert remote
    monkeypatch.setattr("fstore.store.buckets.TIMEOUT", "1s")
    with proxied(seaweed, Plan(seed=seed, rate=RATE, silence_s=1.5)) as running:
        use(running.server, monkeypatch)
        yield running


def partition(ckpt: str = "5") -> Partition:
    """Return where the rows of a test go."""
    return Partition("net", ckpt, "d", "image", "conv1")


def put_again(store: Store, values: np.ndarray, begin: int) -> None:
    """Commit a shard, again as the error says."""
    ids = range(begin, begin + 6)
    for _ in range(10):
        try:
            put(store, partition(), values[begin : begin + 6], sample_ids=ids)
        except StorageError:
            continue
        return


def rows_of(store: Store) -> list[tuple[int, int, float]]:
    """Return what a store holds of the partition, in order."""
    rows = store.sql(
        "SELECT sample_id, channel, act_max FROM activations WHERE ckpt = '5' AND layer = 'conv1' "
        "ORDER BY ALL"
    ).arrow()
    return list(zip(*(rows[name].to_pylist() for name in rows.schema.names), strict=True))


def expected(values: np.ndarray, ids: range) -> list[tuple[int, int, float]]:
    """Return the rows of responses, in order."""
    top = values.max(axis=2)
    return [
        (i, channel, float(x))
        for i, row in zip(ids, top, strict=True)
        for channel, x in enumerate(row)
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_commits_through_a_failing_server(proxy: Proxy, remote: str, fault: Fault) -> None:
    """Shards committed while one request in five fails are all there once.

    What fails for good (deltalake does not ask again after silence or half an answer) says so, and
    is all right when it is done again.
    """
    store = build(remote, ()).store
    values = relu(3, 18, 3, 4) + np.float32(0.1)
    proxy.plan.faults = [fault]
    for begin in SAMPLES:
        if fault in {"silence", "cut"}:
            put_again(store, values, begin)
        else:
            put(store, partition(), values[begin : begin + 6], sample_ids=range(begin, begin + 6))
    assert proxy.harmed() > 0
    proxy.plan.faults = ()
    assert rows_of(store) == expected(values, range(18))
    proxy.plan.faults = ()
    fresh = Store.open(remote)
    assert rows_of(fresh) == expected(values, range(18))
    assert [row["rows"] for row in fresh.status()] == [54]
    assert list(fresh.verify()) == []


@pytest.mark.parametrize("fault", ["done, then 500", "done, then drop"])
def test_a_commit_answered_with_an_error(proxy: Proxy, remote: str, fault: Fault) -> None:
    """Commits that were made, each answered with an error, are found to be made: no row twice."""
    store = build(remote, ()).store
    values = relu(4, 12, 3, 4) + np.float32(0.1)
    proxy.plan.faults, proxy.plan.rate = [fault], 1.0
    proxy.plan.methods, proxy.plan.part = frozenset({"PUT"}), "_delta_log"
    for begin in (0, 6):
        put(store, partition(), values[begin : begin + 6], sample_ids=range(begin, begin + 6))
    assert proxy.harmed() >= 2
    proxy.plan.faults = ()
    assert rows_of(Store.open(remote)) == expected(values, range(12))
    assert list(Store.open(remote).verify()) == []


@pytest.mark.parametrize("fault", ["done, then 500", "done, then drop", "503", "drop"])
def test_additions_through_a_failing_server(proxy: Proxy, remote: str, fault: Fault) -> None:
    """Of lines that two writers append while requests fail each is there, and once."""
    place = place_at(remote)
    proxy.plan.faults, proxy.plan.rate = [fault], 0.4
    lines = [f"{name} {i}\n" for name in "ab" for i in range(8)]

    def add(name: str) -> None:
        for line in lines:
            if line[0] == name:
                place.append("sums/t", line.encode())

    with ThreadPoolExecutor() as threads:
        list(threads.map(add, "ab"))
    assert proxy.harmed() > 0
    proxy.plan.faults = ()
    assert sorted(place.read("sums/t").decode().splitlines(keepends=True)) == sorted(lines)


@pytest.mark.parametrize("fault", FAULTS)
def test_locks_through_a_failing_server(proxy: Proxy, remote: str, fault: Fault) -> None:
    """A lock keeps threads apart while requests fail, and is free at the end."""
    place = place_at(remote)
    proxy.plan.faults, proxy.plan.rate = [fault], 0.3
    inside: list[int] = []
    most = []

    def work(i: int) -> None:
        with place.lock("a.lock", poll_s=0.01):
            inside.append(i)
            most.append(len(inside))
            inside.remove(i)

    with ThreadPoolExecutor() as threads:
        list(threads.map(work, range(4)))
    assert proxy.harmed() > 0
    proxy.plan.faults = ()
    assert most == [1, 1, 1, 1]
    assert not place.is_locked("a.lock")
