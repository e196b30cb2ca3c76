"""Samples whose images cannot be read: table ``unreadable``.

Whoever asks for activations of all samples must know which of those that lack are not to be had.
An image that can be read again later is extracted as any other; that it was noted does no harm.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store.store import Store

__all__ = ["noting_unreadable", "unreadable"]


def unreadable(store: "Store") -> dict[tuple[str, str], set[int]]:
    """Return, for each (data set, view), the samples whose images could not be read."""
    noted: dict[tuple[str, str], set[int]] = defaultdict(set)
    for row in store.rows("unreadable").to_pylist():
        noted[row["dataset"], row["view"]].add(row["sample_id"])
    return noted


@contextmanager
def noting_unreadable(store: "Store", samples: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    """Do some work; note the samples that it could not read when it ends, in whatever way.

    Parameters
    ----------
    store : Store
    samples : sequence of mapping
        Filled meanwhile: ``dataset``, ``view``, ``sample_id``, ``uri``, ``reason``.

    Raises
    ------
    StorageError
        They cannot be noted. After an error of the work itself, that one is raised.
    """
    try:
        yield
    except BaseException:
        with suppress(FstoreError):
            _note(store, samples)
        raise
    _note(store, samples)


def _note(store: "Store", samples: Sequence[Mapping[str, Any]]) -> None:
    """Write down the samples that were not noted before."""
    noted, now = unreadable(store) if samples else {}, datetime.now(UTC)
    new = [s for s in samples if s["sample_id"] not in noted.get((s["dataset"], s["view"]), ())]
    if new:
        store.append("unreadable", [{**sample, "noted_at": now} for sample in new])
