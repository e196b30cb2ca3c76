"""Average precision by class beside the prior, of one checkpoint or of several."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.parts import SHAPES, counted, inline, titled, told
from fstore.queries.figures.plots import Row
from fstore.queries.figures.vega import CATEGORIES

if TYPE_CHECKING:
    import altair as alt

__all__ = ["ap_bars"]


def ap_bars(
    rows: Sequence[Row],
    *,
    title: str = "",
    of: str = "Class",
    quantity: str = "Average precision (percent)",
    mean: bool = True,
    notes: Sequence[str] = (),
) -> "alt.TopLevelMixin":
    """Draw the AP of every class, best first: bars, or of several checkpoints a symbol each.

    Parameters
    ----------
    rows : sequence of mapping
        Keys ``class``, ``ap`` and ``prior`` (0 to 1; None where there is none), ``n`` (positives
        tested on, or None), ``ckpt`` where there are several.
    title : str
    of : str
        What a bar is.
    quantity : str
        What is along x.
    mean : bool
        Mark the mean over classes, of one checkpoint.
    notes : sequence of str
        Sentences below the title.
    """
    import altair as alt

    ckpts = list(dict.fromkeys(str(row.get("ckpt", "")) for row in rows))
    order = _best_first(rows)
    counts = {str(r["class"]): r.get("n") for r in rows}
    label = {c: f"{c} ({counts[c]:,})" if counts[c] is not None else c for c in order}
    points = [_point(row, label) for row in rows if row["ap"] is not None]
    sort = [label[c] for c in order]
    base = alt.Chart(inline(points)).encode(
        y=alt.Y("class:O", sort=sort, title=of, axis=alt.Axis(labelLimit=220, ticks=False))
    )
    value = alt.X("ap:Q", title=quantity, scale=alt.Scale(domain=[0, 100], nice=False))
    tip = _tip(of)
    layers = _bars(base, value, tip) if len(ckpts) == 1 else _symbols(base, value, tip, ckpts=ckpts)
    texts = [*notes]
    if any(p["prior"] is not None for p in points):
        layers += [
            base.mark_tick(thickness=thick, color=ink, size=14).encode(x="prior:Q", tooltip=tip)
            for thick, ink in ((4, "#ffffff"), (2, "#14202b"))
        ]
        texts.append("Tick: the prior, what guessing gives.")
    if mean and len(ckpts) == 1 and points:
        middle = sum(p["ap"] for p in points) / len(points)
        layers.append(_mean(middle))
        texts.append(f"Dashed: the mean over {len(points)} classes, {middle:.1f}.")
    known = [int(n) for n in counts.values() if n is not None]
    if known:
        texts.append(f"In brackets: positives tested on, {counted(known, 'a class')}.")
    chart = alt.layer(*layers).properties(width=440, height=alt.Step(20))
    return titled(chart, title, *texts, width=560)  # type: ignore[no-any-return]


def _point(row: Row, label: Mapping[str, str]) -> dict[str, Any]:
    """Return what is drawn of a class: in percent."""
    prior = None if row.get("prior") is None else 100 * float(row["prior"])
    own = {"class": label[str(row["class"])], "name": str(row["class"]), "n": row.get("n")}
    return {**own, "ap": 100 * float(row["ap"]), "ckpt": str(row.get("ckpt", "")), "prior": prior}


def _tip(of: str) -> list[Any]:
    return told(
        ("name:N", of),
        ("ap:Q", "AP, percent", ".1f"),
        ("prior:Q", "Prior, percent", ".1f"),
        ("n:Q", "Positives", ","),
    )


def _mean(middle: float) -> "alt.Chart":
    import altair as alt

    rule = alt.Chart(inline([{"at": middle}])).mark_rule(strokeDash=[5, 3], color="#8a8f96")
    return rule.encode(x="at:Q")  # type: ignore[no-any-return]


def _best_first(rows: Sequence[Row]) -> list[str]:
    best: dict[str, float] = {}
    for row in rows:
        best[str(row["class"])] = max(float(row["ap"] or 0), best.get(str(row["class"]), 0.0))
    return sorted(best, key=lambda name: (-best[name], name))


def _bars(base: Any, value: Any, tip: Any) -> list[Any]:  # noqa: ANN401
    """Return a bar a class with its number."""
    bars = base.mark_bar(color=CATEGORIES[0], height={"band": 0.7})
    numbers = base.mark_text(align="left", dx=4, fontSize=10)
    return [
        bars.encode(x=value, tooltip=tip),
        numbers.encode(x=value, text="label:N").transform_calculate(
            label="format(datum.ap, '.1f')"
        ),
    ]


def _symbols(base: Any, value: Any, tip: Any, *, ckpts: Sequence[str]) -> list[Any]:  # noqa: ANN401
    """Return a symbol a checkpoint, and a line between those of a class."""
    import altair as alt

    n = len(ckpts)
    same: dict[str, Any] = {"title": "Checkpoint", "sort": list(ckpts)}
    color = alt.Color(
        "ckpt:N",
        scale=alt.Scale(
            domain=list(ckpts), range=[CATEGORIES[i % len(CATEGORIES)] for i in range(n)]
        ),
        **same,
    )
    shape = alt.Shape(
        "ckpt:N",
        scale=alt.Scale(domain=list(ckpts), range=[SHAPES[i % len(SHAPES)] for i in range(n)]),
        **same,
    )
    between = base.mark_line(color="#8a8f96", strokeWidth=1.5).encode(x=value, detail="class:N")
    symbols = base.mark_point(filled=True, size=70, opacity=0.95)
    tip = [*told(("ckpt:N", "Checkpoint")), *tip]
    return [between, symbols.encode(x=value, color=color, shape=shape, tooltip=tip)]
