"""Compute a few stored samples again, and compare them with what the store holds."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, FstoreError

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.networks import Network
    from fstore.extractor.placing import Placed
    from fstore.store import Store
    from fstore.store.files import Partition, StoredFile
    from fstore.types import CheckpointRecord

__all__ = ["SLACK", "recheck"]

SLACK = {"float32": 1e-3, "tf32": 2e-3, "bfloat16": 1e-2, "bit": 1e-2}
"""Difference allowed, as a share of the sample's largest response, by stored precision; of bits
the share that may differ. Where the forward pass was not in float32, or the responses were derived
from stored ones, it is 5e-2."""


def recheck(store: "Store", **equal: str) -> Iterator[tuple["Partition", str, str]]:
    """Yield what is wrong with stored responses, and what could not be computed again.

    Of each partition the first and the last sample go through the network once more, on the CPU.
    A layer that is a module is taken by a plain forward hook on it, a node by the traced graph.
    The layer's shape on record is held against the network's.

    Parameters
    ----------
    store : Store
    **equal : str
        Partition columns and their values; without them all partitions.

    Yields
    ------
    partition : Partition
    problem : str
        What differs, and which commands mend it; empty if nothing is known to be wrong.
    reason : str
        Why it could not be computed again; empty if it was.
    """
    from fstore.store.derived import derived_layers

    groups: dict[tuple[str, ...], dict[Partition, list[StoredFile]]] = defaultdict(dict)
    derived, passed = derived_layers(store.place), set()
    for file in store.files(**equal):
        p = file.partition
        if source := derived.get((p.network, p.layer)):
            if p not in passed:
                yield p, "", f"derived from '{source}' by a function of yours"
            passed.add(p)
            continue
        groups[p.network, p.ckpt, p.dataset, p.view].setdefault(p, []).append(file)
    loaded: tuple[tuple[str, str], Network] | None = None
    for (network, ckpt, _, _), partitions in groups.items():
        try:
            record = store.find_checkpoint(ckpt, network)
            if loaded is None or loaded[0] != (network, ckpt):
                loaded = None  # frees the last one before the next is read
                loaded = (network, ckpt), _load(store, record)
        except FstoreError as error:
            yield from ((p, "", str(error)) for p in partitions)
            continue
        yield from _group(store, record, loaded[1], partitions=partitions)


def _load(store: "Store", record: "CheckpointRecord") -> "Network":
    from fstore.workflows.checkpoints import load_network

    try:
        return load_network(store, record)
    except FstoreError:
        raise
    except Exception as error:  # users' own code builds it
        raise DataError(f"network {record.network!r} cannot be built: {error}") from error


def _group(
    store: "Store",
    record: "CheckpointRecord",
    network: "Network",
    *,
    partitions: "Mapping[Partition, list[StoredFile]]",
) -> Iterator[tuple["Partition", str, str]]:
    """Compare the partitions of one checkpoint on one view."""
    placed: dict[Partition, Placed] = {}
    for partition, files in partitions.items():
        try:
            placed[partition] = _place(store, network, partition)
            reason = _reason(record, network, placed[partition], files=files)
        except _Other as other:
            yield partition, f"{other}; {_mend(files[0])}", ""
            continue
        except FstoreError as error:
            reason = str(error)
        if reason:
            placed.pop(partition, None)
            yield partition, "", reason
    wanted = {p: _ends(partitions[p]) for p in placed}
    ids = np.unique(np.concatenate([np.empty(0, dtype=np.int64), *wanted.values()]))
    try:
        readable, x = (
            _images(store, network, next(iter(placed)), ids=ids) if placed else (ids, None)
        )
        expected = {} if x is None else _responses(network, list(placed.values()), x)
    except FstoreError as error:
        yield from ((p, "", str(error)) for p in placed)
        return
    for partition, place in placed.items():
        values = expected[place.spec.name]
        if partitions[partition][0].is_rectified:
            values = np.maximum(values, 0)  # NaN stays
        rows = {int(i): values[k] for k, i in enumerate(readable) if i in wanted[partition]}
        if not rows:
            yield partition, "", "its images cannot be read"
            continue
        yield partition, _difference(partitions[partition], rows), ""


class _Other(Exception):  # noqa: N818 - becomes a line of the listing
    """A layer is on record with another shape than it has."""


def _place(store: "Store", network: "Network", partition: "Partition") -> "Placed":
    """Find a partition's layer in the network, and hold its shape on record against it."""
    from fstore.extractor.taps import Taps
    from fstore.store.features import layer_shape

    try:
        (place,) = Taps(network, [partition.layer]).placed
    except FstoreError:
        raise
    except Exception as error:  # users' own code runs
        raise DataError(f"the network fails: {error}") from error
    stored, spec = layer_shape(store, partition), place.spec
    if (stored.channels, stored.height, stored.width) != (spec.channels, spec.height, spec.width):
        raise _Other(
            f"on record the layer has {stored.channels} channels of "
            f"{stored.height} x {stored.width}, in the network {spec.channels} of "
            f"{spec.height} x {spec.width}"
        )
    return place


def _reason(
    record: "CheckpointRecord",
    network: "Network",
    place: "Placed",
    *,
    files: "Sequence[StoredFile]",
) -> str:
    """Say why stored responses cannot be expected of the network as it is now."""
    parts = files[0].identity.parts
    now = {
        "weights": record.sha256,
        "definition": place.spec.definition,
        "preprocessing": network.preprocess.hash,
    }
    other = [part for part, value in now.items() if parts[part] != value]
    return f"it was extracted with other {other[0]} than there is now" if other else ""


