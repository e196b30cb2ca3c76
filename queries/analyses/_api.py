"""What an analysis is, and the table of all analyses."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_type_hints

from fstore.docstrings import parameter_help
from fstore.queries.figures.plots import Plot, Row
from fstore.registry import Registry
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "ANALYSES",
    "Row",
    "analysis",
    "ask",
    "asked_types",
    "option_help",
    "options_of",
    "source_line",
    "tell_notes",
]

Analysis: TypeAlias = Callable[..., Iterable[Row]]
A = TypeVar("A", bound=Analysis)

ANALYSES: "Registry[Analysis]" = Registry("analysis")
"""Functions ``analysis(store, asked, *, ...) -> rows``; see :func:`analysis`."""

OWN = ("store", "on_progress")
"""Arguments of an analysis that are no options: whoever asks fills them in."""


def analysis(
    name: str,
    *,
    title: str,
    source: str,
    columns: Sequence[str],
    plot: "Plot | None" = None,
    negative: str = "",
    sweep: str = "",
) -> Callable[[A], A]:
    """Register an analysis: a question to a store that ``fstore analyze NAME`` asks.

    The function takes the store, mostly one object that says which responses of which samples are
    meant (:class:`fstore.queries.samples.asked.Asked`), and keyword arguments. Each field of the
    object and each argument becomes an option of the command: its name (``_`` as ``-``), its type
    (``str``, ``int``, ``float``, ``bool``, ``Path``, one of these or None, or ``tuple[str, ...]``
    and the like, which may be given several times), its default (none: the option is required),
    and its help from the docstring's ``Parameters`` section. An argument ``on_progress``
    (:data:`fstore.types.OnProgress` or None) is no option: the command passes its progress bar.

    Parameters
    ----------
    name : str
        ``single-filters``, ``selectivity``, ...
    title : str
        What it gives, as a heading.
    source : str
        Section or figure of the paper, or another publication, by its first author's name; see
        :func:`source_line`.
    columns : sequence of str
        Keys of its rows.
    plot : callable or None
        ``plot(rows, *, title="") -> Drawing``: a chart, or a picture.
    negative : str
        What becomes of responses below 0, where the paper's question takes it that there are none.
    sweep : str
        An option of several values that gives each its own rows, whatever the others are: they may
        be asked for in different processes. The analysis asks about one stored partition.
    """

    def add(function: A) -> A:
        meta = {"title": title, "source": source, "columns": tuple(columns), "plot": plot}
        ANALYSES.register(name, **meta, negative=negative, sweep=sweep)(function)
        return function

    return add


def source_line(source: str) -> str:
    """Say where an analysis comes from: the paper's own sections begin with a small letter.

    Examples
    --------
    >>> source_line("section 4.1"), source_line("Kornblith et al. 2019")
    ("The paper's section 4.1.", 'Source: Kornblith et al. 2019.')
    """
    return f"Source: {source}." if source[:1].isupper() else f"The paper's {source}."


def ask(
    store: "Store",
    name: str,
    *,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], object] | None = None,
    **options: Any,  # noqa: ANN401 - each analysis has its own
) -> list[Row]:
    """Ask an analysis by its name, with its options as ``fstore analyze`` takes them.

    Parameters
    ----------
    store : Store
        Where the activations are.
    name : str
        One of :data:`ANALYSES`.
    on_progress : callable or None
        Told of long work, where the analysis tells of it.
    on_note : callable or None
        Told what becomes of responses below 0, if the layer has some and it matters.
    **options
        See :func:`options_of`; those that have no default must be given.
    """
    function, given = ANALYSES[name].function, _given(name, options)
    if "on_progress" in inspect.signature(function).parameters:
        given["on_progress"] = on_progress
    rows = list(function(store, **given))
    if on_note is not None:
        tell_notes(store, name, options, on_note=on_note)
    return rows


def tell_notes(
    store: "Store", name: str, options: Mapping[str, Any], *, on_note: Callable[[str], object]
) -> None:
    """Say what becomes of responses below 0, of options as for :func:`ask`."""
    for text in _notes(store, name, _given(name, options)):
        on_note(text)


def _given(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as arguments of an analysis: fields of its dataclasses put together."""
    given = dict(options)
    for argument, kind in asked_types(ANALYSES[name].function).items():
        fields = {field: given.pop(field) for field in options_of(kind) if field in given}
        given[argument] = kind(**fields)
    return given


def _notes(store: "Store", name: str, options: Mapping[str, Any]) -> list[str]:
    """Say what an analysis makes of responses below 0, of a layer that has some."""
    from fstore.queries.samples.ablations import negative_note
    from fstore.queries.samples.asked import Asked
    from fstore.store.signs import has_negative

    asked = next((options[argument] for argument in asked_types(ANALYSES[name].function)), None)
    option = options_of(ANALYSES[name].function).get("ablation")
    ablations: Any = options.get("ablation", () if option is None else option.default)
    names = [ablations] if isinstance(ablations, str) else [*ablations]
    told = [ANALYSES[name].meta["negative"], *(negative_note(each) for each in names)]
    texts = list(dict.fromkeys(text for text in told if text))
    if not isinstance(asked, Asked) or not texts:
        return []
    if not has_negative(store, asked.partition(store)):
        return []
    return [f"layer '{asked.layer}' has responses below 0: {text}" for text in texts]


def options_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the options of an analysis by name: what must be given first, then the others.

    They are its arguments, and in place of an argument that is a dataclass the fields of that.
    """
    hints = _hints(function)
    options: dict[str, inspect.Parameter] = {}
    for name, p in inspect.signature(function).parameters.items():
        if is_dataclass(hints[name]):
            options |= options_of(hints[name])
        elif name not in OWN:
            options[name] = p.replace(annotation=hints[name])
    needed = {name: p for name, p in options.items() if p.default is p.empty}
    return needed | options


def asked_types(function: Callable[..., Any]) -> dict[str, type[Any]]:
    """Return the arguments of an analysis whose fields are options, and their classes."""
    hints = _hints(function)
    return {name: hints[name] for name in hints if is_dataclass(hints[name])}


def option_help(function: Callable[..., Any]) -> dict[str, str]:
    """Return what docstrings say of the options of an analysis.

    That is its own docstring, and those of the dataclasses among its arguments: one that is
    derived from another need not repeat what the other says.
    """
    told: dict[str, str] = {}
    for kind in asked_types(function).values():
        for base in reversed(kind.__mro__):
            told |= parameter_help(base.__doc__ or "")
    return told | parameter_help(function.__doc__ or "")


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    # a store is imported where it is opened only
    return get_type_hints(function, localns={"Store": object})
