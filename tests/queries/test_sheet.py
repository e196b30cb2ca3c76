"""Sheets have their images where they belong, and texts that can be read."""

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from fstore.errors import DataError
from fstore.queries.figures import lettering, sheet
from fstore.queries.figures.lettering import fitted, legible, wrapped
from fstore.queries.figures.sheet import Line, Tile
from fstore.queries.figures.sheet import sheet as drawn

RED, GREEN, BLUE = ((200, 0, 0), (0, 200, 0), (0, 0, 200))


def flat(colour: tuple[int, int, int], width: int = 40, height: int = 30) -> Image.Image:
    """Return an image of one colour."""
    return Image.new("RGB", (width, height), colour)


def where(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Return the box that has a colour: left, top, right, bottom, last ones left out."""
    rows, cols = np.where((np.asarray(picture) == colour).all(axis=2))
    assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(cols) + 1)  # all of it
    return int(cols.min()), int(rows.min()), int(cols.max()) + 1, int(rows.max()) + 1


def test_places_of_images() -> None:
    """Images stand in columns ten pixels apart, a line below the other, texts in between."""
    lines = [
        Line("", [Tile(flat(RED), ("a",)), Tile(flat(GREEN), ("b", "c"))]),
        Line("", [Tile(flat(BLUE), ("d",))]),
    ]
    picture = drawn(lines, alt="three")
    assert where(picture, RED) == (18, 18, 58, 48)
    assert where(picture, GREEN) == (68, 18, 108, 48)
    # two lines of text of 17 pixels (13 * 1.3), 4 before them and 10 behind
    assert where(picture, BLUE) == (18, 48 + 4 + 34 + 10, 58, 126)
    assert picture.size == (18 + 90 + 18, 126 + 4 + 17 + 10 + 18)
    assert picture.info["alt"] == "three"


def test_texts() -> None:
    """Title, heads, label, lines and note are written as Pillow writes them, where they belong."""
    tile = Tile(flat(RED, 300, 60), ("cat, dog",), tail="folder/file.jpg")
    picture = drawn(
        [Line("filter 7", [tile])], title="Title\nsmaller", heads=["head"], note="A note."
    )
    left, top, _, bottom = where(picture, RED)
    margin = left - 18

    def is_written(text: str, size: int, ink: str, *, at: tuple[int, int]) -> bool:
        width, height = 300, round(1.3 * size)
        wanted = Image.new("RGB", (width, height), "white")
        font = ImageFont.load_default(size)
        ImageDraw.Draw(wanted).text((0, round(0.95 * size)), text, ink, font=font, anchor="ls")
        assert (np.asarray(wanted) < 200).any()
        cut = picture.crop((*at, at[0] + width, at[1] + height))
        return bool((np.asarray(cut) == np.asarray(wanted)).all())

    assert is_written("Title", 20, "#1b1e22", at=(18, 18))
    assert is_written("smaller", 13, "#565c64", at=(18, 18 + 26))
    assert is_written("head", 15, "#1b1e22", at=(left, top - 20))
    assert is_written("cat, dog", 13, "#1b1e22", at=(left, bottom + 4))
    assert is_written("folder/file.jpg", 13, "#565c64", at=(left, bottom + 4 + 17))
    assert is_written("A note.", 13, "#565c64", at=(18, bottom + 4 + 34 + 10))
    assert margin > ImageFont.load_default(15).getlength("filter 7")
    label = np.asarray(picture.crop((18, top, left, bottom)))
    assert (label[20:42] < 100).any()  # beside the middle
    assert (label[:10] == 255).all()


def test_what_cannot_be_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """No image at all, or more pixels than are drawn, is an error that says what to do."""
    with pytest.raises(DataError, match="no image"):
        drawn([])
    with pytest.raises(DataError, match="no image"):
        drawn([Line("", [Tile(None, ("text",))])])
    monkeypatch.setattr(sheet, "MOST", 5000)
    with pytest.raises(DataError, match=r"90 x 80 pixels, at most 5,000 .* fewer filters"):
        drawn([Line("", [Tile(flat(RED)), Tile(flat(RED))])] * 2)


def test_long_texts() -> None:
    """Too long a text is cut at its end, a path at its start; what fits is as it is."""
    font = ImageFont.load_default(13)
    text = "diningtable, pottedplant, tvmonitor"
    cut, _ = fitted(text, 120, 13)
    assert cut.endswith("...")
    assert text.startswith(cut[:-3])
    assert 100 < font.getlength(cut) <= 120
    path, _ = fitted("a/long/folder/of/images/000012.jpg", 120, 13, keep="end")
    assert path.startswith("...")
    assert path.endswith("/000012.jpg")
    assert font.getlength(path) <= 120
    assert fitted("cat", 120, 13)[0] == "cat"
    lines = wrapped("one two three four five six seven", 60, 13)
    assert " ".join(lines) == "one two three four five six seven"
    assert len(lines) > 2
    assert all(font.getlength(line) <= 60 for line in lines)
    assert wrapped("incomprehensibilities", 10, 13) == ["incomprehensibilities"]


def test_letters_that_pillows_font_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a font that has them they are written in ASCII, and names stay different."""
    monkeypatch.setattr(lettering, "FONTS", ())
    assert legible("dog", 13)[0] == "dog"
    assert legible("犬", 13)[0] == "\\u72ac"
    assert legible("犬", 13)[0] != legible("猫", 13)[0]
    text, font = legible("éléphant, Жук", 13)
    assert text == "elephant, \\u0416\\u0443\\u043a"
    absent = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(c)) != absent for c in text.replace(" ", ""))


def test_letters_of_the_machines_fonts() -> None:
    """The font of the machine that lacks the fewest letters is taken; only those are replaced."""
    text, font = legible("éléphant", 13)
    if font.getname() == ImageFont.load_default(13).getname():  # type: ignore[union-attr]
        pytest.skip("no font with accents on this machine")
    assert text == "éléphant"
    assert legible("é\U0001faa9", 13)[0] in {"é\U0001faa9", "é\\U0001faa9"}
    absent = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(c)) != absent for c in text)


def test_control_characters_and_broken_names() -> None:
    """Line ends become spaces; halves of characters and invisible ones are written out."""
    assert legible("a\nb\tc", 13)[0] == "a b c"
    assert legible("a\x00b\x1b[31m", 13)[0] == "a\\x00b\\x1b[31m"
    assert legible("bad\udcff.jpg", 13)[0] == "bad\\udcff.jpg"
    assert legible("right\u202eleft", 13)[0] == "right\\u202eleft"
    picture = drawn([Line("", [Tile(flat(RED), ("a\nb\udcff",), tail="\u202e.jpg")])])
    assert picture.width > 40
