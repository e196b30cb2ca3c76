"""A report of a study's own that asks an analysis: its options checked, its rows as a table."""

from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, get_args, get_origin

from fstore.errors import DataError, FstoreError
from fstore.queries.cells.needs import Need, Option, Own
from fstore.queries.cells.own_inputs import options_of as options_of_need
from fstore.queries.samples.ablations import parse_ablation
from fstore.queries.studies.own import OwnReport
from fstore.store.parts import PART_NAMES, Split, default_split

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.registry import Entry
    from fstore.store import Store

__all__ = ["TOLD", "asked_rows", "check_options", "needed", "with_analysis", "with_split"]

TOLD = ("fate", "constant_in", "worst_class", "uri", "classes")
"""Columns of text in which an analysis tells what it found: they name no row."""

NAMES = ("class", "other", "other_channel")
"""Columns that name a row also where none of its rows has a value."""

VIEWS = ("image", "gt", "proposal")

KINDS = {str: "text in quotes", int: "a whole number", float: "a number", bool: "true or false"}


def check_options(own: OwnReport) -> None:
    """Refuse an analysis that is not known, and options that it does not take.

    Parameters
    ----------
    own : OwnReport
        One with ``analysis``.

    Raises
    ------
    DataError
        Says which option, and what was expected.
    """
    where = f"report '{own.name}'"
    taken = _taken(own)
    for name in (*own.options, *own.params):
        if name == "seed" and "split" in taken:
            raise DataError(f'{where}: seed goes with the split: write split = "random:3"')
        if name not in taken:
            raise DataError(
                f"{where}: analysis '{own.analysis}' has no option '{name}'; it has: "
                f"{', '.join(n for n in taken if n != 'seed' or 'split' not in taken)}"
            )
        if name in own.options and name in own.params:
            raise DataError(f"{where}: {name} stands in options and in params; give it once")
    for name in own.params:
        kind = _kind(taken[name])
        if kind is not str:
            raise DataError(f"{where}: params: {name} must be {KINDS[kind]}; write it in options")
    for name, value in own.options.items():
        _check_kind(f"{where}: options: {name}", value, taken[name])
    _check_words(own, where)


def _taken(own: OwnReport) -> dict[str, Parameter]:
    from fstore.queries.analyses import ANALYSES, options_of

    try:
        return options_of(ANALYSES[str(own.analysis)].function)
    except FstoreError as error:
        raise DataError(f"report '{own.name}': {error}") from error


def _kind(option: Parameter) -> type:
    """Return the type of an option, or of each of its values."""
    hint = option.annotation
    if get_origin(hint) is tuple:
        hint = get_args(hint)[0]
    if get_origin(hint) is UnionType:
        hint = next(each for each in get_args(hint) if each is not NoneType)
    return hint  # type: ignore[no-any-return]


def _check_kind(where: str, value: object, option: Parameter) -> None:
    kind, several = _kind(option), get_origin(option.annotation) is tuple
    values = value if several and isinstance(value, list) and value else [value]
    fits = (int, float) if kind is float else (kind,)
    if any(type(each) not in fits for each in values):
        more = ", or a list of such" if several else ""
        raise DataError(f"{where} must be {KINDS[kind]}{more}, got {value!r}")


def _check_words(own: OwnReport, where: str) -> None:
    """Refuse words that no option of this name takes, whatever the store has."""
    given = {**own.options, **{n: v for n, v in own.params.items() if isinstance(v, tuple)}}
    for name, known in (("view", VIEWS), ("part", PART_NAMES)):
        for word in _listed(given.get(name)):
            if word not in known:
                raise DataError(f"{where}: no {name} '{word}'; there are: {', '.join(known)}")
    try:
        for word in _listed(given.get("ablation")):
            parse_ablation(word)
        for word in _listed(given.get("split")):
            Split.parse(word)
    except FstoreError as error:
        raise DataError(f"{where}: {error}") from error


def _listed(value: Any) -> list[Any]:  # noqa: ANN401 - of an option
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def needed(own: OwnReport) -> list[str]:
    """Return the options of a report's analysis that must have a value, and have none yet."""
    given = {*own.options, *own.params}
    return [n for n, p in _taken(own).items() if p.default is p.empty and n not in given]


def with_analysis(spec: Own, own: OwnReport) -> Own:
    """Return how cells come about, with the analysis and all its options, also the usual ones."""
    from fstore.queries.analyses import ANALYSES

    entry, taken = ANALYSES[str(own.analysis)], _taken(own)
    options = {name: p.default for name, p in taken.items() if p.default is not p.empty}
    options |= {name: _value(value, taken[name]) for name, value in own.options.items()}
    if "split" in taken:
        options.pop("seed", None)
        options["split"] = own.options.get("split")
    return replace(
        spec, analysis=entry.name, code=entry.function.__module__, options=tuple(options.items())
    )


def _value(value: Any, option: Parameter) -> Option:  # noqa: ANN401 - of TOML
    """Return a value as the analysis takes it: several as a tuple, a whole number as a float."""
    if get_origin(option.annotation) is tuple:
        return tuple(_listed(value))
    return float(value) if _kind(option) is float else value


def with_split(store: "Store", need: Need) -> Need:
    """Return a cell with the split that its data set is used with, where none is named.

    Raises
    ------
    UnknownNameError
        The data set is not registered, or has several splits and no official one.
    """
    assert need.own is not None  # noqa: S101 - of an own report
    options = options_of_need(need)
    if "split" not in options or options["split"] or options.get("part", "all") in (None, ""):
        return need
    split = str(default_split(store, [str(options["dataset"])]))
    told = {**dict(need.own.options), "split": split}
    return replace(need, own=replace(need.own, options=tuple(told.items())))


def asked_rows(store: "Store", need: Need) -> "pa.Table":
    """Return the rows of a cell's analysis, without what it only tells.

    Raises
    ------
    FstoreError
        What the analysis raises.
    """
    from fstore.queries.analyses import ANALYSES, ask, options_of

    own = need.own
    assert own is not None  # noqa: S101 - of an own report
    entry = ANALYSES[own.analysis]
    taken, options = options_of(entry.function), options_of_need(need)
    given: dict[str, Any] = {name: _value(value, taken[name]) for name, value in options.items()}
    if "split" in given:
        split = Split.parse(given["split"] or "official")
        given |= {"split": split.name, "seed": split.seed}
    return _table(ask(store, own.analysis, **given), entry, own)


def _table(rows: list[Mapping[str, Any]], entry: "Entry[Any]", own: Own) -> "pa.Table":
    """Return rows as a table whose columns are names or numbers."""
    import pyarrow as pa

    columns = {}
    for name in entry.meta["columns"]:
        values = [row[name] for row in rows]
        texts = any(isinstance(v, str) for v in values)
        if name in own.rows or (name in NAMES and not own.rows):
            columns[name] = pa.array([None if v is None else str(v) for v in values], pa.string())
        elif texts and not own.rows and name not in TOLD:
            columns[name] = pa.array(values, pa.string())
        elif not texts and all(isinstance(v, bool | int | float | None) for v in values):
            whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
            columns[name] = pa.array(
                values if whole else [None if v is None else float(v) for v in values],
                pa.int64() if whole else pa.float64(),
            )
    return pa.table(columns)