def _ends(files: "Sequence[StoredFile]") -> NDArray[np.int64]:
    first = min(files, key=lambda f: f.first_sample).first_sample
    last = max(files, key=lambda f: f.last_sample).last_sample
    return np.unique(np.array([first, last], dtype=np.int64))


def _images(
    store: "Store", network: "Network", partition: "Partition", *, ids: NDArray[np.int64]
) -> "tuple[NDArray[np.int64], Tensor]":
    """Return which of the samples can be read, and their network inputs."""
    import torch

    from fstore.extractor.devices import to_device
    from fstore.extractor.loading import load_batches
    from fstore.workflows.extract.sources import input_samples

    columns = ["sample_id", "uri", "digest", "box"]
    rows = store.samples(partition.dataset, partition.view, columns).take(ids)
    root = store.dataset(partition.dataset).root
    try:
        batches = load_batches(root, [input_samples(rows)], network.preprocess, workers=1)
        (batch,) = batches
    except OSError as error:
        raise DataError(f"its images are not there: {error}") from error
    if not len(batch.sample_ids):
        raise DataError(f"its images cannot be read: {batch.bad[0].reason}")
    return batch.sample_ids, to_device(batch.images, network.preprocess, torch.device("cpu"))


def _responses(
    network: "Network", placed: "Sequence[Placed]", x: "Tensor"
) -> "dict[str, NDArray[np.float32]]":
    """Compute layers' responses; modules by plain hooks, nodes by the graph."""
    from fstore.extractor.selfcheck import plain_responses, undisturbed
    from fstore.extractor.taps import Taps

    try:
        with undisturbed(network.model):
            responses = plain_responses(network.model, placed, x)
            nodes = [p.spec.name for p in placed if p.spec.name not in responses]
            if nodes:
                responses |= Taps(network, nodes).collect(x)
    except FstoreError:
        raise
    except Exception as error:  # users' own code runs
        raise DataError(f"the network fails: {error}") from error
    return {
        name: t.float().reshape(len(t), t.shape[1], -1).numpy() for name, t in responses.items()
    }


def _difference(files: "Sequence[StoredFile]", expected: Mapping[int, NDArray[np.float32]]) -> str:
    """Compare stored samples with their responses; empty if they are equal as stored."""
    parts = files[0].identity.parts
    precision = parts["stored precision"]
    slack = SLACK.get(precision, SLACK["bfloat16"])
    if parts["compute precision"] != "float32" or "derived from" in parts:
        slack = 5e-2
    for sample, values in expected.items():
        try:
            stored = _stored(files, sample, values.shape[1])
        except (OSError, ValueError) as error:
            return f"sample {sample} cannot be read: {error}"
        if stored is None:
            continue
        if stored.shape != values.shape:
            return (
                f"sample {sample} is stored with {stored.shape[0]} channels of {stored.shape[1]}, "
                f"the network gives {values.shape[0]} of {values.shape[1]}; " + _mend(files[0])
            )
        gap, scale = _gap(stored, values, bits=precision == "bit")
        if gap > slack * scale:
            return (
                f"sample {sample} is not what the network gives: stored values differ by up to "
                f"{gap:.3g}, where {slack * scale:.3g} is allowed; {_mend(files[0])}"
            )
    return ""


def _gap(
    stored: NDArray[np.float32], values: NDArray[np.float32], *, bits: bool
) -> tuple[float, float]:
    """Return the largest difference and value; of bits the share that differs, and 1."""
    if bits:
        return float(np.mean((stored > 0) != (values > 0))), 1.0
    equal = (stored == values) | (np.isnan(stored) & np.isnan(values))
    with np.errstate(invalid="ignore"):
        gaps = np.where(equal, 0, np.abs(stored.astype(np.float64) - values))
    finite = np.abs(values[np.isfinite(values)])
    return float(np.nan_to_num(gaps, nan=np.inf).max()), float(finite.max(initial=0.0))


def _stored(
    files: "Sequence[StoredFile]", sample: int, positions: int
) -> NDArray[np.float32] | None:
    """Read one sample as it lies in its file, channels by positions; None if it is in none."""
    import pyarrow as pa

    from fstore.store.schema import ACT_MAX, CHANNEL, MAP, SAMPLE_ID

    for file in files:
        if sample not in file.sample_ids:
            continue
        column = ACT_MAX if positions == 1 else MAP
        try:
            with file.parquet() as parquet:
                table = parquet.read([SAMPLE_ID, CHANNEL, column])
        except pa.ArrowException as error:
            raise ValueError(str(error)) from error
        rows = table.filter(pa.compute.equal(table[SAMPLE_ID], sample)).sort_by(CHANNEL)
        values: Any = rows[column].combine_chunks()
        values = values.flatten() if column == MAP else values
        array: NDArray[np.float32] = values.fill_null(0).to_numpy(zero_copy_only=False)
        return array.reshape(len(rows), -1) if len(array) else np.empty((len(rows), 0), np.float32)
    return None


def _mend(file: "StoredFile") -> str:
    """Return the commands that put right values in place of those of a file's partition."""
    from fstore.store.remedies import how_to_replace

    again = how_to_replace(file.place, file.partition, rectify=file.is_rectified, yes=True)
    return f"mend it with: {again}"
