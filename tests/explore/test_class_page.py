"""The page of a class: its numbers are those of the analyses and reports, or found by hand."""

import re
from pathlib import Path

import numpy as np
import pytest
from starlette.testclient import TestClient

from _build import add_layers, put
from _studies import CLASSES, SHAPES, STUDY, StudyWorld, make_study
from fstore.explore import application
from fstore.explore.class_svms import hardest, needed, overlaps, split_of, svm_ranking
from fstore.explore.classes import best_by_layer, best_filters, counts
from fstore.explore.contents import Contents
from fstore.explore.filters import Looked
from fstore.explore.study_cells import class_cells
from fstore.queries.analyses.filter_overlap import filter_overlap
from fstore.queries.analyses.filter_subsets import filter_subsets
from fstore.queries.analyses.single_filters import AskedRanking, single_filters
from fstore.queries.refresh.show import show_report
from fstore.queries.samples.asked import AskedBoxes
from fstore.queries.samples.counts import dataset_counts
from fstore.queries.studies.study import set_study
from fstore.store.files import Partition
from fstore.store.precision import voc_ap

BOXES = Partition("net", "5k", "g", "gt", "conv5")
TEST = "official:test"
ASKED = AskedBoxes(layer="conv5", ckpt="5k", dataset="g")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return boxes of one class each, three of them difficult; images of several classes."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


@pytest.fixture(scope="module")
def contents(world: StudyWorld) -> Contents:
    """Return what the explorer reads of the store."""
    return Contents(world.store)


@pytest.fixture(scope="module")
def browser(world: StudyWorld) -> TestClient:
    """Return a browser of the store's explorer."""
    return TestClient(application(world.store), base_url="http://localhost")


def address(path: str, name: str = "cat", *, partition: Partition = BOXES, **more: str) -> str:
    """Return the address of a part of the page."""
    from fstore.explore.rendering import at

    return at(path, partition, **{"class": name, **more})


def test_counts_are_those_of_the_listing(world: StudyWorld, contents: Contents) -> None:
    """Counts of a class are those of ``dataset show``, for views with and without boxes."""
    for dataset, view in (("d", "image"), ("g", "gt")):
        listed = {row["class"]: row for row in dataset_counts(world.store, dataset)}
        for name in CLASSES:
            shown = {row["part"]: row for row in counts(contents, dataset, name)}
            assert {row["view"] for row in shown.values()} == {view}
            row = listed[name]
            assert shown["all"]["positives"] == row["samples"]
            assert shown["all"]["difficult"] == row["difficult"]
            for part in ("train", "val", "test"):
                assert shown[f"official:{part}"]["positives"] == row[part]


def test_prior_is_that_of_the_analysis(world: StudyWorld, contents: Contents) -> None:
    """The prior of a part and how many samples count are what ``single-filters`` says."""
    for layer, dataset, view in (("conv5", "g", "gt"), ("fc7", "d", "image")):
        asked = AskedRanking(layer=layer, ckpt="5k", dataset=dataset, view=view)
        for row in single_filters(world.store, asked, top=1):
            shown = {r["part"]: r for r in counts(contents, dataset, row["class"])}[TEST]
            assert (shown["prior"], shown["n"]) == (row["prior"], row["n"])


def test_best_filters_are_those_of_the_analysis(world: StudyWorld, contents: Contents) -> None:
    """Rank, AP and prior of the best filters are those of ``single-filters``."""
    rows = single_filters(world.store, AskedRanking(layer="conv5", ckpt="5k", dataset="g"), top=5)
    for name in CLASSES:
        shown = best_filters(Looked(contents, BOXES, TEST), name, most=5)
        wanted = [row for row in rows if row["class"] == name]
        for mine, row in zip(shown, wanted, strict=True):
            assert {k: v for k, v in mine.items() if k != "positives"} == {
                k: v for k, v in row.items() if k != "class"
            }


def test_the_page_lists_the_filters_in_order(world: StudyWorld, browser: TestClient) -> None:
    """The part of the best filters links them in the order of their AP."""
    rows = single_filters(world.store, AskedRanking(layer="conv5", ckpt="5k", dataset="g"), top=12)
    text = browser.get(address("/class/filters", part=TEST)).text
    shown = [int(c) for c in re.findall(r"<b>\d+\. filter (\d+)</b>", text)]
    assert shown == [row["channel"] for row in rows if row["class"] == "cat"]


