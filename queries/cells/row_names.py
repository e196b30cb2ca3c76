"""Names of rows that say which values of which columns they are of, and what such a name says."""

import json
import re
from collections.abc import Mapping

__all__ = ["row_name", "row_parts"]

PLAIN = re.compile(r'[^\s",=][^",=]*')
PART = re.compile(r'("(?:[^"\\]|\\.)*"|[^",=]+)=("(?:[^"\\]|\\.)*"|[^",=]+)(?:, |$)')


def row_name(parts: Mapping[str, object]) -> str:
    r"""Return the name of a row: what tells it from others, by column.

    Examples
    --------
    >>> row_name({"layer": "conv5", "class": 'a, "b"'})
    'layer=conv5, class="a, \\"b\\""'
    """
    return ", ".join(f"{_quoted(name)}={_quoted(value)}" for name, value in parts.items())


def row_parts(name: str) -> dict[str, str]:
    r"""Return what a row's name says.

    Examples
    --------
    >>> row_parts('layer=conv5, class="a, \\"b\\""')
    {'layer': 'conv5', 'class': 'a, "b"'}
    """
    return {_plain(m[1]): _plain(m[2]) for m in PART.finditer(name)}


def _quoted(value: object) -> str:
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _plain(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text
