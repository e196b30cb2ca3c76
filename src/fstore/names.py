"""What a name may be: one rule for data sets, checkpoints, networks, layers, detectors, studies."""

import re
from pathlib import Path
from urllib.parse import quote

from fstore.errors import DataError

__all__ = [
    "LONGEST",
    "check_new_name",
    "check_storable",
    "check_texts",
    "checkpoint_name",
    "network_name",
    "own_file",
    "snapshot_name",
]

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


def own_file(network: str) -> Path | None:
    """Return the file that a network's name says it is stated in; None of other names.

    Returns
    -------
    Path or None
        Absolute, with ``~`` replaced. Links keep their names, so that one may stand for a file
        that was moved.

    Examples
    --------
    >>> own_file("/home/ann/nets.py:small").name
    'nets.py'
    >>> own_file("package.module:small")
    """
    text, _, _ = network.rpartition(":")
    if not text.endswith(".py"):
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:  # ~nobody
        path = Path(text)
    return path.resolve() if ".." in path.parts else path.absolute()


def network_name(text: str) -> str:
    """Return a network's name as the store has it: files and folders by their whole paths.

    Examples
    --------
    >>> network_name("caffenet")
    'caffenet'
    >>> network_name("/home/ann/./nets.py:small")
    '/home/ann/nets.py:small'
    """
    path = own_file(text)
    if path is not None:
        return f"{path}:{text.rpartition(':')[2]}"
    library, _, folder = text.partition(":")
    if library == "hf" and folder and Path(folder).is_dir():
        return f"hf:{Path(folder).resolve()}"
    return text


def checkpoint_name(text: str) -> str:
    """Return ``NAME`` or ``NETWORK/NAME`` with the network's name as the store has it.

    Examples
    --------
    >>> checkpoint_name("caffenet/305k")
    'caffenet/305k'
    >>> checkpoint_name("/home/ann/./nets.py:small/305k")
    '/home/ann/nets.py:small/305k'
    """
    network, slash, name = text.rpartition("/")
    return f"{network_name(network)}{slash}{name}"


def check_texts(**given: object) -> None:
    """Refuse names that are no texts, as a list of them; None stands for what is not given.

    Raises
    ------
    DataError
        Says which, and what it is.
    """
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            raise DataError(
                f"{name}={value!r} is of type {type(value).__name__}; give one name, as a text"
            )
