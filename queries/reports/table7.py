"""Table 7: what magnitude and place of the responses are worth in classification."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.bars import bar_plot
from fstore.queries.reports._classify import (
    ablations_of,
    classification_need,
    classified,
    mean_aps,
    positions,
    samples_of,
)
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table7"]

COLUMNS = ("none", "binarize", "sp_shuffle", "sp_max")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each layer and ablation, at the pre-trained checkpoint, on whole images."""
    samples = samples_of(store, study.bound("classification"), "image")
    ckpt, places = study.checkpoint("pretrained"), positions(store, study.network)
    return [
        classification_need(
            layer, name, study, samples=samples, ckpt=ckpt, layer=layer, ablation=name
        )
        for layer in study.layers
        for name in ablations_of(places.get(layer))
    ]


@report(
    "table7",
    title="Ablations of magnitude and place in classification",
    on="classification",
    answers="What does classification lose without the size, or without the place, of responses?",
    paper="table7.csv",
    columns=COLUMNS,
    needs=needs,
    plot=bar_plot(COLUMNS, ylabel="Mean average precision (percent)"),
    negative="binarized columns have 0 for them, as for what does not respond",
)
def table7(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean average precision in percent by layer and ablation.

    Linear SVMs (C = 1e-3) fitted on train and val, 11-point AP on test, mean over classes; mean
    and deviation over the seeds of the split. Beside it: all-points AP, and C chosen on val.
    sp-shuffle is a mean over five permutations; ``permutations_std`` is the deviation over these.
    Source: the paper's Table 7.
    """
    for need in needs:
        yield need, classified(store, need, mean_aps)
