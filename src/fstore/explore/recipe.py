"""The recipes of ``docs/sql.md``, asked with the names that a store has.

A recipe is SQL with the names of one store: ``ckpt = 'random0'``. Each such comparison is a field,
which the explorer and ``fstore sql --recipe`` fill with another name.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from fstore.errors import UnknownNameError
from fstore.store.tables import sql_text

__all__ = ["Field", "Recipe", "filled", "recipe", "recipes"]

COMPARED = re.compile(
    r"(?P<of>\b[a-z]+\.)?\b(?P<column>ckpt|dataset|layer|channel|image_id) = "
    r"(?P<value>'(?:[^']|'')*'|\d+)"
)
"""What makes a field: a column that names something, and the name."""


@dataclass(frozen=True, slots=True)
class Field:
    """A name that a recipe asks for.

    Attributes
    ----------
    name : str
        Of the parameter: the column, with a number where the recipe has several of it.
    column : str
    value : str
        What the recipe itself says.
    """

    name: str
    column: str
    value: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """A statement and its fields.

    Attributes
    ----------
    name, title : str
        Of its file, and in words.
    text : str
    fields : tuple of Field
    """

    name: str
    title: str
    text: str
    fields: tuple[Field, ...]


@cache
def recipes() -> tuple[Recipe, ...]:
    """Return all recipes, by name."""
    folder = files("fstore.explore").joinpath("recipes")
    texts = {
        entry.name.removesuffix(".sql"): entry.read_text(encoding="utf-8")
        for entry in folder.iterdir()
        if entry.name.endswith(".sql")
    }
    return tuple(_recipe(name, text) for name, text in sorted(texts.items()))


def recipe(name: str) -> Recipe:
    """Return a recipe.

    Raises
    ------
    UnknownNameError
    """
    for each in recipes():
        if each.name == name:
            return each
    raise UnknownNameError(
        f"no recipe '{name}'; there are: {', '.join(each.name for each in recipes())}"
    )


def filled(
    asked: Recipe, values: Mapping[str, str], *, beside: Mapping[str, str] | None = None
) -> str:
    """Return a recipe's statement with other names.

    Parameters
    ----------
    asked : Recipe
    values : mapping
        By name of the field; a field that is not in it keeps the recipe's own.
    beside : mapping or None
        Asked for beside each checkpoint, by column: a network, where several have one of this
        name; a view, where there are several.
    """
    names = {(field.column, field.value): field for field in asked.fields}

    def put(match: re.Match[str]) -> str:
        of, column = match["of"] or "", match["column"]
        field = names[column, _plain(match["value"])]
        value = values.get(field.name, field.value)
        text = value if column == "channel" else sql_text(value)
        also = (beside or {}) if column == "ckpt" else {}
        own = "".join(f'{of}"{name}" = {sql_text(also[name])} AND ' for name in also)
        return f"{own}{of}{column} = {text}"

    return COMPARED.sub(put, asked.text)


def _recipe(name: str, text: str) -> Recipe:
    compared = dict.fromkeys((m["column"], _plain(m["value"])) for m in COMPARED.finditer(text))
    fields: list[Field] = []
    for column, value in compared:
        number = 1 + sum(field.column == column for field in fields)
        fields.append(Field(column if number == 1 else f"{column}{number}", column, value))
    return Recipe(name, name.replace("-", " ").capitalize(), text, tuple(fields))


def _plain(value: str) -> str:
    """Return a literal's text."""
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
