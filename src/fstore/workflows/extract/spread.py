"""An extraction on a cluster: workers compute shards and write files, this process commits them.

Ray places the workers, starts lost ones again and ships the jobs. A shard of a lost worker is given
to the next one that is free. What a lost worker wrote is in no log; ``fstore gc`` deletes it.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fstore.engines import RayOptions
from fstore.errors import DataError, EngineError, FstoreError
from fstore.store.leases import working
from fstore.store.sink import commit_files
from fstore.workflows.engines import Cluster, connected, task_error
from fstore.workflows.extract.plan import LayerWork
from fstore.workflows.extract.worker import (
    PROBE,
    About,
    Sealed,
    ShardDone,
    ShardWorker,
    versions,
)

if TYPE_CHECKING:
    from fstore.store.place import Place
    from fstore.workflows.extract.computing import Extraction
    from fstore.workflows.extract.summary import Summary

__all__ = ["spread"]

IN_HAND = 2
"""Shards of a worker: one is computed while the one before it is written."""
TRIES = 4
"""Of a shard whose workers are lost; then it is taken for what ends them."""
ALONE_SECONDS = 300.0
"""Without any worker, after which the cluster is given up."""


@dataclass
class _Shard:
    """Samples of a job, and how often they were given to a worker."""

    number: int
    ids: NDArray[np.int64]
    tries: int = 0


@dataclass
class _Worker:
    """A worker: where it runs, None while it does not; where it ran last, and what it did."""

    number: int
    actor: Any
    about: About | None = None
    node: str | None = None
    device: str | None = None
    shards: int = 0
    samples: int = 0
    seconds: float = 0.0
    in_hand: int = 0

    @property
    def row(self) -> dict[str, Any]:
        """What it did, for people."""
        return {
            "worker": self.number,
            "node": self.node,
            "device": self.device,
            "shards": self.shards,
            "samples": self.samples,
            "seconds": round(self.seconds, 3),
            "images_per_s": round(self.samples / self.seconds, 2) if self.seconds else None,
        }


@dataclass
class _Spread:
    """A run: what is waiting, who is at work on what, and who is about to be."""

    work: "Extraction"
    ray: Any
    jobs: Sequence[LayerWork]
    sealed: "Sequence[Sealed[LayerWork]]"
    total: int
    waiting: deque[_Shard]
    workers: list[_Worker] = field(default_factory=list)
    coming: dict[Any, _Worker] = field(default_factory=dict)
    at_work: dict[Any, tuple[_Worker, _Shard]] = field(default_factory=dict)
    idle_since: float = field(default_factory=perf_counter)


def spread(work: "Extraction", jobs: Sequence[LayerWork]) -> None:
    """Run the jobs on a cluster.

    Parameters
    ----------
    work : Extraction
        Whose counters are filled; its options say which cluster.
    jobs : sequence of LayerWork

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    EngineError
        No cluster is reached; a node sees other files or has another fstore; a shard ends each
        worker that it is given to.
    DataError, IdentityError, StorageError
        As on one machine; what was committed before stays.
    """
    options = work.options.ray or RayOptions()
    jobs = [job for job in jobs if len(job.wanted)]
    if not jobs:
        return
    if ":" in work.options.device:
        raise DataError("on a cluster each worker has one GPU: give --device auto, cpu or cuda")
    began = perf_counter()
    with (
        connected(options.address) as cluster,
        working(work.store.place, "extract on a cluster"),
        _probe(work.store.place) as token,
    ):
        sealed = [_sealed(cluster.ray, job) for job in jobs]
        waiting = deque(_Shard(n, ids) for n, job in enumerate(jobs) for ids in job.shards())
        total = sum(len(job.wanted) for job in jobs)
        run = _Spread(work, cluster.ray, jobs, sealed, total, waiting, idle_since=began)
        try:
            run.workers += _start(work, cluster, options, token=token, most=len(waiting))
            run.coming |= {w.actor.about.remote(): w for w in run.workers}
            while run.waiting or run.at_work:
                _step(run)
        finally:
            work.summary.workers = [worker.row for worker in run.workers]
            work.summary.device = _devices(run.workers)
            _end(run)
    for job in jobs:
        work.note_fields(job)


def _sealed(ray: Any, job: LayerWork) -> Sealed[LayerWork]:  # noqa: ANN401
    """Put a job where workers get it from; the reference within is not followed by Ray."""
    return Sealed(partial(ray.get, ray.put(job)))


@contextmanager
def _probe(place: "Place") -> Iterator[str]:
    """Put a file into the store that workers must see."""
    token = uuid4().hex
    key = PROBE.format(token)
    place.write(key, token.encode())
    try:
        yield token
    finally:
        place.delete(key)


# Workers


def _start(
    work: "Extraction",
    cluster: Cluster,
    options: RayOptions,
    *,
    token: str,
    most: int,
) -> list[_Worker]:
    """Ask Ray for workers; it places them, and starts those again that are lost."""
    gpus = 0 if work.options.device == "cpu" else cluster.gpus
    if work.options.device == "cuda" and not gpus:
        raise DataError("device 'cuda' is not there; no node of the cluster has a GPU")
    threads = options.threads or _share(cluster)
    count = options.workers or gpus or sum(max(1, c // threads) for c in _cores(cluster))
    actor = cluster.ray.remote(ShardWorker).options(
        num_cpus=threads,
        num_gpus=1 if gpus else 0,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=IN_HAND,
        scheduling_strategy="SPREAD",
    )
    place = _everywhere(work.store.place)
    return [
        _Worker(
            n,
            actor.remote(place, work.chosen, work.options, threads=threads, token=token),
        )
        for n in range(min(count, most))
    ]


def _cores(cluster: Cluster) -> list[int]:
    """Return how many cores each node has for work."""
    nodes = [node["Resources"].get("CPU", 0) for node in cluster.ray.nodes() if node["Alive"]]
    return [int(cores) for cores in nodes if cores >= 1]


def _share(cluster: Cluster) -> int:
    """Return the cores of a worker that nobody chose: two, where each node has two."""
    return min([2, *_cores(cluster)])


def _everywhere(place: "Place") -> str:
    """Return the store's place, as it is called in every folder."""
    text = str(place)
    return text if "://" in text else os.path.abspath(text)  # noqa: PTH100 - links stay as they are


