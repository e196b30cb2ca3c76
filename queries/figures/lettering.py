"""Text in pictures: a font that has the letters, and texts that fit."""

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

if TYPE_CHECKING:
    from PIL import ImageFont

    Font: TypeAlias = ImageFont.FreeTypeFont

__all__ = ["fitted", "legible", "wrapped"]

FONTS = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "LiberationSans-Regular.ttf", "Arial.ttf",
    "NotoSansCJK-Regular.ttc", "Arial Unicode.ttf", "msgothic.ttc", "Hiragino Sans GB.ttc",
)  # fmt: skip
"""Looked for on the machine where a text has letters that Pillow's own font lacks."""
ABSENT = "\uffff"
"""A font draws this, no character, as what it has no glyph for."""


def legible(text: str, size: float) -> tuple[str, "Font"]:
    """Return a text as it can be drawn, and the font that it can be drawn with.

    Pillow's own font is much the same on every machine, and has English letters only. For others
    the font of the machine is taken that lacks the fewest. Of what it lacks accents are left out,
    and other letters are written as Python writes them in ASCII, so that two names stay two names.
    So are control characters, and halves of characters in names of files.

    Parameters
    ----------
    text : str
    size : float
        Of the font, in pixels.
    """
    text = "".join(map(_visible, text))
    own = _own(size)
    if text.isascii():
        return text, own
    fonts = [own, *filter(None, (_machines(name, size) for name in FONTS))]
    font = min(fonts, key=lambda font: len(_lacking(font, text)))
    lacking = _lacking(font, text)
    return "".join(_plain(font, c) if c in lacking else c for c in text), font


def fitted(
    text: str, width: float, size: float, *, keep: Literal["start", "end"] = "start"
) -> tuple[str, "Font"]:
    """Return a text cut to a width, with dots where something is left out, and its font.

    Parameters
    ----------
    text : str
    width, size : float
        In pixels.
    keep : {"start", "end"}
        What of a text that is too long is left: of a path, its end says most.
    """
    text, font = legible(text, size)
    if font.getlength(text) <= width:
        return text, font
    short = text
    while short and font.getlength(short + "...") > width:
        short = short[:-1] if keep == "start" else short[1:]
    return (f"{short.rstrip()}..." if keep == "start" else f"...{short.lstrip()}"), font


def wrapped(text: str, width: float, size: float) -> list[str]:
    """Return a text in lines that fit a width; a word that is wider has a line of its own."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        drawn, font = legible(longer, size)
        if lines[-1] and font.getlength(drawn) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@lru_cache(maxsize=16)
def _own(size: float) -> "Font":
    """Return the font that ships with Pillow."""
    from PIL import ImageFont

    return cast("Font", ImageFont.load_default(size))


@lru_cache(maxsize=64)
def _machines(name: str, size: float) -> "Font | None":
    """Return a font of the machine; None where it has no such file."""
    from PIL import ImageFont

    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _lacking(font: "Font", text: str) -> set[str]:
    return {c for c in text if not _has(font, c)}


@lru_cache(maxsize=4096)
def _has(font: "Font", letter: str) -> bool:
    absent, drawn = font.getmask(ABSENT), font.getmask(letter)
    return letter.isspace() or (absent.size, bytes(absent)) != (drawn.size, bytes(drawn))


def _plain(font: "Font", letter: str) -> str:
    """Return a letter that a font lacks without its accents, or else in ASCII."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(c))
    return bare if bare and not _lacking(font, bare) else _escaped(letter)


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter.isspace() else _escaped(letter)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
