"""Table 3: what longer pre-training is worth to another data set, layer by layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.table3 import plot_table3
from fstore.queries.reports._classify import (
    classification_need,
    classified,
    mean_aps,
    samples_of,
)
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table3"]


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each layer and checkpoint of the sweep, on whole images."""
    samples = samples_of(store, study.bound("classification"), "image")
    return [
        classification_need(
            layer, ckpt, study, samples=samples, ckpt=ckpt, layer=layer, ablation="none"
        )
        for layer in study.layers
        for ckpt in study.checkpoints("sweep")
    ]


@report(
    "table3",
    title="Transfer by pre-training iterations",
    on="classification",
    answers="Does pre-training for longer give better features for another data set?",
    paper="table3.csv",
    needs=needs,
    plot=plot_table3,
)
def table3(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean average precision in percent by layer and checkpoint, without fine-tuning.

    As :func:`fstore.queries.reports.table7.table7`, features as they are. Source: the paper's
    Table 3.
    """
    for need in needs:
        yield need, classified(store, need, mean_aps)
