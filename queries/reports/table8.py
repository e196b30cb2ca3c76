"""Table 8: what magnitude and place of the responses are worth in detection."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Cell, Need, Row, report
from fstore.queries.figures.bars import mark_paper
from fstore.queries.figures.plots import new_axes
from fstore.queries.reports._classify import ablations_of, positions
from fstore.queries.reports._detect import (
    REPLICATES,
    detector_readings,
    n_classes,
    run_results,
)
from fstore.queries.studies.study import Study
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.queries.detection.run import DetectionResult
    from fstore.store import Store

__all__ = ["plot_table8", "table8"]

COLUMNS = ("none", "binarize", "sp_max")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each ablation of one layer, at the pre-trained checkpoint.

    The layer is the study's ``detection_layer``, else its ``mid_layer``. Of a random split with
    several seeds the first is read.
    """
    layer = study.detection_layer or study.layer("mid_layer")
    readings = detector_readings(
        store,
        study.bound("detection"),
        network=study.network,
        ckpt=study.checkpoint("pretrained"),
        layer=layer,
    )
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
    ax.set_xticks(range(len(main)), [worded(str(row["col"])) for row in main])
    ax.set_ylabel("Mean average precision (percent)")
    n = max(int(row["n"] or 0) for row in main)
    ax.set_xlabel(f"{main[0]['row']}; lines: 95 % bootstrap over {n} test images")
    return ax


@report(
    "table8",
    title="Ablations of magnitude and place in detection",
    on="detection",
    answers="What does detection lose without the size, or without the place, of responses?",
    paper="table8.csv",
    columns=COLUMNS,
    needs=needs,
    plot=plot_table8,
)
def table8(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean average precision in percent by ablation of one layer.

    R-CNN's detector: SVMs a class with mined hard negatives, 11-point AP on test, mean over
    classes. ``std`` and, beside it, ``low`` and ``high`` (95 %) are those of a bootstrap over
    the test images; ``n`` counts them. Beside it too: all-points AP, and the classes in the mean.
    Source: the paper's Table 8.
    """
    for need in needs:
        (result,) = run_results(store, need)
        yield need, _cells(need, result)


def _cells(need: Need, result: "DetectionResult") -> list[Cell]:
    interval, n = result.interval(replicates=REPLICATES), result.evaluation.n_images
    beside = {
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        "all_points": 100 * result.map_all,
        "classes": float(n_classes(result)),
    }
    main = Cell(need.row, need.col, 100 * result.map_11, 100 * interval.std, n)
    return [main, *(Cell(need.row, need.col + BESIDE + k, v, n=n) for k, v in beside.items())]
