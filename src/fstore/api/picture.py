"""A drawing that every notebook shows, whatever its plotting mode."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Picture"]


class Picture:
    """A figure with its own picture: as the last line of a cell it is shown.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        To change it; ``picture.figure.axes`` are its axes.
    """

    def __init__(self, figure: "Figure") -> None:
        self.figure = figure

    def save(self, path: str | Path) -> Path:
        """Save it as ``.png``, ``.svg`` or ``.pdf``, in place of a file that is there."""
        from fstore.queries.figures.plots import styled

        with styled():
            self.figure.savefig(path)
        return Path(path)

    def _repr_png_(self) -> bytes:
        from fstore.queries.figures.plots import styled

        png = io.BytesIO()
        with styled():
            self.figure.savefig(png, format="png", dpi=100)
        return png.getvalue()

    def __repr__(self) -> str:
        width, height = self.figure.get_size_inches()
        return f"<Picture {width:.1f} x {height:.1f} inches; save it with .save('FILE.png')>"
