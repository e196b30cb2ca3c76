"""What stands beside a filter: its strongest of each class, other checkpoints, filters like it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import FstoreError
from fstore.explore.choices import beside
from fstore.explore.filters import Looked, looked_at
from fstore.explore.page import Asked, page
from fstore.explore.pages.filter import filter_address, need_classes
from fstore.explore.pages.filter_charts import filter_aps
from fstore.explore.pages.filter_pictures import channel_of
from fstore.explore.rendering import at
from fstore.store.files import Partition

__all__ = ["filter_checkpoints", "filter_classes", "filter_near"]

EACH = 6
"""Pictures of a class or a checkpoint."""
OPEN = 4
"""Classes that are shown at once; others are folded."""
MOST = 30
"""Classes that are shown at all, those that the filter tells best."""
NEAR = 8


@page("/filter-classes", template="filter_classes.html")
def filter_classes(asked: Asked) -> dict[str, object]:
    """Show a filter's strongest images of each class, the class that it tells best first."""
    looked, channel = looked_at(asked), channel_of(asked)
    try:
        return {"message": "", "groups": _by_class(looked, channel), "open": OPEN}
    except FstoreError as error:
        return {"message": str(error)}


def _by_class(looked: Looked, channel: int) -> list[dict[str, Any]]:
    need_classes(looked)
    aps, column = filter_aps(looked, channel), looked.column(channel)
    values = aps.at_11[:, 0]
    names = [int(c) for c in np.argsort(-values, kind="stable") if aps.positives[c]][:MOST]
    best = {}
    for c in names:
        shown = np.flatnonzero(looked.Y[:, c] > 0)
        best[c] = shown[np.argsort(-column[shown], kind="stable")[:EACH]]
    places = _places(looked, channel, np.unique(np.concatenate(list(best.values()))))
    return [
        {
            "class": aps.classes[c],
            "address": at("/class", looked.partition, **{"class": aps.classes[c]}),
            "ap": float(values[c]),
            "n": int(aps.positives[c]),
            "shown": _pictures(
                looked.partition,
                channel,
                [(int(looked.ids[i]), float(column[i]), places[int(i)]) for i in best[c]],
            ),
        }
        for c in names
    ]


def _places(looked: Looked, channel: int, rows: NDArray[np.intp]) -> dict[int, int]:
    """Return where a filter responds most to some samples, by their row."""
    from fstore.queries.samples.blocks import Rows, ablated_blocks

    contents, p = looked.contents, looked.partition
    if contents.shape(p).positions == 1:
        return dict.fromkeys(rows.tolist(), 0)
    asked = [Rows(p, looked.ids[rows])]
    (X,) = (X for _, X in ablated_blocks(contents.store, asked, channels=[channel]))
    return dict(zip(rows.tolist(), X[:, 0].argmax(axis=1).tolist(), strict=True))


def _pictures(
    p: Partition, channel: int, best: Sequence[tuple[int, float, int]]
) -> list[dict[str, Any]]:
    """Return links, pictures and responses of samples, of which value and place are given."""
    return [
        {
            "sample": sample,
            "value": value,
            "picture": at("/crop", p, channel=channel, sample=sample, place=place, size=96),
            "address": at("/image", p, sample=sample),
        }
        for sample, value, place in best
    ]


@page("/filter-checkpoints", template="filter_checkpoints.html")
def filter_checkpoints(asked: Asked) -> dict[str, object]:
    """Show the filter of the same index in every checkpoint that has the layer stored."""
    looked, channel = looked_at(asked), channel_of(asked)
    partitions = beside(asked.contents, asked.partition, "ckpt")
    rows = [_in_checkpoint(asked, looked, p, channel=channel) for p in partitions]
    return {"rows": rows, "channel": channel}


def _in_checkpoint(asked: Asked, looked: Looked, p: Partition, *, channel: int) -> dict[str, Any]:
    """Return a filter's strongest samples in a checkpoint, and how alike it responds there."""
    theirs = Looked(looked.contents, p, looked.part)
    row = {
        "ckpt": p.ckpt,
        "is_here": p == looked.partition,
        "address": filter_address(asked, ckpt=p.ckpt),
        "message": "",
    }
    try:
        column = theirs.column(channel)
        r, n = _alike(looked, theirs, channel)
        top = theirs.strongest([channel])[channel]
        both = (top.sample_ids, top.values, top.places)
        columns = [own[0, :EACH].tolist() for own in both]
        return row | {
            "shown": _pictures(p, channel, list(zip(*columns, strict=True))),
            "largest": float(column.max()),
            "zeros": float((column <= 0).mean()),
            "correlation": r,
            "n": n,
        }
    except FstoreError as error:
        return row | {"message": str(error)}


def _alike(looked: Looked, theirs: Looked, channel: int) -> tuple[float, int]:
    """Return the correlation of a filter in two checkpoints, and over how many samples."""
    from fstore.queries.methods.responses import paired_correlations

    _, mine, other = np.intersect1d(looked.ids, theirs.ids, return_indices=True)
    if len(mine) < 2:
        return float("nan"), len(mine)
    columns = looked.column(channel)[mine, None], theirs.column(channel)[other, None]
    return float(paired_correlations(*columns)[0]), len(mine)


@page("/filter-near", template="filter_near.html")
def filter_near(asked: Asked) -> dict[str, object]:
    """Show the filters of the layer whose responses go most with the filter's."""
    looked, channel = looked_at(asked), channel_of(asked)
    try:
        near = looked.kept(("near", channel), lambda: _near(looked, channel), large=True)
    except FstoreError as error:
        return {"message": str(error)}
    part = None if looked.part == "all" else looked.part
    rows = [
        {
            "channel": c,
            "correlation": correlation,
            "address": filter_address(asked, channel=c),
            "picture": at("/crop", asked.partition, channel=c, part=part),
        }
        for c, correlation in near
    ]
    return {"message": "", "rows": rows, "n": len(looked.ids), "filters": looked.n_filters}


def _near(looked: Looked, channel: int) -> list[tuple[int, float]]:
    """Return the filters that a filter's responses go most with, and their correlation."""
    from fstore.queries.methods.responses import correlations_with

    r = correlations_with(looked.X, channel)
    r[channel] = np.nan
    order = np.argsort(-r, kind="stable")[:NEAR]
    return [(int(c), float(r[c])) for c in order if not np.isnan(r[c])]
