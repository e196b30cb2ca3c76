"""Images in rows on a sheet, with text beside, above and below them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fstore.errors import DataError
from fstore.queries.figures.lettering import fitted, legible, wrapped

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["Line", "Tile", "sheet"]

INK, MUTED, GROUND = "#1b1e22", "#565c64", "#ffffff"
TITLE, TEXT, SMALL = 20, 15, 13
"""Sizes of letters, in pixels."""
EDGE, GAP, LOOSE = 18, 10, 4
"""Pixels round the sheet, between images, and between an image and its text."""
LEADING = 1.3
MOST = 80_000_000
"""Pixels of a sheet, 240 MB while it is drawn; Pillow warns of larger ones when it opens them."""


@dataclass(frozen=True, slots=True)
class Tile:
    """An image and the lines under it.

    Attributes
    ----------
    image : Image or None
        None: only the lines, in an empty place.
    lines : tuple of str
        What is too long is cut, and ends in dots.
    tail : str
        A last line of which the end stays where it is too long: a path.
    """

    image: "Image.Image | None"
    lines: tuple[str, ...] = ()
    tail: str = ""

    @property
    def n_lines(self) -> int:
        """How many lines it has."""
        return len(self.lines) + bool(self.tail)


@dataclass(frozen=True, slots=True)
class Line:
    """A row of tiles of one height, and what stands at its left."""

    label: str
    tiles: Sequence[Tile]


def sheet(
    lines: Sequence[Line],
    *,
    title: str = "",
    heads: Sequence[str] = (),
    note: str = "",
    alt: str = "",
) -> "Image.Image":
    """Draw rows of images with their texts on a white sheet.

    Parameters
    ----------
    lines : sequence of Line
        At least one image; all of them have the width of the widest column.
    title : str
        Above; of several lines the later ones are smaller.
    heads : sequence of str
        Above each column.
    note : str
        Below, wrapped.
    alt : str
        What the sheet shows, in words, for readers who do not see it: ``info["alt"]``.

    Returns
    -------
    Image of mode RGB
        The same input gives the same pixels.

    Raises
    ------
    DataError
        There is no image, or the sheet would have more than 80 million pixels.
    """
    side = max((t.image.width for line in lines for t in line.tiles if t.image), default=0)
    if not side:
        raise DataError("there is no image to draw")
    margin = _margin(lines)
    columns = max(len(heads), *(len(line.tiles) for line in lines))
    width = margin + columns * (side + GAP) - GAP
    _check_size(width, sum(_height(line) for line in lines))
    strips = [*_title(title, width), *_heads(heads, margin, side, width=width)]
    strips += [_strip(line, margin, side, width=width) for line in lines]
    strips += [_text(text, width, SMALL, ink=MUTED) for text in wrapped(note, width, SMALL) if text]
    return _stacked(strips, width, alt=alt)


def _check_size(width: int, height: int) -> None:
    if width * height > MOST:
        raise DataError(
            f"the sheet would have {width:,} x {height:,} pixels, at most {MOST:,} are drawn; "
            "ask for fewer filters, or for fewer images of each"
        )


def _margin(lines: Sequence[Line]) -> int:
    """Return the width that labels at the left take."""
    widths = [font.getlength(text) for text, font in (legible(x.label, TEXT) for x in lines)]
    return math.ceil(max(widths)) + GAP if any(widths) else 0


def _height(line: Line) -> int:
    """Return how high a line of tiles is, with the gap below it."""
    image = max((t.image.height for t in line.tiles if t.image), default=0)
    texts = max((t.n_lines for t in line.tiles), default=0)
    return image + (LOOSE + texts * _leading(SMALL) if texts else 0) + GAP


def _leading(size: int) -> int:
    return round(LEADING * size)


def _title(title: str, width: int) -> "list[Image.Image]":
    strips = []
    for i, part in enumerate(title.splitlines()):
        size, ink = (SMALL, MUTED) if i else (TITLE, INK)
        strips += [_text(text, width, size, ink=ink) for text in wrapped(part, width, size)]
    return [*strips, _blank(width, GAP)] if strips else []


def _heads(heads: Sequence[str], margin: int, side: int, *, width: int) -> "list[Image.Image]":
    if not heads:
        return []
    strip = _blank(width, _leading(TEXT))
    for i, head in enumerate(heads):
        strip.paste(_text(head, side, TEXT), (margin + i * (side + GAP), 0))
    return [strip]


def _strip(line: Line, margin: int, side: int, *, width: int) -> "Image.Image":
    """Draw a line of tiles, its label beside the middle of the images."""
    strip = _blank(width, _height(line))
    high = max((t.image.height for t in line.tiles if t.image), default=0)
    if line.label:
        strip.paste(_text(line.label, margin, TEXT), (0, max(0, (high - TEXT) // 2)))
    for i, tile in enumerate(line.tiles):
        x, y = margin + i * (side + GAP), high + LOOSE
        if tile.image is not None:
            strip.paste(tile.image, (x, 0))
        for text in tile.lines:
            strip.paste(_text(text, side, SMALL, ink=INK), (x, y))
            y += _leading(SMALL)
        if tile.tail:
            strip.paste(_text(tile.tail, side, SMALL, ink=MUTED, keep="end"), (x, y))
    return strip


def _text(
    text: str, width: int, size: int, *, ink: str = INK, keep: Literal["start", "end"] = "start"
) -> "Image.Image":
    """Draw one line of text, cut to a width."""
    from PIL import ImageDraw

    shown, font = fitted(text, width, size, keep=keep)
    strip = _blank(width, _leading(size))
    baseline = round(0.95 * size)
    ImageDraw.Draw(strip).text((0, baseline), shown, font=font, fill=ink, anchor="ls")
    return strip


def _blank(width: int, height: int) -> "Image.Image":
    from PIL import Image

    return Image.new("RGB", (width, height), GROUND)


def _stacked(strips: "Sequence[Image.Image]", width: int, *, alt: str) -> "Image.Image":
    """Put strips below each other, with an edge round all of them."""
    drawn = _blank(width + 2 * EDGE, sum(s.height for s in strips) + 2 * EDGE)
    y = EDGE
    for strip in strips:
        drawn.paste(strip, (EDGE, y))
        y += strip.height
    drawn.info["alt"] = alt
    return drawn
