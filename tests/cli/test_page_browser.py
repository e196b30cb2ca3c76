"""The page in a real browser: Chromium, headless, from files."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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
PAGES = ("index", "findings", "glossary", *names())
WIDTHS = (1280, 360)
PRINTED_PIXELS = 688
"""Width of A4 within its margins, at 96 pixels an inch."""
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")

CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const cell = (e) => {  // of a matrix, behind its number
    const at = e.getBoundingClientRect(), [x, y] = [at.x + at.width / 2, at.y + at.height / 2];
    const cells = [...e.ownerSVGElement.querySelectorAll(".mark-rect.role-mark path")];
    return cells.findLast((own) => {
      const box = own.getBoundingClientRect();
      return box.x < x && x < box.right && box.y < y && y < box.bottom;
    });
  };
  const ground = (e) => {
    const behind = e instanceof SVGElement && e.ownerSVGElement && cell(e);
    if (behind) return rgb(getComputedStyle(behind).fill);
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
    if (style.visibility === "hidden" || e.closest(".hidden, .layer_1_marks")) continue;
    const colour = rgb(e instanceof SVGElement ? style.fill : style.color);
    const [a, b] = [light(colour), light(ground(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) low.push(`${text.slice(0, 30)}: ${ratio.toFixed(2)}`);
  }
  return low;
}"""
"""Texts whose contrast with what is behind them is below 4.5 to 1, by WCAG's formula.

Numbers in the cells of a matrix, its second layer, stand on those and not on the page."""

POINT = """() => {
  const marks = [".mark-symbol", ".mark-rect", ".mark-rule"].flatMap((kind) =>
    [...document.querySelectorAll(`#plot ${kind}.role-mark path`)]);
  const box = document.getElementById("plot").getBoundingClientRect();
  const mark = marks.map((e) => e.getBoundingClientRect()).find(
    (at) => at.width > 0 && at.height > 1 && at.x >= box.x && at.right <= box.right);
  return [mark.x + mark.width / 2, mark.y + mark.height / 2];
}"""
"""Where on the screen a mark of the chart is."""


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
    drawn(page)
    plot.scroll_into_view_if_needed()
    label = page.locator("#vg-tooltip-element.visible")
    for _ in range(40):  # it is drawn anew after a change of width
        page.evaluate("y => window.scrollBy(0, y - innerHeight / 2)", page.evaluate(POINT)[1])
        x, y = page.evaluate(POINT)
        page.mouse.move(x - 1, y)
        page.mouse.move(x, y)
        page.wait_for_timeout(50)
        if label.count():
            break
    rows = "e => [...e.querySelectorAll('tr')].map((row) => row.textContent).join('\\n')"
    found: str = label.evaluate(rows, timeout=1000)
    return found


def drawn(page: "Page") -> None:
    """Wait until the chart stands as wide as its box has room for."""
    page.locator("#plot[data-drawn] svg.marks").wait_for()
    page.wait_for_timeout(150)  # a change of width is told by the next frame
    page.locator("#plot[data-drawn] svg.marks").wait_for()


def check_outline(page: "Page") -> None:
    """One heading of the first level, landmarks, a language, alternatives, headed table cells."""
    assert page.locator("html").get_attribute("lang") == "en"
    assert [page.locator(tag).count() for tag in ("h1", "main", "header", "footer")] == [1] * 4
    told = "img:not(a[aria-hidden] img), #plot"  # a small picture beside its title says nothing
    described = f"[...document.querySelectorAll('{told}')].map((e) => e.alt || e.ariaLabel)"
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


def charted(page: "Page", name: str) -> str:
    """Return the report whose chart a page has: the overview names the one that it shows."""
    link = page.locator("#first a")
    return (link.get_attribute("href") or "").partition(".")[0] if link.count() else name


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
            assert has_value(hover(page), site.folder / f"files/{charted(page, name)}.json")
            page.mouse.move(0, 0)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    for _ in ("light", "dark"):
        assert page.evaluate(CONTRASTS) == []
        page.locator("#theme").click()
        if page.locator("#plot").count():
            drawn(page)
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


def test_a_layer_is_chosen(watched: Watched, site: Site) -> None:
    """A drop-down lights up one layer, by mouse or keyboard, and all again."""
    page = watched.open(site, "figure1")
    drawn(page)
    lines = "#plot .mark-line path"
    faint = f"[...document.querySelectorAll('{lines}')].map((e) => e.getAttribute('opacity'))"
    assert page.locator(lines).count() == 4  # two layers, two checkpoints
    assert set(page.evaluate(faint)) <= {None, "1"}
    select = page.get_by_role("combobox", name="Layer")
    select.select_option("fc7")
    page.wait_for_timeout(100)
    assert page.evaluate(faint).count("0.12") == 2
    select.focus()
    page.keyboard.press("Home")
    page.wait_for_timeout(100)
    assert page.evaluate(faint).count("0.12") == 0


def test_a_class_is_chosen(watched: Watched, site: Site) -> None:
    """One class of many is drawn alone and larger; the drop-down keeps the keyboard."""
    page = watched.open(site, "figure3")
    drawn(page)
    panels = page.locator("#plot .cell > g")
    width = "document.querySelector('#plot .cell .background').getBoundingClientRect().width"
    before, small = panels.count(), page.evaluate(width)
    select = page.get_by_role("combobox", name="Class")
    select.focus()
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(400)
    drawn(page)
    assert panels.count() < before
    assert page.evaluate(width) > 1.5 * small
    assert page.evaluate("document.activeElement.tagName") == "SELECT"
    assert watched.wrong == []


