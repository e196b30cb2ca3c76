"""Filters of two checkpoints paired: against all permutations, and shuffled filters found again."""

from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.stats import pearsonr

from _build import add_checkpoint, add_dataset, add_layers, put
from fstore.errors import DataError
from fstore.queries.analyses import ask
from fstore.queries.figures.similarity import plot_filter_change
from fstore.queries.methods.matching import match_filters
from fstore.store import Store
from fstore.store.files import Partition

if TYPE_CHECKING:
    from pathlib import Path


def test_no_other_pairing_is_better(seed: int) -> None:
    """Of all permutations none has a larger sum of SciPy's correlations."""
    rng = np.random.default_rng(seed)
    X, Y = rng.normal(size=(15, 5)), rng.normal(size=(15, 5))
    a, b, r = match_filters(X, Y)
    assert a.tolist() == [0, 1, 2, 3, 4]
    assert r == pytest.approx([pearsonr(X[:, i], Y[:, k])[0] for i, k in zip(a, b, strict=True)])
    sums = [
        sum(pearsonr(X[:, i], Y[:, k])[0] for i, k in enumerate(order))
        for order in permutations(range(5))
    ]
    assert r.sum() == pytest.approx(max(sums))


@pytest.mark.parametrize("places", [(), (3,)])
def test_shuffled_filters_are_found_again(places: tuple[int, ...], seed: int) -> None:
    """Filters in another order, scaled and shifted, are paired with themselves."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(20, 7, *places))
    order = rng.permutation(7)
    of_X, of_Y, r = match_filters(X, 3 * X[:, order] + 1)
    assert order[of_Y].tolist() == of_X.tolist() == list(range(7))
    assert r == pytest.approx(np.ones(7))


def test_what_has_no_partner(seed: int) -> None:
    """Constant filters are not paired; of more filters than there are others some are left."""
    X = np.random.default_rng(seed).normal(size=(12, 6))
    Y = X[:, [4, 2, 0]].copy()
    X[:, 1] = 5
    Y[:, 1] = 0
    of_X, of_Y, r = match_filters(X, Y)
    assert dict(zip(of_X.tolist(), of_Y.tolist(), strict=True)) == {0: 2, 4: 0}
    assert r == pytest.approx([1, 1])
    with pytest.raises(DataError, match="shapes are"):
        match_filters(X, Y[:5])
    with pytest.raises(DataError, match="at least 2 responses"):
        match_filters(X[:1], Y[:1])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of two networks: b has the filters of a in turn, one dead, one more."""
    path: Path = tmp_path_factory.mktemp("two")
    store = Store.create(path / "s")
    add_dataset(store)
    X = np.random.default_rng(1).random((6, 4, 1)).astype(np.float32)
    X[:, 3] = 0
    Y = np.concatenate([X[:, [2, 0, 1, 3]], np.random.default_rng(2).random((6, 1, 1))], axis=1)
    for network, values in (("a", X), ("b", Y.astype(np.float32))):
        add_layers(store, network, {"conv": (values.shape[1], 1, 1)})
        add_checkpoint(store, network, "1")
        put(store, Partition(network, "1", "d", "image", "conv"), values)
    add_checkpoint(store, "a", "2")
    later = X.copy()
    later[:, 0], later[:, 3] = 0, X[:, 1]
    put(store, Partition("a", "2", "d", "image", "conv"), later)
    return store


ASKED: dict[str, Any] = {"dataset": "d", "layer": "conv"}


def test_matched_filters_of_two_networks(two: Store) -> None:
    """Partners come first, then the dead ones and the one that is left, of either network."""
    rows = ask(two, "filter-change", ckpt="a/1", other="b/1", match=True, **ASKED)
    pairs = {r["channel"]: r["other_channel"] for r in rows if r["change"] is not None}
    assert pairs == {0: 1, 1: 2, 2: 0}
    assert [r["change"] for r in rows[:3]] == pytest.approx([0, 0, 0], abs=1e-6)
    rest = {(r["channel"], r["other_channel"]): (r["constant_in"], r["fate"]) for r in rows[3:]}
    assert rest == {(3, None): ("a/1", None), (None, 3): ("b/1", None), (None, 4): (None, None)}
    title = str(plot_filter_change(rows, title="T").to_dict()["title"])
    assert "1 filters have no partner" in title
    with pytest.raises(DataError, match="add --match"):
        ask(two, "filter-change", ckpt="a/1", other="b/1", **ASKED)


def test_died_and_born(two: Store) -> None:
    """A filter that no longer responds died; one that did not before was born."""
    rows = ask(two, "filter-change", ckpt="a/1", other="a/2", **ASKED)
    fates = {r["channel"]: (r["fate"], r["constant_in"]) for r in rows}
    assert fates == {
        0: ("died", "a/2"),
        1: (None, None),
        2: (None, None),
        3: ("born", "a/1"),
    }
    assert all(r["channel"] == r["other_channel"] for r in rows)
    title = str(plot_filter_change(rows, title="T").to_dict()["title"])
    assert "1 died, 1 were born" in title
