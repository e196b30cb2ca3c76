"""Text of the site's pages: Jinja templates, in which whatever the store says is escaped."""

import inspect
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fstore.queries.publish.exhibits import STATES, label
from fstore.queries.publish.sources import finite
from fstore.queries.reports import REPORTS, report_of
from fstore.queries.studies.study import Study
from fstore.words import worded

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

__all__ = ["environment", "method", "script_json"]


def environment(**shared: Any) -> "Environment":  # noqa: ANN401 - what all pages know
    """Return the templates; ``shared`` is known to each of them."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("fstore.queries.publish"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"day": _day, "moment": _moment, "code": _code, "words": worded}
    made.globals |= {"STATES": STATES, "label": label, **shared}
    return made


def _day(time: Any) -> str:  # noqa: ANN401 - a datetime
    return f"{time.day} {time:%B %Y}"


def _moment(time: Any) -> str:  # noqa: ANN401 - a datetime
    return f"{time.day} {time:%B %Y, %H:%M} UTC"


def _code(text: str) -> "Markup":
    """Return text with ``what stands in ticks`` as code."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"``?(.+?)``?", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def method(name: str, study: Study) -> list["Markup"]:
    """Return how a report measures, in paragraphs: as its docstring or its study says."""
    entry = report_of(study, name)
    text = entry.meta.get("method") or inspect.getdoc(entry.function) or ""
    parts = [" ".join(part.split()) for part in text.removeprefix("Yield ").split("\n\n")]
    return [_linked(part[:1].upper() + part[1:]) for part in parts if part]


def _linked(text: str) -> "Markup":
    """Return text whose references to other reports are links."""
    from markupsafe import Markup, escape

    parts = re.split(r":\w+:`[\w.]*?(\w+)`", text)
    names = [
        Markup('<a href="{0}.html">{1}</a>').format(name, label(name))
        if name in REPORTS
        else escape(name)
        for name in parts[1::2]
    ]
    texts = [_code(part) for part in parts[::2]]
    return Markup("").join(
        x for pair in zip(texts, [*names, Markup("")], strict=True) for x in pair
    )


def script_json(value: Mapping[str, Any]) -> "Markup":
    """Return JSON for a script element: nothing in it ends the element; no number is null."""
    from markupsafe import Markup

    text = json.dumps(finite(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - no markup is left in it