def test_best_by_layer(world: StudyWorld, contents: Contents) -> None:
    """The best filter of each layer is that of ``single-filters`` on the layer."""
    layers = [BOXES, Partition("net", "5k", "g", "gt", "fc7")]
    rows, left_out = best_by_layer(contents, layers, TEST, "dog")
    assert (len(rows), left_out) == (2, {})
    for shown in rows:
        asked = AskedRanking(layer=shown["layer"], ckpt="5k", dataset="g")
        row = next(r for r in single_filters(world.store, asked, top=1) if r["class"] == "dog")
        assert (shown["channel"], shown["ap_11"]) == (row["channel"], row["ap_11"])
        assert shown["filters"] == {"conv5": 32, "fc7": 40}[shown["layer"]]


def test_needed_is_the_analysis_and_the_table(world: StudyWorld, contents: Contents) -> None:
    """APs of nested subsets are those of ``filter-subsets``, filters needed those of Table 5."""
    rows = filter_subsets(world.store, ASKED)
    table = {(r["row"], r["col"]): r for r in show_report(world.store, world.study, "table5").rows}
    split = split_of(contents, "g", TEST)
    for name in CLASSES:
        told = needed(contents, BOXES, split, name)
        wanted = [row for row in rows if row["class"] == name]
        keys = ("filters", "ap_11", "ap_all", "fraction")
        assert [[r[k] for k in keys] for r in told["rows"]] == [
            [r[k] for k in keys] for r in wanted
        ]
        assert told["best"][0] == wanted[0]["last_channel"]
        for enough, row in zip(told["enough"], ("pretrained 50%", "pretrained 90%"), strict=True):
            assert enough["listed"] == table[row, name]["value"]
            assert enough["interpolated"] == table[row, f"{name}:interpolated"]["value"]


def test_overlap_is_the_analysis(world: StudyWorld, contents: Contents) -> None:
    """What classes share of their best filters is what ``filter-overlap`` says."""
    told = overlaps(contents, BOXES, split_of(contents, "g", TEST))
    shares = {(a, b): told["shares"][i, j] for i, a in enumerate(told["classes"])
              for j, b in enumerate(told["classes"])}  # fmt: skip
    rows = filter_overlap(world.store, ASKED)
    assert rows
    for row in rows:
        assert shares[row["class"], row["other"]] == row["share"]
        assert (told["chance"], told["top"]) == (row["chance"], row["top"])


def test_hardest_by_hand() -> None:
    """Positives come from the bottom, negatives from the top; what is left out does not count."""
    ids = np.array([3, 5, 8, 9, 11, 12])
    scores = np.array([0.5, 0.1, 0.9, 0.1, 0.7, 2.0])
    y = np.array([1, 1, -1, -1, 1, 0], dtype=np.int8)
    hard = hardest(ids, scores, y, most=2)
    assert [(h["sample"], h["rank"]) for h in hard.missed] == [(5, 4), (3, 3)]
    assert [(h["sample"], h["rank"]) for h in hard.mistaken] == [(8, 1), (9, 4)]
    assert (hard.n, hard.lowest) == (5, 1)


def test_hardest_by_the_best_filter(world: StudyWorld, browser: TestClient) -> None:
    """The page's hardest samples are those at the ends of the best filter's responses."""
    asked = AskedRanking(layer="conv5", ckpt="5k", dataset="g")
    best = next(r for r in single_filters(world.store, asked, top=1) if r["class"] == "cat")
    rows = world.rows("g", 0, "test")
    scores = world.values["g", "5k", "conv5"].max(axis=2)[rows, best["channel"]]
    y = world.Y["g"][rows, 0]
    missed = rows[y > 0][np.argsort(scores[y > 0], kind="stable")][:12]
    mistaken = rows[y < 0][np.argsort(-scores[y < 0], kind="stable")][:12]
    text = browser.get(address("/class/hardest", part=TEST)).text
    shown = [int(i) for i in re.findall(r'href="/image\?[^"]*sample=(\d+)"', text)]
    assert shown == [*missed.tolist(), *mistaken.tolist()]


