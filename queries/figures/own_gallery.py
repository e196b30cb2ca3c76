"""The chart of a study's own report that shows the images which its rows are about."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.queries.cells.row_names import row_parts
from fstore.queries.figures.plots import Row
from fstore.queries.studies.own import OwnReport

if TYPE_CHECKING:
    from PIL import Image

    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["gallery_plot", "no_chart", "with_thumbnails"]

SIDE = 128
"""Pixels of the longer side of an image."""
WIDEST = 10
"""Images in a line."""
MOST = 100
"""Images of a gallery."""

OF_SAMPLE = ("sample_id", "image_id", "dataset", "view")
"""What names a sample; all else that names a row stands at the left of a line."""


def with_thumbnails(
    own: OwnReport,
) -> "Callable[[Store, Study, Sequence[Row]], list[dict[str, Any]]]":
    """Return what puts a ``picture`` beside the rows of a report, a row of its result each.

    Parameters
    ----------
    own : OwnReport
        With the data set and the view among its options, where rows do not name them.
    """

    def illustrate(store: "Store", _: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
        """Return the rows with their images; refuse those whose sample is not known."""
        known_samples: dict[tuple[str, str], dict[str, Any]] = {}
        pictures: dict[str, tuple[Image.Image, str]] = {}
        for name in dict.fromkeys(str(row["row"]) for row in rows):
            parts = {**_fixed(own), **row_parts(name)}
            if "sample_id" in parts and "dataset" in parts and len(pictures) < MOST:
                pictures[name] = _thumbnail(store, parts, known_samples)
        return [{**row, "picture": pictures.get(str(row["row"]))} for row in rows]

    return illustrate


def _fixed(own: OwnReport) -> dict[str, str]:
    """Return the data set and the view that a report's options name."""
    given = {name: own.options.get(name) for name in ("dataset", "view")}
    return {name: value for name, value in given.items() if isinstance(value, str)}


def _thumbnail(
    store: "Store", parts: Mapping[str, str], known: dict[tuple[str, str], dict[str, Any]]
) -> "tuple[Image.Image, str]":
    """Return a sample's image, small, and its file; ``known`` keeps the samples that were read."""
    from fstore.queries.figures.pictures import picture_of, thumbnail

    dataset, view, sample = parts["dataset"], parts.get("view", "image"), parts["sample_id"]
    if (dataset, view) not in known:
        table = store.samples(dataset, view, ["sample_id", "uri", "digest", "box"])
        known[dataset, view] = {str(row["sample_id"]): row for row in table.to_pylist()}
    rows = known[dataset, view]
    if sample not in rows:
        raise DataError(f"chart: data set '{dataset}' has no sample {sample} of view '{view}'")
    picture = picture_of(store.dataset(dataset).root, rows[sample], None)
    return thumbnail(picture, SIDE), picture.uri


def no_chart(rows: Sequence[Row], *, title: str = "") -> None:
    """Draw no chart beside the images."""


def gallery_plot(own: OwnReport) -> "Callable[..., Image.Image]":
    """Return what draws the images of a report's rows, with a number under each.

    Parameters
    ----------
    own : OwnReport
        With a chart, whose ``y`` is the number, if there is one.
    """

    def plot(rows: Sequence[Row], *, title: str = "") -> "Image.Image":
        """Draw the images in the order of rows, a line or more for what else names rows."""
        from fstore.queries.figures.sheet import sheet

        values = {(str(row["row"]), row["col"]): row["value"] for row in rows}
        names = list(dict.fromkeys(row for row, _ in values))
        drawn = {str(row["row"]): row["picture"] for row in rows if row.get("picture")}
        if not drawn:
            raise DataError("no row has a sample_id: there is no image to show")
        lines = _lines(own, drawn, values)
        more = f" The first {len(drawn)} are shown." if len(drawn) < len(names) else ""
        alt = f"{len(drawn)} images: {own.title}"
        return sheet(lines, title=title, note=f"n = {len(names)} rows.{more}", alt=alt)

    return plot


def _lines(
    own: OwnReport,
    drawn: "Mapping[str, tuple[Image.Image, str]]",
    values: Mapping[tuple[str, Any], Any],
) -> list[Any]:
    """Return the lines of the sheet."""
    from fstore.queries.figures.sheet import Line, Tile

    y = own.chart.y if own.chart is not None else ""
    groups: dict[str, list[Tile]] = {}
    for name, (image, uri) in drawn.items():
        parts = row_parts(name).items()
        label = ", ".join(f"{key} {value}" for key, value in parts if key not in OF_SAMPLE)
        told = (f"{y} {values[name, y]:.4g}",) if (name, y) in values else ()
        groups.setdefault(label, []).append(Tile(image, told, tail=uri))
    return [
        Line("" if at else label, tiles[at : at + WIDEST])
        for label, tiles in groups.items()
        for at in range(0, len(tiles), WIDEST)
    ]
