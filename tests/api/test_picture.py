"""What a notebook is given of a drawing."""

from pathlib import Path

import pytest
from PIL import Image

from fstore.api.picture import VEGALITE, Picture
from fstore.errors import DataError


def chart() -> Picture:
    """Return a small chart."""
    import altair as alt

    rows = alt.InlineData([{"x": 1, "y": 2}])
    return Picture(alt.Chart(rows).mark_point().encode(x="x:Q", y="y:Q"))


def test_a_chart_shows_itself(tmp_path: Path) -> None:
    """A notebook gets a PNG and the statement; files are what the suffix says."""
    picture = chart()
    bundle = picture._repr_mimebundle_()
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle[VEGALITE]["encoding"]["x"]["field"] == "x"
    assert "Chart; save it with .save" in bundle["text/plain"]
    assert picture._repr_svg_().startswith("<svg")
    assert picture.save(tmp_path / "a.pdf").read_bytes().startswith(b"%PDF")
    with pytest.raises(DataError, match=r"\.png, \.svg, \.pdf"):
        picture.save(tmp_path / "a.gif")


def test_a_picture_has_no_statement(tmp_path: Path) -> None:
    """A picture of pixels is a PNG, and in an SVG an image."""
    picture = Picture(Image.new("RGB", (8, 8), "red"))
    assert VEGALITE not in picture._repr_mimebundle_()
    assert "<image" in picture._repr_svg_()
    with Image.open(picture.save(tmp_path / "a.png")) as read:
        assert read.size == (8, 8)
