"""Charts of rows that are no plain series: filters, precision and recall, a matrix, maps."""

from collections.abc import Mapping
from typing import Any

from fstore.queries.cells.needs import BESIDE, SAMPLE, SUMMARY
from fstore.queries.publish.chart import (
    INK,
    Chart,
    Roles,
    Rows,
    Trace,
    facet_list,
    plain,
    split,
    styled,
)
from fstore.queries.publish.looks import Look
from fstore.queries.samples.ablations import ABLATIONS
from fstore.words import worded

__all__ = ["filters", "maps", "matrix", "precision"]

LIGHT_SCALE = [[0, "#f4f6f8"], [0.5, "#6f9fc8"], [1, "#0b3d70"]]
DARK_SCALE = [[0, "#20252b"], [0.5, "#3f7fb5"], [1, "#d3e8fb"]]


def filters(rows: Rows, look: Look, _roles: Roles) -> Chart | None:
    """Draw Figure 2's numbers: the cosine of every filter, a box a checkpoint."""
    prefix = f"cosine{BESIDE}"
    mine = [row for row in rows if row["col"].startswith(prefix)]
    if not mine:
        return None
    ckpts = list(dict.fromkeys(row["row"] for row in mine))
    low = min(row["value"] for row in mine)
    margin = max(0.05 * (1 - low), 0.02)  # without one, rounding of 1 fills the chart
    ticks = [t for t in _ticks(low, 1.0) if t <= 1]  # no cosine is above 1: marks end there
    layout = {
        "xaxis": {"title": {"text": "Checkpoint"}, "type": "category"},
        "yaxis": {
            "title": {"text": plain(look.quantity)},
            "range": [low - margin, 1 + margin],
            "tickvals": ticks,
            "ticktext": [f"{t:.6g}" for t in ticks],
        },
    }
    n = len(mine) // len(ckpts)
    alt = f"Cosine of {n} filters to their last state at {len(ckpts)} checkpoints"
    return Chart([_boxes(mine, prefix)], layout, f"{alt}, the lowest {low:.3f}.")


def _boxes(rows: Rows, prefix: str) -> Trace:
    """Return a box a checkpoint, with a point a filter; columns are a prefix and the filter."""
    return {
        "type": "box",
        "x": [row["row"] for row in rows],
        "y": [row["value"] for row in rows],
        "hovertext": [
            f"checkpoint {plain(row['row'])}, filter {row['col'].removeprefix(prefix)}"
            f"<br>cosine <b>{row['value']:.4f}</b>"
            for row in rows
        ],
        "hoverinfo": "text",
        "hoveron": "points",
        "boxpoints": "all",
        "pointpos": 0,
        "jitter": 0.6,
        "marker": {"size": 5, "opacity": 0.75},
        "line": {"width": 1.2},
        "fillcolor": "rgba(127,127,127,0.08)",
        "light": "#1f5fa8",
        "dark": "#7db4f0",
    }


def _ticks(low: float, high: float) -> list[float]:
    """Return round numbers from ``low`` or above to ``high``."""
    from matplotlib.ticker import MaxNLocator

    ticks = MaxNLocator(nbins=6, steps=[1, 2, 5, 10]).tick_values(low, high)
    return [float(t) for t in ticks if low <= t <= high + 1e-9]


def precision(rows: Rows, look: Look, roles: Roles) -> Chart:
    """Draw Figure 3: precision against recall of single filters, one class at a time."""
    lines: dict[str, dict[str, float]] = {}
    for row in rows:
        lines.setdefault(row["row"], {})[row["col"]] = row["value"]
    labels = {name: split(name, look, roles) for name in lines}
    styles = styled(labels.values(), look)
    traces, priors = [], {}
    for name, points in lines.items():
        facets, style = labels[name], styles[tuple(labels[name].values())]
        curve = sorted((float(x), y) for x, y in points.items() if x[0].isdigit())
        title = (
            f"{', '.join(facets.values())}: filter {points['channel']:.0f}, AP {points['ap']:.1f}"
        )
        traces.append(_curve(curve, plain(title), style) | {"facets": facets})
        priors[facets["Class"]] = points["prior"]
    traces += [
        _curve([(0, p), (1, p)], f"{plain(c)}: a random filter", {}) | {"facets": {"Class": c}}
        for c, p in priors.items()
    ]
    layout = {
        "xaxis": {"title": {"text": "Recall"}, "range": [0, 1]},
        "yaxis": {
            "title": {"text": "Precision"},
            "range": [0, 1.02],
            "tickvals": [0, 0.2, 0.4, 0.6, 0.8, 1],
        },
    }
    best = max(points["ap"] for points in lines.values())
    alt = f"Precision against recall of the best filters of {len(priors)} classes; the best AP is "
    return Chart(
        traces, layout, f"{alt}{best:.1f} percent.", facet_list(labels.values(), styles, look)
    )


def _curve(points: list[tuple[float, float]], name: str, style: Mapping[str, Any]) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "name": name,
        "hovertemplate": f"{name}<br>recall %{{x:.2f}}, precision <b>%{{y:.3f}}</b><extra></extra>",
        "line": {"width": 1.8, "dash": style.get("dash", "dot")},
        "light": style.get("light", INK[0]),
        "dark": style.get("dark", INK[1]),
    }


