"""What a filter responds to most: its top samples, with the response laid over each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.analyses._api import Row, analysis
from fstore.queries.samples.asked import AskedWithDifficult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.queries.figures.pictures import Picture
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["AskedStored", "plot_top_images", "top_images"]

COLUMNS = (
    "channel", "rank", "sample_id", "image_id", "uri", "classes", "act_max", "row", "col", "n",
)  # fmt: skip


NOWHERE = np.zeros((1, 1), dtype=np.float32)
"""A map that leaves the image as it is."""
WIDEST = 10
"""Images in a line of the sheet, at most."""


@dataclass(frozen=True, kw_only=True)
class AskedStored(AskedWithDifficult):
    """Responses to all samples that are stored, or to those of a part of a split.

    Parameters
    ----------
    part : str or None
        Samples that are ranked: train, val or test. Default: all that are stored.
    """

    part: str | None = None

    def rows(self, store: "Store") -> "Rows":
        """Return the samples among which the top ones are sought, and where their responses are."""
        from fstore.queries.samples.blocks import Rows
        from fstore.store.features import stored_samples
        from fstore.store.parts import without_difficult

        place = self.partition(store)
        if self.part is not None:
            return Rows(place, self.readable_ids(store, place, self.part))
        ids = stored_samples(store, place)
        if not self.difficult:
            ids = without_difficult(store, ids, dataset=place.dataset, view=place.view)
        return Rows(place, ids)


def plot_top_images(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw a sheet, a row a filter: its top samples as the network saw them, responses over them.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis, with their ``picture`` and ``map``.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes

    Raises
    ------
    DataError
        An image file is gone, or is not the registered one any more.
    """
    from fstore.queries.figures.pictures import draw_response
    from fstore.queries.figures.plots import panels

    channels = list(dict.fromkeys(row["channel"] for row in rows))
    lines, columns = _sheet(max((row["rank"] for row in rows), default=1))
    size = len(channels) * lines * columns
    frame, drawn = panels(ax, size, n_columns=columns, size=(1.05, 1.4))
    for row in rows:
        panel = drawn[channels.index(row["channel"]) * lines * columns + row["rank"] - 1]
        laid = row.get("laid", row["map"])
        draw_response(panel, row["picture"], NOWHERE if laid is None else laid)
        panel.set_title(_caption(row), fontsize="x-small", pad=2)
        if row["rank"] == 1:
            panel.set_ylabel(f"filter {row['channel']}", fontsize="small")
    for panel in drawn:
        if not panel.images:
            panel.axis("off")
    figure = frame.get_figure(root=True)
    if figure is not None and rows:
        label = f"Largest response above each, n = {rows[0]['n']} samples"
        laid = rows[0].get("laid", rows[0]["map"])
        if laid is None:
            label += "; not drawn: where a token lies in the image is not known"
        elif laid.size > 1:
            label += "; line: half of it; cross: its place"
            label += "" if laid.size == rows[0]["map"].size else " (class token left out)"
        figure.supxlabel(label, fontsize="small")
    return frame


