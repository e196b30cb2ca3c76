"""Which samples a question is about: ``split`` and ``part`` as the commands read them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.names import check_texts
from fstore.queries.samples.labels import readable
from fstore.store.features import stored_samples
from fstore.store.files import StoredFile, present
from fstore.store.parts import (
    Part,
    Samples,
    Split,
    default_split,
    sample_ids,
    without_difficult,
)

if TYPE_CHECKING:
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["chosen_part", "chosen_samples", "part_text"]


def chosen_part(
    store: "Store", dataset: str, *, split: str | None = None, part: str | None = None
) -> Part | None:
    """Return the part of a split that ``split`` and ``part`` mean; None for all samples.

    Parameters
    ----------
    store : Store
    dataset : str
    split : str or None
        ``official``, ``random:3``; None for the only split that the data set has, else the
        official one.
    part : str or None
        ``train``, ``val``, ``test``, ``trainval``; None for all samples.

    Raises
    ------
    UnknownNameError
        There is no such part, or it is not clear of which split.
    DataError
        A split without a part.
    """
    named = _named(split, part)
    if named is None:
        return None
    return Part(named.name, named.split or default_split(store, [dataset]))


def chosen_samples(
    store: "Store",
    partition: "Partition",
    part: Part | None,
    *,
    difficult: bool = False,
    files: Sequence[StoredFile] | None = None,
) -> NDArray[np.int64]:
    """Return the samples of a partition that play a part, ascending.

    Parameters
    ----------
    store : Store
    partition : Partition
    part : Part or None
        With its split, as :func:`chosen_part` gives it; None for all samples that are stored.
    difficult : bool
        Keep boxes that are flagged difficult.
    files : sequence of StoredFile or None
        Of the partition, where they are listed already.

    Returns
    -------
    array of shape (n_samples,), int64
        Without those whose images cannot be read.

    Raises
    ------
    UnknownNameError
        There is no such part, or activations of it are not stored; the message has the command
        that makes them.
    """
    if part is None:
        ids = present(files) if files else stored_samples(store, partition)
        if difficult or partition.view == "image":  # boxes only are flagged
            return ids
        return without_difficult(store, ids, dataset=partition.dataset, view=partition.view)
    whole = part.split or default_split(store, [partition.dataset])
    samples = Samples(partition.dataset, partition.view, whole.name, whole.seed, part.name)
    return readable(store, partition, sample_ids(store, samples, difficult=difficult))


def part_text(split: str | None, part: str | None) -> str | None:
    """Return what ``split`` and ``part`` name as one text (``random:0:test``); None for no part.

    Raises
    ------
    DataError
        A split without a part, or a part that names a split as well.
    UnknownNameError
        No such part.
    """
    named = _named(split, part)
    return None if named is None else str(named)


def _named(split: str | None, part: str | None) -> Part | None:
    check_texts(split=split, part=part)
    if part is None:
        if split is not None:
            raise DataError(
                f"split={split!r} says of which split a part is meant; add part='train', 'val', "
                "'test' or 'trainval'"
            )
        return None
    named = Part.parse(part)
    if named.split is not None:
        raise DataError(f"part={part!r}: write split='{named.split}', part='{named.name}'")
    return Part(named.name, Split.parse(split) if split is not None else None)