def matrix(rows: Rows, look: Look, _roles: Roles) -> Chart:
    """Draw Figure 5: the share of filters that two classes have in common; a class has all."""
    values = {(row["row"], row["col"]): row["value"] for row in rows if row["row"] != SUMMARY}
    chance = next((r["value"] for r in rows if (r["row"], r["col"]) == (SUMMARY, "chance")), None)
    classes = list(dict.fromkeys(row for row, _ in values))
    others = [v for (a, b), v in values.items() if a != b]
    trace = _heat(
        [[values.get((a, b)) if a != b else None for b in classes] for a in classes],
        [[_pair(a, b, values.get((a, b))) for b in classes] for a in classes],
        (0.0, max(others, default=1.0)),
    )
    names = [plain(c) for c in classes]
    title = "Share" if chance is None else f"Share (by chance {chance:.2f})"
    bar = {"title": {"text": title, "side": "right"}, "thickness": 12}
    same = {"type": "category", "title": {"text": "Class"}, "showgrid": False}
    trace |= {"x": names, "y": names, "colorbar": bar, "hoverongaps": False}
    layout = {
        "xaxis": {**same, "constrain": "domain"},
        "yaxis": {**same, "autorange": "reversed", "scaleanchor": "x", "constrain": "domain"},
        "height": 560,
    }
    mean = sum(others) / max(1, len(others))
    alt = f"{look.quantity} for {len(classes)} classes; two classes share {mean:.2f} on average."
    return Chart([trace], layout, alt)


def _pair(a: str, b: str, share: float | None) -> str:
    return "" if share is None else f"{plain(a)} and {plain(b)}<br><b>{share:.2f}</b>"


def maps(rows: Rows, _look: Look, _roles: Roles) -> Chart:
    """Draw Figure 6's maps: one filter at a time, a panel an ablation."""
    cells: dict[str, dict[str, dict[tuple[int, int], float]]] = {}
    for row in rows:
        if not row["row"].startswith(SAMPLE):
            channel, ablation = row["row"].split(" ")
            r, c = map(int, row["col"].split(" "))
            cells.setdefault(channel, {}).setdefault(ablation, {})[r, c] = row["value"]
    shown = [e.name for e in ABLATIONS if any(e.name in own for own in cells.values())]
    traces, layout = [], _grid([worded(name) for name in shown])
    for channel, own in cells.items():
        peak = max(own["none"].values())
        for i, ablation in enumerate(shown):
            facet = {"Filter": f"filter {channel}"}
            top = 1.0 if ABLATIONS[ablation].meta["binary"] else peak
            heat = _map(channel, ablation, own[ablation], top=top)
            axes = {"xaxis": f"x{i + 1}", "yaxis": f"y{i + 1}"}
            sides = _sides(own["none"])
            if ABLATIONS[ablation].meta[
                "pooled"
            ]:  # one value has the size of one place, in the middle
                heat |= {k: [n / 2 - 1, n / 2] for k, n in zip("yx", sides, strict=True)}
            for key, ends in zip(
                "xy", ([-0.5, sides[1] - 0.5], [sides[0] - 0.5, -0.5]), strict=True
            ):
                layout[f"{key}axis{i + 1 if i else ''}"]["range"] = ends
            traces.append(heat | axes | {"facets": facet, "showscale": False})
    values = [{"value": f"filter {channel}"} for channel in cells]
    facets = [{"name": "Filter", "values": values, "choose": True, "every": False}]
    after = ", ".join(worded(name) for name in shown)
    alt = f"Response maps of {len(cells)} filters to one sample, after {after}."
    return Chart(traces, layout, alt, facets)


def _sides(values: Mapping[tuple[int, int], float]) -> tuple[int, int]:
    """Return height and width of a map."""
    height, width = (max(place[i] for place in values) + 1 for i in (0, 1))
    return height, width


def _map(
    channel: str, ablation: str, values: Mapping[tuple[int, int], float], *, top: float
) -> Trace:
    height, width = _sides(values)
    z = [[values[r, c] for c in range(width)] for r in range(height)]
    text = [
        [
            f"filter {channel}, {worded(ablation)}<br>row {r}, column {c}: "
            f"<b>{values[r, c]:.4g}</b>"
            for c in range(width)
        ]
        for r in range(height)
    ]
    return _heat(z, text, (0.0, top))


def _heat(z: list[list[Any]], text: list[list[str]], ends: tuple[float, float]) -> Trace:
    return {
        "type": "heatmap",
        "z": z,
        "hovertext": text,
        "hoverinfo": "text",
        "zmin": ends[0],
        "zmax": ends[1],
        "xgap": 1,
        "ygap": 1,
        "light": LIGHT_SCALE,
        "dark": DARK_SCALE,
    }


def _grid(titles: list[str]) -> dict[str, Any]:
    """Return axes for panels in two columns, square, each under its title."""
    layout: dict[str, Any] = {"height": 560, "annotations": []}
    n_rows = -(-len(titles) // 2)
    for i, title in enumerate(titles):
        row, col, key = i // 2, i % 2, str(i + 1) if i else ""
        left, top = 0.53 * col, 1 - row / n_rows
        bare = {
            "showticklabels": False,
            "showgrid": False,
            "zeroline": False,
            "ticks": "",
            "showline": False,
        }
        at = {"domain": [left, left + 0.47], "anchor": f"y{key}", "constrain": "domain"}
        layout[f"xaxis{key}"] = {**bare, **at}
        layout[f"yaxis{key}"] = {
            **bare,
            "domain": [top - 0.88 / n_rows, top - 0.06 / n_rows],
            "anchor": f"x{key}",
            "scaleanchor": f"x{key}",
            "constrain": "domain",
        }
        above = {"x": left + 0.235, "y": top - 0.05 / n_rows, "xref": "paper", "yref": "paper"}
        anchored = {"xanchor": "center", "yanchor": "bottom", "showarrow": False}
        layout["annotations"].append({"text": title, **above, **anchored})
    return layout
