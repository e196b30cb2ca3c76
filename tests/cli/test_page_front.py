"""The front of the page: what was studied, four numbers, the chart, the gallery, the lists."""

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from _build import STUDY, build
from _page import Site, shown_rows
from _pictures import make
from fstore.queries.findings import Finding
from fstore.queries.publish.exhibits import Exhibit, names
from fstore.queries.publish.gallery import FILTERS, IMAGES, SIDE, gallery
from fstore.queries.publish.overview import STRONGEST, data_sets, highlights, strongest
from fstore.queries.publish.thumbnails import SIDES
from fstore.queries.studies.study import parse_study
from fstore.store import Store

SHOWN = [name for name in names() if name != "table8"]
PICTURED = """
name = "p"
network = "net"
layers = ["conv", "fc"]
mid_layer = "conv"
pretrained = "5"
[classification]
dataset = "d"
"""
LOOK = {"std": None, "n": None, "paper": None}


def front(site: Site) -> str:
    """Return the overview without its links to the glossary."""
    text = (site.folder / "index.html").read_text(encoding="utf-8")
    return re.sub(r'<a class="term"[^>]*>(.*?)</a>', r"\1", text)


def facts(text: str) -> list[tuple[str, str, str, str]]:
    """Return the numbers of the front: link, value, what it is, what it rests on."""
    found = re.findall(
        r'<li><a href="([^"]*)"><b>([^<]*)</b> <span>(.*?)</span></a><p>(.*?)</p></li>', text
    )
    return [(link, value, unescape(what), unescape(rest)) for link, value, what, rest in found]


def finding(verdict: str, *reports: str) -> Finding:
    """Return a finding that rests on some reports."""
    return Finding("f", "C.", "s", verdict, "E.", reports, [], "T.", "")


def shown(name: str, *, state: str = "complete", value: float = 1.0) -> Exhibit:
    """Return an exhibit of one number."""
    return Exhibit(
        name, "T", "A?", state, rows=[{"row": "a", "col": "none", "value": value} | LOOK]
    )


# what was studied


def test_opens_with_what_was_studied(site: Site) -> None:
    """Network, layers, checkpoints and data sets with their counts are said before any number."""
    text = front(site)
    opening = unescape(re.sub("<[^>]+>", "", text.split('<ul class="highlights"')[0]))
    for words in ("net respond to", "layers conv5 and fc7", "2 checkpoints along its pre-training"):
        assert words in opening
    assert "on s" in opening
    sets = {d.name: d for d in data_sets(site.store, parse_study(STUDY_OF_SITE))}
    assert sets["g"].has == "48 ground-truth boxes; 4 classes"
    assert (sets["s"].has, sets["s"].parts) == (
        "48 images; 4 classes",
        "pre-training, scene classification",
    )
    assert "48 ground-truth boxes; 4 classes" in opening
    assert opening.count("“The paper” is Agrawal, Girshick and Malik") == 1


STUDY_OF_SITE = """
name = "small"
network = "net"
layers = ["conv5", "fc7"]
[pretrain]
dataset = "s"
[detection]
dataset = "g"
[scenes]
dataset = "s"
"""


def test_a_data_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    """A data set that is not registered is named, without counts; each is named once."""
    text = STUDY.replace('dataset = "d"', 'dataset = "of tomorrow"')
    (only,) = data_sets(Store.create(tmp_path / "s"), parse_study(text))
    assert (only.name, only.has) == ("of tomorrow", "not registered")


# four numbers


def test_four_numbers_are_those_of_the_reports(site: Site) -> None:
    """Best score, responses, numbers and findings are what reports, status and findings say."""
    best, responses, numbers, decided = facts(front(site))
    rows = [r for r in shown_rows(site.store, "table3") if ":" not in str(r["col"])]
    pairs = {(r["row"], r["col"]): float(str(r["value"])) for r in rows}
    rows7 = [r for r in shown_rows(site.store, "table7") if r["col"] == "none"]
    pairs |= {(r["row"], "5k"): float(str(r["value"])) for r in rows7}
    (layer, ckpt), value = max(pairs.items(), key=lambda pair: pair[1])
    assert best[1] == f"{value:.1f}"
    assert f"classification on d: layer {layer}, checkpoint {ckpt}" in best[2]
    assert f"the best of {len(pairs)} pairs" in best[3]
    assert best[0] in {"table3.html", "table7.html"}
    stored = sum(r["rows"] for r in site.store.status())
    assert responses[1].replace(",", "") == str(stored)
    every = {n: json.loads((site.folder / f"files/{n}.json").read_text()) for n in names()}
    main = [r for own in every.values() for r in own["rows"] if ":" not in r["col"]]
    assert numbers[1].replace(",", "") == str(len(main))
    whole = sum(own["state"] == "complete" for own in every.values())
    assert f"{whole} of {len(every)} tables" in numbers[3]
    told = (site.folder / "findings.html").read_text()
    verdicts = re.findall(r'<p><span class="verdict ([a-z-]+)">', told)
    open_ = verdicts.count("not-enough-data")
    assert decided[:2] == ("findings.html", f"{len(verdicts) - open_} of {len(verdicts)}")


