"""Table 9: by how much fine-tuning makes filters more class selective."""

from collections.abc import Iterator, Sequence
from math import nan
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need, Reading, Row, report
from fstore.queries.methods.entropy import MEASURES, mean_at
from fstore.queries.reports._selectivity import aues, box_samples
from fstore.queries.studies.study import Study
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store

__all__ = ["plot_table9", "table9"]

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


def plot_table9(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the percent decrease by layer, a line a measure, for all filters and the best tenth.

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
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    values = {(str(row["row"]), str(row["col"])): float(row["value"] or 0) for row in rows}
    layers = list(dict.fromkeys(row for row, _ in values))
    for measure, marker in zip(MEASURES, "osD", strict=True):
        for share, style in ((0.1, "-"), (1.0, ":")):
            y = [values.get((layer, f"{measure} {share:g}"), nan) for layer in layers]
            label = f"{worded(measure)}, fraction {share:g}"
            ax.plot(layers, y, marker + style, color="0.2", markerfacecolor="white", label=label)
    ax.axhline(0, color="0.6", linewidth=0.8)
    ax.set_xlabel("Layer")
    ax.set_ylabel("Decrease of MCAuE (percent)")
    ax.tick_params(axis="x", rotation=30 if len(layers) > 7 else 0)
    ax.legend(fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


@report(
    "table9",
    title="Decrease of MCAuE from fine-tuning",
    on="detection",
    answers="Which layers does fine-tuning make more class selective?",
    paper="table9.csv",
    columns=COLUMNS,
    needs=needs,
    plot=plot_table9,
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
