"""The store's other methods, and what a notebook shows of them."""

import inspect
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fstore
from _build import STUDY, build
from fstore.api.rows import Rows
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ANALYSES, options_of
from fstore.queries.figures.alt import data_of
from fstore.queries.figures.vega import spec_of
from fstore.queries.studies.study import set_study
from fstore.showing import table_html, text_table


class _Tags(HTMLParser):
    """Collects the tags and the text of a page, and whether they are closed in turn."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.open.append(tag)
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def parsed(html: str) -> _Tags:
    """Parse HTML whose tags must all be closed."""
    tags = _Tags()
    tags.feed(html)
    assert tags.open == []
    return tags


def test_filling_is_what_the_commands_do(digits: fstore.Store) -> None:
    """A data set and a checkpoint that are registered again are the same ones."""
    again = digits.add_dataset(
        "digits", str(digits.dataset("digits").root), format="imagefolder", seeds=[3], quiet=True
    )
    assert again == digits.datasets()[0]
    assert again.counts == {"image": 200}
    record = digits.init_checkpoint(network="caffenet-mini", name="random", seed=0)
    assert record == digits.checkpoints()[0]
    done = digits.extract("fc7", "random", ["digits"], part="test", precision="float32")
    assert (done.samples, done.present) == (0, 80)
    with pytest.raises(DataError, match="add part="):
        digits.extract("fc7", "random", "digits", split="random:3")


def test_weights_of_a_file(digits: fstore.Store, tmp_path: Path) -> None:
    """A checkpoint of a file loads, and its network gives what the first one gives."""
    store = fstore.create(tmp_path / "store")
    file = digits.checkpoint_path(digits.checkpoints()[0])
    store.add_checkpoint(file, network="caffenet-mini", name="copy", iteration=7, quiet=True)
    assert store.checkpoints()[0].iteration == 7
    path = digits.features("fc7", "random", "digits").paths[0]
    one, other = digits.network("random"), store.network("copy")
    assert np.array_equal(one([path])["fc7"], other([path])["fc7"])


def test_a_network_gives_what_is_stored(digits: fstore.Store) -> None:
    """Called with files or with open images it gives the stored responses, layers as maps."""
    stored = digits.features("conv5", "random", "digits")
    network = digits.network("random")
    paths = stored.paths[:3]
    responses = network(paths, ["conv5", "fc7"])
    assert np.allclose(responses["conv5"], stored.maps[:3], rtol=1e-4, atol=1e-5)
    assert responses["fc7"].shape == (3, 256)
    with Image.open(paths[0]) as image:
        assert np.array_equal(network(image)["conv5"], network(paths[0])["conv5"])
    assert network.layers[0] == "conv1"
    assert not network.model.training
    assert network.input(paths).shape == (3, 3, 64, 64)
    assert "relu1" in [spec.name for spec in network.every_layer()]
    with pytest.raises(DataError, match="no image is given"):
        network([])
    with pytest.raises(UnknownNameError, match="conv9"):
        network(paths, "conv9")


def test_every_analysis_is_a_method(digits: fstore.Store) -> None:
    """Each has a signature of its options, a split as one text, and help on all of them."""
    names = dir(digits.analyze)
    assert len(names) == len(list(ANALYSES))
    for entry in ANALYSES:
        method = getattr(digits.analyze, entry.name.replace("-", "_"))
        parameters = inspect.signature(method).parameters
        wanted = set(options_of(entry.function))
        assert set(parameters) == (wanted - {"seed"} if "split" in wanted else wanted) | {"quiet"}
        for name in parameters:
            assert re.search(rf"^{name} : ", method.__doc__, re.MULTILINE), (entry.name, name)
        assert method.__doc__.startswith(entry.summary)
    with pytest.raises(AttributeError, match="there are: ablate_filters, accuracy, cka"):
        digits.analyze.selektivity  # noqa: B018
    assert not hasattr(digits.analyze, "_repr_markdown_")


def test_an_analysis_gives_rows(digits: fstore.Store) -> None:
    """Rows are a list, a frame and a plot; other arguments are refused."""
    rows = digits.analyze.selectivity("conv5", "random", "digits", view="image", grid=0)
    assert [row["rank"] for row in rows] == list(range(1, 49))
    assert rows.df()["aue"].is_monotonic_increasing
    assert rows.polars().columns == list(rows.columns)
    shown = rows.show()._repr_mimebundle_()
    assert shown["image/png"].startswith(b"\x89PNG")
    statement = shown["application/vnd.vegalite.v6+json"]
    assert " ".join(statement["title"]["text"] + statement["title"]["subtitle"]).startswith(
        "Area under the entropy curve of every filter conv5, random, digits, image"
    )
    chart: Any = rows.plot(title="mine").chart
    assert data_of(spec_of(chart)) == data_of(statement)
    curve = digits.analyze.entropy_curve("conv5", "random", "digits", view="image", channel=3)
    assert {row["channel"] for row in curve} == {3}
    with pytest.raises(TypeError, match="grit"):
        digits.analyze.selectivity("conv5", "random", "digits", grit=3)
    with pytest.raises(DataError, match="these rows has no plot"):
        Rows([{"a": 1}], columns=["a"]).show()
    with pytest.raises(DataError, match="says of which split"):
        digits.analyze.selectivity("conv5", "random", "digits", split="random:3", part="")


def test_a_report_is_a_table_with_the_papers_numbers(tmp_path: Path) -> None:
    """Rows are those of the report; the paper's number stands in brackets, beside ours."""
    store = fstore.open(build(tmp_path / "store").store.path)
    set_study(store, STUDY)
    report = store.report("table6")
    assert {row["row"] for row in report} >= {"conv1", "fc"}
    assert report.df().shape[0] == len(report)
    shown = parsed(report._repr_html_())
    assert report.title in shown.text
    assert "table" in shown.seen
    assert report.markdown().startswith("**")
    with pytest.raises(UnknownNameError, match="no report 'table99'"):
        store.report("table99")


