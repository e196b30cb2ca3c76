"""Table 3: what longer pre-training is worth to another data set, layer by layer."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import Cell, Need, Row, report
from fstore.queries.figures.plots import new_axes
from fstore.queries.reports._classify import (
    classification_need,
    classified,
    mean_aps,
    samples_of,
)
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.store import Store

__all__ = ["plot_table3", "table3"]

MARKERS = "osD^vP*Xd"


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each layer and checkpoint of the sweep, on whole images."""
    samples = samples_of(store, study.bound("classification"), "image")
    return [
        classification_need(layer, ckpt, study, samples, ckpt=ckpt, layer=layer, ablation="none")
        for layer in study.layers
        for ckpt in study.checkpoints("sweep")
    ]


def plot_table3(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw mean AP against the checkpoint, a line a layer.

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
    import matplotlib as mpl

    ax = new_axes(ax)
    main = [row for row in rows if ":" not in str(row["col"])]
    ckpts = list(dict.fromkeys(str(row["col"]) for row in main))
    layers = list(dict.fromkeys(str(row["row"]) for row in main))
    depth = mpl.colormaps["viridis"].resampled(len(layers) + 1)
    for i, layer in enumerate(layers):
        mine = [row for row in main if row["row"] == layer]
        x = [ckpts.index(str(row["col"])) for row in mine]
        y = [float(row["value"] or 0) for row in mine]
        spread = [float(row["std"] or 0) for row in mine]
        marker = MARKERS[i % len(MARKERS)]
        style: dict[str, Any] = {"color": depth(i), "marker": marker, "label": layer}
        ax.errorbar(x, y, yerr=spread, **style)
    ax.set_xticks(range(len(ckpts)), ckpts)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Checkpoint along pre-training")
    ax.set_ylabel("Mean average precision (percent)")
    n = max(int(row["n"] or 1) for row in main)
    title = "Layer" if n == 1 else f"Layer (bars: ± 1 s.d., n = {n} splits)"
    ax.legend(title=title, loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


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
