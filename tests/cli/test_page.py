"""``fstore report build``: the folder, its files, and what is shown where something is lacking."""

import json
import re
import tomllib
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from _build import STUDY, Built, build
from _cli import run
from _page import EVIL, Site, shown_rows
from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures import vega
from fstore.queries.figures.alt import data_of
from fstore.queries.findings import Finding
from fstore.queries.publish import build as building
from fstore.queries.publish.exhibits import Exhibit, exhibit, names
from fstore.queries.publish.grid import MAX_LINES, Cell, Line, _with_papers, number
from fstore.queries.publish.looks import LOOKS, look_of
from fstore.queries.publish.render import script_json
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import set_study
from fstore.queries.studies.tasks import paper_task
from fstore.store.maintenance import Selection, drop

SHOWN = [name for name in names() if name != "table8"]
CELL = re.compile(
    r'data-row="([^"]*)" data-col="([^"]*)">'
    r'(?:<span class="ours">)?<[^>]*class="value"[^>]*>([^<]*)<'
)


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a small store whose study is set."""
    built = build(tmp_path / "s")
    set_study(built.store, STUDY)
    return built


def page(folder: Path, name: str) -> str:
    """Return the text of a page."""
    return (folder / f"{name}.html").read_text(encoding="utf-8")


def told(folder: Path, name: str) -> str:
    """Return the text of a page without its links to the glossary."""
    return re.sub(r'<a class="term"[^>]*>(.*?)</a>', r"\1", page(folder, name))


def spec_of(folder: Path, name: str) -> dict[str, Any]:
    """Return what a page tells its script to draw."""
    found = re.search(r'id="spec">(.*?)</script>', page(folder, name), re.DOTALL)
    assert found is not None
    return dict(json.loads(found[1]))


# the numbers


@pytest.mark.parametrize("name", SHOWN)
def test_numbers_are_those_of_report_show(site: Site, name: str) -> None:
    """The JSON, the CSV and the table have the rows that ``report show`` prints."""
    rows = shown_rows(site.store, name)
    files = site.folder / "files"
    own = json.loads((files / f"{name}.json").read_text())
    assert [{key: row[key] for key in rows[0]} for row in own["rows"]] == rows
    printed = run(site.store, "report", "show", name, "--csv", "--beside").stdout
    assert (files / f"{name}.csv").read_text() == printed
    values = {(str(r["row"]), str(r["col"])): r["value"] for r in rows}
    cells = [tuple(map(unescape, found)) for found in CELL.findall(page(site.folder, name))]
    assert len(cells) == min(MAX_LINES, sum(BESIDE not in col for _, col in values))
    for row, col, text in cells:
        digits = 0 if col in look_of(name).whole else look_of(name).digits
        assert text == number(float(str(values[row, col])), digits)


@pytest.mark.parametrize("name", SHOWN)
def test_lineage_is_that_of_the_store(site: Site, name: str) -> None:
    """Each row names a fingerprint that the store computed it under, and all that it covers."""
    own = json.loads((site.folder / "files" / f"{name}.json").read_text())
    stored = site.store.rows("reports", report=name).to_pylist()
    known = {(r["fingerprint"], r["row"], r["col"]): r for r in stored}
    for row in own["rows"]:
        source = own["lineage"][row["fingerprint"]]
        kept = known[row["fingerprint"], row["row"], row["col"]]
        assert source["code_version"] == kept["code_version"]
        assert source["computed_at"] == kept["computed_at"].isoformat()
        inputs = json.loads(kept["inputs"])
        assert {k: source[k] for k in inputs} == inputs
        read = {text.split(" ")[0] for k in ("partitions", "weights") for text in source.get(k, ())}
        assert {f"{c['network']}/{c['name']}" for c in source["checkpoints"]} == read
        paper = row["paper"]
        assert row["difference"] == (None if paper is None else row["value"] - paper)


def test_paper_stands_beside(site: Site) -> None:
    """A cell has the paper's number and ours minus it; the paper's whole table is below."""
    (row,) = [
        r for r in shown_rows(site.store, "table7") if (r["row"], r["col"]) == ("fc7", "none")
    ]
    value, paper = float(str(row["value"])), 74.1
    assert row["paper"] == paper
    text = page(site.folder, "table7")
    (cell,) = re.findall(r'data-row="fc7" data-col="none">(.*?)</td>', text, re.DOTALL)
    assert "74.1" in cell
    assert f"{abs(value - paper):.1f}" in cell
    assert "own table</summary>" in text


# charts


@pytest.mark.parametrize("name", SHOWN)
def test_chart_draws_the_report(site: Site, name: str) -> None:
    """Vega-Lite compiles the page's chart with its look; what it draws are the report's numbers."""
    spec = spec_of(site.folder, name)
    values = {row["value"] for row in shown_rows(site.store, name)}
    ours = values | {100 * float(str(v)) for v in values}  # shares are drawn in percent
    drawn = [[v for v in row.values() if isinstance(v, float)] for row in data_of(spec["chart"])]
    known = [any(number in ours for number in numbers) for numbers in drawn if numbers]
    assert sum(known) > 0.9 * len(known)  # the others: a line at 0, or at what chance gives
    whole = {**spec["chart"], "config": spec["looks"]["dark"]}
    assert vl_convert.vegalite_to_vega(whole)["marks"]


@pytest.mark.parametrize("name", SHOWN)
def test_chart_is_the_files(site: Site, name: str) -> None:
    """The page's chart and ``--plot`` are one statement: they draw the same rows."""
    meta = REPORTS[name].meta
    rows = shown_rows(site.store, name)
    if meta["chart"] is None:
        drawn = vega.spec_of(meta["plot"](rows, title="T"))
        assert data_of(drawn) == data_of(spec_of(site.folder, name)["chart"])


