"""Figure 3 drawn: precision against recall of the best filters, a panel a class."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes


__all__ = ["plot_figure3"]


def plot_figure3(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw precision against recall of the five best filters, a panel a class.

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

    lines: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        name, role, rank = str(row["row"]).rsplit(" ", 2)
        line = f"{role} {rank}"
        lines.setdefault(name, {}).setdefault(line, {})[str(row["col"])] = float(row["value"] or 0)
    frame, drawn = panels(ax, len(lines), n_columns=5, size=(1.7, 1.5), sharex=True, sharey=True)
    for (name, mine), panel in zip(lines.items(), drawn, strict=True):
        for line, points in mine.items():
            curve = [(float(x), y) for x, y in points.items() if x[0].isdigit()]
            style, shade = ("-", "black") if line.startswith("finetuned") else ("--", "0.4")
            panel.plot(*zip(*curve, strict=True), linestyle=style, color=shade, linewidth=0.9)
        panel.axhline(next(iter(mine.values()))["prior"], color="black", linestyle=":", linewidth=1)
        best = max(points["ap"] for points in mine.values())
        panel.set_title(f"{name} ({best:.0f})", fontsize="small")
        panel.set_xlim(0, 1)
        panel.set_ylim(0, 1.02)
    figure = frame.get_figure(root=True)
    if figure is not None:
        n = max(int(row["n"] or 0) for row in rows)
        both = any("finetuned" in line for mine in lines.values() for line in mine)
        styles = "dashed: pre-trained" + ("; solid: fine-tuned" if both else "")
        note = f"n = {n} boxes; {styles}; dotted: random filter; in brackets: best AP, percent"
        figure.supxlabel(f"Recall ({note})", fontsize="small")
        figure.supylabel("Precision", fontsize="small")
    return frame
