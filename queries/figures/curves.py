"""Curves of training, as checkpoints keep them: loss, and what was measured on the way."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.lines import Axis, beside, line_chart
from fstore.queries.figures.parts import round_ends, titled
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "CURVE_COLUMNS",
    "curve_rows",
    "longest_runs",
    "plot_curves",
    "recipe_of",
    "sparkline",
]

CURVE_COLUMNS = ("network", "ckpt", "curve", "iteration", "value")
BLOCKS = "▁▂▃▄▅▆▇█"
OWN_KEYS = ("curve", "validation")
"""Entries of a recipe that hold points."""


def recipe_of(record: CheckpointRecord) -> dict[str, Any]:
    """Return how a checkpoint came about, without its curves; empty if nothing is known."""
    return {key: value for key, value in _recipe(record).items() if key not in OWN_KEYS}


def longest_runs(records: Sequence[CheckpointRecord]) -> list[CheckpointRecord]:
    """Return the last checkpoint of every run whose curves are known.

    Checkpoints are of one run if their recipes differ in nothing but what was measured.
    """
    last: dict[tuple[str, str], CheckpointRecord] = {}
    for record in records:
        if not _recipe(record).get("curve"):
            continue
        about = {k: v for k, v in recipe_of(record).items() if not k.startswith("held_out")}
        key = (record.network, json.dumps(about, sort_keys=True))
        previous = last.get(key)
        if previous is None or (record.iteration or 0) > (previous.iteration or 0):
            last[key] = record
    return list(last.values())


def curve_rows(record: CheckpointRecord) -> list[dict[str, Any]]:
    """Return the points of a checkpoint's curves.

    Returns
    -------
    list of dict
        Keys :data:`CURVE_COLUMNS`; ``curve`` is ``loss`` (nats, a mean over the iterations up to
        this point from the last) or what was measured on the held-out samples, 0 to 1:
        ``accuracy`` or ``mean AP``.
    """
    recipe = _recipe(record)
    measure = "mean AP" if "held_out_mean_ap" in recipe else "accuracy"
    curves = {"loss": recipe.get("curve", ()), measure: recipe.get("validation", ())}
    return [
        {
            "network": record.network,
            "ckpt": record.name,
            "curve": curve,
            "iteration": int(iteration),
            "value": float(value),
        }
        for curve, points in curves.items()
        for iteration, value in points
        if value is not None and math.isfinite(value)
    ]


def _recipe(record: CheckpointRecord) -> dict[str, Any]:
    recipe: object = json.loads(record.recipe)
    return recipe if isinstance(recipe, dict) else {}


def sparkline(values: Sequence[float], *, width: int = 40) -> str:
    """Draw values as a line of blocks, low to high; means over equal runs where they are many.

    Examples
    --------
    >>> sparkline([4.0, 3.0, 2.0, 1.0])
    '█▆▃▁'
    """
    bounds = [round(i * len(values) / width) for i in range(width + 1)]
    runs = [values[a:b] for a, b in pairwise(bounds) if b > a]
    means = [sum(run) / len(run) for run in runs]
    low, high = min(means, default=0.0), max(means, default=0.0)
    scale = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((mean - low) * scale)] for mean in means)


def plot_curves(
    rows: Sequence[Mapping[str, Any]], *, log: bool = False, title: str = ""
) -> "alt.TopLevelMixin":
    """Draw the loss and what was measured on held-out samples against iterations.

    Parameters
    ----------
    rows : sequence of mapping
        Of :func:`curve_rows`, for one or several checkpoints.
    log : bool
        Draw the loss on a logarithmic axis.
    title : str
    """
    names = _names(rows)
    curves = ["loss", *(c for c in dict.fromkeys(str(r["curve"]) for r in rows) if c != "loss")]
    panels = [
        _panel([r for r in rows if r["curve"] == curve], curve, names, log=log and curve == "loss")
        for curve in curves
        if any(r["curve"] == curve for r in rows)
    ]
    drawn = beside(panels, list(names.values()), of="Checkpoint")
    note = "One training each, so no spread; loss: mean over the iterations since the last point."
    return titled(drawn, title, note, width=400 * len(panels))  # type: ignore[no-any-return]


def _panel(
    rows: Sequence[Mapping[str, Any]],
    curve: str,
    names: Mapping[tuple[str, str], str],
    *,
    log: bool,
) -> "alt.LayerChart":
    """Draw one curve of every checkpoint that has it."""
    loss = curve == "loss"
    points = [
        {"line": names[r["network"], r["ckpt"]], "x": r["iteration"],
         "y": r["value"] * (1 if loss else 100)}
        for r in rows
    ]  # fmt: skip
    heights = [float(p["y"]) for p in points]
    ends = (min(heights) * 0.9, max(heights) * 1.05) if log and min(heights) > 0 else None
    y = Axis("Loss on training batches (nats)" if loss else f"Held-out {curve} (percent)",
             log=log and min(heights) > 0, ends=ends or round_ends(heights),
             format=".3f" if loss else ".1f")  # fmt: skip
    return line_chart(points, x=Axis("Iterations", ends=_iterations(points), format=",d"), y=y,
                      of="Checkpoint", lines=list(names.values()), alone=False,
                      size=(340, 280))  # fmt: skip


def _iterations(points: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    return 0.0, max(1.0, *(float(p["x"]) for p in points))


def _names(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return what each checkpoint is called: its name, with the network's if there are several."""
    keys = list(dict.fromkeys((str(r["network"]), str(r["ckpt"])) for r in rows))
    several = len({network for network, _ in keys}) > 1
    return {key: "/".join(key) if several else key[1] for key in keys}
