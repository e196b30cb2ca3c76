"""The explorer in a real browser: Chromium, headless, against the program itself."""

import csv
import io
import itertools
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

import fstore
from fstore.queries.studies.study import set_study
from fstore.workflows import add_dataset, init_checkpoint
from fstore.workflows.extract.run import ExtractionOptions, extract

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium; Debian has it: apt-get install chromium"
    ),
]

OF = {"network": "caffenet-mini", "ckpt": "a", "dataset": "scenes", "view": "image"}
CONV5 = {**OF, "layer": "conv5"}
PAGES = {
    "overview": ("/", {}),
    "layer": ("/layer", CONV5),
    "layer by AP": ("/layer", {**CONV5, "sort": "ap", "class": "3"}),
    "filter": ("/filter", {**CONV5, "channel": "3"}),
    "filter of the first layer": ("/filter", {**OF, "layer": "conv1", "channel": "2"}),
    "filter of a layer without maps": ("/filter", {**OF, "layer": "fc7", "channel": "5"}),
    "class": ("/class", {"class": "3", **CONV5}),
    "images": ("/images", {"dataset": "scenes", "view": "image"}),
    "image": ("/image", {"sample": "7", **CONV5}),
    "box": ("/image", {"dataset": "scenes", "view": "gt", "sample": "4"}),
    "compare": (
        "/compare",
        {"dataset": "scenes", "layer": "conv5", "a": "caffenet-mini/a", "b": "caffenet-mini/b"},
    ),
    "map": ("/map", CONV5),
    "sql": ("/sql", {"recipe": "top-images", "show": "bars"}),
    "table": ("/sql", {"q": "FROM samples"}),
    "reports": ("/reports", {}),
    "report": ("/report", {"name": "table6"}),
    "nothing": ("/nowhere", {}),
}
"""Addresses of pages, by what they show."""

STUDY = """
name = "small"
network = "caffenet-mini"
layers = ["conv1", "conv5", "fc7"]
pretrained = "a"
[classification]
dataset = "scenes"
"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run ``fstore explore`` on a store of generated scenes; give its address."""
    path = tmp_path_factory.mktemp("explored") / "store"
    store = fstore.create(path)
    add_dataset(store, "scenes", "digit-scenes", images=60)
    for seed, name in enumerate("ab"):
        init_checkpoint(store, network="caffenet-mini", name=name, seed=seed)
    options = ExtractionOptions(device="cpu")
    layers = ["conv1", "conv5", "fc7"]
    extract(store, layers=layers, ckpts=["a", "b"], datasets=["scenes"], options=options)
    set_study(store, STUDY)
    command = [sys.executable, "-m", "fstore", "--store", str(path), "explore", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().rstrip("/")
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Run Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        yield play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


def opened(browser: "Browser", address: str, name: str) -> "tuple[Page, list[str]]":
    """Open a page; return it, and the list that its errors are put into."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    path, given = PAGES[name]
    page.goto(f"{address}{path}?{urlencode(given)}")
    page.wait_for_load_state("networkidle")
    return page, errors


@pytest.mark.parametrize("name", PAGES)
def test_pages_open(browser: "Browser", address: str, name: str) -> None:
    """A page has no error, no picture that fails, nothing wider than the screen, no barrier.

    At two widths, light and dark.
    """
    page, errors = opened(browser, address, name)
    closed = page.locator("details:not([open]) > summary")
    for _ in range(min(10, closed.count())):
        closed.first.click()  # which is another one each time
    page.wait_for_load_state("networkidle")
    broken = "[...document.images].filter(i => i.complete && !i.naturalWidth).map(i => i.src)"
    assert page.evaluate(broken) == []
    for width, dark in itertools.product((1280, 390), (False, True)):
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme="dark" if dark else "light")
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert barriers(page) == [], (width, dark)
    allowed = ["404"] if name == "nothing" else []
    assert [e for e in errors if not any(word in e for word in allowed)] == []
    page.close()


def barriers(page: "Page") -> list[tuple[str, list[str]]]:
    """Return what axe-core finds serious or critical, and where."""
    from axe_playwright_python.sync_playwright import Axe

    return [
        (v["id"], [n["html"][:120] for n in v["nodes"]][:3])
        for v in Axe().run(page).response["violations"]
        if v["impact"] in {"serious", "critical"}
    ]


def test_a_filter_is_chosen_from_its_layer(browser: "Browser", address: str) -> None:
    """A click in a layer's grid opens the filter; arrows go on, and back leads back."""
    page, errors = opened(browser, address, "layer")
    page.locator('main a[href^="/filter"]').first.click()
    page.wait_for_load_state("networkidle")
    first = page.url
    assert "/filter?" in first
    page.keyboard.press("ArrowRight")
    page.wait_for_url(lambda url: url != first)
    assert "/filter?" in page.url
    page.evaluate("history.back()")
    page.wait_for_url(first)
    page.wait_for_load_state("networkidle")
    page.evaluate("history.back()")
    page.wait_for_url("**/layer?**")
    assert errors == []
    page.close()


def test_a_query_is_run_and_downloaded(browser: "Browser", address: str) -> None:
    """A statement typed into the page is answered, sorted, and saved as the same rows."""
    page, errors = opened(browser, address, "sql")
    page.locator("textarea").fill("SELECT sample_id, width FROM samples WHERE view = 'image'")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/sql?q=*")
    assert page.locator("h2#rows").inner_text() == "60 rows"
    page.get_by_role("link", name="sample_id").click()
    page.get_by_role("link", name="sample_id").click()
    page.wait_for_url("**sort=-sample_id*")
    assert page.locator("tbody tr td").first.inner_text() == "59"
    with page.expect_download() as waiting:
        page.get_by_role("link", name="CSV").click()
    text = Path(waiting.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert sorted(int(row["sample_id"]) for row in rows) == list(range(60))
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Parquet").click()
    import polars as pl

    frame = pl.read_parquet(Path(waiting.value.path()).read_bytes())
    assert frame.shape == (60, 2)
    assert errors == []
    page.close()


def test_the_theme_is_kept(browser: "Browser", address: str) -> None:
    """The button changes the theme, of charts too, and the next page has it."""
    page, errors = opened(browser, address, "sql")
    page.wait_for_selector("figure.chart svg")
    ground = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.locator("#theme").click()
    assert page.evaluate(ground) != before
    page.goto(address)
    assert page.evaluate(ground) != before
    assert errors == []
    page.close()


def test_it_reads_without_scripts(browser: "Browser", address: str) -> None:
    """Without JavaScript pages show their tables and pictures."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("link", name="Its layers").first.click()
    assert page.locator("table a").first.inner_text() == "conv1"
    path, given = PAGES["table"]
    page.goto(f"{address}{path}?{urlencode(given)}")
    assert page.locator("tbody tr").count() == 100
    context.close()
