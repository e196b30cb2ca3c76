"""Rows of an analysis or a report: a list of mappings, as frames and as a plot."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.api.listing import Listing
from fstore.api.picture import Picture
from fstore.errors import DataError
from fstore.extras import need

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from matplotlib.axes import Axes

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
        draw: "Callable[..., Axes] | None" = None,
        what: str = "these rows",
    ) -> None:
        super().__init__(
            map(dict, rows), columns=columns, cells=lambda row: [row.get(c) for c in columns]
        )
        self._draw = draw
        self._what = what

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

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw the rows and return the axes.

        Parameters
        ----------
        ax : Axes or None
            Where to draw; None makes a figure with pyplot, which a notebook shows by itself.

        Raises
        ------
        DataError
            They have no plot.
        """
        return self._drawing()(self._to_draw(), ax=ax)

    def show(self) -> Picture:
        """Draw the rows in a figure of their own, which a notebook shows, and can be saved.

        Raises
        ------
        DataError
            They have no plot.
        """
        from fstore.queries.figures.plots import drawn

        return Picture(drawn(self._drawing(), self._to_draw()))

    def _drawing(self) -> "Callable[..., Axes]":
        if self._draw is None:
            raise DataError(f"{self._what} has no plot; look at its rows, or use .df()")
        return self._draw

    def _to_draw(self) -> Sequence[Mapping[str, Any]]:
        return self
