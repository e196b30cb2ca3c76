"""Table 3 drawn: mean AP along pre-training, a line a layer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.plots import Row, new_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_table3"]


MARKERS = "osD^vP*Xd"


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
