"""What a page is, and the table of all pages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import DataError, UnknownNameError
from fstore.explore.once import once
from fstore.registry import Registry
from fstore.store.files import Partition

if TYPE_CHECKING:
    from starlette.datastructures import QueryParams
    from starlette.responses import Response

    from fstore.explore.contents import Contents
    from fstore.store import Store

__all__ = ["PAGES", "Asked", "Page", "page"]

Shown: TypeAlias = "Mapping[str, object] | Response"
"""What a page gives: the values of its template, or a whole response (a picture, a file)."""

PARTITION = ("network", "ckpt", "dataset", "view", "layer")


@dataclass(frozen=True)
class Asked:
    """One request: the store, and what its address asks for.

    Attributes
    ----------
    contents : Contents
        What was read of the store and is kept, while it is still true.
    given : QueryParams
        The address's parameters; each is text, and may be anything.
    """

    contents: "Contents"
    given: "QueryParams"

    @property
    def store(self) -> "Store":
        """The store."""
        return self.contents.store

    def text(self, name: str, default: str | None = None) -> str:
        """Return a parameter; one without a default must be there.

        Raises
        ------
        DataError
        """
        value = self.given.get(name) or default
        if value is None:
            raise DataError(f"the address has no '{name}'; it must say which one is meant")
        return value

    def number(self, name: str, default: int | None = None, *, most: int = 2**31 - 1) -> int:
        """Return a parameter that is a whole number from 0 to ``most``.

        Raises
        ------
        DataError
        """
        text = self.text(name, None if default is None else str(default))
        if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= most):
            raise DataError(f"'{name}' is {text!r}; expected a whole number from 0 to {most}")
        return int(text)

    def one_of(self, name: str, choices: "tuple[str, ...]") -> str:
        """Return a parameter that is one of some words; the first is meant where none is given.

        Raises
        ------
        DataError
        """
        value = self.text(name, choices[0])
        if value not in choices:
            raise DataError(f"'{name}' is {value!r}; expected one of {', '.join(choices)}")
        return value

    @once
    def partition(self) -> Partition:
        """Return the partition that the address names.

        Raises
        ------
        UnknownNameError
            It is not stored.
        DataError
            One of them is not given.
        """
        values = {n: self.text(n, "image" if n == "view" else None) for n in PARTITION}
        partition = Partition(**values)
        if partition not in self.contents.partitions:
            raise UnknownNameError(f"no activations of {partition} are stored")
        return partition


Page: TypeAlias = Callable[[Asked], Shown]

PAGES: "Registry[Page]" = Registry("page")
"""Functions ``page(asked) -> values of the template``, by their path."""


def page(path: str, *, template: str = "", nav: str = "") -> Callable[[Page], Page]:
    """Register a page, a part of one, or pictures.

    Parameters
    ----------
    path : str
        ``/filter``; parameters come after ``?``, so that names may hold any character.
    template : str
        File of ``templates/``; empty where the function returns a response.
    nav : str
        How the bar at the top calls it; empty: not listed there.
    """

    def add(function: Page) -> Page:
        entry: Any = PAGES.register(path, template=template, nav=nav)
        added: Page = entry(function)
        return added

    return add
