"""Text of the pages: Jinja templates, in which whatever the store says is escaped."""

import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fstore.queries.figures.vega import config, script, spec_of
from fstore.store.files import Partition

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

    from fstore.queries.figures.vega import Chart

__all__ = ["asset", "asset_url", "at", "embedded", "environment", "url"]

NONE = "\N{EN DASH}"
"""What stands where there is no number."""

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def url(path: str, /, **given: object) -> str:
    """Return an address; parameters that are None or empty are left out.

    Examples
    --------
    >>> url("/image", dataset="a b", sample=3, layer=None)
    '/image?dataset=a+b&sample=3'
    """
    kept = {name: value for name, value in given.items() if value is not None and value != ""}
    return path + (f"?{urlencode(kept)}" if kept else "")


def at(path: str, partition: Partition, /, **given: object) -> str:
    """Return an address about a partition; ``layer=None`` leaves the layer out."""
    return url(path, **{**partition.values, **given})


@cache
def asset(name: str) -> tuple[bytes, str] | None:
    """Return a file that pages load, and its type; None if there is none."""
    if name == "vega.js":
        return script().encode(), TYPES[".js"]
    folder = files("fstore.explore").joinpath("assets")
    listed = {entry.name for entry in folder.iterdir() if entry.is_file()}
    if name not in listed:
        return None
    return folder.joinpath(name).read_bytes(), TYPES["." + name.rpartition(".")[2]]


@cache
def asset_url(name: str) -> str:
    """Return the address of a file that pages load; it changes with what is in the file."""
    content = asset(name)
    if content is None:
        raise ValueError(f"no asset {name!r}")
    return url("/assets/" + name, v=hashlib.sha256(content[0]).hexdigest()[:12])


@cache
def environment() -> "Environment":
    """Return the templates."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("fstore.explore"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"size": _size, "count": _count, "short": _short, "percent": _percent}
    looks = {"light": config(), "dark": config(dark=True)}
    looks["light"]["background"] = "transparent"
    made.globals |= {"url": url, "at": at, "asset": asset_url, "looks": _json(looks)}
    return made


def embedded(chart: "Chart | Mapping[str, Any]", alt: str) -> "Markup":
    """Return a chart as an element that the page's script draws; ``alt`` says what it shows.

    Parameters
    ----------
    chart : altair chart or mapping
        Or its Vega-Lite statement.
    alt : str
    """
    from markupsafe import Markup

    spec = chart if isinstance(chart, Mapping) else spec_of(chart)

    return Markup(
        '<figure class="chart" tabindex="0"><div class="vega" role="img" aria-label="{alt}"></div>'
        '<script type="application/json">{spec}</script></figure>'
    ).format(alt=alt, spec=_json(spec))


def _json(value: object) -> "Markup":
    """Return JSON for a script element: nothing in it ends the element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - no markup is left in it


def _size(n_bytes: float) -> str:
    """Return bytes for people.

    Examples
    --------
    >>> _size(1_234_567)
    '1.23 MB'
    """
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n_bytes) < 999.5:
            return f"{n_bytes:.3g} {unit}" if unit != "B" else f"{n_bytes:.0f} B"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def _count(number: int) -> str:
    return f"{number:,}"


def _short(value: Any) -> str:  # noqa: ANN401 - a number, or None
    """Return a number with three digits; a dash where there is none."""
    if value is None or math.isnan(value):
        return NONE
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _percent(share: Any) -> str:  # noqa: ANN401 - a number, or None
    return NONE if share is None or math.isnan(share) else f"{100 * share:.1f} %"
