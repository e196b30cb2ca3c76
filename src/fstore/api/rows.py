"""Rows of an analysis or a report: a list of mappings, as frames and as a plot."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.api.listing import Listing
from fstore.api.picture import Picture
from fstore.errors import DataError
from fstore.extras import need

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

    from fstore.queries.figures.plots import Plot

__all__ = ["Rows"]


class Rows(Listing[dict[str, Any]]):
    """A list of rows, each a dictionary with the keys :attr:`columns`.

    Attributes
    ----------
    columns : tuple of str
    """

    def __init__(
        self,
        rows: Iterable[Mapping[str, Any]],
        *,
        columns: Sequence[str],
        draw: "Plot | None" = None,
        what: str = "these rows",
        heading: str = "",
    ) -> None:
        super().__init__(
            map(dict, rows), columns=columns, cells=lambda row: [row.get(c) for c in columns]
        )
        self._draw = draw
        self._what = what
        self._heading = heading

    def polars(self) -> "pl.DataFrame":
        """Return the rows as a Polars frame."""
        import polars as pl

        columns = {name: [row.get(name) for row in self] for name in self.columns}
        return pl.DataFrame(columns, strict=False)

    def df(self) -> "pd.DataFrame":
        """Return the rows as a pandas frame (extra ``fstore[pandas]``)."""
        frame: pd.DataFrame = need("pandas", extra="pandas").DataFrame(
            [[row.get(name) for name in self.columns] for row in self], columns=self.columns
        )
        return frame

    def plot(self, *, title: str | None = None) -> Picture:
        """Draw the rows: a notebook shows it, and it can be saved.

        Parameters
        ----------
        title : str or None
            Over the drawing; None says what the rows are of.

        Returns
        -------
        Picture
            ``.save("FILE.png")`` writes it, ``.chart`` is the Altair chart or the picture itself.

        Raises
        ------
        DataError
            They have no plot, or there is nothing to draw.
        """
        from fstore.queries.figures.plots import draw

        heading = self._heading if title is None else title
        return Picture(draw(self._drawing(), self._to_draw(), title=heading))

    def show(self) -> Picture:
        """Draw the rows: the same as :meth:`plot`.

        Raises
        ------
        DataError
            They have no plot, or there is nothing to draw.
        """
        return self.plot()

    def _drawing(self) -> "Plot":
        if self._draw is None:
            raise DataError(f"{self._what} has no plot; look at its rows, or use .df()")
        return self._draw

    def _to_draw(self) -> Sequence[Mapping[str, Any]]:
        return self
