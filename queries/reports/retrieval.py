"""Retrieval: whether binary codes come for free (section 5.1)."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.figures.retrieval import plot_retrieval
from fstore.queries.reports._classify import positions, samples_of
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["retrieval"]

COLUMNS = ("cosine", "cosine_binarized", "hamming")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a series a fully connected layer; of a network without one, of its last layer.

    The first seed's split: test images ask, those of train and val answer.
    """
    bounds = study.bound("classification")
    first = {(b.dataset, b.seeds[0]) for b in bounds}
    samples = [s for s in samples_of(store, bounds, "image") if (s.dataset, s.seed) in first]
    places, ckpt = positions(store, study.network), study.checkpoint("pretrained")
    flat = [layer for layer in study.layers if places.get(layer) == 1] or [study.layers[-1]]
    return [
        Need(layer, "", tuple(Reading(study.network, ckpt, layer, s) for s in samples))
        for layer in flat
    ]


@report(
    "retrieval",
    title="Retrieval with binary codes",
    on="classification",
    answers="Do binarized features retrieve images as well as real-valued ones?",
    columns=COLUMNS,
    needs=needs,
    plot=plot_retrieval,
    negative="a binary code has 0 for them, as for what does not respond",
)
def retrieval(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield mean AP of retrieval in percent: cosine of features, of binary codes, Hamming distance.

    Mean and deviation over the queries that something answers. Source: section 5.1's claim that
    binary codes come for free; the paper has no number for it.
    """
    from fstore.queries.methods.queries import query_aps

    for need in needs:
        first, samples = need.readings[0], [reading.samples for reading in need.readings]
        aps = query_aps(store, samples, network=first.network, ckpt=first.ckpt, layer=first.layer)
        yield need, [_cell(need.row, kind, values) for kind, values in aps.items()]


def _cell(row: str, kind: str, values: "NDArray[np.float64]") -> Cell:
    from fstore.queries.methods.draws import drawn_means, draws

    answered = 100 * values[~np.isnan(values)]  # the same queries for all kinds of one layer
    deviation = float(answered.std(ddof=1)) if len(answered) > 1 else None
    drawn = drawn_means(answered, draws(len(answered)))
    return Cell(row, kind, float(answered.mean()), deviation, len(answered), tuple(drawn.tolist()))
