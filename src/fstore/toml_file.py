"""Files in TOML: msgspec checks the types of what they say."""

import tomllib
from typing import Annotated, Any, TypeVar

from msgspec import Meta, Struct, ValidationError, convert

from fstore.errors import DataError
from fstore.seeds import LARGEST_SEED

__all__ = [
    "Seed",
    "Seeds",
    "Table",
    "Text",
    "Texts",
    "WholeNumber",
    "WholeNumbers",
    "parse_toml",
    "typed",
]

Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
WholeNumber = Annotated[int, Meta(ge=-LARGEST_SEED, le=LARGEST_SEED)]
WholeNumbers = Annotated[tuple[WholeNumber, ...], Meta(min_length=1)]
Seed = Annotated[int, Meta(ge=0, le=LARGEST_SEED)]
Seeds = Annotated[tuple[Seed, ...], Meta(min_length=1)]

Kind = TypeVar("Kind")


class Table(Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a file: its fields are the keys that it may have."""


def parse_toml(toml: str, source: str) -> dict[str, Any]:
    """Return what a text in TOML says.

    Parameters
    ----------
    toml : str
    source : str
        Name of the file, for messages.

    Raises
    ------
    DataError
        It is no TOML.
    """
    try:
        return tomllib.loads(toml)
    except (ValueError, RecursionError) as error:  # thousands of digits, or of brackets
        raise DataError(f"{source} is not TOML: {error}") from error


def typed(
    said: object, kind: type[Kind], source: str, *, written: dict[str, Any] | None = None
) -> Kind:
    """Return what a file says as a type.

    Types are what they are in TOML: ``true`` is no number, ``1.0`` no whole number; but ``1`` is
    a number too.

    Parameters
    ----------
    said : object
        From :func:`parse_toml`.
    kind : type
        A :class:`Table`.
    source : str
        Name of the file, for messages.
    written : dict or None
        The same as it stands in the file, where a table alone is not yet a list of one.

    Raises
    ------
    DataError
        A key is missing, unknown or of a wrong type: at which place, and what was expected.

    Examples
    --------
    >>> class Run(Table, frozen=True):
    ...     seeds: Seeds
    >>> typed({"seeds": [1, 2]}, Run, "run.toml").seeds
    (1, 2)
    >>> typed({"seeds": [1, True]}, Run, "run.toml")
    Traceback (most recent call last):
    fstore.errors.DataError: run.toml: seeds[1] must be a whole number from 0 to 2**63 - 1, got True
    """
    try:
        return convert(said, kind)
    except ValidationError as error:
        from fstore.toml_faults import in_words

        fault = in_words(str(error), kind, said if written is None else written)
        raise DataError(f"{source}: {fault}") from error