def test_best_score_says_what_chance_reaches(site: Site) -> None:
    """Beside the best mean AP stand the test images, and the classes' mean prior in them."""
    (_, _, _, rest), *_ = facts(front(site))
    labels = site.store.labels("d", "image").to_pylist()
    shares = []
    splits = site.store.splits("d", "image").to_pylist()
    for seed in (0, 1, 2):
        ids = {
            r["sample_id"]
            for r in splits
            if (r["split"], r["seed"], r["part"]) == ("random", seed, "test")
        }
        for name in {row["class"] for row in labels}:
            own = {r["sample_id"]: r["label"] for r in labels if r["class"] == name}
            signs = [own.get(i, -1) for i in ids]
            shares.append(signs.count(1) / (len(signs) - signs.count(0)))
    assert f"mean prior is {100 * np.mean(shares):.1f}" in rest


def test_numbers_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    """An empty store has no numbers; a study without classification has its next best score."""
    store = Store.create(tmp_path / "s")
    study = parse_study(STUDY)
    assert highlights(store, study, [], findings=[]) == []
    best, _ = highlights(store, study, [shown("retrieval", value=61.25)], findings=[])
    assert (best.value, best.link) == ("61.2", "retrieval.html")


def test_long_numbers_are_put_in_words(tmp_path: Path) -> None:
    """All responses of the study's network count, those of others do not."""
    built = build(tmp_path / "s", ckpts=("5", "9"))
    (responses,) = highlights(built.store, parse_study(STUDY), [], findings=[])
    assert responses.value == str(2 * (6 * 3 + 6 * 4))
    assert responses.detail == "2 checkpoints, 2 layers, 1 data set."
    other = parse_study(STUDY.replace('network = "net"', 'network = "other"'))
    assert highlights(built.store, other, [], findings=[]) == []


# the strongest chart


def test_rule_of_the_strongest_chart() -> None:
    """Complete and decided comes before complete, and that before the rest, in a fixed order."""
    first, second, third = STRONGEST[:3]
    every = [shown(third), shown(second), shown(first, state="incomplete")]
    assert strongest(every, []) == every[1]
    assert strongest(every, [finding("holds", third)]) == every[0]
    assert strongest(every, [finding("not enough data", third)]) == every[1]
    assert strongest(every[2:], []) == every[2]
    assert strongest([replace(every[0], rows=[])], []) is None
    assert strongest([shown("of tomorrow")], []) == shown("of tomorrow")


def test_the_front_has_that_chart(site: Site) -> None:
    """The front shows the same chart as its page does, and leads there."""
    text = front(site)
    name = re.findall(r'<h2 id="first"><a href="(\w+)\.html">', text)[0]
    spec = r'<script type="application/json" id="spec">(.*?)</script>'
    (own,) = re.findall(spec, text, re.DOTALL)
    page = (site.folder / f"{name}.html").read_text()
    assert re.findall(spec, page, re.DOTALL) == [own]
    assert name in STRONGEST


# pictures of filters


def test_first_layer_weights(site: Site) -> None:
    """The front's sheet has the pre-trained checkpoint's weights as colours, grey where 0."""
    rng = np.random.default_rng(5)
    _, weights = (rng.normal(size=(6, 3, 4, 4)).astype(np.float32) for _ in range(2))
    with Image.open(site.folder / "files/gallery/weights.png") as image:
        sheet = np.asarray(image)
    times = sheet.shape[1] // (3 * 5 - 1)
    assert sheet.shape == (times * (2 * 5 - 1), times * (3 * 5 - 1), 3)
    small = sheet[::times, ::times]
    for i in range(6):
        y, x = i // 3 * 5, i % 3 * 5
        wanted = 127.5 + 127.5 * weights[i] / np.abs(weights[i]).max()
        np.testing.assert_allclose(
            small[y : y + 4, x : x + 4], wanted.transpose(1, 2, 0), atol=1
        )  # whole numbers
    assert "The 6 first-layer filters of net 5k" in front(site)


