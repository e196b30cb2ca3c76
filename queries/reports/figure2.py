"""Figure 2: how first-layer filters change as pre-training goes on."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.errors import DataError
from fstore.queries.cells.needs import BESIDE, Cell, Need, Weights
from fstore.queries.cells.registry import report
from fstore.queries.figures.cosines import plot_cosines
from fstore.queries.figures.figure2 import add_filters, plot_figure2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = [
    "figure2",
]


def needs(_store: "Store", study: "Study") -> list[Need]:
    """Return a series a checkpoint: those along pre-training, then the fine-tuned one.

    A study without a sweep has its pre-trained checkpoint in its place. What they are compared
    with is the last one before fine-tuning.
    """
    along = study.sweep or (study.checkpoint("pretrained"),)
    ckpts = dict.fromkeys((*along, *([study.finetuned] if study.finetuned else [])))
    network, last = study.network, along[-1]
    parameters = (("last", last),)
    return [
        Need(c, "", (), parameters, tuple(Weights(network, w) for w in dict.fromkeys((c, last))))
        for c in ckpts
    ]


@report(
    "figure2",
    title="First-layer filters as pre-training goes on",
    answers="How early do first-layer filters look like their final state?",
    needs=needs,
    plot=plot_figure2,
    chart=plot_cosines,
    illustrate=add_filters,
)
def figure2(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield how much the first-layer filters of each checkpoint are like those of the last one.

    Row: checkpoint. ``cosine``: between a filter and the same filter of the last checkpoint of
    pre-training, mean and deviation over filters; 1 is the same pattern, whatever its size.
    ``norm``: length of a filter, likewise. Beside them both of every filter (``cosine:12``).
    Source: the paper's Figure 2, which draws the filters.
    """
    from fstore.queries.methods.first_layer import cosines, first_filters

    for need in needs:
        last = first_filters(store, str(dict(need.parameters)["last"]), need.weights[0].network)
        own = first_filters(store, need.row, need.weights[0].network)
        norms = np.linalg.norm(own.reshape(len(own), -1).astype(np.float64), axis=1)
        measured = {"cosine": cosines(own, last), "norm": norms}
        yield need, [cell for col, x in measured.items() for cell in _cells(need.row, col, x)]


def _cells(row: str, col: str, values: "NDArray[np.float64]") -> list[Cell]:
    """Return mean and deviation of a value a filter, and each filter's own; NaN is left out."""
    measured = np.flatnonzero(~np.isnan(values))
    if len(measured) == 0:
        raise DataError(f"all first-layer filters of checkpoint '{row}' are zero")
    numbers = values[measured]
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else None
    each = [Cell(row, f"{col}{BESIDE}{i}", float(values[i])) for i in measured]
    return [Cell(row, col, float(numbers.mean()), deviation, len(numbers)), *each]
