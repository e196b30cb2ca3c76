"""Class selectivity of filters (section 3.2, appendix, supplement 1)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import Row, analysis
from fstore.queries.samples.labels import class_names, label_matrix, readable
from fstore.store.parts import Samples, sample_ids
from fstore.types import OnProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.methods.entropy import Measure
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = [
    "curve",
    "layer_areas",
    "layer_peaks",
    "plot_curve",
    "plot_selectivity",
    "selectivity",
]


def plot_selectivity(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw MCAuE against the fraction of filters.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    shares = [row["rank"] / len(rows) for row in rows]
    ax.plot(shares, [row["mcaue"] for row in rows], "k-", label="mean of the most selective")
    ax.plot(shares, [row["aue"] for row in rows], ".", color="0.6", label="a filter")
    ax.set_xlabel(f"Fraction of filters, most selective first (n = {len(rows)})")
    ax.set_ylabel("Area under the entropy curve (nats)")
    ax.legend()
    return ax


@analysis(
    "selectivity",
    title="Area under the entropy curve of every filter",
    source="section 3.2, appendix, Figure 1",
    columns=("rank", "channel", "aue", "mcaue", "bound", "fires", "n"),
    plot=plot_selectivity,
)
def selectivity(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    part: str = "test",
    measure: str = "label",
    grid: int = 0,
    difficult: bool = False,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by the entropy of the classes that they fire for, most selective first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        gt (ground-truth boxes), or a view with one class a sample.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    part : str
        Samples that are looked at: train, val or test.
    measure : str
        label (counts of all places), weighted (sums of their scores) or sp_max (the largest score
        of each sample).
    grid : int
        Number of evenly spaced thresholds, answered by one SQL group-by; 0 for the exact area over
        all distinct scores.
    difficult : bool
        Keep boxes that are flagged difficult.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a filter: its AuE and the mean of those up to its rank (MCAuE), in nats; ``bound``,
        how far the grid's area may be from the exact one (0 if exact); whether it fires at all (a
        filter that never does has the entropy of the labels); number of samples.

    Raises
    ------
    UnknownNameError
        Activations, the split or the measure are not there.
    DataError
        A sample shows several classes; all show one; a response is NaN or infinite; ``grid`` is
        below 0.
    """
    from fstore.queries.methods.entropy import mcaue
    from fstore.queries.samples.blocks import Rows
    from fstore.store.export import find_partition

    kind = _measure(measure)
    if grid < 0:
        raise DataError(f"grid must be 0 (exact) or a number of thresholds, got {grid}")
    place = find_partition(
        store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
    )
    samples = Samples(dataset, view, split, seed, part)
    ids = readable(store, place, sample_ids(store, samples, difficult=difficult))
    rows = [Rows(place, ids)]
    peaks = layer_peaks(store, rows)
    if grid:
        aue, bound = _grid_areas(store, place, ids, kind, grid, difficult=difficult)
    else:
        aue = layer_areas(store, rows, [kind], difficult=difficult, on_progress=on_progress)[kind]
        bound = np.zeros_like(aue)
    order = np.argsort(aue, kind="stable")
    return [
        {
            "rank": rank,
            "channel": int(i),
            "aue": float(aue[i]),
            "mcaue": float(mean),
            "bound": float(bound[i]),
            "fires": bool(peaks[i] > 0),
            "n": len(ids),
        }
        for rank, (i, mean) in enumerate(zip(order, mcaue(aue), strict=True), start=1)
    ]


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

    labels = _labels(store, rows, difficult=difficult)
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


