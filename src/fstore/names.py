"""What a name may be: one rule for data sets, checkpoints, networks, layers, detectors, studies."""

import re
from urllib.parse import quote

from fstore.errors import DataError

__all__ = ["LONGEST", "check_new_name", "check_storable", "snapshot_name"]

LONGEST = 200
"""Bytes of a name as it stands in the name of a folder (``dataset=NAME``), percent-encoded; file
systems take 255, and what is added to a name must fit as well."""


def check_storable(name: str, what: str) -> str:
    """Return a name that can be stored, or refuse it.

    Parameters
    ----------
    name : str
    what : str
        What bears it, such as ``data set``.

    Raises
    ------
    DataError
        It is empty, too long, or holds a control character or what is no UTF-8.

    Examples
    --------
    >>> check_storable("305k", "checkpoint")
    '305k'
    """
    if not name.strip():
        raise DataError(f"a {what} needs a name; got {name!r}")
    try:
        size = len(quote(name, safe=""))
    except UnicodeEncodeError as error:
        raise DataError(f"the name {name!a} of a {what} is no UTF-8") from error
    if strange := [c for c in name if ord(c) < 32 or ord(c) == 127]:
        raise DataError(f"the name {name!r} of a {what} holds the control character {strange[0]!r}")
    if size > LONGEST:
        raise DataError(
            f"the name '{name[:40]}...' of a {what} takes {size} bytes in the name of a folder; "
            f"expected at most {LONGEST} (letters beyond ASCII take 6 and more)"
        )
    return name


def check_new_name(name: str, what: str) -> str:
    """Return a name that a user gives to a data set or a checkpoint, or refuse it.

    Parameters
    ----------
    name, what : str
        As for :func:`check_storable`.

    Raises
    ------
    DataError
        It has other characters than letters, digits and ``. _ + : -``, begins with a sign, or
        cannot be stored.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+:-]*", name):
        raise DataError(
            f"{name!a} cannot name a {what}; use letters, digits and . _ + : -, no sign first"
        )
    return check_storable(name, what)


def snapshot_name(iteration: int) -> str:
    """Return the name of the checkpoint after that many iterations.

    Examples
    --------
    >>> [snapshot_name(i) for i in (5, 300, 5000, 305_000, 1500)]
    ['5', '300', '5k', '305k', '1500']
    """
    thousands, rest = divmod(iteration, 1000)
    return f"{thousands}k" if thousands and not rest else str(iteration)
