"""Figure 6 drawn: a sample under its response maps, and the maps after each ablation."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.queries.cells.needs import SAMPLE
from fstore.queries.figures.plots import Row
from fstore.queries.samples.ablations import ABLATIONS
from fstore.words import worded

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from fstore.queries.figures.sheet import Tile
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = ["add_picture", "plot_figure6"]


TINY = float(np.finfo(np.float32).tiny)
RAMP = ((0xEE, 0xF3, 0xF8), (0x5B, 0x93, 0xC4), (0x08, 0x30, 0x6B))
"""Colours from 0 to the largest response, as in charts of matrices; darker in black and white."""
LINE = (0xC2, 0xC8, 0xCF)
SIDE = 208
"""Pixels of a panel where no sample is drawn."""


def add_picture(store: "Store", study: "Study", rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the rows, that of the sample with its ``picture`` and ``where`` the maps are from."""
    from fstore.queries.figures.pictures import pictures
    from fstore.store.files import Partition

    illustrated: list[dict[str, Any]] = [dict(row) for row in rows]
    for row in illustrated:
        if row["col"] == "sample_id":
            _, dataset, view = row["row"].split(" ")
            ckpt, layer = study.checkpoint("pretrained"), study.layer("mid_layer")
            place = Partition(study.network, ckpt, dataset, view, layer)
            (row["picture"],) = pictures(store, place, [int(row["value"])])
            row["where"] = f"layer {layer} of checkpoint {ckpt}"
    return illustrated


def plot_figure6(rows: Sequence[Row], *, title: str = "") -> "Image.Image":
    """Draw a column a filter: the sample with the map over it, and below the map's ablations.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the report, that of the sample with its ``picture``; without it the sample is not
        drawn.
    title : str
        What is drawn: layer, checkpoint, data set.

    Returns
    -------
    Image of mode RGB

    Raises
    ------
    DataError
        The sample's file is gone, or is not the registered one any more.
    """
    from fstore.queries.figures.overlay import overlay, shown
    from fstore.queries.figures.sheet import Line, Tile, sheet

    maps = _maps(rows)
    channels = list(dict.fromkeys(channel for channel, _ in maps))
    sample: Any = next((row for row in rows if row["col"] == "sample_id"), {})
    image = shown(sample["picture"]) if "picture" in sample else None
    side = SIDE if image is None else image.width
    lines = []
    if image is not None:
        seen = [Tile(overlay(image, maps[channel, "none"], side=side)) for channel in channels]
        lines.append(Line("sample", seen))
    lines += [
        Line(worded(entry.name), [_tile(maps, c, line=entry.name, side=side) for c in channels])
        for entry in ABLATIONS
        if (channels[0], entry.name) in maps
    ]
    return sheet(
        lines,
        title=title,
        heads=[f"filter {channel}" for channel in channels],
        note=_note(sample, maps),
        alt=f"Response maps of filters {', '.join(channels)} to one sample, after ablations",
    )


def _note(sample: Row, maps: "Mapping[tuple[str, str], NDArray[np.float32]]") -> str:
    """Say which sample it is, and what colours and frames are."""
    zero = "0 or less" if min(float(x.min()) for x in maps.values()) < 0 else "0"
    note = f"One scale a filter: lightest {zero}, darkest its largest response, or 1 where "
    note += "binarized. Frame: one place, the same for all filters, and where sp-shuffle takes it."
    if not sample:
        return note
    told = [f"Sample {sample['value']:.0f} of{sample['row'].removeprefix(SAMPLE)}"]
    if "where" in sample:
        told += [sample["where"], sample["picture"].uri]
    return f"{', '.join(told)}. {note}"


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


def _tile(
    maps: "Mapping[tuple[str, str], NDArray[np.float32]]", channel: str, *, line: str, side: int
) -> "Tile":
    """Draw one filter's map after an ablation, with a frame round one place."""
    from fstore.queries.figures.sheet import Tile

    whole, values = maps[channel, "none"], maps[channel, line]
    peak = 1.0 if ABLATIONS[line].meta["binary"] else max(float(whole.max()), TINY)
    height, width = whole.shape
    if values.shape != whole.shape:  # one value, as large as a place, in the middle
        box = _box((height - 1) / 2, (width - 1) / 2, whole.shape, side=side)
        return Tile(_value(values / peak, box, side=side), (f"{values[0, 0]:.4g}",))
    row, col = _place(maps, "sp_shuffle" if line == "sp_shuffle" else "none")
    panel = _coloured(values / peak, side)
    if values.size > 1:
        _frame(panel, _box(row, col, whole.shape, side=side))
    return Tile(panel, (f"largest {values.max():.4g}",) if line == "none" else ())


def _box(row: float, col: float, shape: tuple[int, ...], *, side: int) -> tuple[int, int, int, int]:
    """Return a place's first and last pixels in a panel: left, top, right, bottom."""
    ends = [(at / n * side, (at + 1) / n * side) for at, n in ((col, shape[1]), (row, shape[0]))]
    (left, right), (top, bottom) = ((math.ceil(a - 0.5), math.ceil(b - 0.5) - 1) for a, b in ends)
    return left, top, right, bottom


def _coloured(share: "NDArray[np.float32]", side: int) -> "Image.Image":
    """Return a map of shares of the largest value as a square panel, its places as even cells."""
    from PIL import Image

    at = np.clip(share, 0, 1)[:, :, None] * (len(RAMP) - 1)
    below = np.minimum(at.astype(int), len(RAMP) - 2)[:, :, 0]
    ramp = np.array(RAMP, np.float32)
    colours = ramp[below] + (at - below[:, :, None]) * (ramp[below + 1] - ramp[below])
    cells = Image.fromarray(np.rint(colours).astype(np.uint8))
    return _edged(cells.resize((side, side), Image.Resampling.NEAREST))


def _value(
    share: "NDArray[np.float32]", box: tuple[int, int, int, int], *, side: int
) -> "Image.Image":
    """Return a white panel with one value in the middle, as large as a place."""
    from PIL import Image

    panel = _edged(Image.new("RGB", (side, side), "white"))
    cell = _coloured(share, side)
    left, top, right, bottom = box
    panel.paste(cell.crop((0, 0, right - left + 1, bottom - top + 1)), (left, top))
    return panel


def _edged(panel: "Image.Image") -> "Image.Image":
    """Draw a line round a panel, for light values at its edge are hardly seen on white."""
    from PIL import ImageDraw

    side = panel.width
    ImageDraw.Draw(panel).rectangle((0, 0, side - 1, side - 1), outline=LINE)
    return panel


def _frame(panel: "Image.Image", box: tuple[int, int, int, int]) -> None:
    """Draw a frame round a place: black, white on either side, seen on dark and on light places."""
    from PIL import ImageDraw

    draw = ImageDraw.Draw(panel)
    left, top, right, bottom = box
    for out, ink in ((2, "white"), (1, "black"), (0, "black"), (-1, "white")):
        draw.rectangle((left - out, top - out, right + out, bottom + out), outline=ink)


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