def test_reprs(digits: fstore.Store) -> None:
    """What a notebook shows is whole HTML that names what is there; so do texts."""
    own = digits.features("conv5", "random", "digits", part="test", pool="max")
    sql = digits.sql("SELECT sample_id, channel FROM activations ORDER BY ALL")
    for thing, words in (
        (digits, ["digits", "imagefolder", "caffenet-mini", "random", "conv5"]),
        (own, ["conv5", "80 samples", "pool max", "10: 0, 1, 2, 3, 4, ..."]),
        (digits.datasets(), ["digits", "200 image"]),
        (digits.partitions(), ["fc7", "raw_bytes"]),
        (digits.network("random"), ["337,322", "conv1"]),
        (digits.analyze, ["selectivity", "accuracy"]),
        (sql, ["sample_id", "channel", "first 20 rows"]),
    ):
        html = parsed(thing._repr_html_()).text
        assert all(word in html for word in words), (thing, html)
    assert repr(digits) == f"fstore.open({str(digits.path)!r})"
    assert "80 samples x 48 values" in repr(own)
    assert repr(digits.datasets()).splitlines()[0].startswith("data set")
    assert repr(sql).startswith("<Result of columns sample_id, channel")


def test_html_is_escaped() -> None:
    """Names from a store cannot become tags, in cells, headers, titles and notes."""
    evil = "<script>alert('&')</script>"
    html = table_html([evil], [[evil]], title=evil, note=evil)
    tags = parsed(html)
    assert "script" not in tags.seen
    assert tags.text.count(evil) == 4


def test_colours_are_the_pages() -> None:
    """No colour is set but half-transparent grey lines: it is read on white and on black."""
    html = table_html(["a"], [[1]], title="t", note="n")
    assert set(re.findall(r"(?:color|background)\s*:\s*([^;']+)", html)) == {"inherit", "none"}
    assert "rgba(128,128,128,.4)" in html


def test_text_tables() -> None:
    """Columns stand below one another; numbers are short, None is empty."""
    table = text_table(["a", "long name"], [[1, None], [2 / 3, "x"]], "end")
    assert table == "a         long name\n1\n0.666667  x\nend"


def test_results_of_sql(digits: fstore.Store, capsys: pytest.CaptureFixture[str]) -> None:
    """Arrays have a row a row, lists of one length become columns; shown are the first rows."""
    rows = digits.sql("SELECT sample_id, map FROM activations WHERE layer = 'conv5' ORDER BY ALL")
    arrays = rows.numpy()
    assert arrays["map"].shape == (200 * 48, 16)
    assert arrays["sample_id"].tolist() == np.repeat(np.arange(200), 48).tolist()
    assert rows.df().shape == (200 * 48, 2)
    ragged = digits.sql("SELECT [1] AS a, 'x' AS b UNION ALL SELECT [1, 2], NULL ORDER BY ALL")
    assert [list(value) for value in ragged.numpy()["a"]] == [[1], [1, 2]]
    ragged.show(1)
    assert capsys.readouterr().out == "a    b\n[1]  x\nthe first 1 rows\n"


def test_progress_is_for_those_who_watch(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is written over in a terminal and cleared at the end; else nothing is written."""
    from fstore.api.progress import shown

    def work(*, quiet: bool = False) -> str:
        with shown(quiet=quiet) as update:
            update("reading", 1, 2, "3 images/s")
            update("reading", 2, 2, "")
        return capsys.readouterr().err

    assert work() == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert work(quiet=True) == ""
    text = work()
    assert text.startswith("\rreading  1/2  50 %  3 images/s\rreading  2/2  100 %")
    assert text.endswith("\r")


@pytest.mark.slow
def test_types_are_told_to_a_checker(tmp_path: Path) -> None:
    """Mypy --strict knows what the API returns, from the package alone."""
    script = tmp_path / "script.py"
    script.write_text(
        "import fstore\n"
        "store = fstore.open('store')\n"
        "features = store.features('conv5', 'c', 'd', part='test', pool='max')\n"
        "for value in (store, features, features.X, features.y, features[:3].Y, features.ids):\n"
        "    pass\n"
        "reveal_type(store)\nreveal_type(features)\nreveal_type(features.X)\n"
        "reveal_type(features.y)\nreveal_type(store.datasets())\n"
        "reveal_type(store.report('table7').df)\nreveal_type(store.analyze.selectivity)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(script)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    told = re.findall(r'Revealed type is "(.*)"', done.stdout)
    for given, wanted in zip(
        told,
        (
            "fstore.api.store.Store",
            "fstore.api.features.Features",
            "float",
            "int",
            "fstore.api.listing.Listing[fstore.store.catalog.DatasetInfo]",
            "DataFrame|Any",
            "fstore.api.rows.Rows",
        ),
        strict=True,
    ):
        assert re.search(wanted.replace("[", r"\[").replace("]", r"\]"), given), (wanted, given)


def test_a_summary_is_read_at_a_glance(tmp_path: Path) -> None:
    """What extract returns says in a line what was added; asked again, that nothing was."""
    store = fstore.create(tmp_path / "store")
    store.add_dataset("digits", format="digits", quiet=True)
    store.init_checkpoint(network="caffenet-mini", name="random")
    first = store.extract("fc7", "random", "digits", part="val", quiet=True)
    assert repr(first).startswith("<Summary: 180 samples extracted, 0 already there, 0 quarantined")
    again = store.extract("fc7", "random", "digits", part="val", quiet=True)
    assert repr(again).startswith("<Summary: 0 samples extracted, 180 already there")
