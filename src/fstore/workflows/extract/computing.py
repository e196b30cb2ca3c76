"""One call of ``extract``: its plan, what it computes shard by shard, and its counters."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, FstoreError
from fstore.types import ActivationBatch
from fstore.workflows.extract.memory import BEHIND
from fstore.workflows.extract.plan import Chosen, ExtractionOptions, LayerWork, Planner
from fstore.workflows.extract.sources import ImageSource, Source, StoredSource
from fstore.workflows.extract.summary import Progress, Summary
from fstore.workflows.extract.writing import Writers, used_cores

if TYPE_CHECKING:
    from torch import Tensor, device

    from fstore.extractor.devices import Runner
    from fstore.extractor.extract import Clock
    from fstore.extractor.loading import BadSample
    from fstore.store import Store
    from fstore.store.runs import Run
    from fstore.store.sink import ShardReport

__all__ = ["Extraction"]

CHECKED = 2
"""Samples that the checks before the first commit compute."""
TRIED = 24
"""Samples among which those are sought that can be read."""


class Extraction:
    """One call of ``extract``: its plan and its counters."""

    def __init__(
        self,
        store: "Store",
        chosen: Chosen,
        options: ExtractionOptions,
        *,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self.store = store
        self.chosen = chosen
        self.options = options
        self.planner = Planner(store, chosen, options)
        self.on_progress = on_progress or (lambda _: None)
        self.summary = Summary()
        self.fingerprints: dict[str, str] = {}
        self._began = perf_counter()
        self._behind: deque[Future[ShardReport]] = deque()
        self._checked: set[tuple[object, ...]] = set()

    def plan(self) -> list[LayerWork]:
        """Return what is to be done; note what is there."""
        jobs = self.planner.jobs()
        self.summary.present = self.planner.present
        self.summary.notes += self.planner.notes
        for job in jobs:
            self.fingerprints |= {str(p): i.fingerprint for p, i in job.identities.items()}
        return jobs

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return perf_counter() - self._began

    # Working

    def do(self, jobs: Sequence[LayerWork]) -> None:
        """Run the jobs one after another; threads encode and commit behind."""
        from fstore.extractor.extract import Clock

        clock = Clock()
        total = sum(len(job.wanted) for job in jobs)
        with Writers(self.encoders, shards=BEHIND) as writers:
            try:
                for job in jobs:
                    if len(job.wanted):
                        self._work_on(job, writers, clock, total=total)
                        self.note_fields(job)
                self._settle(most=0)
            except BaseException:
                self._settle_after_error()
                raise
            finally:
                self.summary.images_s, self.summary.forward_s = clock.images_s, clock.forward_s

    @property
    def encoders(self) -> int:
        """How many threads encode."""
        from fstore.store.encoders import encoder_threads

        return self.options.encoders or encoder_threads(used_cores())

    def _work_on(self, job: LayerWork, writers: Writers, clock: "Clock", *, total: int) -> None:
        runners, source = self.runners(job), self.source(job)
        self.check(job, source, runners[0])
        shards = list(job.shards())
        behind = job.room.behind(job.shard_samples, encoders=self.encoders)
        computed = self.compute(job, source, shards, runners=runners, clock=clock, total=total)
        with closing(computed):
            for batches in computed:
                self._settle(most=behind - 1)  # no more are in memory
                last = self.summary.samples + len(self.summary.quarantined) >= total
                if batches:
                    before = self._behind[-1] if self._behind else None
                    self._behind.append(
                        writers.write(
                            self.store.place, batches, job.identities, before=before, last=last
                        )
                    )
                del batches

    def check(self, job: LayerWork, source: Source, runner: "Runner") -> None:
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
        with closing(source.batches([tried], CHECKED)) as loaded:
            batch = next((b for b in loaded if len(b.sample_ids)), None)
        if batch is None:
            return  # none of them can be read; if others can, their shapes are checked still
        preprocess, device = runner.network.preprocess, runner.device
        x = to_device(batch.images, preprocess, device)
        images = None
        if job.start is not None:
            images = self._images(job, batch.sample_ids, runner)
        size = self.batch_size(job, [device])
        check_neighbours(runner, x, size=min(size, len(job.wanted)))
        self.summary.notes += check_taps(runner, x, images=images)

    def note_fields(self, job: LayerWork) -> None:
        """Store the receptive fields of the network's layers, where there are none yet."""
        from fstore.workflows.receptive import note_fields

        _, note = note_fields(self.store, self.planner.network(job.record))
        self.summary.notes += [note] if note else []

    def _images(self, job: LayerWork, ids: NDArray[np.int64], runner: "Runner") -> "Tensor | None":
        """Return the images of samples that are stored; None where one cannot be read."""
        from fstore.extractor.devices import to_device

        preprocess = runner.network.preprocess
        source = ImageSource(self.store, job, preprocess, workers=1)
        try:
            with closing(source.batches([ids], len(ids))) as loaded:
                batch = next(loaded)
        except (FstoreError, OSError):
            return None
        if len(batch.sample_ids) < len(ids):
            return None
        return to_device(batch.images, preprocess, runner.device)

    def _settle(self, most: int) -> None:
        """Wait until at most some shards are being written; raise what their writers raised."""
        waited = perf_counter()
        while len(self._behind) > most:
            self.count(self._behind.popleft().result())
        self.summary.writer_s += perf_counter() - waited

    def _settle_after_error(self) -> None:
        """Let the shards that are being written end, so that what is stored is counted."""
        while self._behind and self._behind[0].exception() is None:
            self._settle(most=len(self._behind) - 1)

    def runners(self, job: LayerWork) -> "list[Runner]":
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
            rectify=self.options.rectify,
        )

    def source(self, job: LayerWork) -> Source:
        """Return where the job's inputs come from; on a GPU regions are warped there."""
        from fstore.extractor.devices import find_devices

        if job.start is not None:
            return StoredSource(self.store, job.start)
        preprocess = self.planner.network(job.record).preprocess
        on_gpu = find_devices(self.options.device)[0].type != "cpu"
        workers = self.options.workers or used_cores()
        return ImageSource(self.store, job, preprocess, workers=workers, warp_later=on_gpu)

    def compute(
        self,
        job: LayerWork,
        source: Source,
        shards: "Sequence[NDArray[np.int64]]",
        *,
        runners: "Sequence[Runner]",
        clock: "Clock",
        total: int,
    ) -> Generator[list[ActivationBatch], None, None]:
        """Yield each shard's activations; unreadable images are quarantined.

        All shards are one stream of batches: those of the next are loaded while one is computed.
        """
        from fstore.extractor.extract import extract as run_network

        size = self.batch_size(job, [r.device for r in runners])
        with (
            closing(source.batches(shards, size)) as loaded,
            closing(run_network(loaded, runners, clock=clock)) as computed,
        ):
            for shard in shards:
                n_batches = -(-len(shard) // size)
                yield self._kept(job, islice(computed, n_batches), total=total)

    def batch_size(self, job: LayerWork, devices: "Sequence[device]") -> int:
        """Return the samples of a forward pass."""
        from fstore.extractor.devices import default_batch_size

        return job.room.batch(self.options.batch_size or default_batch_size(devices, job.values))

    def _kept(
        self,
        job: LayerWork,
        computed: "Iterable[tuple[ActivationBatch | None, Sequence[BadSample]]]",
        *,
        total: int,
    ) -> list[ActivationBatch]:
        """Check and count batches, and return those of which something could be read."""
        from fstore.store.shapes import check_shapes

        where = {"dataset": job.dataset.name, "view": job.view}
        kept = []
        for batch, bad in computed:
            self.quarantine([where | asdict(sample) for sample in bad])
            if batch is not None:
                check_shapes(batch, job.specs)
                kept.append(batch)
                self.summary.samples += len(batch.sample_ids)
                self.summary.non_finite += _non_finite(batch)
            self.report(job, total)
        return kept

    def report(self, job: LayerWork, total: int) -> None:
        """Say how far it is."""
        done = self.summary.samples + len(self.summary.quarantined)
        speed = self.summary.samples / max(self.seconds - self.summary.start_s, 1e-9)
        self.on_progress(Progress(job.title, done, total, speed))

    def count(self, report: "ShardReport") -> None:
        """Add what a commit added."""
        self.summary.rows += report.rows
        self.summary.bytes += report.bytes
        self.summary.raw_bytes += report.raw_bytes
        self.summary.encode_s += report.encode_s
        self.summary.commit_s += report.commit_s

    def quarantine(self, bad: "Sequence[dict[str, Any]]") -> None:
        """Note samples that could not be read.

        Raises
        ------
        DataError
            They are more than are allowed.
        """
        self.summary.quarantined += bad
        if len(self.summary.quarantined) > self.options.max_bad:
            last = self.summary.quarantined[-1]
            raise DataError(
                f"{len(self.summary.quarantined)} images could not be read, at most "
                f"{self.options.max_bad} are allowed (--max-bad); the last: {last['reason']}"
            )

    def tell(self, run: "Run") -> None:
        """Put what came of it on record."""
        summary = self.summary
        run.fingerprints, run.device = self.fingerprints, summary.device
        run.samples, run.rows, run.bytes = summary.samples, summary.rows, summary.bytes
        run.images_per_s, run.quarantined = summary.images_per_s, summary.quarantined


def _non_finite(batch: ActivationBatch) -> int:
    """Count responses of a channel to a sample that hold a NaN or an infinity."""
    return sum(
        int(np.count_nonzero(~np.isfinite(r.act_max if r.act_sum is None else r.act_sum)))
        for r in batch.layers.values()
    )
