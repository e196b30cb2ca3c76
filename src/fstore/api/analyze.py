"""``store.analyze``: the analyses as methods, made of their signatures and docstrings."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, get_args, get_origin

from fstore.api.rows import Rows
from fstore.docstrings import beside_parameters
from fstore.errors import DataError
from fstore.queries.analyses import ANALYSES, ask, option_help, options_of, source_line
from fstore.queries.figures.titles import analysis_title
from fstore.showing import table_html
from fstore.store.parts import Split, default_split

if TYPE_CHECKING:
    from fstore.registry import Entry
    from fstore.store import Store

__all__ = ["Analyses"]

SPLIT_HELP = (
    "official, random:0, random:1, ...; None for the only one that the data set has, else the "
    "official one."
)


class Analyses:
    """The analyses of a store: ``store.analyze.selectivity(layer=..., ckpt=..., dataset=...)``.

    Each returns :class:`~fstore.api.rows.Rows`. ``help(store.analyze.selectivity)`` says what it
    takes; ``dir(store.analyze)`` lists them all.
    """

    def __init__(self, store: "Store") -> None:
        self._store = store

    def __getattr__(self, name: str) -> Callable[..., Rows]:
        if name.startswith("_") or _dashed(name) not in ANALYSES:
            raise AttributeError(f"no analysis {name!r}; there are: {', '.join(_names())}")
        return _method(self._store, ANALYSES[_dashed(name)])

    def __dir__(self) -> list[str]:
        return _names()

    def __repr__(self) -> str:
        return f"<analyses: {', '.join(_names())}>"

    def _repr_html_(self) -> str:
        rows = [(_underscored(e.name), e.meta["title"], e.meta["source"]) for e in ANALYSES]
        return table_html(("store.analyze.", "gives", "source"), sorted(rows))


def _names() -> list[str]:
    return sorted(_underscored(entry.name) for entry in ANALYSES)


def _underscored(name: str) -> str:
    return name.replace("-", "_")


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _method(store: "Store", entry: "Entry[Any]") -> Callable[..., Rows]:
    """Return a function that asks an analysis; its signature and its help are that one's."""
    signature = _signature(entry)

    def method(*args: Any, quiet: bool = False, **given: Any) -> Rows:  # noqa: ANN401
        from fstore.api.progress import shown

        bound = signature.bind(*args, **given).arguments
        options = _options(store, entry, bound)
        with shown(quiet=quiet) as update:
            rows = ask(store, entry.name, on_progress=update, **options)
        meta = entry.meta
        heading = analysis_title(meta["title"], options)
        return Rows(
            rows, columns=meta["columns"], draw=meta["plot"], what=entry.name, heading=heading
        )

    name = _underscored(entry.name)
    method.__name__, method.__qualname__ = name, f"Store.analyze.{name}"
    method.__doc__ = _doc(entry, signature)
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


def _signature(entry: "Entry[Any]") -> inspect.Signature:
    """Return the arguments: what must be given also without its name, a split as one text."""
    kinds = inspect.Parameter
    parameters = []
    for name, p in options_of(entry.function).items():
        if name == "seed" and "split" in options_of(entry.function):
            continue  # that of the split: random:3
        needed = p.default is p.empty
        kind = kinds.POSITIONAL_OR_KEYWORD if needed else kinds.KEYWORD_ONLY
        if name == "split":
            parameters.append(p.replace(kind=kind, default=None, annotation=str | None))
        else:
            parameters.append(p.replace(kind=kind))
    quiet = kinds("quiet", kinds.KEYWORD_ONLY, default=False, annotation=bool)
    return inspect.Signature([*parameters, quiet], return_annotation=Rows)


def _options(store: "Store", entry: "Entry[Any]", given: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an analysis takes: its split looked up, single values where it takes several."""
    taken = options_of(entry.function)
    options = {
        name: _several(value, taken[name].annotation)
        for name, value in given.items()
        if name not in ("split", "quiet")
    }
    if "split" not in taken:
        return options
    split, part = given.get("split"), options.get("part", taken.get("part", _ALL).default)
    if part:
        named = Split.parse(split) if split else default_split(store, [options["dataset"]])
        return {**options, "split": named.name, "seed": named.seed}
    if split is not None:
        raise DataError(
            f"split={split!r} says of which split a part is meant; add part='train', 'val' or "
            "'test'"
        )
    return options


_ALL = inspect.Parameter("part", inspect.Parameter.KEYWORD_ONLY, default="all")
"""Of an analysis that takes no part: it reads all of them."""


def _several(value: Any, annotation: Any) -> Any:  # noqa: ANN401
    """Return values as the analysis wants them: one alone, or a list, as a tuple of its type."""
    if get_origin(annotation) is not tuple:
        return value
    values = [value] if isinstance(value, (str, int)) else list(value)
    kind = get_args(annotation)[0]
    return tuple(str(v) if kind is str else v for v in values)


def _doc(entry: "Entry[Any]", signature: inspect.Signature) -> str:
    """Return the help: what the analysis says of itself, of its options, and what it gives."""
    before, behind = beside_parameters(entry.function.__doc__ or "")
    told = {**option_help(entry.function), "split": SPLIT_HELP, "quiet": "Show no progress."}
    lines = []
    for name, p in signature.parameters.items():
        default = "" if p.default is p.empty else f", default {p.default!r}"
        lines += [
            f"{name} : {inspect.formatannotation(p.annotation)}{default}",
            f"    {told[name]}",
        ]
    columns = f"Columns: {', '.join(entry.meta['columns'])}."
    behind = behind.replace("list of dict\n", f"Rows\n    {columns}\n", 1)
    source = source_line(entry.meta["source"])
    return "\n".join([before, "", source, "", "Parameters", "----------", *lines, "", behind])
