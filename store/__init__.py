"""Tables on disk: schemas, commits, integrity, SQL. Knows nothing of torch or of analyses."""

from fstore.store.store import Store

__all__ = ["Store"]
