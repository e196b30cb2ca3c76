"""A layer's samples as a map: near each other where the layer's filters respond alike."""

import csv
import io
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import numpy as np

from fstore.csv_text import csv_cell
from fstore.errors import DataError, MissingExtraError
from fstore.explore.page import PARTITION, Asked, page
from fstore.explore.plane import (
    COLOURS,
    Plane,
    groups,
    inside,
    laid_out,
    number,
    outline,
    rectangle,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from starlette.responses import Response

    from fstore.explore.contents import Labels
    from fstore.store.files import Partition

__all__ = ["map_page", "part", "points", "table"]

METHODS = ("pca", "umap")
SHOWN = 48
"""Pictures of the samples inside an outline, at a time."""
EDGES = ("x0", "x1", "y0", "y1")


@page("/map", template="map.html", nav="Map")
def map_page(asked: Asked) -> dict[str, object]:
    """Show which layer, what can be chosen, and the map as a part that comes after."""
    partitions = list(asked.contents.partitions)
    if not partitions:
        return {"partition": None}
    partition = _partition(asked)
    same = [p for p in partitions if _group(p) == _group(partition)]
    # a layer is the one that is asked for, or the deepest: its samples are grouped by class most
    first = {_group(p): p for p in partitions}
    return {
        "partition": partition,
        "layers": [p.layer for p in same],
        "others": [p for group, p in first.items() if group != _group(partition)],
        "method": asked.one_of("method", METHODS),
        "n": asked.contents.partitions[partition]["samples"],
        "link": partial(_link, _query(asked, partition)),
        "kept": [pair for pair in _query(asked, partition) if pair[0] == "c"],
    }


def _link(query: "Sequence[tuple[str, str]]", path: str, /, *less: str, **more: object) -> str:
    """Return an address with the page's parameters, less some, and others besides."""
    kept = [(name, value) for name, value in query if name not in (*less, *more)]
    return f"{path}?{urlencode([*kept, *more.items()])}"


def _group(partition: "Partition") -> tuple[str, ...]:
    return tuple(partition.values[name] for name in PARTITION[:-1])


def _partition(asked: Asked) -> "Partition":
    """Return the asked partition; of an address without one the last layer of the first group."""
    if any(asked.given.get(name) for name in PARTITION):
        return asked.partition
    partitions = list(asked.contents.partitions)
    return [p for p in partitions if _group(p) == _group(partitions[0])][-1]


def _query(asked: Asked, partition: "Partition") -> list[tuple[str, str]]:
    """Return the address' parameters, those of the partition first."""
    own = [(name, value) for name, value in asked.given.multi_items() if name not in PARTITION]
    return [*partition.values.items(), *own]


@page("/map/part", template="map_part.html")
def part(asked: Asked) -> dict[str, object]:
    """Show the map, what its axes are, and the samples inside the outline."""
    partition, method = asked.partition, asked.one_of("method", METHODS)
    try:
        plane = laid_out(asked.contents, partition, method=method)
    except MissingExtraError as error:
        return {"missing": str(error), "partition": partition}
    labels = plane.labels
    told, of = groups(labels, asked.given.getlist("c"))
    shown = labels.values > 0
    low, high = plane.points.min(axis=0), plane.points.max(axis=0)
    return {
        "missing": "",
        "partition": partition,
        "method": method,
        "plane": plane.embedding,
        "n_filters": plane.n_filters,
        "ends": [("x", (low[0], high[0])), ("y", (low[1], high[1]))],
        "classes": labels.classes,
        "groups": told,
        "most": len(COLOURS),
        "rest": int((of < 0).sum()),
        "several": int((shown[:, [g.column for g in told]].sum(axis=1) > 1).sum()),
        "middles": _middles(plane.points, labels),
        "link": partial(_link, _query(asked, partition)),
        "same": [pair for pair in _query(asked, partition) if pair[0] not in SELECTION],
        "selection": SELECTION,
        **_inside(asked, plane),
    }


SELECTION = ("polygon", "from", *EDGES)
"""Parameters that say which samples are listed."""


def _corners(asked: Asked) -> "NDArray[np.float64] | None":
    """Return the outline of the address: drawn, or a rectangle of four numbers; None without."""
    if text := asked.given.get("polygon"):
        return outline(text)
    edges = [asked.given.get(name) for name in EDGES]
    if not any(edges):
        return None
    if not all(edges):
        raise DataError("a rectangle needs four numbers: x from and to, y from and to")
    x0, x1, y0, y1 = (number(str(edge), "an edge of the rectangle") for edge in edges)
    return rectangle((x0, x1), (y0, y1))


def _inside(asked: Asked, plane: Plane) -> dict[str, object]:
    """Return the samples inside the outline: how many of each class, and some of them."""
    points, labels, ids = plane.points, plane.labels, plane.ids
    corners = _corners(asked)
    if corners is None:
        return {"corners": None}
    rows = np.flatnonzero(inside(points, corners))
    start = asked.number("from", 0)
    counts, total = (labels.values[rows] > 0).sum(axis=0), (labels.values > 0).sum(axis=0)
    order = [int(c) for c in np.argsort(-counts, kind="stable") if counts[c]]
    return {
        "corners": corners.tolist(),
        "n_inside": len(rows),
        "n_all": len(ids),
        "counts": [(labels.classes[c], int(counts[c]), int(total[c])) for c in order],
        "start": start,
        "step": SHOWN,
        "listed": [
            {"id": int(ids[row]), "classes": _shown(labels, row)}
            for row in rows[start : start + SHOWN]
        ],
    }


def _shown(labels: "Labels", row: int) -> list[str]:
    return [labels.classes[c] for c in np.flatnonzero(labels.values[row] > 0)]


def _middles(points: "NDArray[np.float64]", labels: "Labels") -> list[dict[str, Any]]:
    """Return where each class lies: the mean of its samples and their standard deviation."""
    told = []
    for column, name in enumerate(labels.classes):
        own = points[labels.values[:, column] > 0]
        if len(own):
            spread = own.std(axis=0, ddof=1) if len(own) > 1 else [None, None]
            told.append({"name": name, "n": len(own), "middle": own.mean(axis=0), "sd": spread})
    return told


@page("/map/points")
def points(asked: Asked) -> "Response":
    """Return the points as JSON: places, samples, colours, and the classes that each shows."""
    from starlette.responses import JSONResponse

    partition = asked.partition
    plane = laid_out(asked.contents, partition, method=asked.one_of("method", METHODS))
    labels = plane.labels
    told, of = groups(labels, asked.given.getlist("c"))
    shown = [np.flatnonzero(row > 0).tolist() for row in labels.values]
    x, y = ([float(f"{v:.6g}") for v in axis] for axis in plane.points.T.tolist())
    return JSONResponse(
        {
            "x": x,
            "y": y,
            "id": plane.ids.tolist(),
            "group": of.tolist(),
            "groups": [{"name": g.name, "color": g.color, "shape": g.shape} for g in told],
            "classes": labels.classes,
            "shown": shown,
        },
        headers={"cache-control": "no-store"},
    )


@page("/map/table")
def table(asked: Asked) -> "Response":
    """Return the points as CSV; with an outline those inside of it."""
    from starlette.responses import Response

    partition = asked.partition
    plane = laid_out(asked.contents, partition, method=asked.one_of("method", METHODS))
    labels, ids = plane.labels, plane.ids
    corners = _corners(asked)
    rows = np.arange(len(ids)) if corners is None else np.flatnonzero(inside(plane.points, corners))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["sample_id", "x", "y", "classes"])
    for row in rows:
        x, y = plane.points[row].tolist()
        writer.writerow([ids[row], x, y, csv_cell(" ".join(_shown(labels, int(row))))])
    headers = {"content-disposition": 'attachment; filename="map.csv"', "cache-control": "no-store"}
    return Response(out.getvalue(), media_type="text/csv", headers=headers)
