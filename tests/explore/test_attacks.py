"""What a hostile name or address can do: be shown as text, or be refused."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from _build import PARTS, add_checkpoint, add_layers, put, relu
from fstore.explore import answers, application
from fstore.explore.page import PAGES
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, SampleRecord, Split, ViewManifest

EVIL = "<img src=x onerror=alert(1)>"
CLASS = EVIL + "'\"{{7*7}}"
DATASET = "d<img src=x onerror=alert(1)>"
LAYER = "l<img src=x onerror=alert(1)>"
FILE = "a<img src=x onerror=alert(1)>.png"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store whose names are markup, its images real files."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("hostile")
    root = folder / "images"
    root.mkdir()
    Image.new("RGB", (16, 16), "red").save(root / FILE)
    samples = tuple(
        SampleRecord(f"{EVIL}{n}", FILE, "", 16, 16, {CLASS: 1} if n % 2 else {"b": 1})
        for n in range(6)
    )
    store = Store.create(folder / "s")
    view = ViewManifest("image", samples, (Split("official", 0, PARTS),))
    store.register_dataset(DatasetManifest(DATASET, "single", (CLASS, "b"), root, (view,)))
    add_layers(store, "net", {LAYER: (3, 2, 2), "fc": (4, 1, 1)})
    add_checkpoint(store, "net", "5")
    for layer, shape in ((LAYER, (6, 3, 4)), ("fc", (6, 4, 1))):
        put(store, Partition("net", "5", DATASET, "image", layer), relu(1, *shape))
    return store


def browser(store: Store) -> TestClient:
    """Return a browser of a store's explorer."""
    return TestClient(application(store), base_url="http://localhost")


def addresses(store: Store) -> list[tuple[str, dict[str, str]]]:
    """Return every page's path, with parameters that name what the store holds."""
    browser(store)  # registers the pages
    asked = {
        "network": "net", "ckpt": "5", "dataset": DATASET, "view": "image", "layer": LAYER,
        "channel": "0", "sample": "1", "class": CLASS, "a": "net/5", "b": "net/5",
        "q": f"SELECT * FROM samples -- {EVIL}", "name": "table1",
    }  # fmt: skip
    return [(entry.name, asked) for entry in PAGES]


def test_names_are_text_on_every_page(hostile: Store) -> None:
    """No page takes a class, file, data set or layer for markup."""
    asking = browser(hostile)
    for path, asked in addresses(hostile):
        answer = asking.get(path, params=asked)
        if answer.headers["content-type"].startswith("text/html"):
            assert "<img src=x" not in answer.text, path
            assert "49" not in answer.text.partition("{{7*7}}")[0][-4:], path
        assert answer.status_code < 500, path


NONSENSE = ("", "../../etc/passwd", "-1", "1e9", "9" * 40, "\x00", "\ud7ff", EVIL, "%00", "NaN")


def ask_nonsense(store: Store, values: Sequence[str]) -> None:
    """Put each value in the place of each parameter of each page."""
    asking = browser(store)
    for path, asked in addresses(store):
        for name in asked:
            for value in values:
                answer = asking.get(path, params={**asked, name: value})
                assert answer.status_code < 500, (path, name, value)
                assert "root:" not in answer.text
        assert asking.get(path).status_code < 500, path


def test_nonsense_is_refused_with_a_word(hostile: Store) -> None:
    """What climbs, and what is no number, is answered by a page: nothing fails inside."""
    ask_nonsense(hostile, NONSENSE[1:2])


@pytest.mark.slow
def test_any_nonsense_is_refused_with_a_word(hostile: Store) -> None:
    """So is any other nonsense."""
    ask_nonsense(hostile, NONSENSE)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "COPY samples TO '/tmp/out.csv'",
        "DROP TABLE samples",
        "SELECT 1; SELECT 2",
        "ATTACH '/tmp/x.db'",
        "SET memory_limit = '100GB'",
        "INSTALL httpfs",
        "SELECT * FROM read_csv('http://127.0.0.1:1/x.csv')",
    ],
)
def test_sql_only_reads_the_store(hostile: Store, statement: str) -> None:
    """A statement that would write, or read elsewhere, is refused, and downloads with it."""
    asking = browser(hostile)
    page = asking.get("/sql", params={"q": statement}).text
    assert "Not answered" in page
    assert "root:" not in page
    for path in ("/sql.csv", "/sql.parquet"):
        assert asking.get(path, params={"q": statement}).status_code == 400


def test_an_endless_statement_ends(hostile: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement that would run for hours is stopped after its time, and the page says so."""
    monkeypatch.setattr(answers, "SECONDS", 0.5)
    statement = "SELECT count(*) FROM range(1000000) a, range(1000000) b, range(1000) c"
    started = time.perf_counter()
    text = browser(hostile).get("/sql", params={"q": statement}).text
    assert time.perf_counter() - started < 10
    assert "Not answered" in text


@pytest.mark.slow
def test_ten_gigabytes_are_not_held(hostile: Store) -> None:
    """Rows of 10 GB are cut for the page, and the server's memory stays small."""
    import psutil

    statement = "SELECT repeat('x', 1000000) AS x, range AS n FROM range(10000)"
    asking, process = browser(hostile), psutil.Process()
    before = process.memory_info().rss
    text = asking.get("/sql", params={"q": statement}).text
    assert "There are more" in text
    assert process.memory_info().rss - before < 600 << 20
    assert asking.get("/sql.parquet", params={"q": statement}).status_code == 400


def test_a_row_that_is_too_large_is_said(hostile: Store) -> None:
    """One value of 40 MB is not shown, and the page does not say that there is no row."""
    text = browser(hostile).get("/sql", params={"q": "SELECT repeat('x', 40000000) AS x"}).text
    assert "gives no rows" not in text
    assert "larger than 32 MiB" in text


@pytest.mark.slow
def test_a_sort_that_needs_much_memory_is_harmless(
    hostile: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement that would need gigabytes to sort goes to disk, or is refused in time."""
    monkeypatch.setattr(answers, "SECONDS", 3.0)
    statement = (
        "SELECT hash(a.range) AS h, repeat('y', 200) AS y FROM range(20000000) a ORDER BY h DESC"
    )
    answer = browser(hostile).get("/sql", params={"q": statement})
    assert answer.status_code == 200


def test_a_chart_of_hostile_names_is_data(hostile: Store) -> None:
    """Names inside a chart's JSON end no element, and say what they said."""
    asked = {"q": "SELECT class, label FROM labels", "show": "bars"}
    text = browser(hostile).get("/sql", params=asked).text
    spec = text.partition('<script type="application/json">')[2].partition("</script>")[0]
    (rows,) = json.loads(spec)["datasets"].values()
    assert CLASS in {row["class"] for row in rows}


def test_a_file_that_is_gone_is_said(hostile: Store, tmp_path: Path) -> None:
    """A sample without its file gives an error of its own, and no other file of the machine."""
    assert not (tmp_path / FILE).exists()
    samples = (SampleRecord("gone", "gone.png", "0" * 64, 8, 8, {"b": 1}),)
    view = ViewManifest("image", samples)
    hostile.register_dataset(DatasetManifest("gone", "single", ("b",), tmp_path, (view,)))
    asking = browser(hostile)
    assert asking.get("/thumb", params={"dataset": "gone", "sample": "0"}).status_code == 400
    assert asking.get("/", follow_redirects=False).status_code == 200
