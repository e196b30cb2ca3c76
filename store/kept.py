"""The strongest samples of each channel of one file: chosen, packed into a sidecar file, read back.

A sidecar lies in the store's folder ``topk/``, under the key of its data file. It holds for each
channel the samples with the largest ``act_max``, that value, and its place in the map. Samples are
in order of value, largest first; equal ones in order of sample. ``docs/topk.md`` has the format,
and what it was chosen by.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fstore.errors import DataError, StorageError

__all__ = [
    "FOLDER",
    "KEPT",
    "KEPT_WITHOUT_MAPS",
    "Kept",
    "choose",
    "kept_count",
    "merge",
    "order_keys",
    "pack",
    "sidecar_key",
    "stacked",
    "strongest_of",
    "unpack",
]

FOLDER = "topk"
"""Where sidecars lie."""
SUFFIX = ".topk"
KEPT = 64
"""Samples that are kept of each channel of a file, of a layer with maps."""
KEPT_WITHOUT_MAPS = 16
"""Of a layer without maps: its files hold little else than what a sidecar would."""

MAGIC = b"fstore topk 1\n"
DIGEST_BYTES = 16
LEVEL = 9  # of zstd: a sidecar is written once and small
CODEC = pa.Codec("zstd", LEVEL)


@dataclass(frozen=True, slots=True)
class Kept:
    """The strongest samples of each channel of some samples.

    Attributes
    ----------
    sample_ids : array of shape (n_channels, n_kept), int64
    values : array of shape (n_channels, n_kept), float32
        Their largest response, descending; of equal ones the smaller sample comes first.
    places : array of shape (n_channels, n_kept), int32
        Where in the map it is, row by row from 0.
    n_samples : int
        Among so many they are the strongest.
    not_finite : int
        Responses (``act_max``) of those that are NaN or infinite; NaN comes before all numbers.
    """

    sample_ids: NDArray[np.int64]
    values: NDArray[np.float32]
    places: NDArray[np.int32]
    n_samples: int
    not_finite: int

    @property
    def n_kept(self) -> int:
        """Samples a channel."""
        return int(self.values.shape[1])


def kept_count(positions: int) -> int:
    """Return how many samples of each channel of a file are kept, by the places of a map."""
    return KEPT if positions > 1 else KEPT_WITHOUT_MAPS


def order_keys(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Return whole numbers that ascend as values descend: NaN first, then the largest value.

    -0.0 and 0.0 are one. Undone by :func:`_values`.
    """
    with np.errstate(invalid="ignore"):  # signalling NaNs
        bits = (values + np.float32(0)).view(np.uint32)
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    return np.where(np.isnan(values), np.uint32(0), ~ascending)


def _values(keys: NDArray[np.uint32]) -> NDArray[np.float32]:
    ascending = ~keys
    bits = np.where(ascending >> 31, ascending & np.uint32((1 << 31) - 1), ~ascending)
    return np.where(keys == 0, np.uint32(0x7FC00000), bits).view(np.float32)


def choose(values: NDArray[np.float32], k: int) -> NDArray[np.intp]:
    """Return where in each row the k largest values are, in order; equal ones from the left.

    Parameters
    ----------
    values : array of shape (n_rows, n)
    k : int

    Returns
    -------
    array of shape (n_rows, min(k, n))
    """
    n = values.shape[1]
    # a value and its place make one number, so that no two are equal
    keys = order_keys(values).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(n, dtype=np.uint64)
    if k < n:
        keys = np.partition(keys, k - 1, axis=1)[:, :k]
    keys = np.sort(keys, axis=1)
    return (keys & np.uint64(0xFFFFFFFF)).astype(np.intp)


def strongest_of(
    sample_ids: NDArray[np.int64],
    act_max: NDArray[np.float32],
    argmax: NDArray[np.int32] | None,
    *,
    k: int,
) -> Kept:
    """Return the strongest samples of each channel.

    Parameters
    ----------
    sample_ids : array of shape (n_samples,)
        Ascending.
    act_max : array of shape (n_channels, n_samples)
    argmax : array of shape (n_channels, n_samples), or None
        None where a map has one place.
    k : int
        Samples a channel.
    """
    at = choose(act_max, k)
    values = np.take_along_axis(act_max, at, axis=1)
    places = np.zeros(at.shape, np.int32) if argmax is None else _along(argmax, at)
    not_finite = int(np.count_nonzero(~np.isfinite(act_max)))
    return Kept(sample_ids[at], values, places, len(sample_ids), not_finite)


def _along(array: NDArray[np.int32], at: NDArray[np.intp]) -> NDArray[np.int32]:
    return np.take_along_axis(array, at, axis=1).astype(np.int32, copy=False)


def stacked(parts: Sequence[Kept]) -> Kept:
    """Return what is kept of all channels, from that of some after others."""
    return Kept(
        np.concatenate([p.sample_ids for p in parts]),
        np.concatenate([p.values for p in parts]),
        np.concatenate([p.places for p in parts]),
        parts[0].n_samples,
        sum(p.not_finite for p in parts),
    )