def test_every_look_is_of_a_report() -> None:
    """No look is kept of a report that is gone."""
    assert set(LOOKS) <= {entry.name for entry in REPORTS}


def test_script_cannot_be_left() -> None:
    """JSON in a page has no sign that HTML minds, and is the same JSON."""
    text = script_json({"name": "</script><!-- & \u2028"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == {"name": "</script><!-- & \u2028"}


def test_evil_name_is_escaped(site: Site) -> None:
    """A class that is called as a script stands in no page as it is."""
    for file in site.folder.glob("*.html"):
        assert EVIL.split(">", 1)[0] + ">document" not in file.read_text()
    assert EVIL in unescape(page(site.folder, "table5"))


# the folder


def test_folder(site: Site) -> None:
    """A page and files a report, assets, a marker; nothing names another host."""
    found = {str(p.relative_to(site.folder)) for p in site.folder.rglob("*") if p.is_file()}
    pages = {"index.html", "findings.html", "glossary.html", *(f"{name}.html" for name in names())}
    files = {f"files/{name}.{end}" for name in SHOWN for end in ("csv", "json", "svg")}
    files |= {f"files/{name}-small.png" for name in SHOWN}
    assets = {f"assets/{name}" for name in ("page.css", "page.js", "vega.js", "chart.js")}
    # its photographs are not there
    files -= {"files/figure6.svg", "files/figure6-small.png"}
    files |= {"files/gallery/weights.png"}
    assert found == pages | files | assets | {"files/table8.json", "fstore-page.json"}
    for file in found - {"assets/vega.js"}:
        if file.endswith((".html", ".css", ".js")):
            assert not re.search(r"(src|href)=\"(https?:)?//", (site.folder / file).read_text())
    assert "Not drawn: " in page(site.folder, "figure6")


def test_replaced_only_when_asked(built: Built, tmp_path: Path) -> None:
    """An earlier page is replaced with --overwrite alone; an empty folder is taken."""
    out = tmp_path / "page"
    out.mkdir()
    words = ("report", "build", str(out))
    assert run(built.store, *words).exit_code == 0
    (out / "notes").mkdir()
    (out / "notes" / "mine.html").write_text("precious")  # somebody else's
    (out / "old.html").write_text("")  # of an earlier page, which had it
    marker = json.loads((out / "fstore-page.json").read_text())
    marker["files"].append("old.html")
    (out / "fstore-page.json").write_text(json.dumps(marker))
    again = run(built.store, *words)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "--overwrite" in again.stderr
    done = run(built.store, *words, "--overwrite")
    assert done.stdout == f"{out / 'index.html'}\n"
    assert not (out / "old.html").exists()
    assert (out / "notes" / "mine.html").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir() if "page" in p.name) == ["page"]


def test_a_file_in_the_way_is_not_replaced(built: Built, tmp_path: Path) -> None:
    """A file that the earlier page did not write keeps its name; the build is refused."""
    out = tmp_path / "page"
    words = ("report", "build", str(out))
    assert run(built.store, *words).exit_code == 0
    marker = json.loads((out / "fstore-page.json").read_text())
    marker["files"].remove("index.html")
    (out / "fstore-page.json").write_text(json.dumps(marker))
    (out / "index.html").write_text("precious")
    done = run(built.store, *words, "--overwrite")
    assert done.exit_code == 1
    assert "is not of fstore's making" in done.stderr
    assert (out / "index.html").read_text() == "precious"
    del marker["files"]  # a page of an older fstore has no list: it is replaced as ever
    (out / "fstore-page.json").write_text(json.dumps(marker))
    assert run(built.store, *words, "--overwrite").exit_code == 0
    assert (out / "index.html").read_text() != "precious"


def test_foreign_folder_is_refused(built: Built, tmp_path: Path) -> None:
    """A folder of something else, or a file, is left as it is, also with --overwrite."""
    out = tmp_path / "thesis"
    out.mkdir()
    (out / "chapter1.tex").write_text("precious")
    done = run(built.store, "report", "build", str(out), "--overwrite")
    assert done.exit_code == 1
    assert "'chapter1.tex'" in done.stderr
    assert [p.name for p in out.iterdir()] == ["chapter1.tex"]
    done = run(built.store, "report", "build", str(out / "chapter1.tex"))
    assert "is a file" in done.stderr


def test_all_or_nothing(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that breaks off leaves the earlier page, and nothing of its own."""
    out = tmp_path / "page"
    assert run(built.store, "report", "build", str(out)).exit_code == 0
    before = page(out, "index")

    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "_write_rest", full)
    done = run(built.store, "report", "build", str(out), "--overwrite")
    assert done.exit_code == 1
    assert "No space left" in done.stderr
    assert page(out, "index") == before
    assert sorted(p.name for p in tmp_path.iterdir() if "page" in p.name) == ["page"]


def test_reproduce_ends_with_the_page(built: Built, tmp_path: Path) -> None:
    """``reproduce --page`` builds it, names it on stderr, and refuses a foreign folder at once."""
    file, out = tmp_path / "small.toml", tmp_path / "page"
    file.write_text(STUDY)
    for _ in range(2):  # an earlier one is replaced
        done = run(built.store, "reproduce", str(file), "--page", str(out), "--json")
        assert str(out / "index.html") in done.stderr
        assert "table6" in done.stdout
        assert json.loads(done.stdout)
    assert json.loads((out / "files/table6.json").read_text())["state"] == "complete"
    assert run(built.store, "reproduce", str(file), "--no-page", "--page", str(out)).exit_code == 2
    run(built.store, "reproduce", str(file))
    assert (built.store.path / "page" / "index.html").is_file()
    other = tmp_path / "other.toml"
    other.write_text(STUDY.replace('name = "', 'name = "other-'))
    kept = run(built.store, "reproduce", str(other))
    assert (kept.exit_code, kept.stdout) == (1, "")
    assert "holds the page of study" in kept.stderr
    refused = run(built.store, "reproduce", str(file), "--page", str(built.store.path))
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "is not empty" in refused.stderr


def test_reproduce_reads_the_study_once(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One reading of the file serves the steps, the study that is set, and the page."""
    file, read, loads = tmp_path / "small.toml", list[str](), tomllib.loads
    file.write_text(STUDY)

    def noted(text: str) -> dict[str, Any]:
        read.append(text)
        return loads(text)

    monkeypatch.setattr(tomllib, "loads", noted)
    run(built.store, "reproduce", str(file), "--page", str(tmp_path / "page"))
    assert (tmp_path / "page/index.html").is_file()
    assert read.count(STUDY) == 1


# what is lacking


def test_without_computing(built: Built, tmp_path: Path) -> None:
    """--no-compute shows what is stored and how the rest is made, and stores nothing."""
    out = tmp_path / "page"
    assert run(built.store, "report", "build", str(out), "--no-compute").exit_code == 0
    assert built.store.rows("reports").num_rows == 0
    assert json.loads((out / "files/table6.json").read_text())["state"] == "stale"
    assert "fstore report show table6" in page(out, "index")
    run(built.store, "report", "show", "table6")
    run(built.store, "report", "build", str(out), "--no-compute", "--overwrite")
    assert json.loads((out / "files/table6.json").read_text())["state"] == "complete"


def test_missing_cell_has_its_command(built: Built, tmp_path: Path) -> None:
    """A cell without activations says so, and the page has the command that makes them."""
    run(built.store, "report", "show", "table6")
    drop(built.store.place, Selection(layer="fc"))
    out = tmp_path / "page"
    run(built.store, "report", "build", str(out))
    text = page(out, "table6")
    assert re.search(
        r'data-row="fc" data-col="nonzero_percent"><a class="gap"[^>]*>no inputs', text
    )
    assert "fstore extract --layer fc --ckpt net/5" in text
    assert str(built.store.path) not in text  # it is read on other machines
    assert json.loads((out / "files/table6.json").read_text())["state"] == "incomplete"


def test_failing_and_left_out(built: Built, tmp_path: Path) -> None:
    """A report that fails shows its error, one of an unbound part how to bind it; others stand."""
    out = tmp_path / "page"
    built.store.checkpoint_path(built.store.find_checkpoint("5")).write_text("no weights")
    done = run(built.store, "report", "build", str(out))
    assert done.exit_code == 0
    state = {n: json.loads((out / f"files/{n}.json").read_text())["state"] for n in names()}
    assert state["figure2"] == "failed"  # the checkpoint's file is no file of weights
    assert "cannot read the weights" in page(out, "figure2")
    assert state["figure1"] == "left out"
    assert "add [detection] with dataset" in unescape(page(out, "index"))
    assert state["table6"] == state["table7"] == "complete"


def test_bug_in_a_report(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is nobody's fault but ours is named with its kind, and stops nothing."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("of <nothing>")

    monkeypatch.setattr("fstore.queries.refresh.driver.bring_up", broken)
    out = tmp_path / "page"
    assert run(built.store, "report", "build", str(out)).exit_code == 0
    assert "ZeroDivisionError: of &lt;nothing&gt;" in page(out, "table6")


def test_a_spread_that_is_no_number(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell whose spread is NaN is shown, and is null in the files; the page is built."""

    def spoilt(*given: Any, **named: Any) -> Exhibit:  # noqa: ANN401 - handed on
        found = exhibit(*given, **named)
        return replace(found, rows=[{**row, "std": float("nan")} for row in found.rows])

    monkeypatch.setattr(building, "exhibit", spoilt)
    out = tmp_path / "page"
    assert run(built.store, "report", "build", str(out)).exit_code == 0
    content = json.loads((out / "files/table6.json").read_text())
    assert {row["std"] for row in content["rows"]} == {None}
    assert "NaN" not in page(out, "table6")


# findings


def finding(verdict: str, *, agrees: bool | None) -> Finding:
    """Return a finding on a cell of table 6."""
    cell = {"report": "table6", "row": "conv1", "col": "nonzero_percent", "agrees": agrees}
    return Finding(
        name="sparse",
        claim="Layers are <sparse>.",
        source="section 5",
        verdict=verdict,
        evidence="66 percent.",
        reports=("table6",),
        rows=[cell],
        criterion="Below <70> percent.",
        paper="holds: 30 percent.",
    )


@pytest.mark.parametrize(
    ("verdict", "told"), [("holds", "✓ a holds"), ("does not hold", "✗ a does not hold")]
)
def test_findings(
    built: Built,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verdict: str,
    told: str,
) -> None:
    """A finding marks its cells by colour, sign and word, and is told at the front."""
    held = finding(verdict, agrees=verdict == "holds")
    monkeypatch.setattr(building, "check_findings", lambda *_, **__: [held])
    out = tmp_path / "page"
    run(built.store, "report", "build", str(out))
    (cell,) = re.findall(r'<td data-row="conv1"[^>]*>(.*?)</td>', page(out, "table6"), re.DOTALL)
    assert f'class="mark {verdict.replace(" ", "-")}"' in cell
    assert 'title="Layers are &lt;sparse&gt;."' in cell
    assert f"</span>{told}</a>" in cell
    assert page(out, "table6").count(f"</span>{told}</a>") == 1
    assert 'href="findings.html#sparse">Layers are &lt;sparse&gt;.' in page(out, "table6")
    assert "Layers are &lt;sparse&gt;." in page(out, "index")
    assert "66 percent." in page(out, "findings")
    assert 'id="sparse"' in page(out, "findings")
    assert "Below &lt;70&gt; percent." in page(out, "findings")
    assert "holds: 30 percent." in page(out, "findings")


def test_findings_that_fail(built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without findings the page says why; tables and figures are there."""

    def broken(*_: object, **__: object) -> None:
        raise KeyError("conv9")

    monkeypatch.setattr(building, "check_findings", broken)
    out = tmp_path / "page"
    assert run(built.store, "report", "build", str(out)).exit_code == 0
    assert "The findings could not be checked: KeyError" in page(out, "index")
    assert not (out / "findings.html").exists()


def test_an_open_finding_marks_nothing(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A finding that is open has no mark at any cell, and no line in a list of marks."""
    monkeypatch.setattr(
        building, "check_findings", lambda *_, **__: [finding("not enough data", agrees=None)]
    )
    out = tmp_path / "page"
    run(built.store, "report", "build", str(out))
    text = page(out, "table6")
    assert "Layers are &lt;sparse&gt;." in text  # among the findings that rest on it
    assert 'class="mark' not in text
    assert "claims cannot be judged on this study" in page(out, "index")


# words


class Visible(HTMLParser):
    """What a page shows: its text and tooltips, but for commands and file formats' names."""

    UNSEEN = ("script", "style", "pre", "code")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.depth, self.texts = 0, list[str]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Enter an element; keep what it says when pointed at."""
        self.depth += tag in self.UNSEEN
        self.texts += [v for k, v in attrs if k in {"title", "alt", "aria-label"} and v]

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self.depth -= tag in self.UNSEEN

    def handle_data(self, data: str) -> None:
        """Keep a text that is seen."""
        if not self.depth:
            self.texts.append(data)


def told_in(part: Any) -> list[str]:  # noqa: ANN401 - any part of a statement
    """Return the texts of a chart: titles, notes, names of lines, and what its rows say."""
    if isinstance(part, list):
        return [text for each in part for text in told_in(each)]
    if not isinstance(part, dict):
        return []
    keys = ("text", "subtitle", "title", "domain", "name", "labels", "options", "sort")
    own = [part[key] for key in keys if key in part]
    rows = [v for row in data_of(part) for v in row.values()]
    flat = [x for v in [*own, *rows] for x in (v if isinstance(v, list) else [v])]
    inner = [text for key, each in part.items() if key != "datasets" for text in told_in(each)]
    return [x for x in flat if isinstance(x, str)] + inner


@pytest.mark.parametrize("name", ["index", "findings", *names()])
def test_no_identifier_is_shown(site: Site, name: str) -> None:
    """No text, tooltip or chart has a name with an underscore: no function, column or report."""
    text = page(site.folder, name)
    seen = " ".join(Visible(text).texts)
    if "spec" in text and (found := re.search(r'id="spec">(.*?)</script>', text, re.DOTALL)):
        spec = json.loads(found[1])
        seen += " ".join(told_in(spec["chart"]))
    assert len(seen) > 100
    assert re.findall(r"[A-Za-z]\w*_\w+", seen) == []


@pytest.mark.parametrize("name", ["index", *names()])
def test_headings_have_no_data_of_the_papers(site: Site, name: str) -> None:
    """Titles, row names and charts never give the study's data the paper's name."""
    text = re.sub(r'<span class="beside papers">.*?</span>', "", page(site.folder, name))
    text = text.split('aria-labelledby="method"')[0]  # there the paper's table is told of
    assert not re.search("PASCAL-|SUN-CLS", text)


def test_the_papers_name_stands_beside_its_numbers(site: Site) -> None:
    """A task's row has the paper's name of it where the paper's numbers stand, and only there."""
    text = page(site.folder, "table1")
    rows = shown_rows(site.store, "table1")
    assert {row["row"] for row in rows} == {"classification on d"}  # the paper has no such row
    assert "papers" not in re.findall(r'class="([^"]*)"', text)
    line = Line("x", "x", (Cell("scene classification on d", "scratch", paper="35.7"),))
    assert _with_papers(line, paper_task).papers == "SUN-CLS"
    bare = Line("x", "x", (Cell("scene classification on d", "scratch"),))
    assert _with_papers(bare, paper_task).papers == ""


def test_front_counts_the_papers_numbers(site: Site) -> None:
    """The front says how many exhibits have the paper's numbers, and not that all of them do."""
    there = [n for n in SHOWN if any(r["paper"] is not None for r in shown_rows(site.store, n))]
    assert 0 < len(there) < len(SHOWN)
    assert f"marked ◇, in {len(there)} of {len(SHOWN)} tables" in page(site.folder, "index")


def test_columns_that_are_names_stay(site: Site) -> None:
    """Whole numbers have no decimals; classes are lines of Table 5, and are called as they are."""
    assert re.search(r'data-col="channel">(?:<[^>]*>)*\d+<', page(site.folder, "figure3"))
    text = page(site.folder, "table5")
    lines = re.findall(r'<tr><th scope="row"[^>]*>([^<]*)', text)
    assert [unescape(line).strip() for line in lines[:4]] == ["cat", EVIL, "bus", "car"]
    assert look_of("table5").col_text("sp_max") == "sp_max"  # a class may be called anything
    assert look_of("table7").col_text("sp_max") == "sp-max"


def test_spread_is_named(site: Site) -> None:
    """A deviation says what it is over; of queries it is no error of the mean, bars are that."""
    text = told(site.folder, "retrieval")
    assert "± one standard deviation over queries" in text
    (row, *_) = shown_rows(site.store, "retrieval")
    spec = spec_of(site.folder, "retrieval")["chart"]
    drawn = data_of(spec)[0]
    error = float(str(row["std"])) / float(str(row["n"])) ** 0.5
    assert (drawn["high"] - drawn["low"]) / 2 == pytest.approx(error)
    assert "standard error of the mean" in " ".join(spec["title"]["subtitle"])


def test_no_cosine_above_one(site: Site) -> None:
    """Figure 2's axis has no number above 1."""
    spec = spec_of(site.folder, "figure2")["chart"]
    ends = [layer["encoding"]["y"].get("scale", {}).get("domain") for layer in spec["layer"]]
    assert [each[1] for each in ends if each] == [1.0]
