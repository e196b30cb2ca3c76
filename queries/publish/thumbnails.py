"""Small pictures of the drawn exhibits, for lists of them."""

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["SIDES", "write_thumbnail"]

SIDES = (320, 200)
"""Most pixels of width and height: twice those of its place on a page."""


def write_thumbnail(drawing: Path, out: Path) -> tuple[int, int]:
    """Write a small PNG of a drawing in SVG; return its width and height.

    Parameters
    ----------
    drawing : Path
        An SVG file.
    out : Path
        The PNG file.
    """
    from PIL import Image

    image = _painted(drawing)
    image.thumbnail(SIDES, Image.Resampling.LANCZOS)
    few = image.quantize(64)  # lines and areas of few colours: a quarter of the bytes
    few.save(out, optimize=True)
    return image.size


def _painted(drawing: Path) -> "Image.Image":
    """Return an SVG as pixels on white."""
    import vl_convert
    from PIL import Image

    data = vl_convert.svg_to_png(drawing.read_text(encoding="utf-8"), scale=1.0)
    image = Image.open(BytesIO(data)).convert("RGBA")
    ground = Image.new("RGBA", image.size, "white")
    ground.alpha_composite(image)
    return ground.convert("RGB")