def _devices(workers: Sequence[_Worker]) -> str:
    """Say what the workers ran on."""
    names = [worker.device for worker in workers if worker.shards]
    return ", ".join(f"{names.count(name)} x {name} (ray)" for name in dict.fromkeys(names))


def _end(run: _Spread) -> None:
    """End the workers, and those shards that nobody waits for any more."""
    for worker in run.workers:
        run.ray.kill(worker.actor)


# Shards


def _step(run: _Spread) -> None:
    """Give out what is waiting, then take what is done first."""
    _give_out(run)
    refs = [*run.at_work, *run.coming]
    timeout = None if run.at_work else ALONE_SECONDS
    done, _ = run.ray.wait(refs, num_returns=1, timeout=timeout)
    if not done:
        raise EngineError(
            f"the cluster gave no worker in {ALONE_SECONDS:.0f} s; 'ray status' says what its "
            "nodes have: fewer --ray-threads need less. What was stored is not redone"
        )
    for ref in done:
        if ref in run.coming:
            _greet(run, ref)
        else:
            _take(run, ref)


def _give_out(run: _Spread) -> None:
    """Give shards to workers that are ready, one each before a second."""
    for depth in range(IN_HAND):
        for worker in run.workers:
            if run.waiting and worker.about is not None and worker.in_hand == depth:
                shard = run.waiting.popleft()
                shard.tries += 1
                job = run.sealed[shard.number]
                ref = worker.actor.shard.remote(shard.number, job, shard.ids)
                run.at_work[ref] = worker, shard
                worker.in_hand += 1


def _greet(run: _Spread, ref: Any) -> None:  # noqa: ANN401
    """Note that a worker is ready."""
    worker = run.coming.pop(ref)
    try:
        about: About = run.ray.get(ref)
    except run.ray.exceptions.RayError as error:
        _lost(run, worker, error)
        return
    run.work.summary.notes += _differences(about)
    if all(other.about is None for other in run.workers):
        run.work.summary.start_s += perf_counter() - run.idle_since
    worker.about, worker.node, worker.device = about, about.node, about.device


def _take(run: _Spread, ref: Any) -> None:  # noqa: ANN401
    """Commit a shard, or give it to another worker."""
    worker, shard = run.at_work.pop(ref)
    worker.in_hand -= 1
    try:
        done: ShardDone = run.ray.get(ref)
    except run.ray.exceptions.RayError as error:
        run.waiting.appendleft(shard)
        if shard.tries >= TRIES:
            raise _given_up(run, shard, error) from error
        _lost(run, worker, error)
        return
    if done.shard is not None:
        began = perf_counter()
        committed = commit_files(run.work.store.place, done.shard.files)
        if not committed:  # another process was quicker with some samples: see what is missing
            run.waiting.appendleft(shard)
            return
        run.work.count(replace(done.shard.report, commit_s=perf_counter() - began))
    _count(run, worker, done.summary)
    run.work.report(run.jobs[shard.number], run.total)


def _lost(run: _Spread, worker: _Worker, error: BaseException) -> None:
    """Wait until Ray has started a lost worker again; raise what is no loss."""
    lost = (run.ray.exceptions.RayActorError, run.ray.exceptions.ObjectLostError)
    if not isinstance(error, lost):
        worded = task_error(error)
        if worded is None:
            raise error
        raise worded from error
    worker.about = None
    if worker not in run.coming.values():
        asked = worker.actor.about.options(max_task_retries=-1).remote()
        run.coming[asked] = worker
    if all(other.about is None for other in run.workers):
        run.idle_since = perf_counter()


def _given_up(run: _Spread, shard: _Shard, error: BaseException) -> FstoreError:
    job = run.jobs[shard.number]
    return task_error(error) or EngineError(
        f"{TRIES} workers were lost at samples {shard.ids[0]} to {shard.ids[-1]} of {job.title}: "
        f"{error}; use a smaller --shard-mib or --batch-size if they ran out of memory"
    )


def _count(run: _Spread, worker: _Worker, of_shard: "Summary") -> None:
    """Add what a shard says of itself."""
    summary = run.work.summary
    summary.samples += of_shard.samples
    summary.non_finite += of_shard.non_finite
    summary.images_s += of_shard.images_s
    summary.forward_s += of_shard.forward_s
    summary.notes += of_shard.notes
    worker.shards += 1
    worker.samples += of_shard.samples
    worker.seconds += of_shard.seconds
    run.work.quarantine(of_shard.quarantined)


def _differences(about: About) -> list[str]:
    """Refuse a node with another fstore; note other libraries, on which responses may depend.

    Raises
    ------
    EngineError
        Its fstore is of another version.
    """
    own = versions()
    others = {name: v for name, v in about.versions.items() if v != own[name]}
    if "fstore" in others:
        raise EngineError(
            f"node {about.node} has version {others['fstore']} of fstore, this program is version "
            f"{own['fstore']}; install the same on all nodes"
        )
    return [
        f"warning: node {about.node} has {name} {v}, this machine {own[name]}: responses may "
        "differ in their last digits"
        for name, v in others.items()
    ]
