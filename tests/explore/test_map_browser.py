"""The map in a real browser: lasso, keyboard, zoom, pictures at the pointer."""

import math
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from _build import add_checkpoint, add_layers, put
from fstore.explore.rendering import at
from fstore.pixels.image_files import digest_bytes
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

if TYPE_CHECKING:
    from playwright.sync_api import Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium; Debian has it: apt-get install chromium"
    ),
]
PLACE = Partition("net", "a", "d", "image", "fc")
FAR = (3, 8, 13)
"""Samples that lie in a corner of their own."""


def make(path: Path) -> Store:
    """Return a store of twenty pictures; two filters say where each lies."""
    root = path / "images"
    root.mkdir()
    samples = []
    for n in range(20):
        Image.new("RGB", (16, 16), (12 * n, 90, 200)).save(root / f"{n}.png")
        digest = digest_bytes((root / f"{n}.png").read_bytes())
        shown = {"far" if n in FAR else "near": 1}
        samples.append(SampleRecord(f"i{n}", f"{n}.png", digest, 16, 16, shown))
    store = Store.create(path / "s")
    view = ViewManifest("image", tuple(samples))
    store.register_dataset(DatasetManifest("d", "single", ("near", "far"), root, (view,)))
    add_layers(store, "net", {"fc": (2, 1, 1)})
    add_checkpoint(store, "net", "a")
    values = np.random.default_rng(0).uniform(0, 1, (20, 2, 1)).astype(np.float32)
    values[list(FAR)] += np.array([[8.0], [0.5]], dtype=np.float32)
    put(store, PLACE, values)
    return store


@pytest.fixture
def page(tmp_path: Path) -> "Iterator[Page]":
    """Open the map of the store's layer; nothing may be an error in the end."""
    from playwright.sync_api import sync_playwright

    store = make(tmp_path)
    command = [sys.executable, "-m", "fstore", "--store", str(store.path), "explore", "--port", "0"]
    errors: list[str] = []
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process,
        sync_playwright() as play,
    ):
        assert process.stdout is not None
        address = process.stdout.readline().strip().rstrip("/")
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 1280, "height": 900})
        opened.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda error: errors.append(str(error)))
        opened.goto(address + at("/map", PLACE))
        ready(opened)
        yield opened
        browser.close()
        process.terminate()
    assert errors == []


def ready(page: "Page") -> None:
    """Wait until the points are there."""
    page.wait_for_selector(".mapbar:not([hidden])")
    page.wait_for_load_state("networkidle")


def spots(page: "Page") -> list[tuple[float, float]]:
    """Return where the points are on the screen, worked out anew: fitted with 18 pixels around."""
    told = page.evaluate("fetch(document.querySelector('.map').dataset.points).then(r => r.json())")
    x, y = np.array(told["x"]), np.array(told["y"])
    box = page.locator("canvas").bounding_box()
    assert box is not None
    scale = min((box["width"] - 36) / np.ptp(x), (box["height"] - 36) / np.ptp(y))
    across = box["x"] + box["width"] / 2 + scale * (x - (x.min() + x.max()) / 2)
    down = box["y"] + box["height"] / 2 - scale * (y - (y.min() + y.max()) / 2)
    return list(zip(across.tolist(), down.tolist(), strict=True))


def test_lasso(page: "Page") -> None:
    """A loop around the far samples gives an address; the page lists them, and so does a copy."""
    far = np.array(spots(page))[list(FAR)]
    (x, y), radius = far.mean(axis=0), float(np.ptp(far, axis=0).max()) + 12
    turns = [math.pi + 2 * math.pi * i / 30 for i in range(31)]  # it begins on the map
    loop = [(x + radius * math.cos(t), y + radius * math.sin(t)) for t in turns]
    page.mouse.move(*loop[0])
    page.mouse.down()
    for spot in loop:
        page.mouse.move(*spot)
    with page.expect_navigation():
        page.mouse.up()
    ready(page)
    assert "polygon=" in page.url
    for _ in range(2):
        listed = [image.get_attribute("alt") for image in page.locator(".pictures img").all()]
        assert listed == [f"sample {n}: far" for n in FAR]
        page.goto(page.url)
        ready(page)
    page.go_back()
    ready(page)
    assert page.locator(".pictures img").count() == 0


def test_pointer_and_keys(page: "Page") -> None:
    """A picture is shown at the pointer, and at the point that the arrow keys are on."""
    places = spots(page)
    page.mouse.move(*places[3])
    card = page.locator(".map .card")
    card.wait_for(state="visible")
    assert re.match(r"\d+: far", card.inner_text())
    page.mouse.move(5, 5)
    card.wait_for(state="hidden")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    card.wait_for(state="visible")
    first = page.locator(".map output").inner_text()
    page.keyboard.press("ArrowLeft")
    assert page.locator(".map output").inner_text() != first
    assert "Sample" in first
    page.keyboard.press("+")
    page.wait_for_url(lambda url: "zoom=" in url)
    page.keyboard.press("ArrowRight")
    sample = re.findall(r"\d+", page.locator(".map output").inner_text())[0]
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/image?" in url and f"sample={sample}" in url)
