"""A feature store and batch analytics for neural-network activations.

>>> import fstore
>>> store = fstore.open("fstore-store")  # doctest: +SKIP
>>> store.sql("SELECT layer, sum(nnz) FROM activations GROUP BY layer").polars()  # doctest: +SKIP
"""

from pathlib import Path
from typing import TYPE_CHECKING

from fstore.errors import (
    DataError,
    FstoreError,
    IdentityError,
    MissingExtraError,
    QueryError,
    SchemaError,
    StorageError,
    UnknownNameError,
)

if TYPE_CHECKING:
    from fstore.api import Features, Store

__all__ = [
    "DataError",
    "Features",
    "FstoreError",
    "IdentityError",
    "MissingExtraError",
    "QueryError",
    "SchemaError",
    "StorageError",
    "Store",
    "UnknownNameError",
    "__version__",
    "create",
    "open",
]

__version__: str


if not TYPE_CHECKING:  # a checker would take every name for an attribute

    def __getattr__(name: str) -> object:
        """Look things up when asked: what they need takes longer than ``import fstore`` may."""
        if name == "__version__":
            from importlib.metadata import version

            return version("fstore")
        if name in ("Features", "Store"):
            from fstore import api

            return getattr(api, name)
        raise AttributeError(f"module 'fstore' has no attribute {name!r}")


def open(path: str | Path) -> "Store":  # noqa: A001 - read as fstore.open
    """Open a store.

    Parameters
    ----------
    path : str or Path
        Its directory.

    Raises
    ------
    StorageError
        There is none (:func:`create` makes one).
    SchemaError
        It was written by another version of fstore.
    """
    from fstore.api import Store

    return Store.open(path)


def create(path: str | Path) -> "Store":
    """Make a store in a new or empty directory; one that is there already is opened.

    Raises
    ------
    StorageError
        The directory holds something else, or cannot be written.
    """
    from fstore.api import Store

    return Store.create(path)
