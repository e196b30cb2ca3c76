"""What an extraction would cost: samples, bytes and time, measured on a few batches."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.ending import leftover
from fstore.store.status import logged_files
from fstore.types import ActivationBatch
from fstore.workflows.extract.computing import Extraction
from fstore.workflows.extract.plan import Chosen, ExtractionOptions, LayerWork

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["ESTIMATE_COLUMNS", "estimate"]

ESTIMATE_COLUMNS = (
    *("network", "ckpt", "dataset", "view", "layer"),
    *("samples", "present", "bytes", "raw_bytes", "seconds", "images_per_s", "measured"),
)
BATCHES = 6
"""Batches that are tried at most, spread over the samples; a smaller one warms up, untimed."""
LARGEST = 16
"""Samples of such a batch at most."""
WARM = 2
"""Samples of the one that warms up."""
SECONDS = 5.0
"""After so long no further batch begins, and a checkpoint of a network that was measured already
is taken to be like the one before it."""

Measure: TypeAlias = tuple[int, float, dict[str, int]]
"""Samples tried, seconds that they took, and their bytes by layer."""


def estimate(
    store: "Store",
    *,
    layers: Sequence[str],
    ckpts: Sequence[str],
    datasets: Sequence[str] = (),
    views: Sequence[str] = (),
    network: str | None = None,
    part: str | None = None,
    from_stored: str | None = None,
    options: ExtractionOptions | None = None,
    on_note: Callable[[str], None] | None = None,
) -> list[dict[str, Any]]:
    """Say what ``extract`` with the same arguments would add and take.

    A few batches go through all of it, decoding to encoding, into a folder that is thrown away;
    nothing is written to the store. After :data:`SECONDS` no further batch begins. Encoding is
    taken to add to the time, as it does where the network uses all cores; with a GPU it runs
    beside.

    Parameters
    ----------
    store, layers, ckpts, datasets, views, network, part, from_stored, options
        As for :func:`fstore.workflows.extract.run.extract`.
    on_note : called with what is to be said of the layers that were asked for

    Returns
    -------
    list of dict
        Keys :data:`ESTIMATE_COLUMNS`: a row a layer, and for each checkpoint and view a row
        ``(all)`` with the time. ``samples`` are still to be done, ``present`` are there;
        ``bytes`` on disk and ``seconds`` are extrapolated from ``measured`` samples (None where
        nothing is to be done or no image could be read), which may be of another checkpoint of the
        same network; ``raw_bytes`` are exact.

    Raises
    ------
    UnknownNameError, IdentityError, DataError, StorageError
        As :func:`fstore.workflows.extract.run.extract`.
    """
    chosen = Chosen(layers, ckpts, datasets, views, network, part, from_stored)
    work = Extraction(store, chosen, options or ExtractionOptions())
    jobs = work.planner.jobs(register=False)
    if on_note is not None:
        for text in dict.fromkeys(work.planner.notes):
            on_note(text)
    measures: dict[tuple[str, ...], Measure] = {}
    began = perf_counter()
    rows: list[dict[str, Any]] = []
    for job in jobs:
        key = (job.record.network, job.dataset.name, job.view)
        if len(job.wanted) and (key not in measures or perf_counter() - began < SECONDS):
            measures[key] = _measure(work, job, until=began + SECONDS)
        rows += _rows(work, job, measures[key] if len(job.wanted) else (0, 0.0, {}))
    return rows


def _rows(work: Extraction, job: LayerWork, measure: Measure) -> list[dict[str, Any]]:
    measured, seconds, sizes = measure
    total = len(work.store.samples(job.dataset.name, job.view, ["sample_id"]))
    rows: list[dict[str, Any]] = []
    for partition, n_missing in job.missing.items():
        spec = next(s for s in job.specs if s.name == partition.layer)
        size = sizes.get(partition.layer)
        rows.append(
            {
                **partition.values,
                "samples": n_missing,
                "present": total - n_missing,
                "bytes": round(n_missing * size / measured) if size else None,
                "raw_bytes": 4 * spec.values * n_missing,
                "measured": measured,
            }
        )
    known_sizes = [row["bytes"] for row in rows if row["bytes"] is not None]
    whole = {
        **rows[0],
        "layer": "(all)",
        "samples": len(job.wanted),
        "present": total - len(job.wanted),
        "bytes": sum(known_sizes) if known_sizes else None,
        "raw_bytes": sum(row["raw_bytes"] for row in rows),
        "seconds": len(job.wanted) * seconds / measured if measured else None,
        "images_per_s": measured / seconds if measured else None,
    }
    return [*rows, whole]


def _measure(work: Extraction, job: LayerWork, *, until: float) -> Measure:
    """Run samples until a time has come, at least one batch; and encode what they gave."""
    from fstore.extractor.extract import Clock
    from fstore.store.encoders import Encoders
    from fstore.store.sink import write_shard
    from fstore.store.store import Store

    runners, source = work.runners(job), work.source(job)
    size = min(LARGEST, work.batch_size(job, [r.device for r in runners]))

    def computed(samples: NDArray[np.int64]) -> list[ActivationBatch]:
        (batches,) = work.compute(job, source, [samples], runners=runners, clock=Clock(), total=0)
        return batches

    computed(job.wanted[:WARM])
    began = perf_counter()
    batches: list[ActivationBatch] = []
    for samples in _spread(job.wanted, size):
        if batches and perf_counter() > until:
            break
        batches += computed(samples)
    if not batches:
        return 0, 0.0, {}
    with (
        tempfile.TemporaryDirectory(prefix="fstore-estimate-") as folder,
        leftover(Path(folder)),
    ):
        scratch = Store.create(Path(folder) / "store")
        with Encoders(work.encoders) as encoders:
            write_shard(scratch.place, batches, job.identities, encoders=encoders)
        seconds = perf_counter() - began
        files = logged_files(scratch.place)
        sizes = {logged.file.partition.layer: logged.size_bytes for logged in files}
    return sum(len(batch.sample_ids) for batch in batches), seconds, sizes


def _spread(samples: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Return runs of at most ``size`` neighbouring samples, evenly spread over all; none twice."""
    runs = [samples[start : start + size] for start in range(0, len(samples), size)]
    picked = np.linspace(0, len(runs) - 1, min(BATCHES, len(runs))).astype(int)
    return [runs[at] for at in picked]