def test_images_of_filters(tmp_path: Path) -> None:
    """A filter has its strongest samples in order, with what they show; pictures are files."""
    world = make(tmp_path)
    drawn = gallery(world.store, parse_study(PICTURED), [], folder=tmp_path)
    assert drawn.unseen == []
    assert drawn.weights is None  # its file of weights is none
    peaks = world.values["image", "conv"].max(axis=2)  # (4 samples, 3 channels)
    assert [f.heading for f in drawn.filters] == [f"Filter {c}" for c in range(3)]
    for c, strip in enumerate(drawn.filters):
        order = [i for i in np.argsort(-peaks[:, c], kind="stable") if peaks[i, c] > 0]
        told = [int(re.findall(r"Sample (\d+)", p.alt)[0]) for p in strip.pictures]
        assert told == order
        for p in strip.pictures:
            with Image.open(tmp_path / p.file) as image:
                assert image.size == (p.width, p.height) == (SIDE, SIDE)
    assert "in conv of 5" in drawn.chosen
    assert "by their number alone, evenly spaced" in drawn.chosen


def test_best_filters_of_figure3_come_first(tmp_path: Path) -> None:
    """With Figure 3 at hand its best filters of different classes are shown, best AP first."""
    world = make(tmp_path)
    rows: list[dict[str, Any]] = []
    for name, channel, ap in (("cat", 2, 40.0), ("dog", 0, 60.0), ("cow", 0, 10.0)):
        for col, value in (("channel", channel), ("ap", ap), ("prior", 0.25)):
            rows.append({"row": f"{name} pretrained 1", "col": col, "value": value} | LOOK)
        rows.append({"row": f"{name} finetuned 1", "col": "ap", "value": 99.0} | LOOK)
    study = parse_study(PICTURED + '[detection]\ndataset = "d"\n')
    figure3 = Exhibit("figure3", "T", "A", "complete", rows=rows)
    drawn = gallery(world.store, study, [figure3], folder=tmp_path)
    assert [f.heading for f in drawn.filters] == [
        "Filter 0: class dog, AP 60.0 percent, prior 25.0",
        "Filter 2: class cat, AP 40.0 percent, prior 25.0",
    ]
    assert "ground-truth boxes of d" in drawn.chosen
    assert len(drawn.filters) <= FILTERS
    assert all(len(f.pictures) <= IMAGES for f in drawn.filters)


def test_pictures_that_cannot_be_drawn_are_said(site: Site, tmp_path: Path) -> None:
    """Without the image files the front says so; without responses there is no gallery."""
    assert "No pictures of filters: " in front(site)
    study = parse_study(PICTURED.replace('network = "net"', 'network = "other"'))
    drawn = gallery(make(tmp_path).store, study, [], folder=tmp_path / "x")
    assert (drawn.weights, drawn.filters, drawn.unseen) == (None, [], [])


# lists


@pytest.mark.parametrize("name", ["index", "table5", "findings", "glossary"])
def test_side_list_has_titles(site: Site, name: str) -> None:
    """The list at the side calls each table and figure by its title too."""
    text = unescape((site.folder / f"{name}.html").read_text())
    side = text.split('aria-label="Tables and figures"')[1].split("</nav>")[0]
    for own in names():
        title = json.loads((site.folder / f"files/{own}.json").read_text())["title"]
        (line,) = re.findall(rf'<a href="{own}\.html".*?</a>', side)
        assert re.sub("<[^>]+>", "", line).endswith(title)


def test_thumbnails(site: Site) -> None:
    """What is drawn has a small picture in the list, which leads to its page."""
    text = front(site)
    for name in SHOWN:
        file = site.folder / f"files/{name}-small.png"
        assert (f'src="files/{name}-small.png"' in text) == file.is_file()
        if (site.folder / f"files/{name}.svg").is_file():
            with Image.open(file) as image:
                assert image.width <= SIDES[0]
                assert image.height <= SIDES[1]
                assert len(image.convert("RGB").getcolors(10**6) or []) > 2  # it is not empty
            assert file.stat().st_size < 40_000


@pytest.mark.parametrize("name", ["table5", "table10"])
def test_priors_stand_beside_classes(site: Site, name: str) -> None:
    """Tables 5 and 10 have each class's share of the plain test boxes; other tables have none."""
    samples = site.store.samples("g", "gt", ["sample_id", "difficult"]).to_pylist()
    plain = {r["sample_id"] for r in samples if not r["difficult"]}
    split = site.store.splits("g", "gt").to_pylist()
    ids = plain & {r["sample_id"] for r in split if r["part"] == "test"}
    labels = [r for r in site.store.labels("g", "gt").to_pylist() if r["sample_id"] in ids]
    text = (site.folder / f"{name}.html").read_text()
    lines = re.findall(r'<th scope="row"[^>]*>([^<]*)</th>\n<td class="prior">([^<]*)<', text)
    shares = {
        c: sum(r["class"] == c and r["label"] == 1 for r in labels) / len(ids)
        for c in {r["class"] for r in labels}
    }
    assert {unescape(c).strip(): p for c, p in lines} == {
        c: f"{100 * share:.1f}" for c, share in shares.items()
    }
    assert f"share of the {len(ids)} test samples" in text
    assert 'class="prior"' not in (site.folder / "table7.html").read_text()
