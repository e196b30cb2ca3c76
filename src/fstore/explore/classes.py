"""What the page of a class works out from labels and single filters: counts, the best filters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.explore.filters import ALL, Looked
from fstore.explore.views import parts, shown_classes
from fstore.store.files import Partition
from fstore.store.parts import Part, default_split

if TYPE_CHECKING:
    from fstore.explore.contents import Contents

__all__ = [
    "best_by_layer",
    "best_filters",
    "class_index",
    "counts",
    "usual_part",
]


def class_index(contents: "Contents", dataset: str, name: str) -> int:
    """Return the place of a class in its data set's order.

    Raises
    ------
    UnknownNameError
    """
    classes = contents.dataset(dataset).classes
    if name not in classes:
        listed = ", ".join(classes[:20]) or "none"
        raise UnknownNameError(f"data set '{dataset}' has no class '{name}'; it has: {listed}")
    return classes.index(name)


def counts(contents: "Contents", dataset: str, name: str) -> list[dict[str, Any]]:
    """Return how often a class is shown, a row a view and part, that of all samples first.

    Boxes that are flagged difficult are left out, and so are images that show the class only by
    such boxes: the analyses leave them out.

    Returns
    -------
    list of dict
        ``view``, ``part``, ``positives``, ``difficult`` (left out), ``n`` (that count), and
        ``prior``, the share of positives; None where nothing counts.
    """
    from fstore.store.parts import without_difficult

    rows = []
    for view in contents.dataset(dataset).views:
        shown = shown_classes(contents, dataset, view)
        every = contents.samples(dataset, view).ids
        if not shown:
            continue
        for part, ids in {ALL: every, **parts(contents, dataset, view)}.items():
            plain = without_difficult(contents.store, ids, dataset=dataset, view=view)
            own = [dict(shown.get(i, ())).get(name, -1) for i in plain.tolist()]
            flagged = [i for i in np.setdiff1d(ids, plain).tolist() if name in dict(shown[i])]
            positives, n = own.count(1), len(own) - own.count(0)
            difficult = own.count(0) + len(flagged)
            row = {"view": view, "part": part, "positives": positives, "n": n}
            rows.append({**row, "difficult": difficult, "prior": positives / n if n else None})
    return rows


def usual_part(contents: "Contents", dataset: str, view: str) -> str:
    """Return the part that single filters are ranked on: the default split's test, else all."""
    what = ("usual part", dataset, view)
    return contents.kept(what, ("splits", "datasets"), lambda: _usual_part(contents, dataset, view))


def _usual_part(contents: "Contents", dataset: str, view: str) -> str:
    try:
        part = str(Part("test", default_split(contents.store, [dataset])))
    except UnknownNameError:  # several random splits: none of them is meant
        part = next((p for p in parts(contents, dataset, view) if p.endswith(":test")), ALL)
    return part if part in parts(contents, dataset, view) else ALL


# Single filters


def best_filters(looked: Looked, name: str, *, most: int) -> list[dict[str, Any]]:
    """Return the filters of the highest 11-point AP, as ``single-filters`` ranks them.

    Raises
    ------
    DataError
        No sample that is looked at shows the class.
    """
    aps, c = looked.aps, _column(looked, name)
    return [
        {
            "rank": rank,
            "channel": int(channel),
            "ap_11": float(aps.at_11[c, channel]),
            "ap_all": float(aps.at_all[c, channel]),
            "prior": float(aps.priors[c]),
            "positives": int(aps.positives[c]),
            "n": int(aps.n[c]),
        }
        for rank, channel in enumerate(
            np.argsort(-aps.at_11[c], kind="stable")[:most].tolist(), start=1
        )
    ]


def _column(looked: Looked, name: str) -> int:
    """Return the place of a class that some sample shows."""
    c = class_index(looked.contents, looked.partition.dataset, name)
    if not looked.aps.positives[c]:
        raise DataError(
            f"none of the {len(looked.rows):,} stored samples of '{looked.part}' shows '{name}'; "
            "choose another part"
        )
    return c


def best_by_layer(
    contents: "Contents", partitions: Sequence[Partition], part: str, name: str
) -> tuple[list[dict[str, Any]], dict[Partition, str]]:
    """Return the best single filter of each of some partitions, and why some have none."""
    rows: list[dict[str, Any]] = []
    left_out: dict[Partition, str] = {}
    for partition in partitions:
        looked = Looked(contents, partition, part)
        try:
            (best,) = best_filters(looked, name, most=1)
        except (DataError, UnknownNameError) as error:
            left_out[partition] = str(error)
            continue
        values = {"partition": partition, "layer": partition.layer, "ckpt": partition.ckpt}
        rows.append({**values, "filters": looked.n_filters, **best})
    return rows, left_out
