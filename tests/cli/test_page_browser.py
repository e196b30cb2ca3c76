"""The page in a real browser: Chromium, headless, from files."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import fstore.queries.reports  # registers them
from _page import EVIL, Site
from fstore.queries.publish.exhibits import names

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

assert fstore.queries.reports.__doc__

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no chromium; Debian has it: apt-get install chromium"
    ),
]
PAGES = ("index", *names())
WIDTHS = (1280, 360)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    for (let at = e; at; at = at.parentElement) {
      const found = rgb(getComputedStyle(at).backgroundColor);
      if (found.length < 4 || found[3] === 1) return found;
    }
    return [255, 255, 255];
  };
  const low = [];
  for (const e of document.body.querySelectorAll("*")) {
    const own = [...e.childNodes].filter((n) => n.nodeType === 3);
    const text = own.map((n) => n.data.trim()).join("");
    const box = e.getBoundingClientRect();
    if (!text || !box.width || ["SCRIPT", "NOSCRIPT", "STYLE"].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    if (style.visibility === "hidden" || e.closest(".modebar, .hidden")) continue;
    const colour = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
"""Texts whose contrast with what is behind them is below 4.5 to 1, by WCAG's formula."""

POINT = """() => {
  const plot = document.getElementById("plot"), box = plot.getBoundingClientRect();
  const mark = [...plot.querySelectorAll(".point path, .points path")].find(
    (e) => e.getBoundingClientRect().height > 0);
  if (mark) {
    const at = mark.getBoundingClientRect();
    return [at.x + at.width / 2, at.y + at.height / 2];
  }
  const whole = plot._fullLayout, at = plot._fullData.findIndex((t) => t.visible === true);
  const trace = plot._fullData[at];
  const x = whole[trace.xaxis.replace("x", "xaxis")], y = whole[trace.yaxis.replace("y", "yaxis")];
  const points = plot.calcdata[at], p = points[Math.floor(points.length / 2)];
  const below = trace.y ? 1 : 0;  // the first cell of a matrix is empty
  const [px, py] = trace.type === "heatmap" ? [x.c2p(0), y.c2p(below)] : [x.c2p(p.x), y.c2p(p.y)];
  return [box.x + x._offset + px, box.y + y._offset + py];
}"""
"""Where on the screen a point of the first trace is that is shown."""


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Start Chromium; as root it has no sandbox."""
    from playwright.sync_api import sync_playwright

    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as running:
        started = running.chromium.launch(executable_path=CHROMIUM, args=options)
        yield started
        started.close()


class Watched:
    """A page and all that went wrong on it."""

    def __init__(self, browser: "Browser", **options: Any) -> None:  # noqa: ANN401 - Playwright's
        viewport: Any = {"width": 1280, "height": 800}
        self.context = browser.new_context(viewport=viewport, color_scheme="light", **options)
        self.page: Page = self.context.new_page()
        self.wrong: list[str] = []
        self.page.on("console", lambda m: self.wrong.append(m.text) if m.type != "log" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", lambda request: self.wrong.append(request.url))
        self.page.on("request", self._note)

    def _note(self, request: Any) -> None:  # noqa: ANN401 - Playwright's
        if not request.url.startswith(("file:", "data:")):
            self.wrong.append(f"asked the network for {request.url}")

    def open(self, site: Site, name: str) -> "Page":
        """Open a page of the site."""
        self.page.goto((site.folder / f"{name}.html").as_uri())
        return self.page


@pytest.fixture
def watched(browser: "Browser") -> Iterator[Watched]:
    """Give a page of a light, wide window."""
    found = Watched(browser)
    yield found
    found.context.close()


def hover(page: "Page") -> str:
    """Point at the chart; return what its label says."""
    plot = page.locator("#plot")
    plot.locator(".plot-container").wait_for()
    plot.scroll_into_view_if_needed()
    label = plot.locator(".hovertext").first
    for _ in range(40):  # it is drawn anew after a change of width
        x, y = page.evaluate(POINT)
        page.mouse.move(x, y - 1)
        page.mouse.move(x, y)
        page.wait_for_timeout(50)
        if label.count():
            break
    lines = "e => [...e.querySelectorAll('tspan.line')].map((line) => line.textContent).join('\\n')"
    found: str = label.evaluate(lines, timeout=1000)
    return found


def check_outline(page: "Page") -> None:
    """One heading of the first level, landmarks, a language, alternatives, headed table cells."""
    assert page.locator("html").get_attribute("lang") == "en"
    assert [page.locator(tag).count() for tag in ("h1", "main", "header", "footer")] == [1] * 4
    described = "[...document.querySelectorAll('img, #plot')].map((e) => e.alt || e.ariaLabel)"
    assert all(len(text) > 20 for text in page.evaluate(described))
    for table in page.locator("table").all():
        parts = ("caption", "thead th:not([scope^=col])", "tbody tr:not(:has(th[scope=row]))")
        assert [table.locator(part).count() for part in parts] == [1, 0, 0]
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map((e) => e.id)")
    assert len(ids) == len(set(ids))


def check_links(page: "Page", folder: Path) -> None:
    """Every link names a file of the site by a relative path, or a part of this page."""
    found = "[...document.querySelectorAll('a[href]')].map((a) => a.getAttribute('href'))"
    for link in page.evaluate(found):
        file, _, part = link.partition("#")
        assert not Path(file).is_absolute()
        assert not file or (folder / file).is_file(), link
        assert file or page.locator(f"[id='{part}']").count() == 1, link


def has_value(label: str, file: Path) -> bool:
    """Say whether a label tells a row's value, or the paper's, to the decimals that it shows."""
    told = [(float(text), len(text.partition(".")[2])) for text in NUMBER.findall(label)]
    rows = json.loads(file.read_text())["rows"]
    values = [row[key] for row in rows for key in ("value", "paper") if row[key] is not None]
    return any(abs(v - x) <= 0.5001 * 10.0**-d for x, d in told for v in values)


@pytest.mark.parametrize("name", PAGES)
def test_page(watched: Watched, site: Site, name: str) -> None:
    """At both widths no sideways scrolling, and charts answer; in both themes text has contrast.

    Nothing fails or is fetched; headings, tables and pictures say what they are; links lead
    somewhere.
    """
    page = watched.open(site, name)
    check_outline(page)
    check_links(page, site.folder)
    page.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        if page.locator("#plot").count():
            assert has_value(hover(page), site.folder / f"files/{name}.json")
            page.mouse.move(0, 0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for _ in ("light", "dark"):
        assert page.evaluate(CONTRASTS) == []
        page.locator("#theme").click()
    assert watched.wrong == []


def test_most_reports_have_a_chart(site: Site) -> None:
    """All reports but the one that lacks what it reads."""
    text = {name: (site.folder / f"{name}.html").read_text() for name in names()}
    assert [name for name in names() if 'id="plot"' not in text[name]] == ["table8"]


def test_numbers_tell_their_lineage_by_keyboard(watched: Watched, site: Site) -> None:
    """Tab reaches a number, Enter shows what it comes from, Escape goes back."""
    page = watched.open(site, "table7")
    box = page.locator(".popover").first
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('button.value')"):
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    assert box.is_visible()
    text = box.inner_text()
    for part in ("net/5k", "d image random 0 test", "net/5k d.image conv5", "ablation = none"):
        assert part in text
    page.keyboard.press("Escape")
    assert not box.is_visible()


def test_skip_link(watched: Watched, site: Site) -> None:
    """The first key press offers the way past the contents."""
    page = watched.open(site, "table7")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_checkpoints_are_toggled(watched: Watched, site: Site) -> None:
    """A checkpoint's box hides its lines and shows them again, by mouse or keyboard."""
    page = watched.open(site, "figure1")
    lines = page.locator("#plot .scatterlayer .trace")
    assert lines.count() == 4  # two layers, two checkpoints
    box = page.get_by_role("checkbox", name="pre-trained (5k)")
    box.click()
    assert lines.count() == 2
    box.press("Space")
    assert lines.count() == 4


