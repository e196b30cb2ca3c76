"""The page of a layer: orders, numbers, and what it says where something is missing."""

import re
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from _build import add_layers, put
from _photos import CLASSES, Photos, build_photos
from fstore.explore import application
from fstore.explore.contents import Contents
from fstore.explore.filters import Looked
from fstore.explore.pages import layer as layer_page
from fstore.queries.analyses.selectivity import AskedPart, selectivity
from fstore.queries.analyses.single_filters import AskedRanking, single_filters
from fstore.queries.methods.responses import correlations_with, paired_correlations
from fstore.store.files import Partition


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Return a store that no test changes."""
    return build_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def browser(photos: Photos) -> TestClient:
    """Return a browser of its explorer."""
    return TestClient(application(photos.store), base_url="http://localhost")


def get(browser: TestClient, address: dict[str, str], path: str = "/layer", **more: str) -> str:
    """Return a page's text."""
    answer = browser.get(path, params={**address, "now": "1", **more})
    assert answer.status_code == 200, answer.text
    return answer.text


def shown(text: str) -> list[int]:
    """Return the filters of a page's grid, in order."""
    grid = text.partition('<ul class="grid filters">')[2].partition("</ul>")[0]
    return [int(c) for c in re.findall(r'href="/filter\?[^"]*channel=(\d+)', grid)]


def numbers(text: str, what: str) -> list[str]:
    """Return a number of each filter of the grid, as it is written."""
    return re.findall(what, text.partition('<ul class="grid filters">')[2])


@pytest.mark.parametrize("dataset", ["single", "several"])
@pytest.mark.parametrize("part", ["all", "official:test"])
def test_order_by_ap(photos: Photos, browser: TestClient, dataset: str, part: str) -> None:
    """Filters come in the order, and with the AP, that analyze single-filters gives."""
    name = CLASSES[2]
    asked = AskedRanking(
        layer="fc", ckpt="late", dataset=dataset, view="image", part=part.rpartition(":")[2]
    )
    rows = [r for r in single_filters(photos.store, asked, top=0) if r["class"] == name]
    address = photos.address("fc", dataset=dataset)
    text = get(browser, address, sort="ap", part=part, **{"class": name})
    assert shown(text) == [row["channel"] for row in rows]
    assert numbers(text, r"AP ([\d.]+) %") == [f"{100 * row['ap_11']:.1f}" for row in rows]
    assert f"n = {rows[0]['n']} samples" in text


def test_order_by_selectivity(photos: Photos, browser: TestClient) -> None:
    """Filters come in the order, and with the area, that analyze selectivity gives."""
    asked = AskedPart(layer="conv1", ckpt="late", dataset="single", view="image")
    rows = [r for r in selectivity(photos.store, asked, measure="sp_max") if r["fires"]]
    text = get(browser, photos.address("conv1"), sort="selectivity", part="official:test")
    assert shown(text) == [row["channel"] for row in rows]
    assert numbers(text, r"AuE ([\d.]+)") == [f"{row['aue']:.3g}" for row in rows]


def test_order_by_sparsity(photos: Photos, browser: TestClient) -> None:
    """The share of samples at 0 is what SQL counts."""
    rows = photos.store.sql(
        "SELECT channel, avg((act_max <= 0)::INT) AS zeros FROM activations WHERE ckpt = 'late' "
        "AND layer = 'fc' AND dataset = 'single' GROUP BY channel ORDER BY zeros DESC, channel"
    ).arrow()
    zeros = dict(zip(rows["channel"].to_pylist(), rows["zeros"].to_pylist(), strict=True))
    text = get(browser, photos.address("fc"), sort="sparsity")
    assert shown(text) == list(zeros)
    assert numbers(text, r"([\d.]+) % zeros") == [f"{100 * z:.1f}" for z in zeros.values()]
    assert shown(get(browser, photos.address("fc"), sort="sparsity", backwards="1"))[0] == (
        min(zeros, key=lambda channel: (zeros[channel], channel))
    )


def test_order_by_change(photos: Photos, browser: TestClient) -> None:
    """Change is 1 - NumPy's correlation of the responses of two checkpoints, largest first."""
    before, after = (photos.largest("fc", ckpt) for ckpt in ("early", "late"))
    change = np.array([1 - np.corrcoef(a, b)[0, 1] for a, b in zip(before.T, after.T, strict=True)])
    text = get(browser, photos.address("fc"), sort="change", other="early")
    assert shown(text) == np.argsort(-change).tolist()
    assert numbers(text, r"change ([\d.]+)") == [f"{v:.3g}" for v in np.sort(change)[::-1]]
    assert "1 - correlation" in text


def test_dead_filters_stand_apart(photos: Photos, browser: TestClient) -> None:
    """A filter that never fires is not in the grid but in a list of its own."""
    text = get(browser, photos.address("conv1"))
    assert shown(text) == [0, 1, 2, 3, 5]
    assert "1 dead filter<" in text
    assert "channel=4" in text.partition('id="dead"')[2]


