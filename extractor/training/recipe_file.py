"""Recipes as TOML files: the same entries, each checked."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fstore.errors import DataError
from fstore.extractor.training.recipe import Multiplier
from fstore.reading import read_text

__all__ = ["read_recipe"]


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
    try:
        entries = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as exc:
        raise DataError(f"cannot read recipe {path}: {exc}") from exc
    if unknown := [name for name in entries if name not in _KINDS]:
        raise DataError(f"{path}: unknown entry {unknown[0]!r}; known: {', '.join(_KINDS)}")
    return {name: _entry(path, name, value) for name, value in entries.items()}


_KINDS = {
    "lr": "a number",
    "batch_size": "a whole number",
    "momentum": "a number",
    "weight_decay": "a number",
    "step": "a whole number",
    "gamma": "a number",
    "mirror": "true or false",
    "amp": "text",
    "multipliers": "a list of tables with pattern, lr and decay",
    "iterations": "a whole number",
    "snapshots": "a list of whole numbers",
}


def _entry(path: Path, name: str, value: Any) -> Any:  # noqa: ANN401 - as TOML has it
    kind = _KINDS[name]
    try:
        return _CONVERT[kind](value)
    except (TypeError, KeyError):
        raise DataError(f"{path}: {name} must be {kind}, not {value!r}") from None


def _exactly(value: Any, *kinds: type) -> Any:  # noqa: ANN401
    """Return a value of one of the types; true and false are no numbers here."""
    if type(value) not in kinds:
        raise TypeError
    return value


def _multiplier(table: Any) -> Multiplier:  # noqa: ANN401
    if set(table) != {"pattern", "lr", "decay"}:
        raise TypeError
    lr, decay = (float(_exactly(table[name], int, float)) for name in ("lr", "decay"))
    return Multiplier(_exactly(table["pattern"], str), lr, decay)


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "a number": lambda v: float(_exactly(v, int, float)),
    "a whole number": lambda v: _exactly(v, int),
    "true or false": lambda v: _exactly(v, bool),
    "text": lambda v: _exactly(v, str),
    "a list of whole numbers": lambda v: [_exactly(x, int) for x in _exactly(v, list)],
    "a list of tables with pattern, lr and decay": lambda v: tuple(
        _multiplier(_exactly(x, dict)) for x in _exactly(v, list)
    ),
}
