"""What an ablation is, and the table of all ablations."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError
from fstore.registry import Entry, Registry
from fstore.words import WORDS

__all__ = [
    "ABLATIONS",
    "Ablation",
    "Permutations",
    "Responses",
    "ablation",
    "ablation_module",
    "ablation_sql",
    "listed_ablations",
    "negative_note",
    "parse_ablation",
]

Responses: TypeAlias = NDArray[np.float32]
Permutations: TypeAlias = NDArray[np.int32]
Apply: TypeAlias = Callable[[Responses, Permutations | None], Responses]
Change: TypeAlias = Callable[..., Responses]

ABLATIONS: "Registry[Change]" = Registry("ablation")
"""Functions ``ablation(X)``, some with a number or permutations; see :func:`ablation`."""


def ablation(
    name: str,
    *,
    label: str,
    sql: str,
    reads: Literal["map", "sp_max"] = "map",
    binary: bool = False,
    pooled: bool = False,
    all_samples: bool = False,
    negative: str = "",
) -> Callable[[Change], Change]:
    """Register an ablation: a change of responses.

    The function takes X of shape (n_samples, n_channels, positions), float32, which it may change,
    and returns another of the same samples and channels. A second positional argument is its
    number: its type and default are those of ``NAME=NUMBER``. A keyword argument ``permutations``,
    of shape (n_samples, positions), int32, is each sample's permutation of places. The first line
    of its docstring says what it gives.

    Parameters
    ----------
    name : str
        ``binarize``, ``sp_max``, ...
    label : str
        What readers call it.
    sql : str
        The same as a statement over ``{source}``, rows of ``activations`` of one layer; it gives
        the same columns. ``{number}`` stands for the number, ``{seed}`` for that of permutations.
    reads : {"map", "sp_max"}
        What of a layer it needs: whole maps, or only the largest response of each.
    binary : bool
        Whether its values are 0 and 1; then, without a number, it gives the same of responses that
        are stored as bits.
    pooled : bool
        Whether it leaves one value of a map.
    all_samples : bool
        Whether a sample's values depend on the other samples of the question.
    negative : str
        What it makes of responses below 0, where the paper takes it that there are none.
    """
    WORDS[name] = label
    meta = {"label": label, "sql": sql, "reads": reads, "negative": negative}
    return ABLATIONS.register(name, **meta, binary=binary, pooled=pooled, all_samples=all_samples)


@dataclass(frozen=True, slots=True)
class Ablation:
    """An ablation as it was asked for.

    Attributes
    ----------
    name : str
        ``binarize``, ``top_k=5``.
    what : {"map", "sp_max"}
        What of a layer it needs: whole maps, or only the largest response of each.
    apply : callable
        ``apply(X, permutations)``: X of shape (n_samples, n_channels, positions), float32, gives
        another of the same samples and channels; it may change X. ``permutations`` of shape
        (n_samples, positions), int32, or None.
    shuffles : bool
        Whether it needs permutations.
    of_bits : bool
        Whether it gives the same of responses that are stored as bits.
    all_samples : bool
        Whether a sample's values depend on the other samples of the question.
    """

    name: str
    what: Literal["map", "sp_max"]
    apply: Apply
    shuffles: bool = False
    of_bits: bool = False
    all_samples: bool = False


def parse_ablation(text: str) -> Ablation:
    """Return the ablation of a name, with its number behind an equals sign.

    Parameters
    ----------
    text : str
        A registered name, or ``NAME=NUMBER``: ``sp_max``, ``top_k=5``.

    Raises
    ------
    UnknownNameError
        There is no such ablation.
    DataError
        The number is missing, or is none that the ablation knows.
    """
    entry, number = _parsed(text)
    shuffles = "permutations" in inspect.signature(entry.function).parameters
    return Ablation(
        text,
        entry.meta["reads"],
        _bound(entry.function, number, shuffles=shuffles),
        shuffles=shuffles,
        of_bits=entry.meta["binary"] and not number,
        all_samples=entry.meta["all_samples"],
    )


def negative_note(text: str) -> str:
    """Return what an ablation makes of responses below 0; empty where nothing is to be said.

    Raises
    ------
    UnknownNameError, DataError
        As :func:`parse_ablation`.
    """
    note: str = _parsed(text)[0].meta["negative"]
    return note


def ablation_module(text: str) -> str:
    """Return the module of an ablation: what is computed with it depends on that.

    Raises
    ------
    UnknownNameError, DataError
        As :func:`parse_ablation`.
    """
    return _parsed(text)[0].function.__module__


def ablation_sql(text: str, source: str, *, seed: int = 0) -> str:
    """Return the statement that gives an ablation's responses.

    Parameters
    ----------
    text : str
        As for :func:`parse_ablation`.
    source : str
        A relation, or a statement in parentheses: rows of ``activations`` of one layer.
    seed : int
        Of permutations.

    Raises
    ------
    UnknownNameError, DataError
        As :func:`parse_ablation`.
    """
    entry, number = _parsed(text)
    sql: str = entry.meta["sql"]
    value = number[0] if number else _default(entry)
    return sql.format(source=source, number=value, seed=seed)


def listed_ablations() -> str:
    """Return all ablations as they are asked for: ``none, binarize, binarize=T, top_k=K``."""
    plain, numbered = [], []
    for entry in ABLATIONS:
        parameter = _parameter(entry)
        if parameter is None or parameter.default is not parameter.empty:
            plain.append(entry.name)
        if parameter is not None:
            numbered.append(f"{entry.name}={parameter.name.upper()}")
    return ", ".join(plain + numbered)


def _parsed(text: str) -> "tuple[Entry[Change], tuple[float, ...]]":
    """Return the entry and the number, if one was given."""
    name, sign, number = text.partition("=")
    if name not in ABLATIONS or (sign and _parameter(ABLATIONS[name]) is None):
        raise UnknownNameError(f"no ablation {text!r}; there are: {listed_ablations()}")
    entry = ABLATIONS[name]
    parameter = _parameter(entry)
    if parameter is None or (not sign and parameter.default is not parameter.empty):
        return entry, ()
    return entry, (_number(text, number, int if parameter.annotation is int else float),)


def _bound(function: Change, number: tuple[float, ...], *, shuffles: bool) -> Apply:
    """Return a function of responses and permutations."""

    def apply(X: Responses, permutations: Permutations | None) -> Responses:
        named: dict[str, Any] = {"permutations": permutations} if shuffles else {}
        return function(X, *number, **named)

    if number:
        apply(np.zeros((1, 1, 1), np.float32), np.zeros((1, 1), np.int32))  # is it a fit number?
    return apply


def _parameter(entry: "Entry[Change]") -> inspect.Parameter | None:
    """Return the argument that is an ablation's number."""
    positional = list(inspect.signature(entry.function).parameters.values())[1:2]
    return next((p for p in positional if p.kind is not p.KEYWORD_ONLY), None)


def _default(entry: "Entry[Change]") -> object:
    parameter = _parameter(entry)
    return "" if parameter is None else parameter.default


def _number(text: str, number: str, kind: Callable[[str], float]) -> float:
    try:
        value = kind(number)
    except ValueError:
        raise DataError(f"{text!r} needs a number, as in threshold=0.5 or top_k=5") from None
    if not np.isfinite(value):
        raise DataError(f"{text!r} needs a finite number")
    return value
