"""Table 8: what magnitude and place of the responses are worth in detection."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.plots import new_axes
from fstore.queries.reports._api import BESIDE, Cell, Need, Reading, Row, report
from fstore.queries.reports._bars import mark_paper
from fstore.queries.reports._classify import ablations_of, positions, samples_of
from fstore.queries.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.queries.detection.run import DetectionResult
    from fstore.store import Store

__all__ = ["plot_table8", "table8"]

COLUMNS = ("none", "binarize", "sp_max")

REPLICATES = 1000
"""Draws of test images behind the interval."""


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each ablation of the mid layer, at the pre-trained checkpoint.

    Read are ground-truth boxes of train and val, and proposals of all parts; of a random split
    with several seeds the first.
    """
    layer, ckpt = study.layer("mid_layer"), study.checkpoint("pretrained")
    bounds = study.bound("detection")
    first = {(b.dataset, b.seeds[0]) for b in bounds}
    samples = [
        s
        for view in ("gt", "proposal")
        for s in samples_of(store, bounds, view)
        if (s.dataset, s.seed) in first and not (view == "gt" and s.part == "test")
    ]
    readings = tuple(Reading(study.network, ckpt, layer, s) for s in samples)
    there = ablations_of(positions(store, study.network).get(layer))
    return [
        Need(layer, name, readings, (("ablation", name), ("shuffle_seed", study.seeds[0])))
        for name in COLUMNS
        if name in there
    ]


def plot_table8(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw mean AP by ablation with its interval, the paper's numbers as marks.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    ax = new_axes(ax)
    main = [row for row in rows if row["col"] in COLUMNS]
    ends = {str(row["col"]): float(row["value"] or 0) for row in rows}
    for x, row in enumerate(main):
        value, col = float(row["value"] or 0), str(row["col"])
        ax.bar(x, value, 0.6, color="0.6", edgecolor="0.1", linewidth=0.6)
        if f"{col}{BESIDE}low" in ends:
            sides = [[value - ends[f"{col}{BESIDE}low"]], [ends[f"{col}{BESIDE}high"] - value]]
            ax.errorbar(x, value, yerr=sides, color="0.1", capsize=4)
    if mark_paper(ax, range(len(main)), main):
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1))
    ax.set_xticks(range(len(main)), [str(row["col"]) for row in main])
    ax.set_ylabel("Mean average precision (percent)")
    n = max(int(row["n"] or 0) for row in main)
    ax.set_xlabel(f"{main[0]['row']}; lines: 95 % bootstrap over {n} test images")
    return ax


@report(
    "table8",
    title="Ablations of magnitude and place, PASCAL-DET",
    answers="What does detection lose without the size, or without the place, of responses?",
    paper="table8.csv",
    columns=COLUMNS,
    needs=needs,
    plot=plot_table8,
)
def table8(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean average precision in percent by ablation of the mid layer.

    R-CNN's detector: SVMs a class with mined hard negatives, 11-point AP on test, mean over
    classes. ``std`` and, beside it, ``low`` and ``high`` (95 %) are those of a bootstrap over
    the test images; ``n`` counts them. Beside it too: all-points AP, and the classes in the mean.
    Source: the paper's Table 8.
    """
    from fstore.queries.detection.run import detection_map

    for need in needs:
        first, parameters = need.readings[0], dict(need.parameters)
        result = detection_map(
            store,
            [reading.samples for reading in need.readings],
            network=first.network,
            ckpt=first.ckpt,
            layer=first.layer,
            ablation=str(parameters["ablation"]),
            shuffle_seed=int(parameters["shuffle_seed"]),
        )
        yield need, _cells(need, result)


def _cells(need: Need, result: "DetectionResult") -> list[Cell]:
    interval, n = result.interval(replicates=REPLICATES), result.evaluation.n_images
    classes = sum(c.ap_11 is not None for c in result.evaluation.classes)
    beside = {
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        "all_points": 100 * result.map_all,
        "classes": float(classes),
    }
    main = Cell(need.row, need.col, 100 * result.map_11, 100 * interval.std, n)
    return [main, *(Cell(need.row, need.col + BESIDE + k, v, n=n) for k, v in beside.items())]