def merge(parts: Sequence[Kept], *, k: int = KEPT) -> Kept:
    """Return what is kept of the samples of several files together, for a file that has them all.

    Only what the parts prove is kept: a sample that a part left out ranks behind the last that it
    kept. So a channel may have less than ``k`` where few were kept of a file; all channels have as
    many as the one with the fewest.

    Parameters
    ----------
    parts : sequence of Kept
        Of the same channels, and of different samples.
    k : int
        At most so many of each channel.

    Raises
    ------
    DataError
        The parts have other channels, or none is given.
    """
    if len({len(part.values) for part in parts}) != 1:
        raise DataError("only what is kept of the same channels can be merged")
    ids = np.concatenate([p.sample_ids for p in parts], axis=1)
    values = np.concatenate([p.values for p in parts], axis=1)
    places = np.concatenate([p.places for p in parts], axis=1)
    order = np.lexsort((ids, order_keys(values)), axis=1)
    # behind the first "last one" of a part that left samples out, one of those may come
    ends = np.zeros(ids.shape, dtype=bool)
    stop = np.cumsum([p.n_kept for p in parts]) - 1
    for part, last in zip(parts, stop, strict=True):
        ends[:, last] = part.n_kept < part.n_samples
    ended = np.take_along_axis(ends, order, axis=1)
    proven = np.where(ended.any(axis=1), ended.argmax(axis=1) + 1, ids.shape[1])
    order = order[:, : min(k, int(proven.min()))]
    return Kept(
        np.take_along_axis(ids, order, axis=1),
        np.take_along_axis(values, order, axis=1),
        np.take_along_axis(places, order, axis=1),
        sum(p.n_samples for p in parts),
        sum(p.not_finite for p in parts),
    )


# The file


def sidecar_key(key: str) -> str:
    """Return the key of a data file's sidecar; ``key`` is the data file's."""
    _, _, below = key.partition("/")
    return f"{FOLDER}/{below.removesuffix('.parquet')}{SUFFIX}"


def pack(kept: Kept, name: str) -> bytes:
    """Return the content of a sidecar.

    A line that names the format; the length of what follows (4 bytes) and JSON that says what is
    kept; then, zstd-compressed, the planes of bytes of: steps between values as ordered whole
    numbers, samples from the smallest one, places (left out where all are 0). At the end a
    BLAKE2b-128 of all that.

    Parameters
    ----------
    kept : Kept
    name : str
        Of the data file: a sidecar that lies beside another one is not taken for its.
    """
    least = int(kept.sample_ids.min(initial=2**62))
    samples = _narrow(kept.sample_ids - least)
    places = _narrow(kept.places) if kept.places.any() else kept.places[:0]
    steps = np.diff(order_keys(kept.values), axis=1, prepend=np.uint32(0))
    about = {
        "file": name,
        "channels": len(kept.values),
        "kept": kept.n_kept,
        "samples": kept.n_samples,
        "not_finite": kept.not_finite,
        "least_sample": least,
        "sample_bytes": samples.itemsize,
        "place_bytes": places.itemsize if places.size else 0,
    }
    head = json.dumps(about).encode()
    body = b"".join(map(_planes, (steps, samples, places)))
    packed = CODEC.compress(body, asbytes=True)
    content = b"".join((MAGIC, len(head).to_bytes(4, "little"), head, packed))
    return content + hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()


def unpack(content: bytes, name: str, *, channels: NDArray[np.int32] | None = None) -> Kept | None:
    """Return what a sidecar holds of some channels; None if it lacks one of them.

    Parameters
    ----------
    content : bytes
    name : str
        Of the data file.
    channels : array of int32 or None
        None for all.

    Raises
    ------
    StorageError
        The content is damaged, of another version, or belongs to another file.
    """
    said, rest = content[-DIGEST_BYTES:], content[:-DIGEST_BYTES]
    if not rest.startswith(MAGIC):
        raise StorageError("it is no sidecar of this version of fstore")
    if hashlib.blake2b(rest, digest_size=DIGEST_BYTES).digest() != said:
        raise StorageError("its content is not what was written")
    at = len(MAGIC) + 4
    end = at + int.from_bytes(rest[len(MAGIC) : at], "little")
    about: dict[str, Any] = json.loads(rest[at:end])
    if about["file"] != name:
        raise StorageError(f"it belongs to another file, {about['file']}")
    if channels is not None and channels.max(initial=0) >= about["channels"]:
        return None
    return _unpacked(rest[end:], about, slice(None) if channels is None else channels)


def _unpacked(packed: bytes, about: dict[str, Any], channels: NDArray[np.int32] | slice) -> Kept:
    shape = about["channels"], about["kept"]
    n, widths = shape[0] * shape[1], (4, about["sample_bytes"], about["place_bytes"])
    body = np.frombuffer(CODEC.decompress(packed, n * sum(widths), asbytes=False), np.uint8)
    parts, at = [], 0
    for width in widths:
        planes = body[at : at + n * width].reshape(width, *shape)[:, channels]
        parts.append(_from_planes(planes) if width else np.zeros(planes.shape[1:], np.int32))
        at += n * width
    keys = np.cumsum(parts[0], axis=1, dtype=np.uint32)
    samples = parts[1].astype(np.int64) + about["least_sample"]
    places = parts[2].astype(np.int32)
    return Kept(samples, _values(keys), places, about["samples"], about["not_finite"])


def _narrow(numbers: NDArray[Any]) -> NDArray[Any]:
    """Return numbers from 0 as the narrowest kind that holds them."""
    most = int(numbers.max(initial=0))
    kind = next(k for k in (np.uint8, np.uint16, np.uint32, np.uint64) if most <= np.iinfo(k).max)
    return numbers.astype(kind)


def _planes(numbers: NDArray[Any]) -> bytes:
    """All first bytes, then all second bytes, ...: equal ones lie together."""
    rows = np.ascontiguousarray(numbers).reshape(-1).view(np.uint8)
    return rows.reshape(-1, numbers.itemsize).T.tobytes()


def _from_planes(planes: NDArray[np.uint8]) -> NDArray[Any]:
    """Put numbers together; ``planes`` has a dimension more, of their bytes, before the others."""
    return np.ascontiguousarray(np.moveaxis(planes, 0, -1)).view(f"<u{len(planes)}")[..., 0]
