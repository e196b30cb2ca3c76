"""What a shell offers for the values of options: names that are in the store at hand."""

import os
import shlex
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["complete_names"]

ALL = "all"
"""The word for all layers that a network declares."""


def complete_names(params: Sequence[Any]) -> None:
    """Have a shell complete the names of layers, checkpoints, data sets, networks and studies.

    Parameters
    ----------
    params : sequence of typer's options and arguments
        Those of a command. Options of other names are left as they are.
    """
    for param in params:
        names = NAMES.get(param.opts[0])
        if names is not None:
            # typer's own way is an argument of each of some sixty options
            param._custom_shell_complete = _completer(names)


def _layers(store: "Store") -> Iterable[str]:
    return [ALL, *_column(store, "layers", "layer")]


def _checkpoints(store: "Store") -> Iterable[str]:
    return _column(store, "checkpoints", "name")


def _networks(store: "Store") -> Iterable[str]:
    return [*_column(store, "layers", "network"), *_column(store, "checkpoints", "network")]


def _column(store: "Store", table: str, column: str) -> list[str]:
    values: list[str] = store.rows(table)[column].to_pylist()
    return values


NAMES: dict[str, Callable[["Store"], Iterable[str]]] = {
    "--layer": _layers,
    "--from-stored": _layers,
    "--ckpt": _checkpoints,
    "--dataset": lambda store: _column(store, "datasets", "name"),
    "--network": _networks,
    "--study": lambda store: _column(store, "studies", "name"),
}
"""By option, the names that a store has for it."""


def _completer(
    names: Callable[["Store"], Iterable[str]],
) -> Callable[[Any, Any, str], list[str]]:
    def complete(_ctx: object, param: Any, incomplete: str) -> list[str]:  # noqa: ANN401 - typer's
        before, comma, begun = (
            incomplete.rpartition(",") if param.multiple else ("", "", incomplete)
        )
        given = set(before.split(","))
        return [
            before + comma + name
            for name in sorted(dict.fromkeys(_of_the_store(names)))
            if name.startswith(begun) and name not in given
        ]

    return complete


def _of_the_store(names: Callable[["Store"], Iterable[str]]) -> list[str]:
    """Return the names in the store of the line that is typed; none where it has no store."""
    from fstore.store import Store

    try:
        return list(names(Store.open(_place())))
    except (FstoreError, OSError):
        return []


def _place() -> str:
    """Return where the store of the line is that is typed, as the shell hands it over."""
    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS", "")
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that is still open
        words = line.split()
    given = [word.removeprefix("--store=") for word in words if word.startswith("--store=")]
    given += [after for word, after in pairwise(words) if word == "--store"]
    return given[-1] if given else commands.default_place()
