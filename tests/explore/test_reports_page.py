"""The pages of reports: how each stands, its cells, its chart or picture, and what helps."""

from pathlib import Path

import pytest
from starlette.testclient import TestClient

import fstore
from _build import build
from _studies import STUDY, make_study
from fstore.explore import application
from fstore.queries.studies.study import set_study


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> fstore.Store:
    """Return a store with two studies; of the last one, one report is computed."""
    path = make_study(tmp_path_factory.mktemp("reports") / "s").store.path
    store = fstore.open(path)
    set_study(store, STUDY.replace('"small"', '"first"'))
    set_study(store, STUDY)
    store.report("table6", quiet=True)
    store.report("figure1", quiet=True)
    return store


@pytest.fixture(scope="module")
def browser(store: fstore.Store) -> TestClient:
    """Return a browser of its explorer."""
    return TestClient(application(store), base_url="http://localhost")


def test_the_list_says_how_each_stands(browser: TestClient) -> None:
    """What is computed is up to date; what is not has a reason and a command."""
    text = browser.get("/reports/list").text
    rows = {row.partition("<")[0]: row for row in text.split("/report?name=")[1:]}
    fresh = next(row for name, row in rows.items() if name.startswith("table6"))
    stale = next(row for name, row in rows.items() if name.startswith("table9"))
    assert "up to date" in fresh
    assert "out of date" in stale
    assert "fstore report refresh table9 --study small" in stale
    assert "not in this study" in text


def test_studies_can_be_chosen(browser: TestClient) -> None:
    """The last study is shown, and others can be; one that is not there is an error."""
    text = browser.get("/reports").text
    assert "Reports of study small" in text
    assert "<option>first</option>" in text
    assert "Reports of study first" in browser.get("/reports", params={"study": "first"}).text
    assert browser.get("/reports", params={"study": "no"}).status_code == 404


def test_a_store_without_a_study(tmp_path: Path) -> None:
    """Without a study the page says what one is for."""
    browser = TestClient(application(build(tmp_path / "s").store), base_url="http://localhost")
    assert "No study is set" in browser.get("/reports").text
    assert browser.get("/report", params={"name": "table6"}).status_code == 404


def test_a_report_has_its_chart_and_cells(browser: TestClient) -> None:
    """A table has both; a figure its chart and numbers; neither has a picture."""
    table = browser.get("/report", params={"name": "table6"}).text
    assert '<figure class="chart"' in table
    assert '<th scope="row">conv5</th>' in table
    figure = browser.get("/report", params={"name": "figure1"}).text
    assert '<figure class="chart"' in figure
    assert "numbers</summary>" in figure
    assert browser.get("/report.png", params={"name": "table6"}).status_code == 404


def test_what_is_not_computed_has_its_command(browser: TestClient) -> None:
    """A report of which nothing is stored says so and names what computes it."""
    text = browser.get("/report", params={"name": "table9"}).text
    assert "Nothing of it is stored that is still right" in text
    assert "fstore report refresh table9 --study small" in text
    assert browser.get("/report", params={"name": "table99"}).status_code == 404


def test_a_fault_is_a_page(
    store: fstore.Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What no page foresees is said on a page, and the traceback stands in the terminal."""
    from fstore.explore.contents import Contents

    browser = TestClient(application(store), base_url="http://localhost")

    def fail(*_: object) -> None:
        raise KeyError("<b>")

    monkeypatch.setattr(Contents, "kept", fail)
    answer = browser.get("/reports/list")
    assert answer.status_code == 500
    assert "KeyError: &#39;&lt;b&gt;&#39;. This is a fault of fstore" in answer.text
    assert "Traceback" in caplog.text


def test_a_picture_of_filters(tmp_path: Path) -> None:
    """A report that is a picture is drawn as one."""
    import numpy as np

    random = np.random.default_rng(0)
    tensors = {
        ckpt: {"conv1.weight": random.normal(size=(4, 3, 5, 5)).astype(np.float32)}
        for ckpt in ("5k", "15k")
    }
    made = make_study(tmp_path / "s", tensors=tensors).store
    set_study(made, STUDY)
    store = fstore.open(made.path)
    store.report("figure2", quiet=True)
    browser = TestClient(application(store), base_url="http://localhost")
    assert "/report.png?name=figure2" in browser.get("/report", params={"name": "figure2"}).text
    picture = browser.get("/report.png", params={"name": "figure2"})
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")
