"""Figure 2: how first-layer filters change as pre-training goes on."""

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore import commands
from fstore.errors import DataError
from fstore.queries.cells.needs import BESIDE, Cell, Need, Row, Weights, report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["figure2", "plot_figure2"]

COLUMNS = 3


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


def add_filters(store: "Store", study: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows, those of mean cosines with the checkpoint's ``filters``."""
    from fstore.queries.methods.first_layer import first_filters

    found: list[dict[str, Any]] = [dict(row) for row in rows]
    for row in found:
        if row["col"] == "cosine":
            row["filters"] = first_filters(store, row["row"], study.network)
    return found


def plot_figure2(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the filters of every checkpoint as a grid, a panel a checkpoint.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, those of the column ``cosine`` with ``filters``, an array of shape
        (n_filters, 3, height, width), RGB.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import panels
    from fstore.queries.methods.first_layer import mosaic

    shown = [row for row in rows if row["col"] == "cosine"]
    if not shown or not all("filters" in row for row in shown):
        draw = commands.report_show(None, "figure2", plot="figure2.png")
        raise DataError(f"the rows have no filters; draw them with: {draw}")
    frame, drawn = panels(ax, len(shown), n_columns=COLUMNS, size=(2.3, 2.5))
    for row, panel in zip(shown, drawn, strict=True):
        filters: NDArray[np.float32] = row["filters"]  # type: ignore[assignment]
        picture = mosaic(filters)
        panel.imshow(picture, interpolation="nearest")
        edge = 0.03 * len(picture)  # panels are farther apart than filters
        panel.set_xlim(-edge, picture.shape[1] + edge)
        panel.set_ylim(len(picture) + edge, -edge)
        panel.set_title(f"{row['row']}  ({row['value']:.2f})", fontsize="small")
        panel.axis("off")
    figure = frame.get_figure(root=True)
    if figure is not None:
        n = shown[0]["n"]
        note = f"n = {n} filters; in brackets: mean cosine to the last before fine-tuning"
        figure.supxlabel(fill(note, 40 * min(len(shown), COLUMNS)), fontsize="small")
    return frame


@report(
    "figure2",
    title="First-layer filters as pre-training goes on",
    answers="How early do first-layer filters look like their final state?",
    needs=needs,
    plot=plot_figure2,
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
    there = np.flatnonzero(~np.isnan(values))
    if len(there) == 0:
        raise DataError(f"all first-layer filters of checkpoint '{row}' are zero")
    known = values[there]
    deviation = float(known.std(ddof=1)) if len(known) > 1 else None
    each = [Cell(row, f"{col}{BESIDE}{i}", float(values[i])) for i in there]
    return [Cell(row, col, float(known.mean()), deviation, len(known)), *each]
