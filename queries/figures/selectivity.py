"""Class selectivity drawn: MCAuE against the fraction of filters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["draw_selectivity", "plot_curve", "plot_figure1", "plot_s_figure1", "plot_selectivity"]


def draw_selectivity(rows: Sequence[Row], *, ax: "Axes") -> None:
    """Draw MCAuE against the fraction of filters, a line a layer: dash-dot before, solid after.

    Parameters
    ----------
    rows : sequence of mapping
        ``row`` is the layer and the role of the checkpoint, ``col`` the fraction; what stands
        beside is not drawn.
    ax : Axes
    """
    import matplotlib as mpl

    rows = [row for row in rows if BESIDE not in str(row["col"])]
    layers = list(dict.fromkeys(str(row["row"]).rsplit(" ", 1)[0] for row in rows))
    depth = mpl.colormaps["viridis"].resampled(len(layers) + 1)
    for i, layer in enumerate(layers):
        for role, style in (("pretrained", "-."), ("finetuned", "-")):
            mine = [row for row in rows if row["row"] == f"{layer} {role}"]
            if not mine:
                continue
            x = [float(str(row["col"])) for row in mine]
            y = [float(row["value"] or 0) for row in mine]
            ax.plot(x, y, linestyle=style, color=depth(i), linewidth=1.3)
            if role == "pretrained":  # names at the left, where lines are far apart
                at = (x[0], y[0])
                ax.annotate(
                    layer,
                    at,
                    (-3, 0),
                    textcoords="offset points",
                    ha="right",
                    va="center",
                    fontsize="x-small",
                )
    both = any(str(row["row"]).endswith(" finetuned") for row in rows)
    ax.set_xlim(left=-0.12)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1])
    ax.set_xlabel(
        "Fraction of filters" + (" (dash-dot: before, solid: after fine-tuning)" if both else "")
    )
    ax.set_ylabel("MCAuE (nats)")


def plot_figure1(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw MCAuE against the fraction of filters, a line a layer.

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
    draw_selectivity(rows, ax=ax)
    return ax


TITLES = {"weighted": "(a) weighted label entropy", "sp_max": "(b) spMax label entropy"}


def plot_s_figure1(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw MCAuE against the fraction of filters, a panel a measure, a line a layer.

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
    from fstore.queries.figures.plots import panels

    frame, drawn = panels(ax, len(TITLES), n_columns=2, size=(5, 3.75))
    for panel, (measure, title) in zip(drawn, TITLES.items(), strict=True):
        mine = [
            {**row, "row": str(row["row"]).split(" ", 1)[1]}
            for row in rows
            if str(row["row"]).startswith(measure + " ")
        ]
        draw_selectivity(mine, ax=panel)
        panel.set_title(title)
    return frame


def plot_selectivity(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw MCAuE against the fraction of filters.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    shares = [row["rank"] / len(rows) for row in rows]
    ax.plot(shares, [row["mcaue"] for row in rows], "k-", label="mean of the most selective")
    ax.plot(shares, [row["aue"] for row in rows], ".", color="0.6", label="a filter")
    ax.set_xlabel(f"Fraction of filters, most selective first (n = {len(rows)})")
    ax.set_ylabel("Area under the entropy curve (nats)")
    ax.legend()
    return ax


def plot_curve(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw entropy curves.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.plots import new_axes

    ax = new_axes(ax)
    styles = ("-", "--", "-.", ":")
    for i, channel in enumerate(dict.fromkeys(row["channel"] for row in rows)):
        mine = [row for row in rows if row["channel"] == channel]
        x, y = ([row[c] for row in mine] for c in ("threshold", "entropy"))
        label = f"filter {channel} (AuE {mine[0]['aue']:.2f})"
        style = {"color": str(0.15 * (i % 5)), "linestyle": styles[i % 4]}
        # thresholds descend: a height holds down to the next one, the last down to 0
        ax.step([*x, 0], [*y, y[-1]], where="post", label=label, **cast("Any", style))
    ax.set_ylim(bottom=0)
    ax.set_xlabel("Threshold / largest score of the filter")
    ax.set_ylabel("Entropy of the labels at or above it (nats)")
    ax.legend()
    return ax