def _sheet(top: int) -> tuple[int, int]:
    """Return how many lines, and how many images a line, show one filter's top samples."""
    lines = -(-top // WIDEST)
    return lines, -(-top // lines)


def _caption(row: Mapping[str, Any]) -> str:
    names, value = ", ".join(row["classes"]), row["act_max"]
    short = names if len(names) <= 19 else names[:18] + "…"
    return f"{short}\n{value:,.0f}" if abs(value) >= 100 else f"{short}\n{value:.3g}"


@analysis(
    "top-images",
    title="Top images of filters",
    source="section 4",
    columns=COLUMNS,
    plot=plot_top_images,
    negative="images are ranked by the largest response, which may be below 0",
)
def top_images(
    store: "Store",
    asked: AskedStored,
    *,
    channel: tuple[int, ...],
    top: int = 9,
) -> list[dict[str, Any]]:
    """List the samples that filters respond to most, largest response first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedStored
        Which responses of which samples.
    channel : tuple of int
        Index of a filter in the layer, from 0.
    top : int
        Samples of each filter.

    Returns
    -------
    list of dict
        Equal responses in order of sample. ``classes`` are those present in the sample; ``row``
        and ``col`` say where in the map the response is largest, from 0; ``n`` is the number of
        samples ranked. For the plot also ``map``, array of shape (height, width), ``laid``, the
        same as it lies over the image (None where that is not known, as of tokens), and
        ``picture``, a :class:`fstore.queries.figures.pictures.Picture`.

    Raises
    ------
    UnknownNameError
        Activations, the filter or the part are not there.
    DataError
        ``top`` is not positive; a response is NaN or infinite.
    """
    from fstore.queries.samples.blocks import Rows

    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    rows = asked.rows(store)
    channels = list(dict.fromkeys(channel))
    best = _best(store, rows, channels=channels, top=top)
    shown = Rows(rows.partition, np.unique(np.concatenate(list(best.values()))))
    about = _About.of(store, shown, channels)
    return [
        {"channel": c, "rank": rank, "n": len(rows.ids), **about.row(c, int(sample))}
        for c in channels
        for rank, sample in enumerate(best[c], start=1)
    ]


def _best(
    store: "Store", rows: "Rows", *, channels: Sequence[int], top: int
) -> dict[int, NDArray[np.int64]]:
    """Return each filter's top samples; only the summary column is read."""
    from fstore.queries.samples.blocks import ablated_blocks

    best = {}
    for block, X in ablated_blocks(store, [rows], ablation="sp_max", channels=channels):
        for i, c in enumerate(block):
            best[int(c)] = rows.ids[np.argsort(-X[:, i, 0], kind="stable")[:top]]
    return best


@dataclass(frozen=True)
class _About:
    """What is known of some samples of a partition, and their maps by channel."""

    ids: NDArray[np.int64]
    samples: list[dict[str, Any]]
    classes: list[list[str]]
    pictures: "list[Picture]"
    maps: dict[int, NDArray[np.float32]]  # (n_samples, height, width)
    network: str

    @classmethod
    def of(cls, store: "Store", rows: "Rows", channels: Sequence[int]) -> "_About":
        """Read it."""
        from fstore.queries.figures.pictures import pictures
        from fstore.queries.samples.blocks import ablated_blocks
        from fstore.store.features import layer_shape

        place, ids = rows.partition, rows.ids
        shape = layer_shape(store, place)
        maps = {
            int(c): X[:, i].reshape(len(ids), shape.height, shape.width)
            for block, X in ablated_blocks(store, [rows], channels=channels)
            for i, c in enumerate(block)
        }
        table = store.samples(place.dataset, place.view, ["sample_id", "image_id", "uri"])
        samples = {row["sample_id"]: row for row in table.to_pylist()}
        told = [samples[int(sample)] for sample in ids]
        classes = _classes(store, place, ids)
        return cls(ids, told, classes, pictures(store, place, ids.tolist()), maps, place.network)

    def row(self, channel: int, sample: int) -> dict[str, Any]:
        """Return what a row says of one sample."""
        from fstore.queries.figures.pictures import places

        i = int(np.searchsorted(self.ids, sample))
        response = self.maps[channel][i]
        row, col = np.unravel_index(response.argmax(), response.shape)
        prepared = self.pictures[i].preparation
        return {
            **self.samples[i],
            "classes": self.classes[i],
            "act_max": float(response.max()),
            "row": int(row),
            "col": int(col),
            "map": response,
            "laid": places(response, self.network, prepared.size if prepared else 0),
            "picture": self.pictures[i],
        }


def _classes(store: "Store", place: "Partition", ids: NDArray[np.int64]) -> list[list[str]]:
    """Return the classes that each sample shows, in the data set's order.

    An object that is flagged difficult counts in its own box, and not in the whole image.
    """
    from fstore.store.parts import without_difficult

    names = store.dataset(place.dataset).classes
    plain = set(without_difficult(store, ids, dataset=place.dataset, view=place.view).tolist())
    shown: dict[int, set[str]] = {int(sample): set() for sample in ids}
    for row in store.labels(place.dataset, place.view).to_pylist():
        sample = row["sample_id"]
        if sample in shown and (row["label"] > 0 or sample not in plain):
            shown[sample].add(row["class"])
    return [[name for name in names if name in own] for own in shown.values()]
