"""An analysis whose rows are each for itself, asked value by value in other processes."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import StorageError
from fstore.queries.analyses._api import ANALYSES, Row, ask, asked_types, options_of, tell_notes
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Submit", "ask_elsewhere"]

Submit: TypeAlias = "Callable[..., Future[Any]]"
"""As the method of ``concurrent.futures.Executor``."""


def ask_elsewhere(
    store: "Store",
    name: str,
    submit: Submit,
    *,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], object] | None = None,
    **options: Any,  # noqa: ANN401 - each analysis has its own
) -> list[Row]:
    """Ask an analysis for each value of the option that it sweeps over, a task each.

    Parameters
    ----------
    store : Store
        Where the activations are; workers open it by its path or URI.
    name : str
        An analysis that was registered with ``sweep``.
    submit : callable
        Has a function called by a worker.
    on_progress : callable or None
        Told of each value that is done.
    on_note : callable or None
        As for :func:`fstore.queries.analyses.ask`.
    **options
        As for :func:`fstore.queries.analyses.ask`.

    Returns
    -------
    list of dict
        The rows in the order of the values, as one call gives them here.

    Raises
    ------
    StorageError
        A worker sees other responses, or has other code.
    Exception
        What the analysis raises.
    """
    option = ANALYSES[name].meta["sweep"]
    values = options.get(option, options_of(ANALYSES[name].function)[option].default)
    seen = _seen(store, name, options)
    futures = [
        submit(_answer, str(store.place), name, _Asked({**options, option: (value,)}, seen))
        for value in values
    ]
    rows: list[Row] = []
    try:
        for done, (value, future) in enumerate(zip(values, futures, strict=True), start=1):
            rows += future.result()
            if on_progress is not None:
                on_progress(name, done, len(values), str(value))
    finally:
        for future in futures:
            future.cancel()
    if on_note is not None:
        tell_notes(store, name, options, on_note=on_note)
    return rows


@dataclass(frozen=True)
class _Asked:
    """Options of an analysis, and what its asker sees: code and responses."""

    options: Mapping[str, Any]
    seen: tuple[str, str]


def _answer(where: str, name: str, asked: _Asked) -> list[Row]:
    """Ask here, if this process sees the same responses as who sent it."""
    from fstore.store import Store

    store = Store.open(where)
    if _seen(store, name, asked.options) != asked.seen:
        raise StorageError(
            f"a worker sees other responses in the store at {where}, or has another version of "
            "fstore's code: give all nodes the same, and ask again"
        )
    return ask(store, name, **asked.options)


def _seen(store: "Store", name: str, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the versions of the code and of the responses that are asked about."""
    from fstore.queries.cells.code import code_version
    from fstore.store.versions import partition_version

    function = ANALYSES[name].function
    (kind,) = asked_types(function).values()
    fields = {field: options[field] for field in options_of(kind) if field in options}
    place = kind(**fields).partition(store)
    files = [file for file in store.files(layer=place.layer) if file.partition == place]
    return code_version(function.__module__), partition_version(files)
