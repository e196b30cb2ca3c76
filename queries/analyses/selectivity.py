"""Class selectivity of filters (section 3.2, appendix, supplement 1)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.selectivity import plot_curve, plot_selectivity
from fstore.queries.methods.selectivity import grid_areas, labels_of, layer_areas, layer_peaks
from fstore.queries.samples.labels import readable
from fstore.store.parts import Samples, sample_ids
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.methods.entropy import Measure
    from fstore.store import Store

__all__ = [
    "curve",
    "selectivity",
]


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
        aue, bound = grid_areas(store, place, ids, measure=kind, grid=grid, difficult=difficult)
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
    labels = labels_of(store, where, difficult=difficult)
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
