"""Layers of two data sets with the same images, and of two names; layers with commas in them."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr

from _build import add_checkpoint, add_layers, put, relu
from _cli import run
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ask
from fstore.queries.figures.titles import analysis_title
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

N = 7
X = {
    name: np.random.default_rng(i).normal(size=(N, 4, 1)).astype(np.float32)
    for i, name in enumerate(("clean", "blurred"))
}
WIDE = relu(5, N, 6, 1)


def register(store: Store, name: str, images: list[str], mark: str) -> None:
    """Register images by their names; their content is the mark and the name."""
    samples = tuple(
        SampleRecord(image, f"{image}.png", (mark + image).ljust(32, "0"), 8, 8, {"a": 1})
        for image in images
    )
    view = ViewManifest("image", samples, ())
    store.register_dataset(DatasetManifest(name, "single", ("a",), Path("x"), (view,)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with images, a blurred copy, and copies that are not the same."""
    store = Store.create(tmp_path_factory.mktemp("two") / "s")
    images = [f"{i}" for i in range(N)]
    register(store, "clean", images, "c")
    register(store, "blurred", images, "b")
    register(store, "turned", [*images[:2], images[3], images[2], *images[4:]], "t")
    register(store, "renamed", [f"r{i}" for i in range(N)], "r")
    register(store, "fewer", images[:-1], "f")
    add_layers(store, "net", {"conv": (4, 1, 1), "x,y": (6, 1, 1)})
    add_checkpoint(store, "net", "5")
    for dataset, values in X.items():
        put(store, Partition("net", "5", dataset, "image", "conv"), values)
    put(store, Partition("net", "5", "clean", "image", "x,y"), WIDE)
    for dataset in ("turned", "renamed"):
        put(store, Partition("net", "5", dataset, "image", "conv"), X["clean"])
    put(store, Partition("net", "5", "fewer", "image", "conv"), X["clean"][:-1])
    return store


def cka(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return linear CKA by the covariances of centred features."""
    A, B = (m[:, :, 0].astype(np.float64) - m[:, :, 0].mean(axis=0, dtype=float) for m in (a, b))
    norms = np.linalg.norm(A.T @ A) * np.linalg.norm(B.T @ B)
    return float(np.linalg.norm(B.T @ A) ** 2 / norms)


def test_two_data_sets(store: Store) -> None:
    """Samples are compared one by one: CKA is NumPy's, RSA is SciPy's; rows name the data sets."""
    both: dict[str, Any] = {"ckpt": "5", "dataset": "clean", "other_dataset": "blurred"}
    rows = ask(store, "cka", **both)
    assert [(r["layer"], r["other_layer"]) for r in rows] == [("conv", "conv"), ("x,y", "conv")]
    assert rows[0]["cka"] == pytest.approx(cka(X["clean"], X["blurred"]), rel=1e-6)
    assert rows[1]["cka"] == pytest.approx(cka(WIDE, X["blurred"]), rel=1e-6)
    assert (rows[0]["ckpt"], rows[0]["other_ckpt"]) == ("net/5 over clean", "net/5 over blurred")
    (row,) = ask(store, "rsa", **both, layer=("conv",))
    a, b = (pdist(X[name][:, :, 0].astype(float), "correlation") for name in X)
    assert row["rho"] == pytest.approx(spearmanr(a, b).statistic, abs=1e-6)
    changes = ask(store, "filter-change", **both, other="5", layer="conv")
    by = {r["channel"]: r["change"] for r in changes}
    for c in range(4):
        r = np.corrcoef(X["clean"][:, c, 0], X["blurred"][:, c, 0])[0, 1]
        assert by[c] == pytest.approx(1 - r, abs=1e-6)
    assert analysis_title("CKA", both) == "CKA\n5, clean, against blurred"


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ("turned", "differ in 2 of 7 samples of view 'image', first in sample 2: '2' and '3'"),
        ("renamed", "differ in 7 of 7 samples of view 'image', first in sample 0: '0' and 'r0'"),
        ("fewer", "have 7 and 6 samples of view 'image'"),
    ],
)
def test_other_images_are_refused(store: Store, other: str, says: str) -> None:
    """Data sets of other images, or in another order, are refused with the first that differs."""
    for name in ("cka", "rsa"):
        with pytest.raises(DataError, match=says):
            ask(store, name, ckpt="5", dataset="clean", other_dataset=other)


def test_renamed_copies_have_the_same_content(tmp_path: Path) -> None:
    """Images of other names and the same content are the same images."""
    store = Store.create(tmp_path / "s")
    for name in ("clean", "copy"):
        samples = tuple(
            SampleRecord(f"{name}{i}", f"{i}.png", f"{i:032x}", 8, 8, {"a": 1}) for i in range(N)
        )
        view = ViewManifest("image", samples, ())
        store.register_dataset(DatasetManifest(name, "single", ("a",), Path("x"), (view,)))
    add_layers(store, "net", {"conv": (4, 1, 1)})
    add_checkpoint(store, "net", "5")
    for name in ("clean", "copy"):
        put(store, Partition("net", "5", name, "image", "conv"), X["clean"])
    (row,) = ask(store, "cka", ckpt="5", dataset="clean", other_dataset="copy")
    assert row["cka"] == pytest.approx(1)
    with pytest.raises(UnknownNameError, match="no data set 'no'"):
        ask(store, "cka", ckpt="5", dataset="clean", other_dataset="no")


def test_filters_of_two_layers_are_matched(store: Store) -> None:
    """Pairs of filters of two layers have the largest sum of correlations of all pairings."""
    asked: dict[str, Any] = {
        "ckpt": "5",
        "other": "5",
        "dataset": "clean",
        "layer": "conv",
        "other_layer": "x,y",
    }
    rows = ask(store, "filter-change", **asked, match=True)
    r = np.corrcoef(X["clean"][:, :, 0], WIDE[:, :, 0], rowvar=False)[:4, 4:]
    best = max(permutations(range(6), 4), key=lambda own: sum(r[range(4), own]))
    pairs = {row["channel"]: row["other_channel"] for row in rows if row["change"] is not None}
    assert pairs == dict(enumerate(best))
    assert sum(1 - row["change"] for row in rows if row["change"] is not None) == pytest.approx(
        sum(r[range(4), best]), abs=1e-6
    )
    assert sum(row["channel"] is None for row in rows) == 2
    with pytest.raises(DataError, match=r"conv and x,y are different layers.*--match"):
        ask(store, "filter-change", **asked)


def test_a_layer_with_a_comma(store: Store) -> None:
    """A stored name is taken whole; other words are split at their commas."""
    where = ("--ckpt", "5", "--dataset", "clean", "--csv")
    for words, n in ((["x,y"], 1), (["x,y", "conv"], 4), (["conv"], 1)):
        named = [word for layer in words for word in ("--layer", layer)]
        done = run(store, "analyze", "cka", *where, *named)
        assert len(done.stdout.splitlines()) == n + 1, done.output
    done = run(store, "analyze", "dimension", *where, "--layer", "conv,conv9")
    assert "'conv9'" in done.stderr
    assert run(store, "analyze", "rsa", *where, "--layer", "conv,").exit_code == 2
