"""The lineage of checkpoints: which one a training started from."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fstore.types import CheckpointRecord

__all__ = ["Descendant", "lineage"]


@dataclass(frozen=True, slots=True)
class Descendant:
    """A checkpoint in its place in the tree.

    ``branch`` is drawn before its name: empty for a root, ``├─ `` or ``└─ `` for a child, with
    the lines of its forebears before it.
    """

    record: CheckpointRecord
    branch: str


def lineage(records: Sequence[CheckpointRecord]) -> list[Descendant]:
    """Return checkpoints as a tree: each one followed by those that were trained from it.

    Parameters
    ----------
    records : sequence of CheckpointRecord
        Siblings and roots keep their order.

    Returns
    -------
    list of Descendant
        Each record once. One whose parent is not among ``records`` is a root.

    Examples
    --------
    >>> records = [CheckpointRecord("n", "a"), CheckpointRecord("n", "b", parent="a")]
    >>> [d.branch + d.record.name for d in lineage([*records, CheckpointRecord("n", "c")])]
    ['a', '└─ b', 'c']
    """
    names = {(r.network, r.name) for r in records}
    children: dict[tuple[str, str], list[CheckpointRecord]] = defaultdict(list)
    roots: list[CheckpointRecord] = []
    for record in records:
        parent = (record.network, record.parent or "")
        of_other = parent in names and record.parent != record.name
        (children[parent] if of_other else roots).append(record)
    descendants = [d for root in roots for d in _below(root, children, branch="", stem="")]
    reached = {(d.record.network, d.record.name) for d in descendants}
    # a checkpoint may have been dropped and made again from its own descendant
    lost = [r for r in records if (r.network, r.name) not in reached]
    return descendants + [Descendant(record, "") for record in lost]


def _below(
    record: CheckpointRecord,
    children: dict[tuple[str, str], list[CheckpointRecord]],
    *,
    branch: str,
    stem: str,
) -> Iterator[Descendant]:
    """Yield a checkpoint and its descendants; ``stem`` stands before their branches."""
    yield Descendant(record, branch)
    own = children[record.network, record.name]
    for i, child in enumerate(own):
        last = i == len(own) - 1
        yield from _below(
            child,
            children,
            branch=stem + ("└─ " if last else "├─ "),
            stem=stem + ("   " if last else "│  "),
        )
