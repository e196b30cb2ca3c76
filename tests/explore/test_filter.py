"""The page of a filter, its parts and its pictures."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from _photos import CLASSES, COLOURS, Photos, build_photos
from fstore.explore import application
from fstore.queries.analyses.selectivity import AskedPart, curve
from fstore.queries.analyses.single_filters import AskedRanking, single_filters


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    """Return a store that no test changes."""
    return build_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def browser(photos: Photos) -> TestClient:
    """Return a browser of its explorer."""
    return TestClient(application(photos.store), base_url="http://localhost")


def get(browser: TestClient, path: str, address: dict[str, str], **more: str) -> str:
    """Return a page's text."""
    answer = browser.get(path, params={**address, **more})
    assert answer.status_code == 200, answer.text
    return answer.text


def picture(browser: TestClient, path: str, address: dict[str, str], **more: str) -> Image.Image:
    """Return a picture."""
    answer = browser.get(path, params={**address, **more})
    assert answer.headers["content-type"].startswith("image/"), answer.text
    return Image.open(io.BytesIO(answer.content))


def section(text: str, name: str) -> list[int]:
    """Return the samples of the overlays under a heading."""
    part = text.partition(f'<h2 id="{name}">')[2].partition("</ul>")[0]
    return [int(s) for s in re.findall(r'src="/overlay\?[^"]*sample=(\d+)', part)]


def samples_of(photos: Photos, part: slice | list[int], channel: int, layer: str) -> list[int]:
    """Return the samples of a part, strongest first, from the raw responses."""
    ids = np.arange(24)[part]
    x = photos.largest(layer)[ids, channel]
    return [int(s) for s in ids[np.argsort(-x, kind="stable")]]


def test_strongest_images(photos: Photos, browser: TestClient) -> None:
    """The strongest images are those of the raw responses, of all samples or of a part."""
    text = get(browser, "/filter", photos.address("conv1"), channel="2")
    assert section(text, "strongest") == samples_of(photos, slice(None), 2, "conv1")[:12]
    test = [i for i in range(24) if i % 4 >= 2]
    part = get(browser, "/filter", photos.address("conv1"), channel="2", part="official:test")
    assert section(part, "strongest") == samples_of(photos, test, 2, "conv1")
    assert "n = 12 samples of official:test" in part
    values = photos.largest("conv1")[:, 2]
    assert f"largest response <b>{values.max():.3g}</b>" in text
    assert f"<b>{100 * (values <= 0).mean():.1f} %</b> not above 0" in text