def test_theme(watched: Watched, site: Site) -> None:
    """The button changes page and chart, and the choice is kept on the next page."""
    page = watched.open(site, "table3")
    ground = "getComputedStyle(document.body).backgroundColor"
    paper = "document.querySelector('#plot .main-svg').style.background"
    light, drawn = page.evaluate(ground), page.evaluate(paper)
    page.locator("#theme").click()
    dark = page.evaluate(ground)
    assert dark != light
    assert page.evaluate(paper) != drawn
    watched.open(site, "table7")
    assert page.evaluate(ground) == dark
    page.locator("#theme").click()
    assert page.evaluate(ground) == light


def test_dark_by_the_system(browser: "Browser", site: Site) -> None:
    """Who prefers dark gets dark, unasked."""
    found = Watched(browser)
    page = found.open(site, "index")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != light
    found.context.close()


def test_evil_name_is_text(watched: Watched, site: Site) -> None:
    """A class named as a script is shown as it is called, in table and chart, and does nothing."""
    page = watched.open(site, "table5")
    page.locator("#plot .plot-container").wait_for()
    assert page.title().startswith("Table 5")
    assert EVIL in page.locator("table.cells tbody th").all_inner_texts()
    assert (
        EVIL
        in page.locator("#plot .xtick").all_inner_texts()
        + page.locator("#plot .xtick").all_text_contents()
    )
    page = watched.open(site, "figure4")
    page.locator("select").select_option(EVIL)
    assert EVIL in hover(page)
    assert watched.wrong == []


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["table1", "table5", "table7", "table9", "table10"])
def test_a_clipped_table_says_so(watched: Watched, site: Site, name: str, width: int) -> None:
    """Above a table whose last column is out of sight stands how many are; else nothing does."""
    page = watched.open(site, name)
    page.set_viewport_size({"width": width, "height": 800})
    box = page.locator(".scroll").first
    heads = box.locator("thead tr:last-child th")
    page.wait_for_timeout(100)  # boxes are measured when their size has changed
    edge = box.evaluate("(e) => e.getBoundingClientRect().right")
    ends = [h.evaluate("(e) => e.getBoundingClientRect().right") for h in heads.all()]
    beyond = sum(end > edge + 1 for end in ends)
    hint = page.locator(".more").first
    assert hint.is_visible() == (beyond > 0)
    if beyond:
        assert hint.inner_text().startswith(f"{beyond} more column")
        box.evaluate("(e) => { e.scrollLeft = e.scrollWidth; }")
        hint.wait_for(state="hidden")
    else:
        assert len(ends) > 1


def test_without_scripts(browser: "Browser", site: Site) -> None:
    """Without JavaScript tables, lineage and the static figure are there."""
    found = Watched(browser, java_script_enabled=False)
    page = found.open(site, "figure1")
    assert page.get_by_text("The interactive chart needs JavaScript").is_visible()
    page.locator("details.static > summary").click()
    assert page.locator("details.static img").is_visible()
    found.context.close()
