"""Extraction into a store: what is missing, shard by shard, each committed as it is done."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.types import ActivationBatch, CheckpointRecord, LayerSpec, Precision

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.extractor.devices import Runner
    from fstore.extractor.extract import Clock
    from fstore.extractor.loading import BadSample, InputSample
    from fstore.extractor.networks import Network
    from fstore.store import Store
    from fstore.store.catalog import DatasetInfo
    from fstore.store.files import Identity, Partition
    from fstore.store.sink import ShardReport

__all__ = ["Options", "Progress", "Summary", "extract"]

SHARD_BYTES = 1 << 29  # of raw float32 over the network's declared layers
DEFAULT_VIEWS = ("image", "gt")  # proposals only when named: there are thousands an image


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to extract; none of it but ``precision`` and ``compute`` changes what is stored.

    Attributes
    ----------
    precision : {"tf32", "float32", "bfloat16"}
        What stored values are rounded to.
    compute : {"float32", "tf32", "bfloat16", "float16"}
        Arithmetic of the forward pass; all but float32 and bfloat16 need a GPU.
    device : str
        ``auto``, ``cpu``, ``cuda`` (all GPUs) or ``cuda:0,1``.
    batch_size : int or None
        Samples a forward pass; None: 32 on the CPU, 256 on a GPU.
    workers : int or None
        Decoding threads; None: one a core, at most 16.
    max_bad : int
        More unreadable images than this end the run.
    shard_bytes : int
        Raw float32 bytes of a shard: the unit that a killed run loses, and the memory it takes.
    """

    precision: Precision = "tf32"
    compute: str = "float32"
    device: str = "auto"
    batch_size: int | None = None
    workers: int | None = None
    max_bad: int = 100
    shard_bytes: int = SHARD_BYTES


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

    @property
    def images_per_s(self) -> float:
        """Samples a second over the whole run."""
        return self.samples / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Job:
    """One checkpoint on one view of a data set."""

    record: CheckpointRecord
    dataset: "DatasetInfo"
    view: str
    network: "Network"
    specs: Sequence[LayerSpec]
    identities: "Mapping[Partition, Identity]"
    wanted: NDArray[np.int64]
    shard_samples: int

    @property
    def title(self) -> str:
        """Checkpoint and view, for people."""
        return f"{self.record.network}/{self.record.name} {self.dataset.name}.{self.view}"

    def shards(self) -> Iterator[NDArray[np.int64]]:
        """Yield the wanted samples by shard; boundaries depend on the network's layers only."""
        for _, ids in _by_value(self.wanted // self.shard_samples, self.wanted):
            yield ids


def extract(
    store: "Store",
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    datasets: Sequence[str] = (),
    views: Sequence[str] = (),
    network: str | None = None,
    part: str | None = None,
    options: Options | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Fill a store with the responses of layers to data sets; what is there is not redone.

    Parameters
    ----------
    store : Store
    layers : names, or ``all`` for the network's declared layers
    ckpts : names of checkpoints, or ``network/name``
    datasets, views : names; empty for all registered data sets, and for views image and gt
    network : str or None
        Whose checkpoints are meant, where names are ambiguous.
    part : str or None
        ``train``, ``val``, ``test`` or ``trainval`` of the official split; or
        ``random:SEED:PART``. None for all samples.
    options : Options
    on_progress : called after each batch

    Returns
    -------
    Summary

    Raises
    ------
    UnknownNameError
        No such checkpoint, data set, view, layer or part.
    IdentityError
        The name of a checkpoint, data set or layer stands for other content in the store.
    DataError
        A file changed since it was registered, or more than ``max_bad`` images are unreadable.
    StorageError
        The disk is full, or the store cannot be written.
    """
    run = _Run(store, options or Options(), on_progress)
    names = {"layers": layers, "ckpts": ckpts, "datasets": datasets, "views": views, "part": part}
    try:
        jobs = run.plan(layers, ckpts, datasets, views, network, part)
        run.work(jobs)
    except BaseException as error:
        run.record(names, error)
        raise
    run.record(names, None)
    return run.summary


class _Run:
    """One call of :func:`extract`: its plan, its counters, its row in table ``runs``."""

    def __init__(
        self, store: "Store", options: Options, on_progress: Callable[[Progress], None] | None
    ) -> None:
        self.store = store
        self.options = options
        self.on_progress = on_progress or (lambda _: None)
        self.summary = Summary(run_id=uuid4().hex)
        self.fingerprints: dict[str, str] = {}
        self.started = datetime.now(UTC)
        self._began = perf_counter()

    # Planning

    def plan(
        self,
        layers: Sequence[str],
        ckpts: Sequence[str],
        datasets: Sequence[str],
        views: Sequence[str],
        network: str | None,
        part: str | None,
    ) -> list[Job]:
        """Check every name and identity before the first image is read."""
        records = list({(r.network, r.name): r for r in (
            self.store.find_checkpoint(name, network) for name in ckpts)}.values())
        chosen = [self.store.dataset(n) for n in dict.fromkeys(datasets)] or self.store.datasets()
        if not chosen:
            raise UnknownNameError("no data set is registered; add one with: fstore dataset add")
        from fstore.workflows import load_network

        jobs = []
        for record in records:
            loaded = load_network(self.store, record)
            wanted = list(loaded.layers) if "all" in layers else list(dict.fromkeys(layers))
            for dataset in chosen:
                for view in _views(dataset, views, named=bool(datasets)):
                    jobs.append(self._job(record, loaded, wanted, dataset, view, part))
        if not jobs:
            raise UnknownNameError(f"no chosen data set has a view among {', '.join(views)}")
        return jobs

    def _job(
        self,
        record: CheckpointRecord,
        network: "Network",
        layers: Sequence[str],
        dataset: "DatasetInfo",
        view: str,
        part: str | None,
    ) -> Job:
        from fstore.extractor.taps import layer_specs
        from fstore.store.sink import missing_samples

        declared = layer_specs(network)
        specs = layer_specs(network, layers)
        self.store.add_layers(record.network, [*declared, *(s for s in specs if s not in declared)])
        values = sum(spec.values for spec in declared)
        identities = self._identities(record, network, specs, dataset, view)
        wanted = _samples(self.store, dataset, view, part)
        missing = missing_samples(self.store.path, wanted, identities)
        todo = np.unique(np.concatenate(list(missing.values())))
        self.summary.present += len(wanted) - len(todo)
        return Job(
            record=record,
            dataset=dataset,
            view=view,
            network=network,
            specs=specs,
            identities=identities,
            wanted=todo,
            shard_samples=_power_of_two(self.options.shard_bytes // (4 * values)),
        )

    def _identities(
        self,
        record: CheckpointRecord,
        network: "Network",
        specs: Sequence[LayerSpec],
        dataset: "DatasetInfo",
        view: str,
    ) -> "dict[Partition, Identity]":
        from fstore.store.files import Identity, Partition

        identities = {}
        for spec in specs:
            partition = Partition(record.network, record.name, dataset.name, view, spec.name)
            identities[partition] = Identity(
                {
                    "weights": record.sha256,
                    "definition": spec.definition,
                    "preprocessing": network.preprocess.hash,
                    "samples": dataset.views[view],
                    "stored precision": self.options.precision,
                    "compute precision": self.options.compute,
                }
            )
            self.fingerprints[str(partition)] = identities[partition].fingerprint
        return identities

    # Working

    def work(self, jobs: Sequence[Job]) -> None:
        """Run the jobs one after another; one writer thread encodes and commits behind."""
        from fstore.extractor.extract import Clock

        clock = Clock()
        total = sum(len(job.wanted) for job in jobs)
        with ThreadPoolExecutor(1, thread_name_prefix="fstore-write") as writer:
            behind: Future[ShardReport] | None = None
            for job in jobs:
                if not len(job.wanted):
                    continue
                runners = self._runners(job)
                rows = self.store.samples(job.dataset.name, job.view)
                for shard in job.shards():
                    batches = self._compute(job, rows.take(shard), runners, clock, total)
                    waited = perf_counter()
                    if behind is not None:
                        self._count(behind.result())
                    self.summary.writer_s += perf_counter() - waited
                    behind = self._write(writer, job, batches)
                    del batches
            waited = perf_counter()
            if behind is not None:
                self._count(behind.result())
            self.summary.writer_s += perf_counter() - waited
        self.summary.images_s, self.summary.forward_s = clock.images_s, clock.forward_s

    def _runners(self, job: Job) -> "list[Runner]":
        from fstore.extractor.devices import find_devices, make_runners

        devices = find_devices(self.options.device)
        self.summary.device = ", ".join(str(d) for d in devices)
        return make_runners(
            job.network,
            [spec.name for spec in job.specs],
            devices=devices,
            precision=self.options.precision,
            compute=self.options.compute,
        )

    def _compute(
        self,
        job: Job,
        rows: "pa.Table",
        runners: "Sequence[Runner]",
        clock: "Clock",
        total: int,
    ) -> list[ActivationBatch]:
        """Return a shard's activations; unreadable images are quarantined."""
        from fstore.extractor.devices import default_batch_size
        from fstore.extractor.extract import extract as run_network
        from fstore.extractor.loading import load_batches

        size = self.options.batch_size or default_batch_size([r.device for r in runners])
        samples = _input_samples(rows)
        loaded = load_batches(
            job.dataset.root,
            list(_chunks(samples, size)),
            job.network.preprocess,
            workers=self.options.workers or _cores(),
        )
        kept = []
        for batch, bad in run_network(loaded, runners, clock=clock):
            self._quarantine(job, bad)
            if batch is not None:
                kept.append(batch)
                self.summary.samples += len(batch.sample_ids)
                self.summary.non_finite += _non_finite(batch)
            done = self.summary.samples + len(self.summary.quarantined)
            seconds = perf_counter() - self._began
            self.on_progress(Progress(job.title, done, total, self.summary.samples / seconds))
        return kept

    def _write(
        self, writer: ThreadPoolExecutor, job: Job, batches: list[ActivationBatch]
    ) -> "Future[ShardReport] | None":
        from fstore.store.sink import write_shard

        if not batches:
            return None
        return writer.submit(write_shard, self.store.path, batches, job.identities)

    def _count(self, report: "ShardReport") -> None:
        self.summary.rows += report.rows
        self.summary.bytes += report.bytes
        self.summary.raw_bytes += report.raw_bytes
        self.summary.encode_s += report.encode_s
        self.summary.commit_s += report.commit_s

    def _quarantine(self, job: Job, bad: "Sequence[BadSample]") -> None:
        self.summary.quarantined += [
            {
                "dataset": job.dataset.name,
                "view": job.view,
                "sample_id": sample.sample_id,
                "uri": sample.uri,
                "reason": sample.reason,
            }
            for sample in bad
        ]
        if len(self.summary.quarantined) > self.options.max_bad:
            last = self.summary.quarantined[-1]
            raise DataError(
                f"{len(self.summary.quarantined)} images could not be read, at most "
                f"{self.options.max_bad} are allowed (--max-bad); the last: {last['reason']}"
            )

    # Recording

    def record(self, parameters: Mapping[str, Any], error: BaseException | None) -> None:
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
            "parameters": json.dumps(dict(parameters), default=list),
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


def _views(dataset: "DatasetInfo", views: Sequence[str], *, named: bool) -> list[str]:
    """Return the views to extract; a view that was named must be there if its data set was."""
    if not views:
        return [v for v in DEFAULT_VIEWS if v in dataset.views]
    absent = [v for v in views if v not in dataset.views]
    if absent and named:
        raise UnknownNameError(
            f"data set '{dataset.name}' has no view '{absent[0]}'; it has: "
            + ", ".join(dataset.views)
        )
    return [v for v in dict.fromkeys(views) if v in dataset.views]


def _samples(
    store: "Store", dataset: "DatasetInfo", view: str, part: str | None
) -> NDArray[np.int64]:
    """Return the ids of a part's samples, ascending."""
    if part is None:
        return np.arange(dataset.counts[view], dtype=np.int64)
    *which, name = part.split(":")
    split, seed = (which + ["official", "0"][len(which) :])[:2]
    parts = ["train", "val"] if name == "trainval" else [name]
    rows = store.splits(dataset.name, view).to_pylist()
    found = [r for r in rows if r["split"] == split and str(r["seed"]) == seed]
    ids = [r["sample_id"] for r in found if r["part"] in parts]
    if not ids:
        known = sorted({f"{r['split']}:{r['seed']}:{r['part']}" for r in rows})
        raise UnknownNameError(
            f"data set '{dataset.name}', view {view}, has no part '{part}'; it has: "
            + (", ".join(known) or "no split")
        )
    return np.array(sorted(ids), dtype=np.int64)


def _input_samples(rows: "pa.Table") -> "list[InputSample]":
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


def _by_value(
    keys: NDArray[np.int64], values: NDArray[np.int64]
) -> Iterator[tuple[int, NDArray[np.int64]]]:
    for key in np.unique(keys):
        yield int(key), values[keys == key]


def _power_of_two(n: int) -> int:
    """Return the largest power of two that is at most ``n``, and at least 1."""
    return 1 << max(0, n.bit_length() - 1)


def _cores() -> int:
    import os

    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("fstore", "torch", "torchvision", "numpy", "pillow", "pyarrow", "deltalake")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
