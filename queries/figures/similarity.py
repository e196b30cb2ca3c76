"""Similarity of layers as matrices, and the change of single filters."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fstore.queries.figures.matrix import matrix
from fstore.queries.figures.plots import Row

if TYPE_CHECKING:
    import altair as alt

__all__ = ["plot_cka", "plot_filter_change", "plot_rsa"]


def plot_cka(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the linear CKA of layers as a matrix, from 0 to 1.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``cka``.
    title : str
    """
    notes = (
        "CKA 0 to 1, the biased estimator: too large where a layer has many more features than n."
    )
    return _matrix(rows, "cka", "Linear CKA", title=title, notes=[notes], ends=(0.0, 1.0))


def plot_rsa(rows: Sequence[Row], *, title: str = "") -> "alt.LayerChart":
    """Draw the rank correlations of layers' dissimilarities as a matrix, up to 1.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``rsa``.
    title : str
    """
    lowest = min([0.0, *(row["rho"] for row in rows if row["rho"] is not None)])
    notes = ["Spearman's rho of 1 - Pearson's r between samples."]
    if left_out := rows[0]["left_out"]:
        notes.append(f"{left_out:,} samples without a pattern in some layer are left out.")
    return _matrix(
        rows, "rho", "RSA, rank\ncorrelation", title=title, notes=notes, ends=(lowest, 1.0)
    )


def _matrix(
    rows: Sequence[Row],
    key: str,
    quantity: str,
    *,
    title: str,
    notes: Sequence[str],
    ends: tuple[float, float],
) -> "alt.LayerChart":
    cells = [
        {"row": r["layer"], "col": r["other_layer"], "value": r[key], "n": r["n"]} for r in rows
    ]
    return matrix(
        cells,
        title=title,
        quantity=quantity,
        of_rows=f"Layer of {rows[0]['ckpt']}",
        of_columns=f"Layer of {rows[0]['other_ckpt']}",
        ends=ends,
        notes=notes,
    )


def plot_filter_change(rows: Sequence[Row], *, title: str = "") -> "alt.TopLevelMixin":
    """Draw the change of every filter by its rank; the most changed ones are named.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis ``filter-change``.
    title : str
    """
    import altair as alt

    from fstore.queries.figures.parts import inline, titled, told

    drawn = [
        {"rank": at, "channel": row["channel"], "change": row["change"]}
        for at, row in enumerate(rows, start=1)
        if row["change"] is not None
    ]
    constant = sum(row["constant_in"] is not None for row in rows)
    base = alt.Chart(inline(drawn)).encode(
        x=alt.X("rank:Q", title="Rank of the filter", scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y("change:Q", title="Change, 1 - Pearson's r", scale=alt.Scale(zero=True)),
        tooltip=told(("channel:O", "Filter"), ("rank:Q", "Rank"), ("change:Q", "Change", ".3f")),
    )
    line = base.mark_line(point=alt.OverlayMarkDef(size=24, filled=True), strokeWidth=1.5)
    most = ", ".join(str(row["channel"]) for row in drawn[:5])
    notes = [f"n = {rows[0]['n']:,} samples.", f"Most changed: {most}." if most else ""]
    if constant:
        notes.append(f"{constant:,} of {len(rows):,} filters respond alike to all samples in one "
                     "checkpoint or both: no r.")  # fmt: skip
    if alone := sum(row["change"] is None and row["constant_in"] is None for row in rows):
        notes.append(f"{alone:,} filters have no partner.")
    fates = [row.get("fate") for row in rows]
    if "died" in fates or "born" in fates:
        notes.append(f"{fates.count('died'):,} died, {fates.count('born'):,} were born.")
    chart = line.properties(width=520, height=260)
    return titled(chart, title, *notes)  # type: ignore[no-any-return]
