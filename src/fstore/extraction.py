"""Extraction into a store: what is missing, shard by shard, each committed as it is done."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, field
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

__all__ = ["Options", "Progress", "Summary", "extract", "part_ids"]

SHARD_BYTES = 3 << 27  # 384 MiB of raw float32 over the network's declared layers
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
        Samples a forward pass; None: 32 on the CPU, 256 on a GPU, less for networks whose
        declared layers are large.
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
    specs: Sequence[LayerSpec]
    identities: "Mapping[Partition, Identity]"
    wanted: NDArray[np.int64]
    values: int
    shard_bytes: int

    # ``values``: of one sample over the declared layers; shards and batches are cut by it.

    @property
    def title(self) -> str:
        """Checkpoint and view, for people."""
        return f"{self.record.network}/{self.record.name} {self.dataset.name}.{self.view}"

    def shards(self) -> Iterator[NDArray[np.int64]]:
        """Yield the wanted samples by shard; boundaries depend on the network's layers only."""
        samples = _round_number(self.shard_bytes // (4 * self.values))
        for _, ids in _by_value(self.wanted // samples, self.wanted):
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
    chosen = _Chosen(layers, ckpts, datasets, views, network, part)
    run = _Run(store, chosen, options or Options(), on_progress)
    try:
        run.work(run.plan())
    except BaseException as error:
        run.record(error)
        raise
    run.record(None)
    return run.summary


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a run was asked for."""

    layers: Sequence[str]
    ckpts: Sequence[str]
    datasets: Sequence[str]
    views: Sequence[str]
    network: str | None
    part: str | None


class _Run:
    """One call of :func:`extract`: its plan, its counters, its row in table ``runs``."""

    def __init__(
        self,
        store: "Store",
        chosen: _Chosen,
        options: Options,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.store = store
        self.chosen = chosen
        self.options = options
        self.on_progress = on_progress or (lambda _: None)
        self.summary = Summary(run_id=uuid4().hex)
        self.fingerprints: dict[str, str] = {}
        self.started = datetime.now(UTC)
        self._began = perf_counter()
        self._loaded: tuple[CheckpointRecord, Network] | None = None
        self._behind: Future[ShardReport] | None = None

    # Planning

    def plan(self) -> list[Job]:
        """Check every name and identity before the first image is read."""
        chosen, store = self.chosen, self.store
        records = [store.find_checkpoint(name, chosen.network) for name in chosen.ckpts]
        names = dict.fromkeys(chosen.datasets)
        datasets = [store.dataset(name) for name in names] or store.datasets()
        if not datasets:
            raise UnknownNameError("no data set is registered; add one with: fstore dataset add")
        jobs = [
            self._job(record, dataset, view)
            for record in {(r.network, r.name): r for r in records}.values()
            for dataset in datasets
            for view in _views(dataset, chosen.views, named=bool(chosen.datasets))
        ]
        if not jobs:
            views = ", ".join(chosen.views or DEFAULT_VIEWS)
            raise UnknownNameError(f"no chosen data set has a view among {views}")
        return jobs

    def _network(self, record: CheckpointRecord) -> "Network":
        """Return a checkpoint's network; one is kept at a time, for they are large."""
        from fstore.workflows import load_network

        if self._loaded is None or self._loaded[0] is not record:
            self._loaded = None  # frees the last one before the next is read
            self._loaded = record, load_network(self.store, record)
        return self._loaded[1]

    def _job(self, record: CheckpointRecord, dataset: "DatasetInfo", view: str) -> Job:
        from fstore.extractor.taps import layer_specs
        from fstore.store.files import Partition
        from fstore.store.sink import missing_samples

        network = self._network(record)
        layers = list(network.layers) if "all" in self.chosen.layers else self.chosen.layers
        declared = layer_specs(network)
        specs = layer_specs(network, layers)
        self.store.add_layers(record.network, [*declared, *(s for s in specs if s not in declared)])
        identities = {
            Partition(record.network, record.name, dataset.name, view, spec.name): self._identity(
                record, spec, samples=dataset.views[view], preprocessing=network.preprocess.hash
            )
            for spec in specs
        }
        self.fingerprints |= {str(p): i.fingerprint for p, i in identities.items()}
        wanted = part_ids(self.store, dataset, view, self.chosen.part)
        missing = missing_samples(self.store.path, wanted, identities)
        todo = np.unique(np.concatenate(list(missing.values())))
        self.summary.present += len(wanted) - len(todo)
        return Job(
            record=record,
            dataset=dataset,
            view=view,
            specs=specs,
            identities=identities,
            wanted=todo,
            values=sum(spec.values for spec in declared or specs),
            shard_bytes=self.options.shard_bytes,
        )

    def _identity(
        self, record: CheckpointRecord, spec: LayerSpec, *, samples: str, preprocessing: str
    ) -> "Identity":
        from fstore.store.files import Identity

        return Identity(
            {
                "weights": record.sha256,
                "definition": spec.definition,
                "preprocessing": preprocessing,
                "samples": samples,
                "stored precision": self.options.precision,
                "compute precision": self.options.compute,
            }
        )

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

        runners = self._runners(job)
        columns = ["sample_id", "uri", "digest", "box"]
        rows = self.store.samples(job.dataset.name, job.view, columns)
        for shard in job.shards():
            batches = self._compute(job, rows.take(shard), runners, clock, total=total)
            self._settle()  # one shard is computed, one written: no third in memory
            last = self.summary.samples + len(self.summary.quarantined) >= total
            if batches:
                self._behind = writer.submit(
                    write_shard,
                    self.store.path,
                    batches,
                    job.identities,
                    threads=_cores() if last else 1,  # nothing else is left to be done then
                )
            del batches

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

    def _runners(self, job: Job) -> "list[Runner]":
        from fstore.extractor.devices import find_devices, make_runners

        devices = find_devices(self.options.device)
        self.summary.device = ", ".join(str(d) for d in devices)
        return make_runners(
            self._network(job.record),
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
        *,
        total: int,
    ) -> list[ActivationBatch]:
        """Return a shard's activations; unreadable images are quarantined."""
        from fstore.extractor.devices import default_batch_size
        from fstore.extractor.extract import extract as run_network
        from fstore.extractor.loading import load_batches

        size = self.options.batch_size or default_batch_size(
            [r.device for r in runners], job.values
        )
        kept = []
        with (
            closing(
                load_batches(
                    job.dataset.root,
                    list(_chunks(_input_samples(rows), size)),
                    self._network(job.record).preprocess,
                    workers=self.options.workers or _cores(),
                )
            ) as loaded,
            closing(run_network(loaded, runners, clock=clock)) as computed,
        ):
            for batch, bad in computed:
                self._quarantine(job, bad)
                if batch is not None:
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


def part_ids(
    store: "Store", dataset: "DatasetInfo", view: str, part: str | None
) -> NDArray[np.int64]:
    """Return the ids of a part's samples, ascending; of all samples without a part.

    Parameters
    ----------
    store : Store
    dataset : DatasetInfo
    view : str
    part : str or None
        As for :func:`extract`.

    Raises
    ------
    UnknownNameError
        The view has no such part; those there are are listed.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if part is None:
        return np.arange(dataset.counts[view], dtype=np.int64)
    *which, name = part.split(":")
    split, seed = (which + ["official", "0"][len(which) :])[:2]
    parts = pa.array(["train", "val"] if name == "trainval" else [name])
    rows = store.splits(dataset.name, view)
    mask = pc.and_(pc.equal(rows["split"], split), pc.is_in(rows["part"], value_set=parts))
    mask = pc.and_(mask, pc.equal(rows["seed"].cast(pa.string()), seed))
    ids: NDArray[np.int64] = np.sort(rows.filter(mask)["sample_id"].to_numpy())
    if not len(ids):
        kinds = rows.group_by(["split", "seed", "part"]).aggregate([]).to_pylist()
        known = sorted(f"{r['split']}:{r['seed']}:{r['part']}" for r in kinds)
        raise UnknownNameError(
            f"data set '{dataset.name}', view {view}, has no part '{part}'; it has: "
            + (", ".join(known) or "no split")
        )
    return ids


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


def _round_number(n: int) -> int:
    """Return the largest 2^k or 3 x 2^k that is at most ``n``, and at least 1."""
    low = max(0, n.bit_length() - 2)
    return max(1, n >> low << low)


def _cores() -> int:
    import os

    return min(16, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("fstore", "torch", "torchvision", "numpy", "pillow", "pyarrow", "deltalake")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}
