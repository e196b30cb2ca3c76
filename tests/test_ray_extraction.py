"""Extraction on a Ray cluster of two nodes of one core each: the store is that of one process."""

import gc as garbage
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import psutil
import pytest

from fstore.engines import RayOptions
from fstore.errors import DataError, EngineError
from fstore.store import Store
from fstore.store.maintenance import gc
from fstore.workflows.engines import connected
from fstore.workflows.extract.run import Progress, Summary
from test_extraction import SMALL, all_rows, fill, make_images, make_store

# Ray leaves sockets open
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

Nodes: TypeAlias = Any
"""Of Ray, which has no types."""
N_IMAGES = 40
QUICK = {
    "health_check_initial_delay_ms": 500,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 5,
}
"""A node that is gone is noticed within seconds."""
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Any]:
    """Give a cluster whose head has a core; each test that needs it adds a node."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_raylet_start_wait_time_s": "120"}
    cluster_utils = pytest.importorskip("ray.cluster_utils")
    head = {**NODE, "include_dashboard": False, "_system_config": QUICK}
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
    yield cluster
    cluster.shutdown()
    garbage.collect()  # here, where warnings of what Ray left open are nobody's


@pytest.fixture
def second(nodes: Nodes) -> Iterator[Any]:
    """Give a second node, which goes with the test."""
    node = nodes.add_node(**NODE)
    nodes.wait_for_nodes()
    yield node
    if node in nodes.list_all_nodes():
        nodes.remove_node(node)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give a store that one process filled."""
    folder = tmp_path_factory.mktemp("local")
    store = make_store(folder / "store", make_images(folder / "images", N_IMAGES))
    fill(store)
    return store


@pytest.fixture
def empty(tmp_path: Path, local: Store) -> Store:
    """Give a store without responses, of the very same images."""
    root = local.dataset("noise").root
    assert isinstance(root, Path)
    return make_store(tmp_path / "store", root)


