"""The store as a notebook sees it: features as arrays, extraction, analyses and reports as methods.

What is asked for here is computed in the other rooms; nothing here is a number of its own.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fstore.api.features import Features
    from fstore.api.store import Store

__all__ = ["Features", "Store"]

PLACES = {"Features": "features", "Store": "store"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - that is what a module's attributes are
    """Import a class when it is asked for: it needs libraries that ``import fstore`` does not."""
    if name in PLACES:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{PLACES[name]}"), name)
    raise AttributeError(f"module 'fstore.api' has no attribute {name!r}")
