"""What an analysis is, and the table of all analyses."""

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from fstore.queries.figures.plots import Row
from fstore.registry import Registry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ANALYSES", "Row", "analysis"]

Analysis: TypeAlias = Callable[..., Iterable[Row]]
A = TypeVar("A", bound=Analysis)

ANALYSES: "Registry[Analysis]" = Registry("analysis")
"""Functions ``analysis(store, *, layer, ckpt, ...) -> rows``; see :func:`analysis`."""


def analysis(
    name: str,
    *,
    title: str,
    source: str,
    columns: Sequence[str],
    plot: "Callable[..., Axes] | None" = None,
) -> Callable[[A], A]:
    """Register an analysis: a question to a store that ``fstore analyze NAME`` asks.

    The function takes the store and keyword arguments only. Each of them becomes an option of the
    command: its name (``_`` as ``-``), its type (``str``, ``int``, ``float``, ``bool``, ``Path``,
    one of these or None, or ``tuple[str, ...]`` and the like, which may be given several times),
    its default (none: the option is required), and its help from the docstring's ``Parameters``
    section. An
    argument ``on_progress`` (:data:`fstore.types.OnProgress` or None) is no option: the command
    passes its progress bar.

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
