"""The map: places by a second route, outlines by hand, and what the page lists."""

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from _studies import StudyWorld, make_study
from fstore.errors import DataError
from fstore.explore.app import application
from fstore.explore.contents import Contents, Labels
from fstore.explore.plane import groups, inside, outline, rectangle
from fstore.explore.rendering import at
from fstore.queries.methods import embedding
from fstore.queries.methods.embedding import principal_components, umap_layout
from fstore.store.files import Partition

FC7 = Partition("net", "5k", "d", "image", "fc7")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return 48 images of several classes, and their responses in two checkpoints."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture(scope="module")
def browser(world: StudyWorld) -> TestClient:
    """Return a browser of the store's explorer."""
    return TestClient(application(world.store), base_url="http://localhost")


def by_svd(X: Any) -> tuple[Any, Any]:  # noqa: ANN401
    """Return the first two principal components and shares of variance, from NumPy's SVD."""
    centred = X.astype(np.float64) - X.astype(np.float64).mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    signs = [np.sign(row[np.abs(row).argmax()]) for row in vt[:2]]
    return u[:, :2] * s[:2] * signs, (s**2 / (s**2).sum())[:2]


# places


def test_components_are_those_of_an_svd(seed: int) -> None:
    """Places and shares of the variance are NumPy's; the largest loading is positive."""
    X = np.random.default_rng(seed).normal(size=(40, 9)).astype(np.float32) * np.arange(1, 10)
    plane, (wanted, share) = principal_components(X), by_svd(X)
    assert plane.points == pytest.approx(wanted, abs=1e-4)
    assert plane.explained == pytest.approx(share, rel=1e-4)
    # a mirrored layer has a mirrored map: the sign is the data's, not the solver's
    assert principal_components(-X).points == pytest.approx(-wanted, abs=1e-4)


def test_a_large_layer_lies_the_same_each_time(seed: int) -> None:
    """The randomized solver is seeded, and near the exact answer."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 700)) * 5 + rng.normal(size=(600, 700))
    first, second = principal_components(X), principal_components(X)
    assert (first.points == second.points).all()
    assert first.explained == pytest.approx(by_svd(X)[1], rel=1e-3)


def test_a_line_and_nothing_to_lay_out() -> None:
    """One feature is a line with a second axis of 0; none that differs, or two samples: refused."""
    plane = principal_components(np.array([[1.0], [2.0], [6.0]]))
    assert plane.points.tolist() == [[-2, 0], [-1, 0], [3, 0]]
    assert list(plane.explained) == [1, 0]
    with pytest.raises(DataError, match="nothing to lay out"):
        principal_components(np.ones((5, 3)))
    with pytest.raises(DataError, match="at least 3 samples"):
        principal_components(np.eye(2))


@pytest.mark.slow
def test_umap_keeps_groups_together(seed: int) -> None:
    """Two far groups stay apart, and one seed gives one layout."""
    pytest.importorskip("umap")
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(80, 60)).astype(np.float32)
    X[40:] += 30
    first, second = (umap_layout(X).points for _ in range(2))
    assert (first == second).all()
    middles = first[:40].mean(axis=0), first[40:].mean(axis=0)
    spread = max(first[:40].std(), first[40:].std())
    assert np.linalg.norm(middles[0] - middles[1]) > spread


# outlines


def by_angles(points: Any, corners: Any) -> Any:  # noqa: ANN401
    """Return how often an outline goes round each point: its angles, summed up."""
    rays = corners[None] - points[:, None]
    turned = np.roll(rays, -1, axis=1)
    cross = rays[..., 0] * turned[..., 1] - rays[..., 1] * turned[..., 0]
    angles = np.arctan2(cross, (rays * turned).sum(axis=2))
    return np.rint(angles.sum(axis=1) / (2 * np.pi)).astype(int)


def test_inside_an_outline(seed: int) -> None:
    """Points are inside of a star-shaped outline where it winds round them."""
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, 25))
    corners = np.stack([np.cos(angle), np.sin(angle)], axis=1) * rng.uniform(0.3, 1, (25, 1))
    points = rng.uniform(-1, 1, (500, 2))
    assert (inside(points, corners) == (by_angles(points, corners) % 2 == 1)).all()


def test_edges_belong_to_a_rectangle() -> None:
    """Points on an edge or a corner lie inside; one beside does not."""
    corners = rectangle((2, 0), (0, 1))
    points = np.array([[0, 0], [2, 1], [1, 0], [1, 1], [0, 0.5], [2.001, 0.5], [1, -0.001]])
    assert inside(points, corners).tolist() == [True] * 5 + [False] * 2


@pytest.mark.parametrize(
    "text", ["0,0 1,1", "a,b 1,1 2,2", "0,0 1,1 2", "nan,0 1,1 2,2", "1e99,0 1,1 2,2"]
)
def test_what_is_no_outline(text: str) -> None:
    """Too few corners, and what is no number, are refused."""
    with pytest.raises(DataError):
        outline(text)


def test_the_rarer_class_gives_the_colour() -> None:
    """A sample has the colour of its class that fewest show; difficult ones do not count."""
    values = np.array([[1, 1, -1], [1, -1, -1], [1, 0, 1], [-1, -1, -1]], dtype=np.int8)
    told, of = groups(Labels(("a", "b", "c"), values), ())
    assert [(g.name, g.n, g.drawn) for g in told] == [("a", 3, 1), ("b", 1, 1), ("c", 1, 1)]
    assert of.tolist() == [1, 0, 2, -1]
    assert len({(g.color, g.shape) for g in told}) == 3
    told, of = groups(Labels(("a", "b", "c"), values), ("c", "nothing"))
    assert ([g.name for g in told], of.tolist()) == (["c"], [-1, -1, 0, -1])


# the page


def test_points_of_a_layer(world: StudyWorld, browser: TestClient) -> None:
    """The points are the components of the largest responses, each with what its sample shows."""
    told = browser.get(at("/map/points", FC7)).json()
    wanted, _ = by_svd(world.values["d", "5k", "fc7"].max(axis=2))
    assert np.stack([told["x"], told["y"]], axis=1) == pytest.approx(wanted, abs=1e-4)
    shown = [np.flatnonzero(row > 0).tolist() for row in world.Y["d"]]
    assert (told["id"], told["shown"]) == (list(range(48)), shown)


def test_samples_inside_are_listed(world: StudyWorld, browser: TestClient) -> None:
    """The samples right of the middle are counted, listed and linked, by polygon and rectangle."""
    wanted, _ = by_svd(world.values["d", "5k", "fc7"].max(axis=2))
    right = np.flatnonzero(wanted[:, 0] >= 0)
    drawn = {"polygon": "0,-99 99,-99 99,99 0,99"}
    edges = {"x0": "0", "x1": "99", "y0": "99", "y1": "-99"}
    for asked in (drawn, edges):
        text = browser.get(at("/map/part", FC7, **asked)).text
        assert f"<b>{len(right)}</b> of 48 samples" in text
        for sample in right:
            assert f'alt="sample {sample}' in text
        counts = (world.Y["d"][right] > 0).sum(axis=0)
        assert f'<td class="n">{counts.max()}</td>' in text
        rows = list(csv.DictReader(io.StringIO(browser.get(at("/map/table", FC7, **asked)).text)))
        assert [int(row["sample_id"]) for row in rows] == right.tolist()
    every = list(csv.DictReader(io.StringIO(browser.get(at("/map/table", FC7)).text)))
    assert [float(row["x"]) for row in every] == pytest.approx(wanted[:, 0], abs=1e-4)


def test_the_shell_chooses_a_layer(browser: TestClient) -> None:
    """Without a partition there is a map all the same; with one its outline goes to the part."""
    assert "/map/part?" in browser.get("/map").text
    text = browser.get(at("/map", FC7, polygon="0,0 1,0 1,1", c="cat")).text
    assert "polygon=0%2C0+1%2C0+1%2C1" in text
    assert "c=cat" in text
    assert browser.get(at("/map", FC7, layer="conv9")).status_code == 404


def test_what_the_address_gets_wrong(browser: TestClient) -> None:
    """A bad outline, half a rectangle and an unknown method are answered with a sentence."""
    for asked, said in (
        ({"polygon": "0,0"}, "an outline is 3 to 400 corners"),
        ({"x0": "1"}, "a rectangle needs four numbers"),
        ({"x0": "a", "x1": "1", "y0": "0", "y1": "1"}, "expected a number"),
        ({"method": "tsne"}, "expected one of pca, umap"),
    ):
        answer = browser.get(at("/map/part", FC7, **asked))
        assert (answer.status_code, said in answer.text) == (400, True), asked


def test_without_umap(browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where umap-learn is not installed the page says how it is, and links to what needs none."""
    import importlib

    monkeypatch.setattr(embedding, "find_spec", lambda _name: None)

    def lacking(name: str) -> object:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", lacking)
    text = browser.get(at("/map/part", FC7, method="umap")).text
    assert "fstore[map]" in text
    assert at("/map", FC7).replace("&", "&amp;") in text


