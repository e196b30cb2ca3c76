"""Two checkpoints side by side: the page's numbers are those of the analyses."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from _build import PARTS, add_checkpoint, add_layers, put, relu
from _studies import StudyWorld, make_study
from fstore.explore.app import application
from fstore.explore.rendering import url
from fstore.queries.analyses import ask
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import DatasetManifest, SampleRecord, Split, ViewManifest

PAIR = {"dataset": "d", "a": "net/5k", "b": "net/15k"}
BOTH: dict[str, Any] = {"ckpt": "5k", "other": "15k", "dataset": "d"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return images and boxes, and their responses in two checkpoints of one network."""
    world = make_study(tmp_path_factory.mktemp("world") / "s")
    add_layers(world.store, "wide", {"fc": (9, 1, 1)})
    add_checkpoint(world.store, "wide", "w")
    put(world.store, Partition("wide", "w", "d", "image", "fc"), relu(5, 48, 9, 1))
    return world


@pytest.fixture(scope="module")
def browser(world: StudyWorld) -> TestClient:
    """Return a browser of the store's explorer."""
    return TestClient(application(world.store), base_url="http://localhost")


def part(browser: TestClient, path: str, **asked: str) -> str:
    """Return a part's text."""
    answer = browser.get(url(path, **{**PAIR, **asked}), headers={"hx-request": "true"})
    assert answer.status_code == 200
    return answer.text


def cells(text: str, row: str) -> list[str]:
    """Return the cells of the first row with this heading, as plain text."""
    line = re.search(
        rf'<th scope="row">(?:<a[^>]*>)?{re.escape(row)}(?:</a>)?</th>(.*?)</tr>', text, re.DOTALL
    )
    assert line is not None, row
    inner = re.findall(r"<td[^>]*>(.*?)</td>", line[1], re.DOTALL)
    return [re.sub(r"<[^>]*>", "", cell).strip() for cell in inner]


@pytest.mark.parametrize("samples", ["", "official:test"])
def test_matrices_are_those_of_the_analyses(
    world: StudyWorld, browser: TestClient, samples: str
) -> None:
    """CKA and RSA of all layers are those of the analyses, with three digits."""
    text = part(browser, "/compare/layers", part=samples)
    first, second = text.split("<h3>")[1:]
    more: dict[str, Any] = {"part": "test", "split": "official"} if samples else {}
    for name, key, told in (("cka", "cka", first), ("rsa", "rho", second)):
        rows = ask(world.store, name, **BOTH, **more)
        for layer in ("conv5", "fc7"):
            wanted = [f"{row[key]:.3f}" for row in rows if row["layer"] == layer]
            assert cells(told, layer) == wanted
        assert f"n = {rows[0]['n']} samples" in told
        assert f"analyze {name} --ckpt net/5k --other net/15k --dataset d" in told


def test_each_view_has_its_own_matrix(tmp_path: Path) -> None:
    """Boxes and images of the same checkpoints and layers are not taken for each other."""
    store, parts = Store.create(tmp_path / "s"), Split("official", 0, PARTS[:4])
    rows = tuple(SampleRecord(f"i{n}", f"{n}.png", "", 8, 8, {"a": 1}) for n in range(4))
    boxes = tuple(replace(row, box=(0, 0, 4, 4)) for row in rows)
    views = ViewManifest("image", rows, (parts,)), ViewManifest("gt", boxes, (parts,))
    store.register_dataset(DatasetManifest("d", "multi", ("a",), tmp_path, views))
    add_layers(store, "net", {"fc": (5, 1, 1)})
    for seed, ckpt in enumerate(("5k", "15k")):
        add_checkpoint(store, "net", ckpt)
        for offset, view in ((0, "image"), (9, "gt")):
            ids = store.samples("d", view)["sample_id"].to_pylist()
            partition = Partition("net", ckpt, "d", view, "fc")
            put(store, partition, relu(seed + offset, 4, 5, 1), sample_ids=ids)
    asking = TestClient(application(store), base_url="http://localhost")
    for view in ("image", "gt", "image"):
        (row,) = ask(store, "cka", **BOTH, view=view)
        told = part(asking, "/compare/layers", view=view).split("<h3>")[1]
        assert cells(told, "fc") == [f"{row['cka']:.3f}"]


def test_the_command_gives_the_same(world: StudyWorld, browser: TestClient) -> None:
    """The command below a matrix, run, prints the numbers of the matrix."""
    import html
    import json
    import shlex

    from typer.testing import CliRunner

    from fstore.cli import app

    text = part(browser, "/compare/layers", part="random:1:test")
    command = html.unescape(re.findall(r"<code>(fstore .*?)</code>", text)[0])
    done = CliRunner().invoke(app, [*shlex.split(command)[1:], "--json"])
    rows = json.loads(done.stdout)
    assert cells(text, "fc7") == [f"{row['cka']:.3f}" for row in rows if row["layer"] == "fc7"]
    assert world.store.path.exists()


