"""Why a cell is stale, or differs from what it was: what of its code and inputs changed."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import Need

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["NEW", "is_of", "reasons", "stale_reasons", "summary"]

NEW = "new cell"

WORDS = {
    "partitions": "activations of {}",
    "samples": "sample set {}",
    "labels": "labels of {}",
    "weights": "weights of {}",
    "tables": "table {}",
    "parameters": "parameter {}",
}
"""What the entries of ``inputs`` are called."""


def reasons(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, ...]:
    """Say what differs between what a cell was computed from and what it is computed from now.

    Parameters
    ----------
    old, new : mapping
        With ``code_version`` and ``inputs``, as in table ``reports``.

    Returns
    -------
    tuple of str
        ``code changed``, ``activations of net/5 d.image fc changed``, ...; empty if nothing does.
    """
    differences = [] if old["code_version"] == new["code_version"] else ["code changed"]
    before, now = json.loads(old["inputs"]), json.loads(new["inputs"])
    for kind in [*WORDS, *sorted((before.keys() | now.keys()) - WORDS.keys() - {"cell"})]:
        if kind in before or kind == "weights":  # an older fstore did not note all kinds
            words = WORDS.get(kind, kind + " {}")
            differences += _differences(words, before.get(kind, {}), now.get(kind, {}))
    return tuple(differences)


def _differences(words: str, old: object, new: object) -> Iterable[str]:
    """Yield what is new, gone or other among named values."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield words.format("").strip() + " changed"
        return
    for name in dict.fromkeys((*old, *new)):
        what = words.format(name)
        if name not in old:
            yield f"{what} added"
        elif name not in new:
            yield f"{what} removed"
        elif old[name] != new[name]:
            values = f" from {old[name]} to {new[name]}" if words == WORDS["parameters"] else ""
            yield f"{what} changed{values}"


def stale_reasons(
    store: "Store", study: str, name: str, *, stale: Mapping[Need, Mapping[str, str]]
) -> dict[Need, tuple[str, ...]]:
    """Say of each stale need of a report why its stored cells will not do.

    Parameters
    ----------
    store : Store
    study, name : str
        The report's.
    stale : mapping
        Need to what it would be computed from, as in ``Standing.stale``.
    """
    past = _latest(store.rows("reports", study=study, report=name).to_pylist()) if stale else []
    why = {}
    for need, stamp in stale.items():
        mine = next((row for row in past if is_of(row, need, stamp)), None)
        why[need] = (NEW,) if mine is None else reasons(mine, stamp)
    return why


def _latest(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return one row of each fingerprint, those that were computed last first."""
    latest: dict[str, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["computed_at"], reverse=True):
        latest.setdefault(row["fingerprint"], row)
    return list(latest.values())


def is_of(row: Mapping[str, Any], need: Need, stamp: Mapping[str, str]) -> bool:
    """Whether a stored row is of a need, whatever it was computed from.

    Rows of an older fstore show it by what they read.

    Parameters
    ----------
    row : mapping
        With ``inputs``, as in table ``reports``.
    need : Need
    stamp : mapping
        What the need would be computed from now, as in ``Standing.stamps``.
    """
    old, new = json.loads(row["inputs"]), json.loads(stamp["inputs"])
    if "cell" in old:
        return bool(old["cell"] == [need.row, need.col])
    same_places = old["partitions"].keys() == new["partitions"].keys()
    return same_places and bool(old["parameters"] == new["parameters"])


def summary(reasons_by_need: Collection[tuple[str, ...]], total: int) -> str:
    """Put the reasons of a report's stale cells into a line: ``2 of 7 cells: code changed (2)``."""
    if not reasons_by_need:
        return ""
    counts = Counter(reason for each in reasons_by_need for reason in each)
    named = [f"{reason} ({n})" if len(counts) > 1 else reason for reason, n in counts.most_common()]
    more = [f"and {len(named) - 4} more reasons"] if len(named) > 5 else []
    return f"{len(reasons_by_need)} of {total} cells: " + "; ".join(
        named[: 4 if more else 5] + more
    )
