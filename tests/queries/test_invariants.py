"""What must not matter: the order of samples, the files they are in, the blocks of channels."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from _build import add_checkpoint, add_layers, put
from _studies import SHAPES, N, StudyWorld, add_samples, make_study
from fstore.queries.analyses import ask
from fstore.store import Store
from fstore.store.features import read_features
from fstore.store.files import Partition

CLOSE = 1e-6  # sums in float32 and SVMs down to their gap, in another order

QUESTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "none": ("classification", {"ablation": "none"}),
    "binarize": ("classification", {"ablation": "binarize"}),
    "sp_max": ("classification", {"ablation": "sp_max"}),
    "top_k": ("classification", {"ablation": "top_k=2"}),
    "retrieval": ("retrieval", {}),
    "single": ("single-filters", {"top": 0}),
    "curves": ("filter-curves", {"top": 3}),
    "subsets": ("filter-subsets", {}),
    "overlap": ("filter-overlap", {}),
    "label": ("selectivity", {"measure": "label"}),
    "weighted": ("selectivity", {"measure": "weighted"}),
    "grid": ("selectivity", {"measure": "sp_max", "grid": 9}),
    "curve": ("entropy-curve", {"channel": ("3",)}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes ``g``, in one file a layer whose channels are one block."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture(scope="module")
def other(world: StudyWorld, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return the same boxes under other numbers, in three files, a block a channel."""
    order = np.random.default_rng(3).permutation(N)
    store = Store.create(tmp_path_factory.mktemp("other") / "s")
    parts = [world.parts["g"][0][i] for i in order]
    add_samples(store, "g", world.Y["g"][order], {0: parts}, view="gt")
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "5k")
    x = world.values["g", "5k", "conv5"][order]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fstore.store.encode.ROW_GROUP_BYTES", 1)
        for ids in (np.arange(25, N), np.arange(1, 25, 2), np.arange(0, 25, 2)):
            place = Partition("net", "5k", "g", "gt", "conv5")
            put(store, place, x[ids], sample_ids=ids.tolist())
    return store


def test_blocks_differ(world: StudyWorld, other: Store) -> None:
    """The two stores are read in different blocks of channels."""
    place = Partition("net", "5k", "g", "gt", "conv5")
    counts = [len(list(read_features(store, place))) for store in (world.store, other)]
    assert counts == [1, 32]


@pytest.mark.parametrize("name", QUESTIONS)
def test_order_files_and_blocks(world: StudyWorld, other: Store, name: str) -> None:
    """The same samples under other numbers, in other files and blocks, give the same answer."""
    analysis, more = QUESTIONS[name]
    where: dict[str, Any] = {"layer": "conv5", "ckpt": "5k", "dataset": "g", "view": "gt"}
    first, second = (ask(store, analysis, **where, **more) for store in (world.store, other))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        gapless = {k: v for k, v in a.items() if k != "gap"}  # how near an SVM came is its own
        assert {k: b[k] for k in gapless} == {
            k: pytest.approx(v, abs=CLOSE) if isinstance(v, float) else v
            for k, v in gapless.items()
        }


def test_studies_on_files_that_came_later(world: StudyWorld, tmp_path: Path) -> None:
    """Shards committed one by one, the last first, answer as one file does: sp-shuffle too."""
    store = Store.create(tmp_path / "s")
    add_samples(store, "g", world.Y["g"], world.parts["g"], view="gt")
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "5k")
    x = world.values["g", "5k", "conv5"]
    place = Partition("net", "5k", "g", "gt", "conv5")
    for ids in (range(40, N), range(16, 40), range(16)):
        put(store, place, x[list(ids)], sample_ids=list(ids))
    where: dict[str, Any] = {"layer": "conv5", "ckpt": "5k", "dataset": "g", "view": "gt"}
    for ablation in ("sp_shuffle", "none"):
        rows = [
            ask(s, "classification", **where, ablation=ablation, shuffle_seed=2)
            for s in (world.store, store)
        ]
        assert rows[0] == rows[1]
