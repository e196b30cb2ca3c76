"""Table 9 drawn: the decrease of MCAuE by layer, a panel a measure, a line a share of filters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import BESIDE
from fstore.queries.figures.lines import Axis, beside, line_chart
from fstore.queries.figures.parts import counted, round_ends, titled
from fstore.queries.figures.plots import Row
from fstore.words import worded

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_table9"]


def plot_table9(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the percent decrease by layer, a panel a measure, a line a share of the filters.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report.
    title : str
    """
    main = [row for row in rows if BESIDE not in str(row["col"]) and row["value"] is not None]
    ends = round_ends([float(row["value"]) for row in main])
    measures = list(dict.fromkeys(str(row["col"]).rsplit(" ", 1)[0] for row in main))
    layers = list(dict.fromkeys(str(row["row"]) for row in main))
    panels = [
        _panel([r for r in main if str(r["col"]).startswith(f"{measure} ")], layers, ends)
        .properties(title=f"{worded(measure).capitalize()} entropy")
        for measure in measures
    ]  # fmt: skip
    shares = list(dict.fromkeys(_share(str(row["col"])) for row in main))
    counts = [int(row["n"]) for row in main if row["n"]]
    n = f"{counted(counts, 'filters in a mean')}." if counts else ""
    what = "Above 0: more selective after fine-tuning. One pair of checkpoints, so no spread."
    notes = [what, n, *_silent(rows)]
    return titled(beside(panels, shares, of="Filters"), title, *notes, width=300 * len(panels))  # type: ignore[no-any-return]


def _silent(rows: Sequence[Row]) -> list[str]:
    """Say how many filters never fire, and which signs are theirs."""
    values = {(str(row["row"]), str(row["col"])): float(row["value"] or 0) for row in rows}
    counts = [
        f"{layer} {before:g} and {values[layer, f'{whole}{BESIDE}silent_finetuned']:g}"
        for (layer, col), before in values.items()
        for whole, _, what in [col.partition(BESIDE)]
        if what == "silent_pretrained"
        and (before or values[layer, f"{whole}{BESIDE}silent_finetuned"])
    ]
    signs = [
        f"{layer} {worded(col.rsplit(' ', 1)[0])} entropy, {_share(col.partition(BESIDE)[0])} "
        f"{value:.2f}"
        for (layer, col), value in values.items()
        if col.endswith(f"{BESIDE}firing")
    ]
    notes = [f"Filters that never fire, before and after: {', '.join(counts)}."] if counts else []
    return notes + ([f"Without these the sign is another: {'; '.join(signs)}."] if signs else [])


def _panel(
    rows: Sequence[Row], layers: Sequence[str], ends: tuple[float, float]
) -> "alt.LayerChart":
    """Draw one measure: a line a share of the filters."""
    points = [
        {
            "line": _share(str(row["col"])),
            "x": str(row["row"]),
            "y": row["value"],
            "n": row["n"],
        }
        for row in rows
    ]
    return line_chart(
        points,
        x=Axis("Layer", names=layers),
        y=Axis("Decrease of MCAuE (percent)", ends=ends, format=".2f"),
        of="Filters",
        more=[("n:Q", "Filters in the mean", ",")],
        rules=[0.0] if ends[0] < 0 < ends[1] else [],
        alone=False,
        size=(250, 270),
    )


def _share(col: str) -> str:
    share = float(col.rsplit(" ", 1)[1])
    return "all filters" if share == 1 else f"best {100 * share:g} %"