def test_random_images_follow_the_seed(photos: Photos, browser: TestClient) -> None:
    """A seed in the address draws the same images again; the next draw is another."""
    address = photos.address("conv1")
    drawn = [
        section(get(browser, "/filter", address, channel="2", seed=s), "random") for s in "331"
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 12
    text = get(browser, "/filter", address, channel="2", seed="3")
    assert "seed=4" in text.partition("Another draw")[0][-120:]


def test_neighbours_by_key(photos: Photos, browser: TestClient) -> None:
    """Links to the filters before and after are marked for the arrow keys; ends have one."""
    texts = [get(browser, "/filter", photos.address("conv1"), channel=c) for c in "025"]
    assert ['rel="prev"' in text for text in texts] == [False, True, True]
    assert ['rel="next"' in text for text in texts] == [True, True, False]


def test_aps_are_those_of_the_analysis(photos: Photos, browser: TestClient) -> None:
    """The table of AP has the numbers of analyze single-filters for the same part."""
    asked = AskedRanking(layer="conv1", ckpt="late", dataset="several", view="image")
    rows = [r for r in single_filters(photos.store, asked, top=0) if r["channel"] == 1]
    address = photos.address("conv1", dataset="several")
    text = get(browser, "/filter-charts", address, channel="1", part="official:test")
    for row in rows:
        name = row["class"].replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        line = text.partition("<tbody>")[2].partition(f">{name}</a>")[2].partition("</tr>")[0]
        told = re.findall(r'class="n">([^<]*)<', line)
        shares = [f"{100 * row[k]:.1f} %" for k in ("ap_11", "ap_all", "prior")]
        assert told == [*shares, str(round(row["prior"] * row["n"])), str(row["n"])]
    assert "Not drawn: " in text  # some of these samples show two classes


@pytest.mark.parametrize("measure", ["sp_max", "label", "weighted"])
def test_entropy_curve_is_that_of_the_analysis(
    photos: Photos, browser: TestClient, measure: str
) -> None:
    """The curve that is drawn has the points and the area of analyze entropy-curve."""
    asked = AskedPart(layer="conv1", ckpt="late", dataset="single", view="image")
    rows = curve(photos.store, asked, channel=("3",), measure=measure)
    address = photos.address("conv1")
    text = get(
        browser, "/filter-charts", address, channel="3", part="official:test", measure=measure
    )
    drawn = text.rpartition('aria-label="Entropy of labels by threshold"')[2]
    assert f"AuE {rows[0]['aue']:.2f}" in drawn
    for row in rows:
        assert f'"y":{round(row["entropy"], 6):g}'[:9] in drawn


def test_top_images_by_class(photos: Photos, browser: TestClient) -> None:
    """The strongest of a class are the class' samples in the order of their responses."""
    text = get(browser, "/filter-classes", photos.address("conv1"), channel="2")
    for c, name in enumerate(CLASSES[:2]):
        strip = text.partition(f">{name}</a>")[2].partition("</ul>")[0]
        found = re.findall(r'src="/crop\?[^"]*sample=(\d+)&amp;place=(\d+)', strip)
        wanted = samples_of(photos, list(range(c, 24, 3)), 2, "conv1")[:6]
        assert [int(sample) for sample, _ in found] == wanted
        places = photos.values["late", "conv1"][wanted, 2].argmax(axis=1)
        assert [int(place) for _, place in found] == places.tolist()


def test_every_checkpoint_side_by_side(photos: Photos, browser: TestClient) -> None:
    """Each checkpoint has its own strongest, and NumPy's correlation with the one looked at."""
    text = get(browser, "/filter-checkpoints", photos.address("fc"), channel="1")
    before, after = photos.largest("fc", "early")[:, 1], photos.largest("fc")[:, 1]
    assert f"correlation {np.corrcoef(before, after)[0, 1]:.3g} (n = 24)" in text
    strips = [re.findall(r'src="/crop\?[^"]*sample=(\d+)', s) for s in text.split("</ul>")[:2]]
    for found, x in zip(strips, (before, after), strict=True):
        assert [int(s) for s in found] == np.argsort(-x, kind="stable")[:6].tolist()


def test_nearest_filters(photos: Photos, browser: TestClient) -> None:
    """The nearest filters are those of NumPy's correlation matrix, in order; dead ones are none."""
    text = get(browser, "/filter-near", photos.address("conv1"), channel="0")
    own = photos.largest("conv1")
    live = [1, 2, 3, 5]
    r = {c: np.corrcoef(own[:, 0], own[:, c])[0, 1] for c in live}
    found = [int(c) for c in re.findall(r'href="/filter\?[^"]*channel=(\d+)', text)]
    assert found == sorted(live, key=lambda c: -r[c])
    assert [float(v) for v in re.findall(r"correlation (-?[\d.e-]+)", text)] == [
        pytest.approx(r[c], rel=0.01) for c in found
    ]


def test_a_crop_is_what_the_place_sees(photos: Photos, browser: TestClient) -> None:
    """The crop of a sample has the colour of the quarter in which the filter responds most."""
    for sample in (0, 1, 6):
        place = int(photos.values["late", "conv1"][sample, 2].argmax())
        cut = picture(
            browser, "/crop", photos.address("conv1"), channel="2", sample=str(sample), size="96"
        )
        assert cut.size == (96, 96)
        # the field of 16 pixels is shown with four more on each side
        inside = np.asarray(cut.convert("RGB"))[24:72, 24:72].reshape(-1, 3).mean(axis=0)
        quarter = place if sample % 2 == 0 else (place + 2) % 4
        np.testing.assert_allclose(inside, COLOURS[quarter], atol=12)  # JPEG


def test_nine_crops(photos: Photos, browser: TestClient) -> None:
    """The sheet of nine has the strongest sample's place first."""
    sheet = picture(browser, "/crop", photos.address("conv1"), channel="2")
    assert sheet.size == (220, 220)
    best = samples_of(photos, slice(None), 2, "conv1")[0]
    place = int(photos.values["late", "conv1"][best, 2].argmax())
    quarter = place if best % 2 == 0 else (place + 2) % 4
    inside = np.asarray(sheet.convert("RGB"))[20:52, 20:52].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(inside, COLOURS[quarter], atol=14)  # WebP


def test_no_crop_where_there_is_no_response(photos: Photos, browser: TestClient) -> None:
    """A filter that fires for two samples has two pictures, and the page says two."""
    sheet = np.asarray(picture(browser, "/crop", photos.address("conv1"), channel="5"))
    middles = [sheet[36 + 74 * row, 36 + 74 * col, 3] for row in range(3) for col in range(3)]
    assert middles == [255, 255] + [0] * 7
    text = get(browser, "/layer", {**photos.address("conv1"), "now": "1"})
    assert re.search(r"(ant: 1, cat|cat [^,]*: 1, ant).* of 2<br>", text)


def test_whole_images_where_no_field_is_known(photos: Photos, browser: TestClient) -> None:
    """A layer without a field shows the whole image: all four colours."""
    whole = picture(browser, "/crop", photos.address("fc"), channel="2", sample="0", size="96")
    pixels = np.asarray(whole.convert("RGB"))
    corners = pixels[24, 24], pixels[24, 72], pixels[72, 24], pixels[72, 72]
    for pixel, colour in zip(corners, COLOURS, strict=True):
        np.testing.assert_allclose(pixel, colour, atol=12)


def test_overlay_is_bright_where_the_filter_responds(photos: Photos, browser: TestClient) -> None:
    """The quarter of the largest response keeps its colour; one without a response is darker."""
    x = photos.values["late", "conv1"][:, 2]
    sample = next(s for s in range(0, 24, 2) if x[s].max() > 0 and (x[s] == 0).sum() >= 2)
    over = np.asarray(
        picture(browser, "/overlay", photos.address("conv1"), channel="2", sample=str(sample))
    )
    corner = {0: (12, 12), 1: (12, 211), 2: (211, 12), 3: (211, 211)}
    strong, weak = int(x[sample].argmax()), int(x[sample].argmin())
    np.testing.assert_allclose(over[corner[strong]], COLOURS[strong], atol=16)
    assert over[corner[weak]].sum() < 0.8 * sum(COLOURS[weak])


def test_first_weights(photos: Photos, browser: TestClient) -> None:
    """A first layer's filter is a picture of its weights; another layer has none."""
    assert "/filter-weights" in get(browser, "/filter", photos.address("conv1"), channel="1")
    assert "/filter-weights" not in get(browser, "/filter", photos.address("fc"), channel="1")
    image = picture(browser, "/filter-weights", photos.address("conv1"), channel="1")
    pixels = np.asarray(image.convert("RGB"))
    top, bottom = pixels[2, 2], pixels[-3, -3]
    assert top[0] > 250  # red above, grey below
    assert top[1] == bottom[1] == bottom[0]
    missing = browser.get("/filter-weights", params={**photos.address("fc"), "channel": "1"})
    assert missing.status_code == 404


@pytest.mark.parametrize("path", ["/filter", "/filter-near", "/filter-charts", "/crop", "/overlay"])
def test_no_such_filter(photos: Photos, browser: TestClient, path: str) -> None:
    """A filter beyond the layer's is refused with how many there are."""
    answer = browser.get(path, params={**photos.address("fc"), "channel": "5", "sample": "0"})
    assert answer.status_code == 404
    assert "it has 0 to 4" in answer.text


def test_a_dead_filter(photos: Photos, browser: TestClient) -> None:
    """A filter that never fires is called dead, and its parts say what there is not."""
    address = photos.address("conv1")
    assert "<b>dead</b>" in get(browser, "/filter", address, channel="4")
    assert "never responds above 0" in get(browser, "/filter-charts", address, channel="4")
    assert "responds equally" in get(browser, "/filter-near", address, channel="4")


def test_a_data_set_without_classes(photos: Photos, browser: TestClient) -> None:
    """Without classes there are images, checkpoints and neighbours, and a word for the rest."""
    address = photos.address("conv1", dataset="plain")
    assert len(section(get(browser, "/filter", address, channel="2"), "strongest")) == 12
    for path in ("/filter-charts", "/filter-classes"):
        assert "has no classes" in get(browser, path, address, channel="2")


def test_files_that_are_gone(tmp_path: Path) -> None:
    """Images that are gone are counted on the page, and leave their place empty."""
    photos = build_photos(tmp_path)
    for path in photos.root.iterdir():
        path.unlink()
    browser = TestClient(application(photos.store), base_url="http://localhost")
    address = photos.address("conv1")
    assert "image files below are not there" in get(browser, "/filter", address, channel="2")
    asked = {**address, "channel": "2", "sample": "1"}
    assert browser.get("/overlay", params=asked).status_code == 400
    sheet = picture(browser, "/crop", address, channel="2").convert("RGBA")
    assert np.asarray(sheet)[..., 3].max() == 0


def test_parts_are_pages_alone(photos: Photos, browser: TestClient) -> None:
    """A part is a fragment for the page that loads it, and a page for who opens it."""
    asked = {**photos.address("conv1"), "channel": "2"}
    for path in ("charts", "classes", "checkpoints", "near"):
        whole = browser.get(f"/filter-{path}", params=asked).text
        part = browser.get(f"/filter-{path}", params=asked, headers={"hx-request": "true"}).text
        assert "<html" in whole
        assert "<html" not in part
        assert part.strip() in whole