def spread(
    store: Store,
    nodes: Nodes,
    *,
    workers: int,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Extract all layers on the cluster."""
    ray = RayOptions(address=nodes.address, workers=workers, threads=1)
    return fill(store, options=replace(SMALL, ray=ray), on_progress=on_progress)


def contents(store: Store) -> list[str]:
    """Return the names of all files, which hold samples, identity and checksum of rows."""
    return sorted(f"{f.partition} {f.name.rpartition('-')[0]}" for f in store.files())


def after_two_shards(act: Callable[[], object]) -> Callable[[Progress], None]:
    """Return what does something once, when two shards are committed and others are not."""
    seen: list[int] = []

    def look(state: Progress) -> None:
        seen.append(state.done)
        if len(seen) == 2:
            assert state.done < state.total
            act()

    return look


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_cluster_fills_a_store_as_one_process_does(
    empty: Store, local: Store, nodes: Nodes, second: Nodes, workers: int
) -> None:
    """One worker or two: rows, files' checksums and identities are those of the local engine."""
    assert second is not None
    summary = spread(empty, nodes, workers=workers)
    assert contents(empty) == contents(local)
    assert all_rows(empty) == all_rows(local)
    assert summary.samples == sum(row["samples"] for row in summary.workers) == N_IMAGES
    assert len(summary.workers) == workers
    assert 0 < summary.start_s < summary.seconds


@pytest.mark.slow
def test_a_node_that_is_killed_costs_no_row(
    empty: Store, local: Store, nodes: Nodes, second: Nodes
) -> None:
    """A node with a worker on it ends in mid-run: the rows are those of a run without that."""

    def kill() -> None:
        nodes.remove_node(second, allow_graceful=False)

    summary = spread(empty, nodes, workers=2, on_progress=after_two_shards(kill))
    assert len(nodes.list_all_nodes()) == 1
    assert contents(empty) == contents(local)
    assert all_rows(empty) == all_rows(local)
    assert summary.samples == N_IMAGES
    gc(empty.place, older_than_hours=0)  # what the lost worker wrote
    assert all_rows(empty) == all_rows(local)


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_row(empty: Store, local: Store, nodes: Nodes) -> None:
    """The only worker gets SIGKILL in mid-run: Ray starts it again, and the rows are the same."""
    killed: list[int] = []

    def kill() -> None:
        raylet = nodes.head_node.all_processes["raylet"][0].process.pid
        for process in psutil.Process(raylet).children(recursive=True):
            if "ShardWorker" in " ".join(process.cmdline()):
                process.kill()
                killed.append(process.pid)

    spread(empty, nodes, workers=1, on_progress=after_two_shards(kill))
    assert len(killed) == 1
    assert contents(empty) == contents(local)
    assert all_rows(empty) == all_rows(local)


RUN = """
import sys
from fstore.store import Store
from fstore.engines import RayOptions
from fstore.workflows.extract import run as extraction
options = extraction.ExtractionOptions(
    batch_size=3, shard_bytes=1 << 19, ray=RayOptions(address=sys.argv[2], workers=1, threads=1)
)
extraction.extract(
    Store.open(sys.argv[1]), layers=["all"], ckpts=["random"], options=options,
    on_progress=lambda _: print("shard", flush=True),
)
"""


@pytest.mark.slow
def test_a_killed_driver_is_run_again(empty: Store, local: Store, nodes: Nodes) -> None:
    """The committing process gets SIGKILL; run again, it ends in the same store."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(empty.path), nodes.address],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "shard\n"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < len(all_rows(empty)) < len(all_rows(local))
    spread(empty, nodes, workers=1)
    assert contents(empty) == contents(local)
    assert all_rows(empty) == all_rows(local)


@pytest.mark.slow
def test_a_store_that_a_node_does_not_see_is_refused(
    empty: Store, nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that look at another folder, empty or a store, are refused before any row is made."""
    from fstore.workflows.extract import spread as spreading

    elsewhere = empty.path.parent / "elsewhere"
    monkeypatch.setattr(spreading, "_everywhere", lambda _: str(elsewhere))
    with pytest.raises(EngineError, match=r"does not see the store at .*elsewhere"):
        spread(empty, nodes, workers=1)
    assert not elsewhere.exists()
    Store.create(elsewhere)
    with pytest.raises(EngineError, match=r"does not see the store at .*elsewhere"):
        spread(empty, nodes, workers=1)
    assert not all_rows(empty)
    assert not list((empty.path / "activations").rglob("*.tmp"))


@pytest.mark.slow
def test_too_many_unreadable_images_end_a_run_on_a_cluster(tmp_path: Path, nodes: Nodes) -> None:
    """An unreadable image is quarantined as on one machine; more than are allowed end the run."""
    images = make_images(tmp_path / "images", 6)
    bad = min(images.rglob("*.png"))
    bad.write_bytes(b"no image")
    store = make_store(tmp_path / "store", images)
    ray = RayOptions(address=nodes.address, workers=1, threads=1)
    with pytest.raises(DataError, match=r"^1 images could not be read.*--max-bad"):
        fill(store, options=replace(SMALL, ray=ray, max_bad=0))
    summary = fill(store, options=replace(SMALL, ray=ray))
    assert len(summary.quarantined) == 1
    assert bad.name in summary.quarantined[0]["reason"]


@pytest.mark.parametrize("address", ["ray://head:10001", "head", "head:port", ":6379"])
def test_what_is_no_address_is_refused(address: str) -> None:
    """An address that Ray's driver cannot attach to is refused with the form that is meant."""
    with pytest.raises(DataError, match="HOST:PORT"), connected(address):
        pass


def test_an_address_where_nothing_listens_is_refused_at_once() -> None:
    """Where no cluster answers the error comes within seconds and names the address."""
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"127\.0\.0\.1:1\b.*ray start"), connected("127.0.0.1:1"):
        pass
    assert time.monotonic() - began < 20


def test_a_gpu_by_number_is_refused_on_a_cluster(empty: Store) -> None:
    """A number of a GPU means nothing on a cluster: it is refused before one is started."""
    options = replace(SMALL, device="cuda:1", ray=RayOptions())
    with pytest.raises(DataError, match="each worker has one GPU"):
        fill(empty, options=options)


def test_without_work_no_cluster_is_started(local: Store) -> None:
    """A store that has all that is asked for needs no cluster, not even one that is there."""
    options = replace(SMALL, ray=RayOptions(address="127.0.0.1:1"))
    assert fill(local, options=options).samples == 0
