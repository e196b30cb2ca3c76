"""What a data set or a checkpoint may be called."""

import re

from fstore.errors import DataError

__all__ = ["check_name"]


def check_name(what: str, name: str) -> None:
    """Refuse a name that a store cannot use, with a :class:`DataError` that says why."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+:-]*", name):
        raise DataError(
            f"{name!r} cannot name {what}; use letters, digits and . _ + : -, no sign first"
        )
