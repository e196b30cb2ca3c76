"""Extraction into a store: what is missing, shard by shard, each committed as it is done."""

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, FstoreError
from fstore.types import ActivationBatch
from fstore.workflows.extract.plan import Chosen, Job, Options, Planner

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from fstore.extractor.devices import Runner
    from fstore.extractor.extract import Clock
    from fstore.extractor.loading import BadSample, InputBatch, InputSample
    from fstore.extractor.preprocess import Preprocess
    from fstore.store import Store
    from fstore.store.sink import ShardReport
    from fstore.workflows.extract.plan import Start

__all__ = ["Options", "Progress", "Run", "Summary", "extract", "input_samples"]


CHECKED = 3
"""Samples that the checks before the first commit compute."""
TRIED = 24
"""Samples among which those are sought that can be read."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands: samples done and to do, of which job, images a second."""

    job: str
    done: int
    total: int
    images_per_s: float


@dataclass
class Summary:
    """What a run added and where its time went."""

    run_id: str
    device: str = ""
    samples: int = 0
    present: int = 0
    rows: int = 0
    bytes: int = 0
    raw_bytes: int = 0
    seconds: float = 0.0
    images_s: float = 0.0
    forward_s: float = 0.0
    writer_s: float = 0.0
    encode_s: float = 0.0
    commit_s: float = 0.0
    non_finite: int = 0
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def images_per_s(self) -> float:
        """Samples a second over the whole run."""
        return self.samples / self.seconds if self.seconds else 0.0


