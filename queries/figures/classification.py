"""Average precision and accuracy by class, drawn."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.ap_bars import ap_bars
from fstore.queries.figures.bars import grouped_bars
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["MEAN", "plot_accuracy", "plot_classification"]

MEAN = "(mean)"


def plot_classification(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the AP of every class, best first, with the prior, and the mean as a line.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    mean = next(row for row in rows if row["class"] == MEAN)
    n_test = int(mean["positives_test"])
    bars = [
        {
            "class": row["class"],
            "ap": row["ap_11"],
            "n": row["positives_test"],
            "prior": row["positives_test"] / n_test if n_test else None,
        }
        for row in rows
        if row["class"] != MEAN and row["ap_11"] is not None
    ]
    note = f"n = {n_test:,} samples tested on."
    quantity = "11-point average precision (percent)"
    return ap_bars(bars, title=title, quantity=quantity, notes=[note])


def plot_accuracy(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the class-averaged and the overall accuracy, a group of bars an ablation.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    title : str
    """
    from fstore.words import worded

    cells = [
        {
            "row": worded(str(row["ablation"])),
            "col": col,
            "value": 100 * row[col],
            "std": None,
            "n": row["n_test"],
            "paper": None,
        }
        for row in rows
        for col in ("class_averaged", "overall")
    ]
    return grouped_bars(
        cells,
        ["class_averaged", "overall"],
        ylabel="Accuracy (percent)",
        xlabel="Ablation",
        title=title,
        of="Mean over",
        over="samples tested on",
    )
