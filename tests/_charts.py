"""What a chart says, read off its Vega-Lite statement."""

from collections.abc import Iterator, Mapping
from typing import Any

import vl_convert

from fstore.queries.figures.alt import data_of
from fstore.queries.figures.vega import spec_of

__all__ = ["channels", "check_drawn", "domain", "points", "titles", "units", "words"]


_last: list[tuple[Any, dict[str, Any]]] = []


def _spec(chart: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return a chart's statement; that of the chart that was asked for last is kept."""
    if not _last or _last[0][0] is not chart:
        _last[:] = [(chart, spec_of(chart))]
    return _last[0][1]


def points(chart: Any, **which: object) -> list[dict[str, Any]]:  # noqa: ANN401 - any chart
    """Return the rows that a chart draws, those whose fields have the values asked for."""
    rows = data_of(_spec(chart))
    return [row for row in rows if all(row.get(key) == value for key, value in which.items())]


def units(chart: Any) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return the marks of a chart, each with its encodings."""
    return list(_units(_spec(chart)))


def _units(part: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    if "mark" in part:
        yield dict(part)
    for key in ("layer", "hconcat", "vconcat"):
        for inner in part.get(key, ()):
            yield from _units(inner)
    if "spec" in part:
        yield from _units(part["spec"])


def channels(chart: Any, name: str) -> list[dict[str, Any]]:  # noqa: ANN401
    """Return what a channel (``x``, ``color``, ...) encodes, in each mark that has it."""
    spec = _spec(chart)
    shared = [p["encoding"] for p in [spec, spec.get("spec", {})] if "encoding" in p]
    every = [*shared, *(unit.get("encoding", {}) for unit in units(chart))]
    return [encoding[name] for encoding in every if name in encoding]


def domain(chart: Any, name: str) -> list[Any]:  # noqa: ANN401
    """Return the ends, or the names, of a channel's scale: of the first mark that says them."""
    scales = [c.get("scale") or {} for c in channels(chart, name)]
    return next(list(scale["domain"]) for scale in scales if "domain" in scale)


def titles(chart: Any, name: str) -> set[str]:  # noqa: ANN401
    """Return what a channel is called."""
    return {str(c["title"]) for c in channels(chart, name) if c.get("title")}


def words(chart: Any) -> str:  # noqa: ANN401
    """Return what stands over a chart: its title and its notes."""
    title = _spec(chart).get("title", {})
    return " ".join([*title.get("text", []), *title.get("subtitle", [])])


def check_drawn(chart: Any) -> None:  # noqa: ANN401
    """Draw a chart: it has data, and names of its axes."""
    assert points(chart)
    assert titles(chart, "x") | titles(chart, "y") | titles(chart, "color")
    assert vl_convert.vegalite_to_vega(_spec(chart))["marks"]  # refuses what it does not know
