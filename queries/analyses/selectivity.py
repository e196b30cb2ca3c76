"""Class selectivity of filters (section 3.2, appendix, supplement 1)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.selectivity import plot_curve, plot_selectivity
from fstore.queries.methods.selectivity import grid_areas, labels_of, layer_areas, layer_peaks
from fstore.queries.samples.asked import AskedBoxes
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.methods.entropy import Measure
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store

__all__ = ["AskedPart", "curve", "selectivity"]


@dataclass(frozen=True, kw_only=True)
class AskedPart(AskedBoxes):
    """Responses to samples of one class each, of one part of a split.

    Parameters
    ----------
    view : str
        gt (ground-truth boxes), or a view with one class a sample.
    part : str
        Samples that are looked at: train, val or test.
    """

    part: str = "test"

    def rows(self, store: "Store") -> "Rows":
        """Return the samples of the part that can be read, and where their responses are."""
        from fstore.queries.samples.blocks import Rows

        place = self.partition(store)
        return Rows(place, self.readable_ids(store, place, self.part))


@analysis(
    "selectivity",
    title="Area under the entropy curve of every filter",
    source="section 3.2, appendix, Figure 1",
    columns=("rank", "channel", "aue", "mcaue", "bound", "fires", "n"),
    plot=plot_selectivity,
    negative="they count for nothing; an entropy is of the scores above 0 alone",
)
def selectivity(
    store: "Store",
    asked: AskedPart,
    *,
    measure: str = "label",
    grid: int = 0,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by the entropy of the classes that they fire for, most selective first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedPart
        Which responses of which samples.
    measure : str
        label (counts of all places), weighted (sums of their scores) or sp_max (the largest score
        of each sample).
    grid : int
        Number of evenly spaced thresholds, answered by one SQL group-by; 0 for the exact area over
        all distinct scores.
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

    kind = _measure(measure)
    if grid < 0:
        raise DataError(f"grid must be 0 (exact) or a number of thresholds, got {grid}")
    rows = asked.rows(store)
    peaks = layer_peaks(store, [rows])
    if grid:
        aue, bound = grid_areas(store, rows, measure=kind, grid=grid, difficult=asked.difficult)
    else:
        areas = layer_areas(
            store, [rows], [kind], difficult=asked.difficult, on_progress=on_progress
        )
        aue, bound = areas[kind], np.zeros_like(areas[kind])
    order = np.argsort(aue, kind="stable")
    return [
        {
            "rank": rank,
            "channel": int(i),
            "aue": float(aue[i]),
            "mcaue": float(mean),
            "bound": float(bound[i]),
            "fires": bool(peaks[i] > 0),
            "n": len(rows.ids),
        }
        for rank, (i, mean) in enumerate(zip(order, mcaue(aue), strict=True), start=1)
    ]


@analysis(
    "entropy-curve",
    title="Entropy curves of single filters",
    source="appendix",
    columns=("channel", "threshold", "entropy", "count", "aue"),
    plot=plot_curve,
    negative="they count for nothing; an entropy is of the scores above 0 alone",
)
def curve(
    store: "Store",
    asked: AskedPart,
    *,
    channel: tuple[str, ...],
    measure: str = "label",
) -> list[dict[str, Any]]:
    """Give the entropy of the labels of a filter's scores above each threshold.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedPart
        Which responses of which samples.
    channel : tuple of str
        Index of a filter.
    measure : str
        label (counts of all places), weighted (sums of their scores) or sp_max (the largest score
        of each sample).

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
    from fstore.queries.samples.blocks import ablated_blocks

    kind = _measure(measure)
    samples = [asked.rows(store)]
    labels = labels_of(store, samples, difficult=asked.difficult)
    wanted = [_whole(text) for text in channel]
    what = "sp_max" if kind == "sp_max" else "none"
    rows: list[dict[str, Any]] = []
    for channels, X in ablated_blocks(store, samples, ablation=what, channels=wanted):
        for at, index in enumerate(channels.tolist()):
            weighted = kind == "weighted"
            aue = float(areas(X[:, [at]], labels, weighted=weighted)[0])
            thresholds = entropy_curve(
                X[:, at].ravel(), np.repeat(labels, X.shape[2]), weighted=weighted
            )
            rows += [
                {"channel": index, "threshold": t, "entropy": h, "count": n, "aue": aue}
                for t, h, n in zip(*(column.tolist() for column in thresholds), strict=True)
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
