"""Curves of training, as checkpoints keep them: loss, and what was measured on the way."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fstore.queries.figures.plots import panels
from fstore.types import CheckpointRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
LINES = ("-", "--", ":", "-.")
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
    rows: Sequence[Mapping[str, Any]], *, log: bool = False, ax: "Axes | None" = None
) -> "Axes":
    """Draw the loss and what was measured on held-out samples against iterations.

    Parameters
    ----------
    rows : sequence of mapping
        Of :func:`curve_rows`, for one or several checkpoints.
    log : bool
        Draw the loss on a logarithmic axis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    measured = [c for c in dict.fromkeys(str(r["curve"]) for r in rows) if c != "loss"]
    frame, drawn = panels(ax, 1 + len(measured), n_columns=3, size=(4.2, 3.4))
    names = _names(rows)
    for axes, curve in zip(drawn, ["loss", *measured], strict=True):
        _draw(axes, [r for r in rows if r["curve"] == curve], names, percent=curve != "loss")
        axes.set_xlabel("Iterations")
    drawn[0].set_ylabel("Loss on training batches (nats)")
    if log:
        _log_axis(drawn[0])
    for axes, curve in zip(drawn[1:], measured, strict=True):
        axes.set_ylabel(f"Held-out {curve} (percent)")
        axes.set_ylim(0, 1.05 * axes.dataLim.y1)
    handles, labels = drawn[0].get_legend_handles_labels()
    drawn[-1].legend(handles, labels, loc="center left", bbox_to_anchor=(1, 0.5))
    return frame


def _log_axis(axes: "Axes") -> None:
    """Make an axis logarithmic, its ticks plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _names(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], str]:
    """Return what each checkpoint is called: its name, with the network's if there are several."""
    keys = list(dict.fromkeys((str(r["network"]), str(r["ckpt"])) for r in rows))
    several = len({network for network, _ in keys}) > 1
    return {key: "/".join(key) if several else key[1] for key in keys}


def _draw(
    axes: "Axes",
    rows: Sequence[Mapping[str, Any]],
    names: Mapping[tuple[str, str], str],
    *,
    percent: bool,
) -> None:
    """Draw a line a checkpoint; colours run along viridis, strokes change, for black and white."""
    import matplotlib as mpl

    colours = mpl.colormaps["viridis"].resampled(len(names) + 1)
    for i, (key, name) in enumerate(names.items()):
        mine = [r for r in rows if (r["network"], r["ckpt"]) == key]
        x = [r["iteration"] for r in mine]
        y = [r["value"] * (100 if percent else 1) for r in mine]
        style: dict[str, Any] = {"marker": "o", "markersize": 3} if percent else {}
        axes.plot(x, y, LINES[i % len(LINES)], color=colours(i), label=name, **style)