def test_filters_that_changed_most(world: StudyWorld, browser: TestClient) -> None:
    """They are the first of the analysis, with its change, and lead to the filter in either."""
    text = part(browser, "/compare/filters", layer="conv5")
    rows = ask(world.store, "filter-change", **BOTH, layer="conv5")
    shown = re.findall(r'<th scope="row">(\d+)</th><td class="n">([^<]*)</td>', text)
    assert [int(channel) for channel, _ in shown] == [row["channel"] for row in rows[:8]]
    assert [float(c) for _, c in shown] == pytest.approx([r["change"] for r in rows[:8]], rel=5e-3)
    first = rows[0]["channel"]
    for ckpt in ("5k", "15k"):
        assert (
            f"ckpt={ckpt}&amp;dataset=d&amp;view=image&amp;layer=conv5&amp;channel={first}" in text
        )
    silent = sum(row["constant_in"] is not None for row in rows)
    assert (f"{silent} respond alike" in text) == bool(silent)


def test_aps_are_those_of_single_filters(world: StudyWorld, browser: TestClient) -> None:
    """The best filter of each class and its AP over the test part are those of the analysis."""
    asked = {"layer": "fc7", "other_layer": "fc7", "part": "official:test"}
    text = part(browser, "/compare/aps", **asked)
    of: dict[str, Any] = {"layer": "fc7", "dataset": "d", "view": "image", "part": "test", "top": 1}
    ranked = [ask(world.store, "single-filters", ckpt=ckpt, **of) for ckpt in ("5k", "15k")]
    a, b = ({row["class"]: row for row in rows} for rows in ranked)
    for name, row in a.items():
        told = cells(text, name)
        assert told[1] == f"{100 * row['ap_11']:.1f} %"
        assert told[3] == f"{100 * b[name]['ap_11']:.1f} %"
        assert (int(told[2]), int(told[4])) == (row["channel"], b[name]["channel"])
    means = [100 * np.mean([row["ap_11"] for row in own.values()]) for own in (a, b)]
    assert cells(text, "Mean")[1] == f"{means[0]:.1f} %"


def test_what_cannot_be_compared_is_said(browser: TestClient) -> None:
    """One checkpoint, other layers, other networks: a sentence for filters, numbers for layers."""
    assert "nothing changed" in part(browser, "/compare/filters", b="net/5k")
    assert "different layers" in part(browser, "/compare/filters", layer="conv5", other_layer="fc7")
    assert "different networks" in part(browser, "/compare/filters", b="wide/w")
    text = part(browser, "/compare/layers", b="wide/w")
    assert len(cells(text, "fc7")) == 1
    assert "Linear CKA" in part(browser, "/compare/layers", b="net/5k")


def test_the_shell_chooses_and_says_so(browser: TestClient) -> None:
    """What the address leaves open is chosen; what is not stored is named, and not passed over."""
    text = browser.get("/compare").text
    assert re.search(r"<h1>net/(15k and net/5k|5k and net/15k)</h1>", text)
    for path in ("/compare/layers", "/compare/filters", "/compare/aps"):
        assert f'hx-get="{path}?' in text
    text = browser.get(url("/compare", dataset="nowhere", a="net/7k", layer="conv9")).text
    for said in ("Nothing is stored over nowhere", "Of net/7k nothing is stored", "no layer conv9"):
        assert said in text
    assert "<h1>net/15k and net/5k</h1>" in browser.get(url("/compare", a="15k", b="5k")).text


def test_a_layer_that_is_dead(tmp_path: Path) -> None:
    """CKA and RSA of a layer that never differs are refused in words; the page stands."""
    from _build import add_dataset

    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"conv": (4, 2, 2)})
    for ckpt, values in (("a", relu(1, 6, 4, 4)), ("b", 0 * relu(1, 6, 4, 4))):
        add_checkpoint(store, "net", ckpt)
        put(store, Partition("net", ckpt, "d", "image", "conv"), values)
    asking = TestClient(application(store), base_url="http://localhost")
    pair = {"dataset": "d", "a": "net/a", "b": "net/b"}
    text = asking.get(url("/compare/layers", **pair)).text
    assert "no feature of layer conv of net/b" in text
    assert "0 of 6 samples have a pattern" in text
    text = asking.get(url("/compare/filters", **pair)).text
    assert "In net/b 4 respond alike" in text
    assert "No filter responds differently" in text
