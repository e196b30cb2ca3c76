"""Tables on disk: schemas, commits, integrity, SQL. Knows nothing of torch or of analyses."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["Store"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - that is what a module's attributes are
    """Import the store when it is asked for: it needs libraries that names of parts do not."""
    if name == "Store":
        from fstore.store.store import Store

        return Store
    raise AttributeError(f"module 'fstore.store' has no attribute {name!r}")
