"""What else a page about a partition may be asked for: checkpoints, data sets, layers, parts."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fstore.explore.filters import ALL
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.explore.contents import Contents

__all__ = ["beside", "choices", "parts_stored"]


def choices(contents: "Contents", partition: Partition) -> dict[str, Any]:
    """Return the values of a page's selects: what is stored when one thing alone is changed.

    Returns
    -------
    dict
        ``ckpts``, ``datasets``, ``views``, ``layers``: names; ``parts``: words as
        ``official:test``; ``before`` and ``after``: the layers next to this one, or None.
    """
    layers = [p.layer for p in beside(contents, partition, "layer")]
    at = layers.index(partition.layer)
    return {
        "ckpts": [p.ckpt for p in beside(contents, partition, "ckpt")],
        "datasets": [p.dataset for p in beside(contents, partition, "dataset")],
        "views": [p.view for p in beside(contents, partition, "view")],
        "layers": layers,
        "parts": parts_stored(contents, partition),
        "before": layers[at - 1] if at else None,
        "after": layers[at + 1] if at + 1 < len(layers) else None,
    }


def beside(contents: "Contents", partition: Partition, what: str) -> list[Partition]:
    """Return the stored partitions that differ from one in nothing but ``what``, itself included.

    Checkpoints come in the order of their tree, others as they are listed in ``partitions``.
    """
    stored = contents.partitions
    same = [p for p in stored if replace(p, **{what: getattr(partition, what)}) == partition]
    if what != "ckpt":
        return same
    order = {name: i for i, name in enumerate(_tree(contents, partition.network))}
    return sorted(same, key=lambda p: order.get(p.ckpt, len(order)))


def _tree(contents: "Contents", network: str) -> Sequence[str]:
    """Return a network's checkpoints in the order of their tree."""
    from fstore.queries.studies.lineage import lineage

    def read() -> list[str]:
        return [down.record.name for down in lineage(contents.store.checkpoints(network))]

    return contents.kept(("tree", network), ("checkpoints",), read)


def parts_stored(contents: "Contents", partition: Partition) -> list[str]:
    """Return the parts that can be looked at: all stored samples, and those of each split."""
    from fstore.store.parts import splits_of, used_parts

    def read() -> list[str]:
        store, p = contents.store, partition
        parts = [
            str(samples.which)
            for split in splits_of(store, p.dataset)
            for samples in used_parts(store, p.dataset, view=p.view, split=split)
        ]
        return [ALL, *parts]

    tables = ("splits", "datasets")
    return contents.kept(("parts stored", partition.dataset, partition.view), tables, read)
