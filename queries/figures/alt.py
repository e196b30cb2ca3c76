"""What a chart says to those who do not see it."""

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["alt_text", "data_of"]

MOST = 8
"""Names that are listed; of more, the first."""


def alt_text(spec: Mapping[str, Any], heading: str) -> str:
    """Return a chart in words: what is drawn over what, its range, and the names of its lines.

    Parameters
    ----------
    spec : mapping
        As :func:`fstore.queries.figures.vega.spec_of` gives it.
    heading : str
        What it is of.
    """
    units = [part for part in _units(spec) if "encoding" in part]
    measure, over = _measured(units)
    values = [row[measure["field"]] for row in data_of(spec) if _number(row, measure)]
    text = f"{heading.rstrip('.')}. {_title(measure)}"
    text += f" by {_title(over)}" if over else ""
    if values:
        text += f", from {min(values):.4g} to {max(values):.4g}"
    names = _names(spec, units)
    if len(names) > 1:
        listed = ", ".join(names[:MOST]) + (", ..." if len(names) > MOST else "")
        text += f"; {len(names)} series: {listed}"
    notes = " ".join(spec.get("title", {}).get("subtitle", []))
    return f"{text}. {notes}".strip()


def data_of(spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return all rows that a chart draws."""
    return [row for rows in spec.get("datasets", {}).values() for row in rows]


def _units(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Return the parts that a chart is made of, the whole first."""
    yield spec
    for key in ("layer", "hconcat", "vconcat"):
        for part in spec.get(key, ()):
            yield from _units(part)
    if "spec" in spec:
        yield from _units(spec["spec"])


def _channels(units: list[Mapping[str, Any]], *names: str) -> list[dict[str, Any]]:
    own = [unit["encoding"].get(name) for name in names for unit in units]
    return [channel for channel in own if channel and "field" in channel]


def _measured(units: list[Mapping[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the channel of the quantity, and the one that it is over."""
    ups, across = (_channels(units, name) for name in ("y", "x"))
    titled = [c for c in ups if c.get("type") == "quantitative" and c.get("title")]
    if titled:
        return titled[0], next((c for c in across if c.get("title")), {})
    wide = [c for c in across if c.get("type") == "quantitative" and c.get("title")]
    if wide:
        return wide[0], next((c for c in ups if c.get("title")), {})
    colours = _channels(units, "color")
    return colours[0], next((c for c in ups if c.get("title")), {})


def _title(channel: Mapping[str, Any]) -> str:
    title = channel.get("title") or channel.get("field", "")
    return " ".join(title) if isinstance(title, list) else str(title)


def _number(row: Mapping[str, Any], channel: Mapping[str, Any]) -> bool:
    return isinstance(row.get(channel["field"]), int | float)


def _names(spec: Mapping[str, Any], units: list[Mapping[str, Any]]) -> list[str]:
    """Return the names of panels, or else of what colours tell."""
    facet = spec.get("facet", {}).get("field")
    colours = [c for c in _channels(units, "color", "fill") if c.get("type") == "nominal"]
    if not facet and not colours:
        return []
    field = str(facet or colours[0]["field"])
    names = dict.fromkeys(str(row[field]) for row in data_of(spec) if row.get(field) is not None)
    return list(names)
