"""What an analysis is, and the table of all analyses."""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, get_type_hints

from fstore.docstrings import parameter_help
from fstore.queries.figures.plots import Row
from fstore.registry import Registry
from fstore.types import OnProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store

__all__ = ["ANALYSES", "Row", "analysis", "ask", "asked_types", "option_help", "options_of"]

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
    plot: "Callable[..., Axes] | None" = None,
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
        Section or figure of the paper, or another publication.
    columns : sequence of str
        Keys of its rows.
    plot : callable or None
        ``plot(rows, *, ax=None) -> Axes``.
    """

    def add(function: A) -> A:
        ANALYSES.register(name, title=title, source=source, columns=tuple(columns), plot=plot)(
            function
        )
        return function

    return add


def ask(
    store: "Store",
    name: str,
    *,
    on_progress: OnProgress | None = None,
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
    **options
        See :func:`options_of`; those that have no default must be given.
    """
    function = ANALYSES[name].function
    for argument, kind in asked_types(function).items():
        fields = {field: options.pop(field) for field in options_of(kind) if field in options}
        options[argument] = kind(**fields)
    if "on_progress" in inspect.signature(function).parameters:
        options["on_progress"] = on_progress
    return list(function(store, **options))


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
