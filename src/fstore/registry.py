"""Tables of named functions: networks, data-set formats, analyses, reports.

A new entry is one new file: the decorator adds its function under a name, the folder's
``__init__`` imports every file beside it with :func:`import_siblings`.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fstore.errors import UnknownNameError

__all__ = ["Entry", "Registry", "import_siblings"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Entry(Generic[F]):
    """One registered function and what was said of it."""

    name: str
    function: F
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """First line of the function's docstring."""
        return (self.function.__doc__ or "").strip().split("\n", 1)[0]


class Registry(Generic[F]):
    """Functions by name, in order of registration.

    Parameters
    ----------
    kind : str
        What an entry is, for messages: ``network``, ``report``.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, Entry[F]] = {}

    def register(self, name: str, **meta: Any) -> Callable[[F], F]:  # noqa: ANN401 - free-form
        """Return a decorator that adds a function under ``name``; a second use is our bug."""

        def add(function: F) -> F:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._entries[name] = Entry(name, function, meta)
            return function

        return add

    def __getitem__(self, name: str) -> Entry[F]:
        try:
            return self._entries[name]
        except KeyError:
            names = ", ".join(sorted(self._entries))
            raise UnknownNameError(f"no {self.kind} {name!r}; there are: {names}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[Entry[F]]:
        return iter(self._entries.values())


def import_siblings(package: str, path: list[str], *, leave_out: Collection[str] = ()) -> None:
    """Import every module of a package, so that its decorators run, but those left out."""
    for module in pkgutil.iter_modules(path):
        if not module.name.startswith("_") and module.name not in leave_out:
            importlib.import_module(f"{package}.{module.name}")
