"""Save what a figure's module draws, chart or picture, with its numbers beside it."""

import csv
import io
import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.csv_text import csv_cell, csv_rows
from fstore.errors import DataError
from fstore.queries.figures.vega import DPI, SUFFIXES, chart_bytes

if TYPE_CHECKING:
    import altair as alt
    from PIL.Image import Image

__all__ = [
    "Drawing",
    "Plot",
    "Row",
    "check_out",
    "draw",
    "drawing_bytes",
    "is_picture",
    "save_plot",
    "with_numbers",
]

Row: TypeAlias = Mapping[str, Any]
"""A row of a report or of an analysis, as it is drawn."""

Drawing: TypeAlias = "alt.TopLevelMixin | Image"
"""What a figure's module returns: a chart, or a picture where pixels are what is shown."""

Plot: TypeAlias = Callable[..., "Drawing"]
"""``plot(rows, *, title="") -> Drawing``; lines of a title after the first are smaller."""


def draw(plot: Plot, rows: Sequence[Row], *, title: str = "") -> Drawing:
    """Draw those rows that have a number.

    Parameters
    ----------
    plot : callable
        ``plot(rows, *, title="") -> Drawing``.
    rows : sequence of mapping
    title : str

    Raises
    ------
    DataError
        There is no row, or none with a number.
    """
    drawn = with_numbers(rows)
    if not drawn:
        why = f"none of the {len(rows)} rows has a number" if rows else "there are no rows"
        raise DataError(f"nothing to draw: {why}")
    return plot(drawn, title=title)


def with_numbers(rows: Sequence[Row]) -> list[Row]:
    """Return rows without those of a report whose value is none, or no number."""
    values = [row.get("value", 0) for row in rows]
    return [
        row
        for row, value in zip(rows, values, strict=True)
        if value is not None and not math.isnan(value)
    ]


def save_plot(
    plot: Plot,
    rows: Sequence[Row],
    out: Path,
    *,
    columns: Sequence[str],
    overwrite: bool = False,
    title: str = "",
) -> Path:
    """Draw rows and save the drawing, and the rows as CSV under the same stem.

    Parameters
    ----------
    plot : callable
        ``plot(rows, *, title="") -> Drawing``.
    rows : sequence of mapping
    out : Path
        ``.png`` (150 dpi), ``.svg`` or ``.pdf``; the same rows give the same bytes.
    columns : sequence of str
        Of the CSV.
    overwrite : bool
        Replace files that are there.
    title : str
        What is drawn: layer, checkpoint, data set.

    Returns
    -------
    Path
        ``out``.

    Raises
    ------
    DataError
        The name has another suffix, a file exists, or there is nothing to draw.
    """
    check_out(out, overwrite=overwrite)
    drawn = drawing_bytes(draw(plot, rows, title=title), out.suffix)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(drawn)
    _write_csv(rows, out.with_suffix(".csv"), columns)
    return out


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a file that exists, or a format that is not known.

    Raises
    ------
    DataError
    """
    if out.suffix not in SUFFIXES:
        raise DataError(f"cannot draw to '{out}'; its name must end in {', '.join(SUFFIXES)}")
    for file in (out, out.with_suffix(".csv")):
        if file.exists() and not overwrite:
            raise DataError(f"{file} exists; choose another name, or add --overwrite")


def is_picture(drawing: Drawing) -> bool:
    """Whether a drawing is a Pillow image, and no chart."""
    from PIL.Image import Image

    return isinstance(drawing, Image)


def drawing_bytes(drawing: Drawing, suffix: str) -> bytes:
    """Return a drawing as a file's bytes; the same drawing gives the same ones.

    Parameters
    ----------
    drawing : chart or PIL.Image.Image
        A picture becomes part of an SVG as it is, a PNG.
    suffix : str
        ``.png``, ``.svg`` or ``.pdf``.

    Raises
    ------
    DataError
        The suffix is another.
    """
    from PIL.Image import Image

    if not isinstance(drawing, Image):
        return chart_bytes(drawing, suffix)
    if suffix not in SUFFIXES:
        raise DataError(f"cannot draw to '{suffix}'; choose one of {', '.join(SUFFIXES)}")
    if suffix == ".svg":
        return _embedded(drawing).encode()
    file = io.BytesIO()
    if suffix == ".pdf":
        undated: dict[str, Any] = {"creationDate": None, "modDate": None}
        drawing.convert("RGB").save(file, "PDF", resolution=DPI, **undated)
    else:
        drawing.save(file, "PNG", dpi=(DPI, DPI))
    return file.getvalue()


def _embedded(picture: "Image") -> str:
    """Return a picture as an SVG that holds it, as large as it is at 96 pixels an inch."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    width, height = picture.size
    told = escape(str(picture.info.get("alt", "")))
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
        + (f"<title>{told}</title>" if told else "")
        + f'<image width="{width}" height="{height}" '
        f'xlink:href="data:image/png;base64,{b64encode(file.getvalue()).decode()}"/></svg>\n'
    )


def _write_csv(rows: Sequence[Row], out: Path, columns: Sequence[str]) -> None:
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(csv_cell, columns))
        writer.writerows(csv_rows(rows, columns))
