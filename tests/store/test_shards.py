"""Files read whole, against the responses that were written."""

import numpy as np
import pytest

from conftest import CKPTS, NETWORK, SHAPES, Known
from fstore.store.features import layer_shape
from fstore.store.files import Partition
from fstore.store.shards import read_shard


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("layer", SHAPES)
def test_a_file_is_read_as_it_was_written(known: Known, layer: str, threads: int) -> None:
    """Whole maps, their largest and their sums are those written, however many threads decode."""
    partition = Partition(NETWORK, CKPTS[0], "d", "image", layer)
    (file,) = known.store.files(**partition.values)
    shape, values = layer_shape(known.store, partition), known.values[CKPTS[0], layer]
    np.testing.assert_array_equal(read_shard(file, shape, threads=threads), values)
    largest = read_shard(file, shape, what="act_max", threads=threads)
    np.testing.assert_array_equal(largest, values.max(axis=2, keepdims=True))
    total = read_shard(file, shape, what="act_sum", threads=threads)
    np.testing.assert_allclose(total, values.sum(axis=2, keepdims=True, dtype=np.float64))


def test_some_samples_go_where_they_are_wanted(known: Known) -> None:
    """Wanted rows are written at the given places of an array; the others stay as they are."""
    partition = Partition(NETWORK, CKPTS[0], "d", "image", "fire2/concat")
    (file,) = known.store.files(**partition.values)
    values = known.values[CKPTS[0], "fire2/concat"]
    out = np.full((9, *values.shape[1:]), -1, dtype=np.float32)
    rows, places = np.array([0, 3, 11]), np.array([1, 4, 8])
    read_shard(file, layer_shape(known.store, partition), rows=rows, into=(out, places))
    expected = np.full_like(out, -1)
    expected[places] = values[rows]
    np.testing.assert_array_equal(out, expected)
