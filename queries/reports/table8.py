"""Table 8: what magnitude and place of the responses are worth in detection."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE, Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.table8 import plot_table8
from fstore.queries.reports._classify import ablations_of, positions
from fstore.queries.reports._detect import (
    REPLICATES,
    cell_draws,
    chance,
    detector_readings,
    n_classes,
    run_results,
)
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.queries.detection.run import DetectionResult
    from fstore.store import Store

__all__ = ["table8"]

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
    applicable = ablations_of(positions(store, study.network).get(layer))
    return [
        Need(layer, name, readings, (("ablation", name), ("shuffle_seed", study.seeds[0])))
        for name in COLUMNS
        if name in applicable
    ]


@report(
    "table8",
    title="Ablations of magnitude and place in detection",
    on="detection",
    answers="What does detection lose without the size, or without the place, of responses?",
    paper="table8.csv",
    columns=COLUMNS,
    needs=needs,
    plot=plot_table8,
    negative="binarized columns have 0 for them, as for what does not respond",
)
def table8(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean average precision in percent by ablation of one layer.

    R-CNN's detector: SVMs a class with mined hard negatives, 11-point AP on test, mean over
    classes. ``std`` and, beside it, ``low`` and ``high`` (95 %) are those of a bootstrap over
    the test images; ``n`` counts them. Beside it too: all-points AP, the classes in the mean,
    and ``chance``, the largest mean AP of what was found in 20 random orders.
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
        "chance": chance(result),
    }
    main = Cell(
        need.row, need.col, 100 * result.map_11, 100 * interval.std, n, cell_draws(interval)
    )
    return [main, *(Cell(need.row, need.col + BESIDE + k, v, n=n) for k, v in beside.items())]
