"""Figure 6 drawn: a sample under its response maps, and the maps after each ablation."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.cells.needs import SAMPLE
from fstore.queries.figures.plots import Row
from fstore.queries.samples.ablations import ABLATIONS
from fstore.words import worded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["add_picture", "plot_figure6"]


TINY = float(np.finfo(np.float32).tiny)


def add_picture(store: "Store", study: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows, that of the sample with its ``picture``."""
    from fstore.queries.figures.pictures import pictures
    from fstore.store.files import Partition

    illustrated: list[dict[str, Any]] = [dict(row) for row in rows]
    for row in illustrated:
        if row["col"] == "sample_id":
            _, dataset, view = row["row"].split(" ")
            ckpt, layer = study.checkpoint("pretrained"), study.layer("mid_layer")
            place = Partition(study.network, ckpt, dataset, view, layer)
            (row["picture"],) = pictures(store, place, [int(row["value"])])
    return illustrated


def plot_figure6(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw a column a filter: the sample with the map over it, and below the map's ablations.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, that of the sample with its ``picture``; without it the sample is not
        drawn.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    from fstore.queries.figures.pictures import draw_response
    from fstore.queries.figures.plots import panels

    maps = _maps(rows)
    channels = list(dict.fromkeys(channel for channel, _ in maps))
    sample: Any = next((row for row in rows if row["col"] == "sample_id"), {})
    lines = ["sample"] if "picture" in sample else []
    lines += [entry.name for entry in ABLATIONS if (channels[0], entry.name) in maps]
    frame, drawn = panels(ax, len(lines) * len(channels), n_columns=len(channels), size=(1.3, 1.3))
    for i, line in enumerate(lines):
        for j, channel in enumerate(channels):
            panel = drawn[i * len(channels) + j]
            if line == "sample":
                draw_response(panel, sample["picture"], maps[channel, "none"])
            else:
                _draw_map(panel, maps, channel, line=line)
            panel.set_title(f"filter {channel}" if i == 0 else "", fontsize="small")
            if j == 0:
                panel.set_ylabel(worded(line), fontsize="small")
    figure = frame.get_figure(root=True)
    if figure is not None:
        note = "white: 0; black: the filter's largest response (binarized: above 0); frame: one "
        note += "place, the same for all filters, and where sp-shuffle takes it"
        if sample:
            about = f"Sample {sample['value']:.0f} of{sample['row'].removeprefix(SAMPLE)}"
            note = f"{about}; {note}"
        figure.supxlabel(fill(note, 18 * len(channels)), fontsize="small")
    return frame


def _maps(rows: Sequence[Row]) -> dict[tuple[str, str], "NDArray[np.float32]"]:
    """Put the cells of maps together: (channel, ablation) -> (height, width)."""
    cells: dict[tuple[str, str], dict[tuple[int, int], float]] = {}
    for row in rows:
        if not str(row["row"]).startswith(SAMPLE):
            channel, ablation = str(row["row"]).split(" ")
            r, c = map(int, str(row["col"]).split(" "))
            cells.setdefault((channel, ablation), {})[r, c] = float(row["value"] or 0)
    maps = {}
    for key, values in cells.items():
        shape = tuple(max(place) + 1 for place in zip(*values, strict=True))
        maps[key] = np.array([values[i] for i in np.ndindex(*shape)], np.float32).reshape(shape)
    return maps


def _draw_map(
    panel: "Axes", maps: "Mapping[tuple[str, str], NDArray[np.float32]]", channel: str, *, line: str
) -> None:
    """Draw one filter's map after an ablation, with a frame round one place."""
    from matplotlib.patches import Rectangle

    whole, values = maps[channel, "none"], maps[channel, line]
    height, width = whole.shape
    panel.set_xticks([])
    panel.set_yticks([])
    panel.spines[:].set_visible(True)
    if values.shape != whole.shape:  # one value, as large as a place
        panel.set(xlim=(0, width), ylim=(height, 0), aspect="equal")
        panel.add_patch(Rectangle(((width - 1) / 2, (height - 1) / 2), 1, 1, color="black"))
        panel.text(width / 2, 0.75 * height, f"{values[0, 0]:.4g}", ha="center", va="center")
        return
    peak = 1.0 if ABLATIONS[line].meta["binary"] else max(float(whole.max()), TINY)
    panel.imshow(values, cmap="Greys", vmin=0, vmax=peak, interpolation="nearest")
    row, col = _place(maps, "sp_shuffle" if line == "sp_shuffle" else "none")
    for color, thickness in (("white", 3), ("black", 1.2)):  # seen on dark and on bright places
        corner = (col - 0.5, row - 0.5)
        frame = Rectangle(corner, 1, 1, fill=False, edgecolor=color, linewidth=thickness)
        frame.set_clip_on(False)
        panel.add_patch(frame)


def _place(
    maps: "Mapping[tuple[str, str], NDArray[np.float32]]", ablation: str
) -> tuple[float, float]:
    """Return where the shown filters together respond most, each by its own scale.

    sp-shuffle moves all filters' responses at a place together, so it is the same place there.
    """
    shown = [x for (_, name), x in maps.items() if name == ablation]
    total = np.sum([x / max(float(x.max()), TINY) for x in shown], axis=0)
    row, col = np.unravel_index(total.argmax(), total.shape)
    return float(row), float(col)
