"""The names of torchvision's networks as its files state them: importing it takes seconds.

A network is registered by a decorator, ``@register_model()``, at the top of a file beside the
``__init__`` of its kind. Where an installed torchvision does so otherwise, nothing is guessed:
:func:`listed` returns None, and the registry itself is to be asked.
"""

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

__all__ = ["KINDS", "listed"]

KINDS = ("", "segmentation", "detection")
"""Folders of networks of images in ``torchvision/models``; the first is that folder itself."""

IMPORTED = re.compile(r"^from \.(\w+) import ", re.MULTILINE)
REGISTERED = re.compile(
    r"^@register_model\((?:(?:name=)?[\"'](?P<name>\w+)[\"'])?\)\n"
    r"(?:(?!def |class |@register_model).*\n)*"  # other decorators, on lines of their own
    r"def (?P<function>\w+)\(",
    re.MULTILINE,
)
USED = re.compile(r"\bregister_model\b")
NO_USE = re.compile(r"^(?:from .*|def register_model\(.*)$", re.MULTILINE)
"""Lines that import or define the decorator."""


def listed(kind: str) -> list[str] | None:
    """Return the names of a kind of networks, sorted; None where the files do not tell.

    Parameters
    ----------
    kind : str
        One of :data:`KINDS`.
    """
    spec = find_spec("torchvision")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0], "models", kind)
    names: list[str] = []
    try:
        for text in filter(USED.search, _sources(folder)):
            matches = list(REGISTERED.finditer(text))
            if len(matches) != len(USED.findall(NO_USE.sub("", text))):
                return None
            names += [match["name"] or match["function"] for match in matches]
    except (OSError, UnicodeDecodeError):
        return None  # a module that is a folder; an archive
    return sorted(names) or None


def _sources(folder: Path) -> Iterator[str]:
    """Yield the texts of the modules that a folder's ``__init__`` imports, and those of theirs."""
    waiting, seen = ["__init__"], {"__init__"}
    while waiting:
        text = (folder / f"{waiting.pop()}.py").read_text(encoding="utf-8")
        yield text
        new = set(IMPORTED.findall(text)) - seen
        waiting += new
        seen |= new
