"""Table 9: by how much fine-tuning makes filters more class selective."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.figures.table9 import plot_table9
from fstore.queries.methods.entropy import MEASURES, mean_at
from fstore.queries.reports._selectivity import aues, box_samples
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table9"]

FRACTIONS = (0.1, 0.25, 0.5, 1.0)
ROUNDING = 1e-9  # of an AuE, see fstore.queries.methods.entropy.entropy_curve
COLUMNS = tuple(f"{measure} {share:g}" for measure in MEASURES for share in FRACTIONS)


def needs(_store: "Store", study: Study) -> list[Need]:
    """Return a series a layer, which reads both checkpoints."""
    samples = box_samples(study)
    pair = (study.checkpoint("pretrained"), study.checkpoint("finetuned"))
    return [
        Need(
            layer,
            "",
            tuple(Reading(study.network, ckpt, layer, s) for ckpt in pair for s in samples),
        )
        for layer in study.layers
    ]


@report(
    "table9",
    title="Decrease of MCAuE from fine-tuning",
    on="detection",
    answers="Which layers does fine-tuning make more class selective?",
    paper="table9.csv",
    columns=COLUMNS,
    needs=needs,
    plot=plot_table9,
    negative="they count for nothing; an entropy is of the scores above 0 alone",
)
def table9(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percent by which MCAuE falls from the pre-trained to the fine-tuned checkpoint.

    Columns: measure and fraction of the most selective filters; ``n`` is their number. Below 0:
    entropy rises. No cell where MCAuE is 0 before fine-tuning: of nothing there is no percentage.
    Source: the paper's Table 9, equation 1.
    """
    for need in needs:
        half = len(need.readings) // 2
        before = aues(store, need.readings[:half], MEASURES)
        after = aues(store, need.readings[half:], MEASURES)
        cells = []
        for measure in MEASURES:
            pairs = zip(
                FRACTIONS,
                mean_at(before[measure], FRACTIONS),
                mean_at(after[measure], FRACTIONS),
                strict=True,
            )
            cells += [
                Cell(need.row, f"{measure} {share:g}", 100 * (pre - fine) / pre, n=k)
                for share, (pre, k), (fine, _) in pairs
                if pre > ROUNDING
            ]
        yield need, cells
