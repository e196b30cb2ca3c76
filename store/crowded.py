"""Partitions of so many files that questions about them wait for footers more than for rows."""

from collections import Counter
from collections.abc import Container
from typing import TYPE_CHECKING

from fstore import commands
from fstore.store.delta_log import log_entries
from fstore.store.files import ACTIVATIONS
from fstore.store.identity import Partition
from fstore.store.schema import PARTITION
from fstore.store.tables import read_log

if TYPE_CHECKING:
    from fstore.store.place import Place

__all__ = ["MANY_FILES", "crowded"]

MANY_FILES = 1000
"""More files of a partition are worth a word."""


def crowded(root: "Place", among: Container[str]) -> list[str]:
    """Return a line for each of some partitions that has very many files, with what to do.

    Parameters
    ----------
    root : Place
        The store.
    among : container of str
        The partitions, as ``str`` tells them.
    """
    entries = log_entries(read_log(root, ACTIVATIONS))
    columns = [entries[f"partition.{column}"].to_pylist() for column in PARTITION]
    counts = Counter(values for values in zip(*columns, strict=True) if None not in values)
    many = {Partition(*values): n for values, n in counts.items() if n > MANY_FILES}
    return [
        f"{partition} has {n} files; questions about it are answered sooner from fewer: "
        + commands.compact(root, partition.values)
        for partition, n in sorted(many.items())
        if str(partition) in among
    ]
