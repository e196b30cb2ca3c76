"""Gram matrices and weights summed over blocks are those of the dense matrix."""

from pathlib import Path

import numpy as np
import pytest

from _build import add_checkpoint, add_dataset, add_layers, put, relu
from conftest import NETWORK, Known
from fstore.errors import DataError, UnknownNameError
from fstore.queries.methods import gram as module
from fstore.queries.methods.backend import BlasAccumulator, TorchAccumulator, accumulator
from fstore.queries.methods.gram import feature_norm_factor, gram, gram_of, weights
from fstore.queries.samples.ablations import PAPER
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.store import Store
from fstore.store.files import Partition

ROUNDING = 1e-5  # of sums of some hundred products in float32


def rows_of(layer: str, ids: range = range(12)) -> list[Rows]:
    """Return the rows of a layer of the known store."""
    return [Rows(Partition(NETWORK, "5", "d", "image", layer), np.array(ids))]


@pytest.mark.parametrize("layer", ["conv1", "fire2/concat", "fc7"])
@pytest.mark.parametrize("ablation", PAPER)
def test_equals_dense(known: Known, layer: str, ablation: str) -> None:
    """The kernel is X X^T, and the weights X^T coefficients, in the documented order."""
    rows = rows_of(layer, range(2, 11))
    X = np.concatenate(
        [b for _, b in ablated_blocks(known.store, rows, ablation=ablation)], axis=1
    ).reshape(9, -1)
    found = gram(known.store, rows, ablation=ablation)
    assert found.kernel == pytest.approx(X @ X.T, rel=ROUNDING, abs=ROUNDING)
    assert found.n_features == X.shape[1]
    models = np.random.default_rng(0).normal(size=(9, 2))
    w = weights(known.store, rows, models, ablation=ablation)
    assert w == pytest.approx(X.T @ models, rel=ROUNDING, abs=ROUNDING)


@pytest.mark.parametrize("n", [1, 3, 511, 513, 1100])
@pytest.mark.parametrize("kind", [BlasAccumulator, lambda n: TorchAccumulator(n, "cpu")])
def test_accumulators(n: int, kind: type[BlasAccumulator]) -> None:
    """Both ways of summing give X X^T, symmetric to the bit, for blocks in either memory order."""
    X = np.random.default_rng(n).normal(size=(n, 7)).astype(np.float32)
    total = kind(n)
    total.add(X[:, :3].copy())
    total.add(np.asfortranarray(X[:, 3:]))
    found = total.result()
    np.testing.assert_allclose(found, X @ X.T, rtol=1e-4, atol=1e-4)
    assert np.array_equal(found, found.T)
    assert found.flags.c_contiguous


def test_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks larger than a piece are multiplied in pieces; the sum is the same."""
    X = np.random.default_rng(0).normal(size=(6, 5, 4)).astype(np.float32)
    whole = gram_of([X])
    monkeypatch.setattr(module, "PIECE_BYTES", 6 * 4 * 4 * 2)
    assert gram_of([X]).kernel == pytest.approx(whole.kernel, rel=1e-5)
    assert whole.n_features == 20


def test_several_data_sets(known: Known, tmp_path: Path) -> None:
    """Rows of two data sets, whose files hold blocks of different sizes, stack in their order."""
    store = Store.create(tmp_path / "s")
    add_layers(store, "net", {"conv": (40, 3, 3)})
    add_checkpoint(store, "net", "5")
    first, second = relu(1, 6, 40, 9), relu(2, 2, 40, 9)
    for name, x in (("d", first), ("e", second)):
        add_dataset(store, name, ["train", "test"] * (len(x) // 2))
        put(store, Partition("net", "5", name, "image", "conv"), x)
    rows = [
        Rows(Partition("net", "5", n, "image", "conv"), np.arange(k))
        for n, k in (("e", 2), ("d", 6))
    ]
    X = np.concatenate([second, first]).reshape(8, -1)
    assert gram(store, rows).kernel == pytest.approx(X @ X.T, rel=1e-5)
    assert known.store.path != store.path


@pytest.mark.parametrize("ablation", ["none", "binarize", "sp_max"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(tmp_path: Path, ablation: str, bad: float) -> None:
    """A NaN or an infinity is an error that names it, also where the ablation would hide it."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"conv": (2, 2, 2)})
    add_checkpoint(store, "net", "5")
    x = relu(1, 6, 2, 4)
    x[4, 1, 2] = bad
    partition = Partition("net", "5", "d", "image", "conv")
    put(store, partition, x)
    with pytest.raises(DataError, match=r"1 samples are NaN or infinite, .* sample 4, channel 1"):
        gram(store, [Rows(partition, np.arange(6))], ablation=ablation)
    assert gram(store, [Rows(partition, np.arange(4))], ablation=ablation).kernel.shape == (4, 4)


def test_too_large(tmp_path: Path) -> None:
    """Responses whose squares overflow float32 are an error, not infinities."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"fc": (2, 1, 1)})
    add_checkpoint(store, "net", "5")
    partition = Partition("net", "5", "d", "image", "fc")
    put(store, partition, np.full((6, 2, 1), 1e30, dtype=np.float32))
    with pytest.raises(DataError, match="too large for float32"):
        gram(store, [Rows(partition, np.arange(6))])


def test_norm_factor() -> None:
    """The mean norm of the training rows, and of no other, becomes 20."""
    X = np.array([[3.0, 4.0], [0, 15], [100, 0]], dtype=np.float32)
    assert feature_norm_factor(X @ X.T, np.array([0, 1])) == pytest.approx(2)
    with pytest.raises(DataError, match="features of all 1 training samples are 0"):
        feature_norm_factor(np.zeros((2, 2), dtype=np.float32), np.array([1]))


def test_missing(known: Known) -> None:
    """Activations that are not there, devices that are not, and no features are named errors."""
    with pytest.raises(UnknownNameError, match="no checkpoint '7' of network"):
        gram(known.store, [Rows(Partition(NETWORK, "7", "d", "image", "fc7"), np.arange(2))])
    with pytest.raises(DataError, match="device 'cuda:7' cannot be used"):
        accumulator(3, "cuda:7")
    with pytest.raises(DataError, match="no features"):
        gram_of([])


def test_progress(known: Known) -> None:
    """Progress counts channels up to all of them."""
    seen: list[tuple[int, int]] = []
    gram(
        known.store,
        rows_of("conv1"),
        on_progress=lambda _w, done, total, _n: seen.append((done, total)),
    )
    assert seen[-1] == (3, 3)