def test_a_map_of_samples_without_classes(tmp_path: Any) -> None:  # noqa: ANN401
    """Points without labels are all of one kind, and nothing of classes is said of them."""
    from _build import add_checkpoint, add_layers, put, relu
    from fstore.store import Store
    from fstore.types import DatasetManifest, SampleRecord, ViewManifest

    store = Store.create(tmp_path / "s")
    samples = tuple(SampleRecord(f"i{n}", f"{n}.png", f"{n:032x}", 8, 8, {}) for n in range(7))
    view = ViewManifest("image", samples)
    store.register_dataset(DatasetManifest("plain", "single", (), tmp_path, (view,)))
    add_layers(store, "net", {"conv": (4, 2, 2)})
    add_checkpoint(store, "net", "a")
    place = Partition("net", "a", "plain", "image", "conv")
    put(store, place, relu(2, 7, 4, 4))
    asking = TestClient(application(store), base_url="http://localhost")
    text = asking.get(at("/map/part", place, x0="-99", x1="99", y0="-99", y1="99")).text
    assert "<b>7</b> of 7 samples" in text
    assert "no classes" in text
    told = asking.get(at("/map/points", place)).json()
    assert (told["groups"], set(told["group"])) == ([], {-1})
    assert json.loads(json.dumps(told)) == told
    assert Contents(store).labels(place).classes == ()


def test_samples_that_come_meanwhile(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ANN401
    """A commit between two reads of one page leaves it whole: of the samples of before or after."""
    from _build import PARTS, add_checkpoint, add_dataset, add_layers, put, relu
    from fstore.explore import plane
    from fstore.store import Store

    store = Store.create(tmp_path / "s")
    add_dataset(store, parts=PARTS * 2)
    add_layers(store, "net", {"conv": (4, 2, 2)})
    add_checkpoint(store, "net", "a")
    place = Partition("net", "a", "d", "image", "conv")
    put(store, place, relu(2, 6, 4, 4), sample_ids=range(6))
    real = embedding.principal_components

    def committing(X: Any) -> Any:  # noqa: ANN401
        if len(X) == 6:
            put(store, place, relu(3, 6, 4, 4), sample_ids=range(6, 12))
        return real(X)

    monkeypatch.setattr(embedding, "principal_components", committing)
    told = plane.laid_out(Contents(store), place, method="pca")
    assert len(told.ids) == len(told.points) == len(told.labels.values) == 12
