"""What msgspec says of a value's type, in words for whoever wrote the file."""

import re
from typing import Any

from msgspec.inspect import (
    BoolType,
    FloatType,
    IntType,
    ListType,
    LiteralType,
    NoneType,
    StrType,
    StructType,
    TupleType,
    Type,
    UnionType,
    VarTupleType,
    type_info,
)

from fstore.seeds import LARGEST_SEED

__all__ = ["in_words"]

_PARTS = re.compile(r"\A(.*?)(?: - at `\$((?:\.\w+|\[\d+\])+)`)?\Z", re.DOTALL)
"""The fault and its place, ``.make.pretrain[0].seed``: empty for the file itself."""


def in_words(fault: str, kind: type, written: Any) -> str:  # noqa: ANN401 - as TOML has it
    """Return what is wrong at which key, what was expected, and what is there.

    Parameters
    ----------
    fault : str
        Such as ``Expected `int`, got `str` - at `$.tuned[0].seed```.
    kind : type
        What the file was to be.
    written : object
        What the file says. A table may stand where ``kind`` has a list; its place is no number.

    Examples
    --------
    >>> from fstore.toml_file import Seed, Table
    >>> class Run(Table, frozen=True):
    ...     seed: Seed
    >>> in_words("Object contains unknown field `sed`", Run, {"sed": 1})
    "unknown key 'sed'; there are: seed"
    """
    place, wanted = "", type_info(kind)
    message, path = _PARTS.findall(fault)[0]
    for key, index in re.findall(r"\.(\w+)|\[(\d+)\]", path):
        wanted = _within(wanted, key, index)
        if key or isinstance(written, list):
            place += f".{key}" if key else f"[{index}]"
            written = written[key or int(index)]
    place = place.removeprefix(".")
    if wrong := re.fullmatch(r"Object (missing|contains) .*? field `(.*)`", message, re.DOTALL):
        start = f"{place}: " if place else ""
        if wrong[1] == "missing":
            return f"{start}key '{wrong[2]}' is missing"
        return f"{start}unknown key '{wrong[2]}'; there are: {', '.join(_keys(wanted))}"
    if isinstance(wanted, LiteralType) and isinstance(written, str):
        return f"{place}: '{written}' is none of: {', '.join(map(str, wanted.values))}"
    return f"{place} must be {_words(wanted)}, got {written!r}"


def _within(wanted: Type, key: str, index: str) -> Type:
    """Return the type of what stands under a key of a table, or at an index of a list."""
    match _bare(wanted):
        case StructType(fields=fields):
            return _bare(next(field.type for field in fields if field.encode_name == key))
        case VarTupleType(item_type=item) | ListType(item_type=item):
            return item
        case TupleType(item_types=items):
            return items[int(index)]
    return wanted


def _bare(wanted: Type) -> Type:
    """Return a type without the None of a key that may be left out."""
    if not isinstance(wanted, UnionType):
        return wanted
    first, *others = (kind for kind in wanted.types if not isinstance(kind, NoneType))
    return UnionType((first, *others)) if others else first


def _keys(wanted: Type) -> list[str]:
    return [field.encode_name for field in wanted.fields] if isinstance(wanted, StructType) else []


def _words(wanted: Type) -> str:
    """Say what a value must be."""
    match wanted:
        case VarTupleType(item_type=item) | ListType(item_type=item):
            words = f"a list {_such(item)}"
        case TupleType(item_types=items):
            words = f"a list of {len(items)} numbers {_such(items[0])}"
        case StructType():
            words = f"a table with {', '.join(_keys(wanted))}"
        case IntType():
            words = _WHOLE[wanted.ge]
        case UnionType(types=kinds):
            whole = any(isinstance(kind, FloatType) for kind in kinds)
            words = " or ".join(_words(k) for k in kinds if not (whole and isinstance(k, IntType)))
        case _:
            words = _NAMES[type(wanted)]
    return words


def _such(item: Type) -> str:
    if isinstance(item, StructType):
        return f"of tables with {', '.join(_keys(item))}"
    return f"like {_EXAMPLES[type(item)]}"


_WHOLE = {
    None: "a whole number",
    0: "a whole number from 0 to 2**63 - 1",
    -LARGEST_SEED: "a whole number of at most 63 bits",
}
"""Whole numbers by the least that may be there."""

_NAMES: dict[type, str] = {
    StrType: "text in quotes",
    LiteralType: "text in quotes",
    FloatType: "a number",
    BoolType: "true or false",
}
_EXAMPLES: dict[type, str] = {
    StrType: '["a", "b"]',
    LiteralType: '["a", "b"]',
    IntType: "[0, 1, 2]",
    FloatType: "[0.5, 0.1, 0.4]",
}