def plot_curve(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw entropy curves.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    styles = ("-", "--", "-.", ":")
    for i, channel in enumerate(dict.fromkeys(row["channel"] for row in rows)):
        mine = [row for row in rows if row["channel"] == channel]
        x, y = ([row[c] for row in mine] for c in ("threshold", "entropy"))
        label = f"filter {channel} (AuE {mine[0]['aue']:.2f})"
        style = {"color": str(0.15 * (i % 5)), "linestyle": styles[i % 4]}
        # thresholds descend: a height holds down to the next one, the last down to 0
        ax.step([*x, 0], [*y, y[-1]], where="post", label=label, **cast("Any", style))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Threshold / largest score of the filter")
    ax.set_ylabel("Entropy of the labels at or above it (nats)")
    ax.legend()
    return ax


@analysis(
    "entropy-curve",
    title="Entropy curves of single filters",
    source="appendix",
    columns=("channel", "threshold", "entropy", "count", "aue"),
    plot=plot_curve,
)
def curve(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    channel: tuple[str, ...],
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    part: str = "test",
    measure: str = "label",
    difficult: bool = False,
) -> list[dict[str, Any]]:
    """Give the entropy of the labels of a filter's scores above each threshold.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    channel : tuple of str
        Index of a filter.
    view : str
        gt (ground-truth boxes), or a view with one class a sample.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    part : str
        Samples that are looked at: train, val or test.
    measure : str
        label (counts of all places), weighted (sums of their scores) or sp_max (the largest score
        of each sample).
    difficult : bool
        Keep boxes that are flagged difficult.

    Returns
    -------
    list of dict
        A row a distinct score above 0, descending: threshold as a share of the largest score,
        entropy in nats, number of scores that reach it, and the area under the filter's curve.

    Raises
    ------
    UnknownNameError
        Activations, the split, a channel or the measure are not there.
    DataError
        A sample shows several classes; all show one; a response is NaN or infinite.
    """
    from fstore.queries.methods.entropy import areas, entropy_curve
    from fstore.queries.samples.blocks import Rows, ablated_blocks
    from fstore.store.export import find_partition

    kind = _measure(measure)
    place = find_partition(
        store, layer=layer, ckpt=ckpt, dataset=dataset, view=view, network=network
    )
    samples = Samples(dataset, view, split, seed, part)
    ids = readable(store, place, sample_ids(store, samples, difficult=difficult))
    where = [Rows(place, ids)]
    labels = _labels(store, where, difficult=difficult)
    wanted = [_whole(text) for text in channel]
    what = "sp_max" if kind == "sp_max" else "none"
    rows: list[dict[str, Any]] = []
    for channels, X in ablated_blocks(store, where, ablation=what, channels=wanted):
        for at, index in enumerate(channels.tolist()):
            weighted = kind == "weighted"
            aue = float(areas(X[:, [at]], labels, weighted=weighted)[0])
            found = entropy_curve(
                X[:, at].ravel(), np.repeat(labels, X.shape[2]), weighted=weighted
            )
            rows += [
                {"channel": index, "threshold": t, "entropy": h, "count": n, "aue": aue}
                for t, h, n in zip(*(part.tolist() for part in found), strict=True)
            ]
    return rows


def _measure(name: str) -> "Measure":
    from fstore.queries.methods.entropy import MEASURES

    if name not in MEASURES:
        raise UnknownNameError(f"no measure {name!r}; there are: {', '.join(MEASURES)}")
    return name


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise UnknownNameError(f"no channel {text!r}; channels are numbers from 0")
    return int(text)


def _labels(store: "Store", rows: "Sequence[Rows]", *, difficult: bool) -> "NDArray[np.int64]":
    """Return the class of every sample."""
    from fstore.queries.methods.entropy import classes_of

    classes = class_names(store, [r.partition.dataset for r in rows])
    matrices = [
        label_matrix(
            store, r.partition.dataset, r.partition.view, r.ids, classes, difficult=difficult
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


def _grid_areas(
    store: "Store",
    place: "Partition",
    ids: "NDArray[np.int64]",
    measure: "Measure",
    grid: int,
    *,
    difficult: bool,
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return AuE and its bound by filter, from the histogram that SQL counts."""
    from fstore.queries.methods.entropy import grid_area, label_entropy
    from fstore.queries.samples.blocks import Rows
    from fstore.store.features import layer_shape, refuse_bits

    refuse_bits(store.files(**place.values))
    labels = _labels(store, [Rows(place, ids)], difficult=difficult)
    scores = SCORES["sp_max" if measure == "sp_max" else "label"]
    p = place
    given = [p.dataset, p.view, ids.tolist(), p.network, p.ckpt, p.dataset, p.view, p.layer]
    table = store.sql(GRID_SQL.format(scores=scores, grid=int(grid)), given).arrow()
    names = sorted(set(table["class"].to_pylist()))
    columns = np.array([names.index(c) for c in table["class"].to_pylist()], dtype=np.int64)
    channels = layer_shape(store, place).channels
    histograms = np.zeros((channels, grid + 1, len(names)))
    mass = table["mass" if measure == "weighted" else "n"].to_numpy()
    histograms[table["channel"].to_numpy(), table["bin"].to_numpy(), columns] = mass
    silent = label_entropy(np.bincount(labels))
    found = [grid_area(h) if h.any() else (silent, 0.0) for h in histograms]
    aue, bound = (np.array(values) for values in zip(*found, strict=True))
    return aue, bound
