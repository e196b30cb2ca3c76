"""A drawing that every notebook shows, without a network."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fstore.queries.figures.plots import Drawing

__all__ = ["Picture"]

VEGALITE = "application/vnd.vegalite.v6+json"
"""What notebooks that draw Vega-Lite themselves take; others show the PNG."""


class Picture:
    """A chart, or a picture, of some rows: as the last line of a cell it is shown.

    Attributes
    ----------
    chart : altair.Chart or PIL.Image.Image
        To change it, or to put it beside others: ``first.chart | second.chart``.
    """

    def __init__(self, chart: "Drawing") -> None:
        self.chart = chart

    def save(self, path: str | Path) -> Path:
        """Save it as ``.png``, ``.svg`` or ``.pdf``, in place of a file that is there.

        Raises
        ------
        DataError
            The name has another suffix.
        """
        from fstore.queries.figures.plots import drawing_bytes

        out = Path(path)
        out.write_bytes(drawing_bytes(self.chart, out.suffix))
        return out

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        """Return what a notebook shows: a PNG, and of a chart the statement for those that draw it.

        No notebook needs a network for it.
        """
        from PIL.Image import Image

        from fstore.queries.figures.plots import drawing_bytes
        from fstore.queries.figures.vega import config, spec_of

        bundle: dict[str, Any] = {
            "text/plain": repr(self),
            "image/png": drawing_bytes(self.chart, ".png"),
        }
        if not isinstance(self.chart, Image):
            bundle[VEGALITE] = {**spec_of(self.chart), "config": config()}
        return bundle

    def _repr_svg_(self) -> str:
        from fstore.queries.figures.plots import drawing_bytes

        return drawing_bytes(self.chart, ".svg").decode()

    def __repr__(self) -> str:
        return f"<Picture, {type(self.chart).__name__}; save it with .save('FILE.png')>"
