"""Table 9: by how much fine-tuning makes filters more class selective."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

from fstore.queries.cells.needs import BESIDE, Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.figures.table9 import plot_table9
from fstore.queries.methods.entropy import MEASURES, mean_at
from fstore.queries.reports._selectivity import aues, box_samples, fires
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from fstore.store import Store

__all__ = ["table9"]

FRACTIONS = (0.1, 0.25, 0.5, 1.0)
ROUNDING = 1e-9  # of an AuE, see fstore.queries.methods.entropy.entropy_curve
Falls: TypeAlias = dict[float, tuple[float, int]]
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
    A filter that never fires has the entropy of all labels. Beside the whole layer stands how many
    these are (``label 1:silent_pretrained``, ``label 1:silent_finetuned``, of n); where their
    part in a mean decides whether entropy falls or rises, so does the decrease without them
    (``label 0.1:firing``). Source: the paper's Table 9, equation 1.
    """
    for need in needs:
        half = len(need.readings) // 2
        sides = need.readings[:half], need.readings[half:]
        before, after = (aues(store, side, MEASURES) for side in sides)
        firing = [fires(store, side) for side in sides]
        cells = []
        for measure in MEASURES:
            ours = before[measure], after[measure]
            without = [aue[which] for aue, which in zip(ours, firing, strict=True)]
            cells += _cells(need.row, measure, _falls(*ours), of_firing=_falls(*without))
        for role, which in zip(("pretrained", "finetuned"), firing, strict=True):
            col = f"label 1{BESIDE}silent_{role}"
            cells.append(Cell(need.row, col, float((~which).sum()), n=len(which)))
        yield need, cells


def _falls(before: "NDArray[Any]", after: "NDArray[Any]") -> Falls:
    """Return the percent by which MCAuE falls, and of how many filters, by share of the layer."""
    if not (len(before) and len(after)):
        return {}
    pairs = zip(mean_at(before, FRACTIONS), mean_at(after, FRACTIONS), strict=True)
    return {
        share: (100 * (pre - fine) / pre, k)
        for share, ((pre, k), (fine, _)) in zip(FRACTIONS, pairs, strict=True)
        if pre > ROUNDING
    }


def _cells(row: str, measure: str, of_all: Falls, *, of_firing: Falls) -> list[Cell]:
    """Return a measure's cells; those of filters that fire only where the sign is another."""
    cells = []
    for share, (fall, k) in of_all.items():
        col = f"{measure} {share:g}"
        cells.append(Cell(row, col, fall, n=k))
        other, fewer = of_firing.get(share, (fall, k))
        if _sign(other) != _sign(fall):
            cells.append(Cell(row, f"{col}{BESIDE}firing", other, n=fewer))
    return cells


def _sign(percent: float) -> int:
    """Return 1, 0 or -1; what sums leave over is 0."""
    return 0 if abs(percent) <= 100 * ROUNDING else 1 if percent > 0 else -1
