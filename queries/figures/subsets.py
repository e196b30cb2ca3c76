"""Subsets of filters drawn: the fraction of the complete AP, and how many filters are needed."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["draw_fractions", "plot_filter_subsets", "plot_fractions", "plot_needed"]


def plot_fractions(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

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
    from fstore.queries.figures.subsets import draw_fractions

    lines: dict[tuple[str, str], tuple[list[int], list[float]]] = {}
    for row in rows:
        if BESIDE not in str(row["col"]):
            name, role = str(row["row"]).rsplit(" ", 1)
            sizes, fractions = lines.setdefault((name, role), ([], []))
            sizes.append(int(str(row["col"])))
            fractions.append(float(row["value"] or 0))
    return draw_fractions(lines, ax=ax)


def plot_needed(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the number of filters by class: circles 50 %, squares 90 %; filled is fine-tuned.

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
    main = [row for row in rows if BESIDE not in str(row["col"])]
    classes = list(dict.fromkeys(str(row["col"]) for row in main))
    for label in dict.fromkeys(str(row["row"]) for row in main):
        mine = [row for row in main if row["row"] == label]
        role, share = label.split(" ")
        face = "black" if role == "finetuned" else "white"
        mark = "o" if share == "50%" else "s"
        x = [classes.index(str(row["col"])) for row in mine]
        y = [float(row["value"] or 0) for row in mine]
        ax.plot(x, y, mark, color="black", markerfacecolor=face, label=label)
    ax.set_yscale("log")
    ax.set_xticks(range(len(classes)), classes, rotation=90, fontsize="small")
    ax.set_ylabel("Filters needed (log scale)")
    n = max(int(row["n"] or 0) for row in main)
    ax.set_xlabel(f"Class (n = {n} test boxes)")
    ax.legend(title="Share of the complete AP", loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def draw_fractions(
    lines: dict[tuple[str, str], tuple[list[int], list[float]]], *, ax: "Axes | None" = None
) -> "Axes":
    """Draw fractions of the complete AP, a panel a class, a line a checkpoint.

    Parameters
    ----------
    lines : dict
        (class, role) to numbers of filters and fractions; role ``finetuned`` is solid, others
        dashed. The axis of filters is logarithmic: most happens among the first ten.
    ax : Axes or None
    """
    from fstore.queries.figures.plots import panels

    classes = list(dict.fromkeys(name for name, _ in lines))
    frame, drawn = panels(ax, len(classes), n_columns=5, size=(1.7, 1.5), sharex=True, sharey=True)
    roles = list(dict.fromkeys(role for _, role in lines))
    for name, panel in zip(classes, drawn, strict=True):
        for role in roles:
            if (name, role) in lines:
                style = "-" if role == "finetuned" else "--"
                shade = "black" if role == "finetuned" else "0.35"
                panel.plot(*lines[name, role], linestyle=style, color=shade, linewidth=1.2)
        for share in (0.5, 0.9):
            panel.axhline(share, color="0.6", linewidth=0.6, linestyle=":")
        panel.set_xscale("log")
        panel.set_title(name, fontsize="small")
        panel.set_ylim(0, 1.25)
    figure = frame.get_figure(root=True)
    if figure is not None:
        styles = {"finetuned": "solid: fine-tuned", "pretrained": "dashed: pre-trained"}
        named = [styles[role] for role in roles if role in styles]
        note = "; ".join([*named, "dotted: 50 % and 90 %"])
        figure.supxlabel(f"Number of filters (log scale; {note})", fontsize="small")
        figure.supylabel("Fraction of the complete average precision", fontsize="small")
    return frame


def plot_filter_subsets(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

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
    lines = {
        (str(row["class"]), ""): (
            [r["filters"] for r in rows if r["class"] == row["class"]],
            [r["fraction"] for r in rows if r["class"] == row["class"]],
        )
        for row in rows
    }
    return draw_fractions(lines, ax=ax)
