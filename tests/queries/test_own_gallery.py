"""A study's own report shows the images that its rows are about."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from _cli import run
from _pictures import Gallery, make
from fstore.errors import DataError
from fstore.queries.publish.charts import chart_of
from fstore.queries.refresh.show import illustrated, show_report
from fstore.queries.reports import check_own_reports, report_of
from fstore.queries.studies.study import Study, parse_study, set_study

HEAD = """
name = "small"
network = "net"
layers = ["conv", "fc"]
[classification]
dataset = "d"
[[report]]
name = "r"
title = "Strongest images"
"""

ASKED = """
sql = '''
SELECT channel, sample_id, dataset, act_max AS response FROM activations
WHERE layer = 'fc' AND ckpt = '5' AND "view" = 'image' ORDER BY channel, act_max DESC, sample_id
'''
chart = { kind = "gallery", y = "response" }
"""

TOP = """
analysis = "top-images"
options = { layer = "fc", ckpt = "5", dataset = "d", top = 2 }
chart = { kind = "gallery", y = "act_max" }
"""


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    """Make a store of four images."""
    return make(tmp_path_factory.mktemp("gallery"))


def study(entry: str) -> Study:
    """Return a study with one report."""
    return parse_study(HEAD + entry)


@pytest.mark.parametrize(("entry", "n"), [(ASKED, 8), (TOP, 4)])
def test_the_images_of_rows_are_drawn(gallery: Gallery, entry: str, n: int) -> None:
    """Each row has the image of its sample, as its file has it; the sheet is a picture."""
    store, own = gallery.store, study(entry)
    check_own_reports(store, own)
    rows = illustrated(store, own, "r", rows=show_report(store, own, "r").rows)
    shown = [row for row in rows if row["picture"]]
    assert len({row["row"] for row in shown}) == n
    for row in shown:
        image, uri = row["picture"]
        with Image.open(gallery.root / uri) as file:
            assert np.array_equal(np.asarray(image), np.asarray(file.convert("RGB")))
        sample = row["row"].split("sample_id=")[1].split(",")[0]
        table = store.samples("d", "image", ["sample_id", "uri"]).to_pylist()
        assert uri == {str(each["sample_id"]): each["uri"] for each in table}[sample]
    drawn = report_of(own, "r").meta["plot"](rows, title="T")
    assert isinstance(drawn, Image.Image)
    assert drawn.info["alt"] == f"{n} images: Strongest images"
    assert chart_of(rows, report_of(own, "r"), title="T") is None


def test_the_command_draws_them(gallery: Gallery, tmp_path: Path) -> None:
    """``report show --plot`` writes the sheet as a picture."""
    set_study(gallery.store, HEAD + ASKED)
    done = run(gallery.store, "report", "show", "r", "--plot", str(tmp_path / "r.png"))
    assert done.exit_code == 0, done.output
    with Image.open(tmp_path / "r.png") as sheet:
        assert sheet.width > 4 * 40


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (ASKED.replace("sample_id, dataset", "dataset"), "needs a column sample_id"),
        (ASKED.replace("dataset, act_max", "act_max"), "needs a column dataset, or a parameter"),
        (ASKED.replace('y = "response"', 'y = "no"'), "no column 'no'"),
        (ASKED.replace('y = "response"', 'x = "response"'), "a gallery has no x"),
        (ASKED.replace('"gallery"', '"bar"'), "key 'x' is missing"),
        (TOP.replace("top-images", "single-filters"), "needs a column sample_id"),
    ],
)
def test_rows_without_a_sample_are_refused(gallery: Gallery, entry: str, says: str) -> None:
    """A gallery whose rows do not say which image they are of is refused when the study is set."""
    with pytest.raises(DataError, match=says):
        check_own_reports(gallery.store, study(entry))
