"""Whether activations have the samples, channels and positions that they should have."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.types import ActivationBatch, LayerResponses, LayerSpec

__all__ = ["check_alike", "check_shapes"]


def check_shapes(batch: ActivationBatch, specs: Sequence[LayerSpec]) -> None:
    """Refuse a batch that is not what its layers' specs say.

    Parameters
    ----------
    batch : ActivationBatch
    specs : sequence of LayerSpec
        One a layer of the batch.

    Raises
    ------
    DataError
        A layer is absent, or has other samples, channels or positions.
    """
    for spec in specs:
        given = batch.layers.get(spec.name)
        expected = (len(batch.sample_ids), spec.channels, spec.positions)
        shape = None if given is None else _shape(given)
        if shape != expected:
            raise DataError(
                f"layer {spec.name!r} has {shape} samples, channels and positions in a batch; "
                f"expected {expected}; nothing of it was stored"
            )


def check_alike(sample_ids: Sequence[NDArray[np.int64]], batches: Sequence[LayerResponses]) -> None:
    """Refuse batches of a layer that differ in channels or positions, or have not a row a sample.

    Parameters
    ----------
    sample_ids : sequence of arrays of shape (n_i,), int64
    batches : sequence of LayerResponses, n_i samples each

    Raises
    ------
    DataError
    """
    for ids, batch in zip(sample_ids, batches, strict=True):
        shape, expected = _shape(batch), (len(ids), *_shape(batches[0])[1:])
        if shape != expected:
            raise DataError(
                f"a batch has {shape} samples, channels and positions; expected {expected}"
            )


def _shape(values: LayerResponses) -> tuple[int, ...]:
    return (*values.act_max.shape, 1) if values.maps is None else values.maps.shape
