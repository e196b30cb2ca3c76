"""Which filters a sample drives: by value, and against what each of them answers as a rule."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import UnknownNameError

if TYPE_CHECKING:
    from fstore.explore.contents import Contents, Responses
    from fstore.store.files import Partition

__all__ = ["HOW", "Usual", "firing", "nearest_samples", "row_of", "usual"]


HOW = ("cosine", "euclidean", "maps")
"""By what samples are near: the cosine of the largest responses, their distance, that of maps."""
SAMPLES = 256
"""Of a block: doubles of all would be twice the size of what is kept."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Mean and standard deviation of each filter over a partition's samples, float64."""

    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


def usual(contents: "Contents", partition: "Partition") -> Usual:
    """Return what each filter of a layer answers as a rule."""
    tables = ("activations", "layers")
    return contents.kept(
        ("usual", partition), tables, lambda: _usual(contents, partition), large=True
    )


def _usual(contents: "Contents", partition: "Partition") -> Usual:
    values = contents.responses(partition).values
    n = len(values)
    mean = values.sum(axis=0, dtype=np.float64) / n
    squares = np.zeros(values.shape[1])
    for start in range(0, n, SAMPLES):
        squares += ((values[start : start + SAMPLES] - mean) ** 2).sum(axis=0)
    varies = values.max(axis=0) > values.min(axis=0)  # the mean of equal numbers may be rounded
    return Usual(mean, np.where(varies, np.sqrt(squares / n), 0))


def row_of(responses: "Responses", partition: "Partition", sample: int) -> int:
    """Return a sample's row.

    Raises
    ------
    UnknownNameError
        Nothing is stored of it.
    """
    row = int(np.searchsorted(responses.ids, sample))
    if row == len(responses.ids) or responses.ids[row] != sample:
        raise UnknownNameError(f"nothing is stored of sample {sample} in {partition}")
    return row


def firing(
    contents: "Contents", partition: "Partition", sample: int, *, by: str, most: int
) -> list[dict[str, Any]]:
    """Return the filters that a sample drives most.

    Parameters
    ----------
    contents : Contents
    partition : Partition
    sample : int
    by : {"value", "score"}
        The response, or how many standard deviations it is above the filter's mean over all stored
        samples. Equal ones are in order of channel.
    most : int
        How many filters.

    Returns
    -------
    list of dict
        ``channel``; ``value``, the largest response of the map; ``score``, None for a filter that
        answers all samples alike; ``rank`` among the samples, 1 for the largest; ``n`` samples.

    Raises
    ------
    UnknownNameError
        Nothing is stored of the sample.
    DataError
        A response is NaN or infinite.
    """
    responses = contents.responses(partition)
    values = responses.values[row_of(responses, partition, sample)]
    common = usual(contents, partition)
    varies = common.deviation > 0
    away = values - common.mean
    score = np.divide(away, common.deviation, out=np.full(len(values), -np.inf), where=varies)
    order = np.argsort(-(score if by == "score" else values), kind="stable")[:most]
    ranks = 1 + (responses.values[:, order] > values[order]).sum(axis=0)
    return [
        {
            "channel": int(channel),
            "value": float(values[channel]),
            "score": float(score[channel]) if varies[channel] else None,
            "rank": int(rank),
            "n": len(responses.ids),
        }
        for channel, rank in zip(order, ranks, strict=True)
    ]


def nearest_samples(
    contents: "Contents", partition: "Partition", sample: int, *, by: str, most: int
) -> list[tuple[int, float]]:
    """Return the samples whose filters answer most alike, the most alike first.

    Parameters
    ----------
    contents : Contents
    partition : Partition
    sample : int
        It is not among them.
    by : {"cosine", "euclidean", "maps"}
        Which number goes with each: of the largest response of each filter the cosine (largest
        first) or the distance (smallest first); or the distance of whole maps. Equal ones are in
        order of sample. Distances are those of ``fstore analyze nearest``.
    most : int

    Raises
    ------
    UnknownNameError
        Nothing is stored of the sample.
    DataError
        A response is NaN or infinite; there is no other sample.
    """
    from fstore.store.nearest import nearest

    if by == "maps":
        tables = ("activations", "layers")
        what = ("nearest by maps", partition, sample, most)
        found = contents.kept(
            what, tables, lambda: nearest(contents.store, partition, sample, k=most), large=True
        )
        return list(zip(found.sample_ids.tolist(), found.distances.tolist(), strict=True))
    responses = contents.responses(partition)
    row = row_of(responses, partition, sample)
    values = responses.values
    numbers = _cosines(contents, partition, row) if by == "cosine" else _distances(values, row)
    order = np.argsort(-numbers if by == "cosine" else numbers, kind="stable")
    return [(int(responses.ids[i]), float(numbers[i])) for i in order[order != row][:most]]


def _distances(values: NDArray[np.float32], row: int) -> NDArray[np.float64]:
    """Return the Euclidean distance of every sample to one, some samples at a time."""
    own = values[row].astype(np.float64)
    distances = np.empty(len(values))
    for start in range(0, len(values), SAMPLES):
        away = values[start : start + SAMPLES] - own
        distances[start : start + SAMPLES] = np.sqrt(np.einsum("ij,ij->i", away, away))
    return distances


def _cosines(contents: "Contents", partition: "Partition", row: int) -> NDArray[np.float64]:
    """Return the cosine of every sample and one; 0 where one of them is all 0."""
    values = contents.responses(partition).values
    tables = ("activations", "layers")
    norms = contents.kept(("norms", partition), tables, lambda: _norms(values))
    inner = (values @ values[row]).astype(np.float64)
    scale = norms * norms[row]
    cosines: NDArray[np.float64] = np.divide(
        inner, scale, out=np.zeros_like(inner), where=scale > 0
    )
    return cosines


def _norms(values: NDArray[np.float32]) -> NDArray[np.float64]:
    squares: NDArray[np.float32] = np.einsum("ij,ij->i", values, values)
    return np.sqrt(squares.astype(np.float64))
