"""Recipes as TOML files: the same entries, each checked."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from msgspec import UNSET, UnsetType, defstruct

from fstore.extractor.training.recipe import Recipe
from fstore.reading import read_text
from fstore.toml_file import Table, parse_toml, typed

__all__ = ["read_recipe"]

_KINDS: dict[str, Any] = {
    **{field.name: field.type for field in fields(Recipe)},
    "iterations": int,
    "snapshots": list[int],
}
_File = defstruct(
    "_File",
    [(name, kind | UnsetType, UNSET) for name, kind in _KINDS.items()],
    bases=(Table,),
    frozen=True,
)
"""A file may say any of the entries; those that it leaves out are not set."""


def read_recipe(path: Path) -> dict[str, Any]:
    """Return the entries of a recipe file: those of :class:`Recipe`, iterations, snapshots.

    Parameters
    ----------
    path : Path
        TOML. ``multipliers`` is an array of tables with ``pattern``, ``lr`` and ``decay``.

    Raises
    ------
    DataError
        The file cannot be read, or an entry is unknown or of the wrong type.

    Examples
    --------
    A file that doubles the step and freezes the first layer::

        step = 200_000
        snapshots = [5_000, 200_000]
        multipliers = [
            { pattern = "conv1.*", lr = 0, decay = 0 },
            { pattern = "*.bias", lr = 2, decay = 0 },
        ]
    """
    source = str(path)
    entries = typed(parse_toml(read_text(path), source), _File, source)
    values = {name: getattr(entries, name) for name in _KINDS}
    return {name: value for name, value in values.items() if value is not UNSET}