def test_the_svms_ranking_has_the_aps_of_all_filters(world: StudyWorld, contents: Contents) -> None:
    """The order by the SVM on all filters has the AP that ``filter-subsets`` gives for them."""
    rows = filter_subsets(world.store, ASKED)
    for name in CLASSES:
        ids, scores, y = svm_ranking(contents, BOXES, split_of(contents, "g", TEST), name)
        assert ids.tolist() == world.rows("g", 0, "test").tolist()
        assert y.tolist() == world.Y["g"][ids, CLASSES.index(name)].tolist()
        whole = [row for row in rows if row["class"] == name][-1]
        assert voc_ap(scores, y) == pytest.approx(whole["ap_11"], abs=1e-12)


def test_what_studies_say(tmp_path: Path) -> None:
    """Stored cells about a class are shown while they are right; else the command is named."""
    world = make_study(tmp_path / "s")
    set_study(world.store, STUDY)
    contents = Contents(world.store)
    rows, stale = class_cells(contents, "g", "bus")
    assert rows == []
    assert "report refresh table5" in stale["table5", "small"]
    table = {(r["row"], r["col"]): r for r in show_report(world.store, world.study, "table5").rows}
    rows, stale = class_cells(contents, "g", "bus")
    half = next(r for r in rows if "50 %" in r["what"] and r["ckpt"] == "15k")
    assert half["value"] == table["finetuned 50%", "bus"]["value"]
    assert (half["layer"], half["view"], half["n"]) == ("conv5", "gt", 19)
    assert ("table5", "small") not in stale
    assert class_cells(contents, "d", "bus")[0] == []


PARTS = ("filters", "layers", "needed", "overlap", "hardest")


@pytest.mark.parametrize("part", PARTS)
def test_parts_stand_alone_and_in_the_page(browser: TestClient, part: str) -> None:
    """Each part is a page of its own, and without a frame where the page loads it."""
    where = address(f"/class/{part}", part=TEST)
    alone = browser.get(where)
    loaded = browser.get(where, headers={"hx-request": "true"})
    assert (alone.status_code, loaded.status_code) == (200, 200)
    assert "<html" in alone.text
    assert "<html" not in loaded.text
    assert 'class="bad"' not in loaded.text


def test_the_page_says_what_it_cannot_show(browser: TestClient) -> None:
    """A class without a positive in the part, and one that is not there, are said in words."""
    assert browser.get("/class?dataset=g&class=dog").status_code == 200
    strange = browser.get("/class?dataset=g&class=wolf")
    assert strange.status_code == 404
    assert "cat, dog, bus, car" in strange.text
    text = browser.get(address("/class/filters", part="random:7:test")).text
    assert 'class="bad"' in text


def test_the_usual_partition_is_said(browser: TestClient) -> None:
    """A checkpoint that has nothing of the view is not passed over in silence."""
    text = browser.get("/class?dataset=g&class=dog&ckpt=nowhere").text
    assert "Nothing is stored of ckpt &#39;nowhere&#39; here" in text


def test_a_layer_that_is_not_a_number_is_said_to_be(tmp_path: Path) -> None:
    """A NaN is named where the layer is looked at, and the layer is left out of those compared."""
    world = make_study(tmp_path / "s")
    broken = Partition("net", "15k", "d", "image", "conv6")
    add_layers(world.store, "net", {**SHAPES, "conv6": (5, 1, 1)})
    x = np.ones((48, 5, 1), dtype=np.float32)
    x[7, 2] = np.nan
    put(world.store, broken, x)
    browser = TestClient(application(world.store), base_url="http://localhost")
    for path in ("/class/filters", "/class/hardest"):
        assert "sample 7, channel 2" in browser.get(address(path, partition=broken)).text
    text = browser.get(address("/class/layers", partition=broken)).text
    assert "Left out: 15k, conv6" in text
    assert ">conv5</th>" in text
    where = "network=net&ckpt=15k&dataset=d&layer=conv6&sample=3"
    for path in ("/image/filters", "/image/nearest"):
        page = browser.get(f"{path}?{where}")
        assert page.status_code == 200
        assert "sample 7, channel 2" in page.text
