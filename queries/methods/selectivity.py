"""Class selectivity of a layer's filters, read from a store."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.samples.labels import class_names, label_matrix
from fstore.types import OnProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.queries.methods.entropy import Measure
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store

__all__ = ["grid_areas", "labels_of", "layer_areas", "layer_peaks"]


def layer_areas(
    store: "Store",
    rows: "Sequence[Rows]",
    measures: "Sequence[Measure]",
    *,
    difficult: bool = False,
    on_progress: OnProgress | None = None,
) -> "dict[Measure, NDArray[np.float64]]":
    """Return the exact AuE of every filter of a layer by measure, reading the layer once.

    Parameters
    ----------
    store : Store
    rows : sequence of Rows
        Samples, of one class each.
    measures : sequence of str
    difficult : bool
        Boxes that are flagged difficult are kept.
    on_progress : callable or None

    Returns
    -------
    dict of array of shape (n_filters,), float64
        In nats.
    """
    from fstore.queries.methods.entropy import all_areas
    from fstore.queries.samples.blocks import ablated_blocks
    from fstore.store.features import layer_shape

    labels = labels_of(store, rows, difficult=difficult)
    total = layer_shape(store, rows[0].partition).channels
    only_max = set(measures) == {"sp_max"}

    def blocks() -> "Iterator[NDArray[np.float32]]":
        done = 0
        for channels, X in ablated_blocks(store, rows, ablation="sp_max" if only_max else "none"):
            yield X
            done += len(channels)
            if on_progress is not None:
                on_progress(f"entropy curves of {rows[0].partition.layer}", done, total, "filters")

    return all_areas(blocks(), labels, measures)


def labels_of(store: "Store", rows: "Sequence[Rows]", *, difficult: bool) -> "NDArray[np.int64]":
    """Return the class of every sample."""
    from fstore.queries.methods.entropy import classes_of

    classes = class_names(store, [r.partition.dataset for r in rows])
    matrices = [
        label_matrix(
            store,
            r.partition.dataset,
            r.partition.view,
            ids=r.ids,
            classes=classes,
            difficult=difficult,
        )
        for r in rows
    ]
    return classes_of(np.concatenate(matrices))


def layer_peaks(store: "Store", rows: "Sequence[Rows]") -> "NDArray[np.float32]":
    """Return the largest response of each filter, shape (n_filters,); maps are not read."""
    from fstore.queries.samples.blocks import ablated_blocks

    blocks = ablated_blocks(store, rows, ablation="sp_max")
    return np.concatenate([X.max(axis=(0, 2)) for _, X in blocks])


GRID_SQL = """
    WITH boxes AS (
        SELECT sample_id, arg_max(class, label) AS class FROM labels
        WHERE dataset = ? AND "view" = ? AND sample_id IN (SELECT unnest(?::BIGINT[]))
        GROUP BY sample_id
    ),
    maps AS (
        SELECT channel, class, act_max, map FROM activations JOIN boxes USING (sample_id)
        WHERE network = ? AND ckpt = ? AND dataset = ? AND "view" = ? AND layer = ?
    ),
    peaks AS (SELECT channel, max(act_max)::DOUBLE AS peak FROM maps GROUP BY channel),
    scores AS ({scores})
    SELECT channel, class, least(floor(score * {grid} / peak), {grid})::INTEGER AS bin,
           count(*) AS n, sum(score / peak) AS mass
    FROM scores JOIN peaks USING (channel)
    WHERE score > 0
    GROUP BY ALL
"""
"""Scores above 0 by filter, class and threshold: one pass, nothing is sorted.

A box's class is that of its largest label: 1, or the 0 of a difficult one that is kept.
"""


SCORES = {
    "label": "SELECT channel, class, unnest(map)::DOUBLE AS score FROM maps WHERE act_max > 0",
    "sp_max": "SELECT channel, class, act_max::DOUBLE AS score FROM maps",
}


def grid_areas(
    store: "Store",
    rows: "Rows",
    *,
    measure: "Measure",
    grid: int,
    difficult: bool,
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return AuE and its bound by filter, from the histogram that SQL counts."""
    from fstore.queries.methods.entropy import grid_area, label_entropy
    from fstore.store.features import layer_shape, refuse_bits

    p, ids = rows.partition, rows.ids
    refuse_bits(store.files(**p.values))
    labels = labels_of(store, [rows], difficult=difficult)
    scores = SCORES["sp_max" if measure == "sp_max" else "label"]
    given = [p.dataset, p.view, ids.tolist(), p.network, p.ckpt, p.dataset, p.view, p.layer]
    table = store.sql(GRID_SQL.format(scores=scores, grid=int(grid)), given).arrow()
    names = sorted(set(table["class"].to_pylist()))
    columns = np.array([names.index(c) for c in table["class"].to_pylist()], dtype=np.int64)
    channels = layer_shape(store, p).channels
    histograms = np.zeros((channels, grid + 1, len(names)))
    mass = table["mass" if measure == "weighted" else "n"].to_numpy()
    histograms[table["channel"].to_numpy(), table["bin"].to_numpy(), columns] = mass
    silent = label_entropy(np.bincount(labels))
    bounded = [grid_area(h) if h.any() else (silent, 0.0) for h in histograms]
    aue, bound = (np.array(values) for values in zip(*bounded, strict=True))
    return aue, bound