def extract(
    store: "Store",
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    datasets: Sequence[str] = (),
    views: Sequence[str] = (),
    network: str | None = None,
    part: str | None = None,
    from_stored: str | None = None,
    options: Options | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Fill a store with the responses of layers to data sets; what is there is not redone.

    Parameters
    ----------
    store : Store
    layers : names; ``all`` adds the network's declared layers, ``a,b`` is two names
    ckpts : names of checkpoints, or ``network/name``
    datasets, views : names; empty for all registered data sets, and for views image and gt
    network : str or None
        Whose checkpoints are meant, where names are ambiguous.
    part : str or None
        As :meth:`fstore.store.parts.Part.parse` reads it: ``test``, ``official:test``,
        ``random:0:trainval``. None for all samples.
    from_stored : str or None
        Stored layer below those asked for: its responses are read and the rest of the network is
        run on them, in place of a pass over the images.
    options : Options
    on_progress : called after each batch

    Returns
    -------
    Summary

    Raises
    ------
    UnknownNameError
        No such checkpoint, data set, view, layer or part; ``from_stored`` is not stored.
    IdentityError
        The name of a checkpoint, data set or layer stands for other content in the store.
    DataError
        A file changed since it was registered, or more than ``max_bad`` images are unreadable.
    StorageError
        The disk is full, or the store cannot be written.
    """
    chosen = Chosen(layers, ckpts, datasets, views, network, part, from_stored)
    run = Run(store, chosen, options or Options(), on_progress)
    try:
        run.work(run.plan())
    except BaseException as error:
        run.record(error)
        raise
    run.record(None)
    return run.summary


class Run:
    """One call of :func:`extract`: its plan, its counters, its row in table ``runs``."""

    def __init__(
        self,
        store: "Store",
        chosen: Chosen,
        options: Options,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.store = store
        self.chosen = chosen
        self.options = options
        self.planner = Planner(store, chosen, options)
        self.on_progress = on_progress or (lambda _: None)
        self.summary = Summary(run_id=uuid4().hex)
        self.fingerprints: dict[str, str] = {}
        self.started = datetime.now(UTC)
        self._began = perf_counter()
        self._behind: Future[ShardReport] | None = None
        self._checked: set[tuple[object, ...]] = set()

    def plan(self) -> list[Job]:
        """Return what is to be done; note what is there."""
        jobs = self.planner.jobs()
        self.summary.present = self.planner.present
        for job in jobs:
            self.fingerprints |= {str(p): i.fingerprint for p, i in job.identities.items()}
        return jobs

    # Working

    def work(self, jobs: Sequence[Job]) -> None:
        """Run the jobs one after another; one writer thread encodes and commits behind."""
        from fstore.extractor.extract import Clock

        clock = Clock()
        total = sum(len(job.wanted) for job in jobs)
        with ThreadPoolExecutor(1, thread_name_prefix="fstore-write") as writer:
            try:
                for job in jobs:
                    if len(job.wanted):
                        self._work_on(job, writer, clock, total)
                self._settle()
            except BaseException:
                self._settle_after_error()
                raise
            finally:
                self.summary.images_s, self.summary.forward_s = clock.images_s, clock.forward_s

    def _work_on(self, job: Job, writer: ThreadPoolExecutor, clock: "Clock", total: int) -> None:
        from fstore.store.sink import write_shard

        runners, source = self.runners(job), self.source(job)
        self._check(job, source, runners[0])
        for shard in job.shards():
            batches = self.compute(job, source, shard, runners, clock=clock, total=total)
            self._settle()  # one shard is computed, one written: no third in memory
            last = self.summary.samples + len(self.summary.quarantined) >= total
            if batches:
                self._behind = writer.submit(
                    write_shard,
                    self.store.place,
                    batches,
                    job.identities,
                    threads=_cores() if last else 1,  # nothing else is left to be done then
                )
            del batches

    def _check(self, job: Job, source: "Source", runner: "Runner") -> None:
        """Before the first commit with a checkpoint, check the taps, and that samples stand alone.

        Raises
        ------
        DataError
            They are not; nothing of the job is stored.
        """
        from fstore.extractor.devices import to_device
        from fstore.extractor.selfcheck import check_neighbours, check_taps

        key = (job.record.network, job.record.name, tuple(s.name for s in job.specs), job.start)
        if key in self._checked:
            return
        self._checked.add(key)
        tried = job.wanted[:TRIED]
        with closing(source.batches(tried, CHECKED)) as loaded:
            batch = next((b for b in loaded if len(b.sample_ids)), None)
        if batch is None:
            return  # none of them can be read; if others can, their shapes are checked still
        preprocess, device = runner.network.preprocess, runner.device
        x = to_device(batch.images, preprocess, device)
        images = None
        if job.start is not None:
            images = self._images(job, batch.sample_ids, runner)
        check_neighbours(runner, x)
        self.summary.notes += check_taps(runner, x, images=images)

    def _images(self, job: Job, ids: NDArray[np.int64], runner: "Runner") -> "Tensor | None":
        """Return the images of samples that are stored; None where one cannot be read."""
        from fstore.extractor.devices import to_device

        preprocess = runner.network.preprocess
        source = ImageSource(self.store, job, preprocess, 1)
        try:
            with closing(source.batches(ids, len(ids))) as loaded:
                batch = next(loaded)
        except (FstoreError, OSError):
            return None
        if len(batch.sample_ids) < len(ids):
            return None
        return to_device(batch.images, preprocess, runner.device)

    def _settle(self) -> None:
        """Wait for the shard that is being written and count it; raise what its writer raised."""
        waited = perf_counter()
        if self._behind is not None:
            report = self._behind.result()
            self._behind = None
            self._count(report)
        self.summary.writer_s += perf_counter() - waited

    def _settle_after_error(self) -> None:
        """Let the shard that is being written end, so that what is stored is counted."""
        if self._behind is not None and self._behind.exception() is None:
            self._settle()

    def runners(self, job: Job) -> "list[Runner]":
        """Put the job's network on the devices."""
        from fstore.extractor.devices import find_devices, make_runners

        devices = find_devices(self.options.device)
        self.summary.device = ", ".join(str(d) for d in devices)
        return make_runners(
            self.planner.network(job.record),
            [spec.name for spec in job.specs],
            devices=devices,
            precision=self.options.precision,
            compute=self.options.compute,
            start=None if job.start is None else job.start.layer,
        )

    def source(self, job: Job) -> "Source":
        """Return where the job's inputs come from; on a GPU regions are warped there."""
        from fstore.extractor.devices import find_devices

        if job.start is not None:
            return StoredSource(self.store, job.start)
        preprocess = self.planner.network(job.record).preprocess
        on_gpu = find_devices(self.options.device)[0].type != "cpu"
        workers = self.options.workers or _cores()
        return ImageSource(self.store, job, preprocess, workers, warp_later=on_gpu)

    def compute(
        self,
        job: Job,
        source: "Source",
        shard: NDArray[np.int64],
        runners: "Sequence[Runner]",
        *,
        clock: "Clock",
        total: int,
    ) -> list[ActivationBatch]:
        """Return a shard's activations; unreadable images are quarantined."""
        from fstore.extractor.devices import default_batch_size
        from fstore.extractor.extract import extract as run_network
        from fstore.store.encode import check_shapes

        size = self.options.batch_size or default_batch_size(
            [r.device for r in runners], job.values
        )
        kept = []
        with (
            closing(source.batches(shard, size)) as loaded,
            closing(run_network(loaded, runners, clock=clock)) as computed,
        ):
            for batch, bad in computed:
                self._quarantine(job, bad)
                if batch is not None:
                    check_shapes(batch, job.specs)
                    kept.append(batch)
                    self.summary.samples += len(batch.sample_ids)
                    self.summary.non_finite += _non_finite(batch)
                self._report(job, total)
        return kept

    def _report(self, job: Job, total: int) -> None:
        done = self.summary.samples + len(self.summary.quarantined)
        seconds = perf_counter() - self._began
        self.on_progress(Progress(job.title, done, total, self.summary.samples / seconds))

    def _count(self, report: "ShardReport") -> None:
        self.summary.rows += report.rows
        self.summary.bytes += report.bytes
        self.summary.raw_bytes += report.raw_bytes
        self.summary.encode_s += report.encode_s
        self.summary.commit_s += report.commit_s

    def _quarantine(self, job: Job, bad: "Sequence[BadSample]") -> None:
        where = {"dataset": job.dataset.name, "view": job.view}
        self.summary.quarantined += [{**where, **asdict(sample)} for sample in bad]
        if len(self.summary.quarantined) > self.options.max_bad:
            last = self.summary.quarantined[-1]
            raise DataError(
                f"{len(self.summary.quarantined)} images could not be read, at most "
                f"{self.options.max_bad} are allowed (--max-bad); the last: {last['reason']}"
            )

    # Recording

    def record(self, error: BaseException | None) -> None:
        """Append the run to table ``runs``; a failing store must not hide the first error."""
        self.summary.seconds = perf_counter() - self._began
        outcome = "ok" if error is None else "failed"
        if isinstance(error, KeyboardInterrupt):
            outcome = "interrupted"
        row = {
            "run_id": self.summary.run_id,
            "kind": "extract",
            "started_at": self.started,
            "finished_at": datetime.now(UTC),
            "exit": outcome,
            "message": "" if error is None else f"{type(error).__name__}: {error}",
            "parameters": json.dumps(asdict(self.chosen), default=list),
            "fingerprints": json.dumps(self.fingerprints),
            "versions": json.dumps(_versions()),
            "device": self.summary.device,
            "samples": self.summary.samples,
            "rows": self.summary.rows,
            "bytes": self.summary.bytes,
            "images_per_s": self.summary.images_per_s,
            "quarantined": self.summary.quarantined,
        }
        try:
            self.store.append("runs", [row])
        except FstoreError:
            if error is None:
                raise


class Source(Protocol):
    """Where the inputs of a job's samples come from."""

    def batches(self, samples: NDArray[np.int64], size: int) -> "Generator[InputBatch, None, None]":
        """Yield the inputs of samples, ``size`` at a time."""
        ...


class ImageSource:
    """Images and boxes, decoded and preprocessed ahead in threads."""

    def __init__(
        self,
        store: "Store",
        job: Job,
        preprocess: "Preprocess",
        workers: int,
        *,
        warp_later: bool = False,
    ) -> None:
        columns = ["sample_id", "uri", "digest", "box"]
        self._rows = store.samples(job.dataset.name, job.view, columns)
        self._root = job.dataset.root
        self._preprocess = preprocess
        self._workers = workers
        self._warp_later = warp_later

    def batches(self, samples: NDArray[np.int64], size: int) -> "Generator[InputBatch, None, None]":
        """Yield the inputs of samples, ``size`` at a time."""
        from fstore.extractor.loading import load_batches

        batches = list(_chunks(input_samples(self._rows.take(samples)), size))
        return load_batches(
            self._root,
            batches,
            self._preprocess,
            workers=self._workers,
            warp_later=self._warp_later,
        )


class StoredSource:
    """Responses of a stored layer; those of one shard are read at a time."""

    def __init__(self, store: "Store", start: "Start") -> None:
        self._store = store
        self._partition = start.partition

    def batches(self, samples: NDArray[np.int64], size: int) -> "Generator[InputBatch, None, None]":
        """Yield the stored responses of samples, ``size`` at a time."""
        from fstore.extractor.loading import InputBatch
        from fstore.store.features import read_features

        blocks = [X for _, X in read_features(self._store, self._partition, samples=samples)]
        X = np.concatenate(blocks, axis=1)  # (samples, channels, positions)
        for first in range(0, len(samples), size):
            yield InputBatch(samples[first : first + size], X[first : first + size])


def input_samples(rows: "pa.Table") -> "list[InputSample]":
    """Return what is needed to load samples; of columns sample_id, uri, digest and box."""
    from fstore.extractor.loading import InputSample

    columns = ("sample_id", "uri", "digest", "box")
    return [
        InputSample(i, uri, digest, tuple(box.values()) if box else None)
        for i, uri, digest, box in zip(*(rows[c].to_pylist() for c in columns), strict=True)
    ]


def _non_finite(batch: ActivationBatch) -> int:
    """Count responses of a channel to a sample that hold a NaN or an infinity."""
    return sum(
        int(np.count_nonzero(~np.isfinite(r.act_max if r.act_sum is None else r.act_sum)))
        for r in batch.layers.values()
    )


def _chunks(items: Sequence[Any], size: int) -> Iterator[list[Any]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def _cores() -> int:
    import os

    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("fstore", "torch", "torchvision", "numpy", "pillow", "pyarrow", "deltalake")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