@pytest.mark.parametrize("name", ["figure1", "figure5", "table3"])
def test_no_barrier(watched: Watched, site: Site, name: str) -> None:
    """axe-core finds nothing serious on a page with a chart, in either theme."""
    from axe_playwright_python.sync_playwright import Axe

    page = watched.open(site, name)
    drawn(page)
    for _ in ("light", "dark"):
        found = Axe().run(page).response["violations"]
        serious = [v["id"] for v in found if v["impact"] in {"serious", "critical"}]
        assert serious == []
        page.locator("#theme").click()
        drawn(page)


def test_theme(watched: Watched, site: Site) -> None:
    """The button changes page and chart, and the choice is kept on the next page."""
    page = watched.open(site, "table3")
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('#plot .role-axis-label text')).fill"
    drawn(page)
    light, letters = page.evaluate(ground), page.evaluate(ink)
    page.locator("#theme").click()
    drawn(page)
    dark = page.evaluate(ground)
    assert dark != light
    assert page.evaluate(ink) != letters
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
    drawn(page)
    assert page.title().startswith("Table 5")
    assert EVIL in page.locator("table.cells tbody th").all_inner_texts()
    labels = page.locator("#plot .role-axis-label text").all_text_contents()
    assert any(len(text) > 20 and EVIL.startswith(text.rstrip("…")) for text in labels)
    page = watched.open(site, "figure4")
    page.get_by_role("combobox", name="Class").select_option(EVIL)
    page.wait_for_timeout(400)
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
    assert page.locator(".no-script img").is_visible()
    found.context.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_of_accessibility(
    browser: "Browser", site: Site, scheme: Literal["light", "dark"], width: int
) -> None:
    """axe-core finds nothing serious or critical on any kind of page, folded parts opened."""
    from axe_playwright_python.sync_playwright import Axe

    found = Watched(browser)
    found.page.set_viewport_size({"width": width, "height": 800})
    found.page.emulate_media(color_scheme=scheme)
    for name in ("index", "findings", "glossary", "table5", "table9", "figure1", "figure3"):
        page = found.open(site, name)
        page.evaluate(
            "document.querySelectorAll('main details').forEach((d) => { d.open = true; })"
        )
        violations = Axe().run(page, options={"preload": False}).response["violations"]
        grave = [v for v in violations if v["impact"] in {"serious", "critical"}]
        assert [(v["id"], v["nodes"][0]["html"][:200]) for v in grave] == [], name
    assert found.wrong == []
    found.context.close()


@pytest.mark.parametrize(
    "name", ["index", "table5", "table9", "table10", "figure1", "figure3", "findings"]
)
def test_paper_has_all_of_a_table_and_no_controls(watched: Watched, site: Site, name: str) -> None:
    """Printed on A4 in a dark scheme: light, no navigation, every table as wide as the paper."""
    page = watched.open(site, name)
    page.set_viewport_size({"width": PRINTED_PIXELS, "height": 1000})
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("document.querySelectorAll('main details').forEach((d) => { d.open = true; })")
    for part in (".contents", ".theme", "nav", ".near", ".more", "button.origin", ".plot"):
        for shown in page.locator(part).all():
            assert not shown.is_visible(), part
    ends = "[...document.querySelectorAll('table')].map((t) => t.getBoundingClientRect().right)"
    assert max(page.evaluate(ends), default=0) <= PRINTED_PIXELS
    assert page.evaluate("document.documentElement.scrollWidth") <= PRINTED_PIXELS
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert min(float(x) for x in NUMBER.findall(ground)[:3]) > 240
    if page.locator("#spec").count():
        assert page.locator("img.printed").is_visible()
    assert watched.wrong == []


@pytest.mark.parametrize("width", WIDTHS)
def test_first_column_stays(watched: Watched, site: Site, width: int) -> None:
    """Scrolled to its end, a wide table has its rows' names where they were, over the numbers."""
    page = watched.open(site, "table9")
    page.set_viewport_size({"width": width, "height": 800})
    box, head = page.locator(".scroll").first, page.locator(".scroll tbody th").first
    at = "(e) => e.getBoundingClientRect().x"
    before = head.evaluate(at)
    box.evaluate("(e) => { e.style.width = '14rem'; e.scrollLeft = e.scrollWidth; }")
    assert box.evaluate("(e) => e.scrollLeft") > 0
    assert head.evaluate(at) == pytest.approx(before, abs=0.5)
    top = """(e) => {
      const box = e.getBoundingClientRect();
      return document.elementFromPoint(box.x + 5, box.y + 8) === e;
    }"""
    head.scroll_into_view_if_needed()
    assert head.evaluate(top)


def test_words_lead_to_the_glossary(watched: Watched, site: Site) -> None:
    """A word of a page leads to its meaning by keyboard; the meaning is told when pointed at."""
    page = watched.open(site, "figure1")
    word = page.locator("main a.term", has_text="MCAuE").first
    assert "area under the entropy" in (word.get_attribute("title") or "")
    word.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/glossary.html#term-mcaue")
    assert page.locator("#term-mcaue dfn").inner_text() == "MCAuE"
    assert page.locator("#term-mcaue").is_visible()


def test_open_findings_are_folded(watched: Watched, site: Site) -> None:
    """The front lists what is decided; what is open is behind a line that says how much it is."""
    page = watched.open(site, "index")
    claims = page.locator("section[aria-labelledby=findings] .claims li")
    shown = [claim for claim in claims.all() if claim.is_visible()]
    assert all("not enough data" not in claim.inner_text() for claim in shown)
    fold = page.locator("section[aria-labelledby=findings] summary")
    n = int(NUMBER.findall(fold.inner_text())[0])
    assert claims.count() - len(shown) == n > 0
    fold.click()
    assert claims.last.is_visible()
