"""Ablations do what their names say, and the SQL macros do the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from _build import PARTS, add_checkpoint, add_dataset, add_layers, put
from conftest import NETWORK, Known
from fstore.errors import DataError, UnknownNameError
from fstore.queries.samples.ablations import ABLATIONS, PAPER, ablation_sql, parse_ablation
from fstore.queries.samples.blocks import Rows, ablated_blocks
from fstore.registry import Entry
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.permutation import permutation

Maps = NDArray[np.float32]
STORE: list[Store] = []
X = np.array([[[1.0, -2, 0, 4], [0, 0, 0, 0]]], dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("none", [[1, -2, 0, 4], [0, 0, 0, 0]]),
        ("binarize", [[1, 0, 0, 1], [0, 0, 0, 0]]),
        ("binarize=1", [[0, 0, 0, 1], [0, 0, 0, 0]]),
        ("binarize=-3", [[1, 1, 1, 1], [1, 1, 1, 1]]),
        ("threshold=0.5", [[1, 0, 0, 4], [0, 0, 0, 0]]),
        ("top_k=1", [[4], [0]]),
        ("top_k=2", [[2.5], [0]]),
        ("top_k=9", [[0.75], [0]]),
        ("sp_mean", [[0.75], [0]]),
        ("l2_columns", [[1, -1, 0, 1], [0, 0, 0, 0]]),  # of one sample: its sign
    ],
)
def test_by_hand(name: str, wanted: list[list[float]]) -> None:
    """Each ablation of a small map, written down by hand."""
    assert parse_ablation(name).apply(X.copy(), None).tolist() == [wanted]


def test_shuffle_moves_columns() -> None:
    """All channels of a sample are read in the order of its permutation."""
    order = np.array([[3, 0, 1, 2]], dtype=np.int32)
    found = parse_ablation("sp_shuffle").apply(X.copy(), order)
    assert found.tolist() == [[[4, 1, -2, 0], [0, 0, 0, 0]]]


@pytest.mark.parametrize("name", ["", "blur", "binarised", "sp_max=3"])
def test_unknown(name: str) -> None:
    """A name that is none lists those that there are."""
    with pytest.raises(UnknownNameError, match="none, binarize, sp_shuffle, sp_max"):
        parse_ablation(name)


@pytest.mark.parametrize(
    "name", ["threshold", "top_k=x", "top_k=0", "binarize=nan", "threshold=inf"]
)
def test_bad_numbers(name: str) -> None:
    """A number that is missing or unfit is an error that says so."""
    with pytest.raises(DataError, match=r"number|at least 1"):
        parse_ablation(name)


maps = arrays(
    np.float32,
    st.integers(1, 9),
    elements=st.floats(-4, 4, width=16),  # few digits: values that tie and that hit thresholds
)


@settings(max_examples=60, deadline=None)
@given(x=maps, t=st.sampled_from([-1.0, 0.0, 0.1, 0.5]), k=st.integers(1, 12))
def test_macros_agree(x: NDArray[np.float32], t: float, k: int) -> None:
    """DuckDB's macros and NumPy's ablations give the same numbers."""
    duck = {
        "binarize": "binarize(m)",
        f"binarize={t}": f"binarize(m, {t})",
        f"threshold={t}": f"threshold(m, {t})",
        f"top_k={k}": f"[top_k(m, {k})]",
        "sp_max": "[sp_max(m)]",
    }
    columns = ", ".join(f'{call} AS "{name}"' for name, call in duck.items())
    (row,) = STORE[0].sql(f"SELECT {columns} FROM (SELECT ?::FLOAT[] AS m)", [x.tolist()]).rows()
    for name in duck:
        what = x.max(keepdims=True) if name == "sp_max" else x.copy()
        found = parse_ablation(name).apply(what[None, None], None)
        assert np.allclose(row[name], found[0, 0], rtol=1e-6, atol=0)  # a mean's last digit


@pytest.fixture(autouse=True)
def opened(known: Known) -> None:
    """Make the store known to tests that hypothesis runs many times."""
    STORE[:] = [known.store]


@pytest.mark.parametrize("layer", ["conv1", "fire2/concat", "fc7"])
@pytest.mark.parametrize("name", [*PAPER, "top_k=3"])
def test_blocks(known: Known, layer: str, name: str) -> None:
    """Blocks of stored samples are the ablated arrays, whichever samples are asked for."""
    x = known.values["5", layer]
    ids = np.array([1, 2, 7, 11])
    rows = [Rows(Partition(NETWORK, "5", "d", "image", layer), ids)]
    blocks = list(ablated_blocks(known.store, rows, ablation=name, seed=3))
    assert np.concatenate([c for c, _ in blocks]).tolist() == list(range(x.shape[1]))
    found = np.concatenate([block for _, block in blocks], axis=1)
    wanted = x[ids]
    if name == "sp_max":
        wanted = wanted.max(axis=2, keepdims=True)
    orders = np.stack(
        [permutation(x.shape[2], seed=3, view="image", sample_id=int(i)) for i in ids]
    )
    assert np.array_equal(found, parse_ablation(name).apply(wanted.copy(), orders))


def test_shuffle_keeps_columns(known: Known) -> None:
    """Each sample keeps its multiset of columns of channels; another seed gives another order."""
    x = known.values["5", "conv1"]
    rows = [Rows(Partition(NETWORK, "5", "d", "image", "conv1"), np.arange(12))]
    first, second = (
        np.concatenate(
            [b for _, b in ablated_blocks(known.store, rows, ablation="sp_shuffle", seed=s)], axis=1
        )
        for s in (0, 1)
    )
    for before, after in zip(x, first, strict=True):
        assert sorted(map(tuple, before.T)) == sorted(map(tuple, after.T))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("layer", ["conv1", "fire2/concat", "fc7"])
@pytest.mark.parametrize("entry", list(ABLATIONS), ids=lambda entry: entry.name)
def test_sql_of_every_ablation(known: Known, layer: str, entry: Entry[Any]) -> None:
    """The SQL of every registered ablation gives what its NumPy gives, with and without number."""
    number = {"binarize": ("", "=0.25"), "threshold": ("=0.25",), "top_k": ("=3",)}
    for name in (entry.name + n for n in number.get(entry.name, ("",))):
        x = ablated(known.store, Partition(NETWORK, "5", "d", "image", layer), np.arange(12), name)
        source = f"(SELECT * FROM activations WHERE ckpt = '5' AND layer = '{layer}')"
        text = ablation_sql(name, source, seed=3)
        rows = known.store.sql(f"SELECT map FROM ({text}) ORDER BY sample_id, channel").arrow()
        maps = np.array(rows["map"].to_pylist(), dtype=np.float32).reshape(x.shape)
        assert np.allclose(maps, x, rtol=1e-6, atol=0)  # a sum's last digit


def test_columns_of_length_one(known: Known) -> None:
    """l2_columns is scikit-learn's normalization of the dense matrix's columns."""
    place = Partition(NETWORK, "5", "d", "image", "conv1")
    plain = ablated(known.store, place, np.arange(12), "none").reshape(12, -1)
    found = ablated(known.store, place, np.arange(12), "l2_columns").reshape(12, -1)
    assert np.allclose(found, normalize(plain.astype(np.float64), axis=0), rtol=1e-6, atol=0)
    assert len(plain[:, (plain == 0).all(axis=0)])


SQL = {
    "none": "map",
    "binarize": "binarize(map)",
    "binarize=0.25": "binarize(map, 0.25)",
    "threshold=0.25": "threshold(map, 0.25)",
    "threshold=-1": "threshold(map, -1)",
    "top_k=1": "[top_k(map, 1)]",
    "top_k=3": "[top_k(map, 3)]",
    "top_k=99": "[top_k(map, 99)]",
    "sp_max": "[sp_max(map)]",
    "sp_shuffle": """sp_shuffle(map, sp_permutation(
        3, "view", sample_id, (height * width)::INTEGER))""",
}


def ablated(store: Store, partition: Partition, ids: NDArray[np.int64], name: str) -> Maps:
    """Return the ablated responses to samples, shape (n_samples, n_channels, positions)."""
    blocks = ablated_blocks(store, [Rows(partition, ids)], ablation=name, seed=3)
    return np.concatenate([block for _, block in blocks], axis=1)


@pytest.mark.parametrize("layer", ["conv1", "fire2/concat", "fc7"])
@pytest.mark.parametrize("name", SQL)
def test_macros_over_the_store(known: Known, layer: str, name: str) -> None:
    """SQL over the stored rows gives what the blocks hold, bit for bit."""
    found = ablated(known.store, Partition(NETWORK, "5", "d", "image", layer), np.arange(12), name)
    text = f"""
        SELECT {SQL[name]} AS map FROM activations JOIN layers USING (network, layer)
        WHERE ckpt = '5' AND layer = ? ORDER BY sample_id, channel
    """
    maps = known.store.sql(text, [layer]).arrow()["map"].to_pylist()
    assert np.array_equal(np.array(maps, dtype=np.float32).reshape(found.shape), found)


def test_shuffle_does_not_depend_on_shards(known: Known, tmp_path: Path) -> None:
    """Samples that were extracted in other shards, in another order, are shuffled alike."""
    store = Store.create(tmp_path / "s")
    add_dataset(store, parts=PARTS * 2)
    add_layers(store, NETWORK, {"conv1": (3, 4, 4)})
    add_checkpoint(store, NETWORK, "5")
    place, x = Partition(NETWORK, "5", "d", "image", "conv1"), known.values["5", "conv1"]
    for ids in ([5, 8, 9], [10, 11], [0, 1, 2, 3, 4, 6, 7]):
        put(store, place, x[ids], sample_ids=ids)
    whole = ablated(known.store, place, np.arange(12), "sp_shuffle")
    assert np.array_equal(ablated(store, place, np.arange(12), "sp_shuffle"), whole)
    some = np.array([1, 5, 10])
    assert np.array_equal(ablated(store, place, some, "sp_shuffle"), whole[some])
