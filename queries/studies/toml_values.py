"""Read values of a TOML file strictly: what is wrong is named with its place."""

from collections.abc import Collection, Mapping
from typing import Any

from fstore.errors import DataError
from fstore.seeds import LARGEST_SEED, check_seed

__all__ = [
    "check_keys",
    "one_of",
    "seed_number",
    "seed_numbers",
    "tables",
    "text",
    "texts",
    "true_or_false",
    "whole_number",
    "whole_numbers",
]


def check_keys(given: Mapping[str, object], known: Mapping[str, bool], where: str) -> None:
    """Refuse an unknown key and the absence of a needed one.

    Parameters
    ----------
    given : mapping
        A table of the file.
    known : mapping of str to bool
        Its keys; True: needed.
    where : str
        Names the table in messages.

    Raises
    ------
    DataError
    """
    if unknown := [key for key in given if key not in known]:
        raise DataError(f"{where}: unknown key '{unknown[0]}'; there are: {', '.join(known)}")
    if absent := [key for key, needed in known.items() if needed and key not in given]:
        raise DataError(f"{where}: key '{absent[0]}' is missing")


def tables(value: object, where: str, example: str) -> list[dict[str, Any]]:
    """Return one table, or a list of them, as a list.

    Raises
    ------
    DataError
        Something else; the message asks for a table ``example``.
    """
    found: list[Any] = value if isinstance(value, list) else [value]
    for table in found:
        if not isinstance(table, dict):
            raise DataError(f"{where} must be a table with {example}; got {table!r}")
    return found


def text(value: object, where: str) -> str:
    """Return a text that is not empty.

    Raises
    ------
    DataError
    """
    if not isinstance(value, str) or not value:
        raise DataError(f"{where} must be text in quotes, got {value!r}")
    return value


def one_of(value: object, where: str, known: Collection[str]) -> str:
    """Return a text that is one of those known.

    Raises
    ------
    DataError
    """
    if (found := text(value, where)) not in known:
        raise DataError(f"{where}: '{found}' is none of: {', '.join(known)}")
    return found


def texts(value: object, where: str) -> tuple[str, ...]:
    """Return a list of texts that is not empty.

    Raises
    ------
    DataError
    """
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise DataError(f'{where} must be a list like ["a", "b"], got {value!r}')
    return tuple(value)


def true_or_false(value: object, where: str) -> bool:
    """Return true or false.

    Raises
    ------
    DataError
    """
    if not isinstance(value, bool):
        raise DataError(f"{where} must be true or false, got {value!r}")
    return value


def whole_number(value: object, where: str) -> int:
    """Return a whole number.

    Raises
    ------
    DataError
    """
    if type(value) is not int or abs(value) > LARGEST_SEED:
        raise DataError(f"{where} must be a whole number of at most 63 bits, got {value!r}")
    return value


def seed_number(value: object, where: str) -> int:
    """Return a seed.

    Raises
    ------
    DataError
    """
    return check_seed(value, where)


def seed_numbers(value: object, where: str) -> tuple[int, ...]:
    """Return a list of seeds that is not empty.

    Raises
    ------
    DataError
    """
    return tuple(check_seed(v, where) for v in whole_numbers(value, where))


def whole_numbers(value: object, where: str) -> tuple[int, ...]:
    """Return a list of whole numbers that is not empty.

    Raises
    ------
    DataError
    """
    if not isinstance(value, list) or not value or not all(map(_fits, value)):
        raise DataError(f"{where} must be a list like [0, 1, 2], got {value!r}")
    return tuple(value)


def _fits(value: object) -> bool:
    return type(value) is int and abs(value) <= LARGEST_SEED