def test_pages(photos: Photos, browser: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every filter is on one page, and the pages lead from one to the next."""
    monkeypatch.setattr(layer_page, "PER_PAGE", 2)
    pages = [get(browser, photos.address("fc"), page=str(i)) for i in range(3)]
    assert [shown(text) for text in pages] == [[0, 1], [2, 3], [4]]
    assert ['rel="next"' in text for text in pages] == [True, True, False]
    assert shown(get(browser, photos.address("fc"), page="99")) == [4]


def test_work_comes_after_the_page(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is an address of its own, and a link for browsers without scripts."""
    monkeypatch.setattr(layer_page, "FEW", 0)
    fresh = TestClient(application(photos.store), base_url="http://localhost")
    asked = {**photos.address("fc"), "sort": "selectivity"}
    text = fresh.get("/layer", params=asked).text
    assert not shown(text)
    later = re.search(r'hx-get="([^"]+)"', text)
    assert later is not None
    part = fresh.get(later[1].replace("&amp;", "&"), headers={"hx-request": "true"}).text
    assert "<html" not in part
    assert len(shown(part)) == 5
    assert shown(fresh.get("/layer", params=asked).text) == shown(part)  # it is kept


def test_a_later_page_stays_that_page(photos: Photos, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded after the page is the page of filters that its address asks for."""
    monkeypatch.setattr(layer_page, "FEW", 0)
    monkeypatch.setattr(layer_page, "PER_PAGE", 2)
    fresh = TestClient(application(photos.store), base_url="http://localhost")
    text = fresh.get("/layer", params={**photos.address("fc"), "page": "1"}).text
    later = re.search(r'hx-get="([^"]+)"', text)
    assert later is not None
    assert shown(fresh.get(later[1].replace("&amp;", "&")).text) == [2, 3]


@pytest.mark.parametrize(
    ("dataset", "asked", "said"),
    [
        ("several", {"sort": "selectivity"}, "show no class or several"),
        ("plain", {"sort": "selectivity"}, "has no classes"),
        ("plain", {"sort": "ap"}, "has no classes"),
    ],
)
def test_what_cannot_be_told_is_said(
    photos: Photos, browser: TestClient, dataset: str, asked: dict[str, str], said: str
) -> None:
    """A page without what an order needs says so, and its choices stay."""
    text = get(browser, photos.address("fc", dataset=dataset), **asked)
    assert said in text
    assert '<select name="ckpt">' in text


@pytest.mark.parametrize(
    "wrong",
    [{"sort": "x"}, {"class": "dog"}, {"other": "x"}, {"part": "official:x"}, {"page": "-1"}],
)
def test_wrong_words_are_refused(
    photos: Photos, browser: TestClient, wrong: dict[str, str]
) -> None:
    """An order, class, checkpoint or part that is not there is named in the answer."""
    answer = browser.get("/layer", params={**photos.address("fc"), "now": "1", **wrong})
    assert answer.status_code in (200, 400, 404)
    assert not shown(answer.text)
    assert next(iter(wrong.values())) in answer.text


def test_a_response_that_is_no_number_is_said(tmp_path: Path) -> None:
    """Responses that are NaN are named in place of the grid."""
    photos = build_photos(tmp_path)
    x = photos.values["late", "fc"].copy()
    x[3, 2] = np.nan
    add_layers(photos.store, "other", {"fc": (5, 1, 1)})
    put(photos.store, Partition("other", "1", "single", "image", "fc"), x)
    browser = TestClient(application(photos.store), base_url="http://localhost")
    text = get(browser, {**photos.address("fc", ckpt="1"), "network": "other"})
    assert not shown(text)
    assert "NaN or infinite" in text


def test_change_needs_the_same_samples(photos: Photos) -> None:
    """Change is told over the samples that both checkpoints have."""
    contents = Contents(photos.store)
    late, early = (Partition("net", c, "single", "image", "fc") for c in ("late", "early"))
    change = Looked(contents, late, "official:test").change(early)
    test = [i for i in range(24) if i % 4 >= 2]
    wanted = [
        1 - np.corrcoef(a, b)[0, 1]
        for a, b in zip(
            photos.largest("fc")[test].T, photos.largest("fc", "early")[test].T, strict=True
        )
    ]
    assert change.n == 12
    np.testing.assert_allclose(change.values, wanted, atol=1e-12)


def test_correlations() -> None:
    """Correlations are NumPy's; a constant filter has none."""
    X, others = np.random.default_rng(0).normal(size=(2, 30, 300)).astype(np.float32)
    X[:, 7] = 3.3
    both = paired_correlations(X, others)
    wanted = [np.corrcoef(X[:, i], others[:, i])[0, 1] for i in range(300) if i != 7]
    np.testing.assert_allclose(np.delete(both, 7), wanted, atol=1e-6)  # float32 against float64
    assert np.isnan(both[7])
    near = correlations_with(X, 3)
    every = np.corrcoef(np.delete(X, 7, axis=1).T)[3]
    np.testing.assert_allclose(np.delete(near, 7), every, atol=1e-6)
    assert np.isnan(near[7])
