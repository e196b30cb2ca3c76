"""What a filter responds to most: its top samples, with the response laid over each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.analyses._api import analysis
from fstore.queries.figures.top_images import plot_top_images
from fstore.queries.samples.asked import AskedWithDifficult

if TYPE_CHECKING:
    from fstore.queries.figures.pictures import Picture
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store

__all__ = ["AskedStored", "plot_top_images", "top_images"]

COLUMNS = (
    "channel", "rank", "sample_id", "image_id", "uri", "classes", "act_max", "row", "col", "n",
)  # fmt: skip

MOST_DRAWN = 300
"""Rows with maps, where all filters are asked about: more are no sheet that one looks at."""


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
    channel: tuple[int, ...] = (),
    top: int = 9,
    class_: str | None = None,
) -> list[dict[str, Any]]:
    """List the samples that filters respond to most, largest response first.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedStored
        Which responses of which samples.
    channel : tuple of int
        Index of a filter in the layer, from 0; all if none is named.
    top : int
        Samples of each filter.
    class_ : str or None
        Rank only samples that show this class.

    Returns
    -------
    list of dict
        Equal responses in order of sample. ``classes`` are those present in the sample; ``row``
        and ``col`` say where in the map the response is largest, from 0; ``n`` is the number of
        samples ranked. For the plot also ``map``, array of shape (height, width), ``laid``, the
        same as it lies over the image (None where that is not known, as of tokens), and
        ``picture``, a :class:`fstore.queries.figures.pictures.Picture`. Where no filter is named
        and there would be more than :data:`MOST_DRAWN` rows, no map is read: ``map`` is None.

    Raises
    ------
    UnknownNameError
        Activations, the filter, the part or the class are not there.
    DataError
        ``top`` is not positive; a response is NaN or infinite; no sample shows the class.
    """
    from fstore.queries.samples.blocks import Rows
    from fstore.store.topk import strongest

    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    rows = asked.rows(store)
    ids = rows.ids if class_ is None else _of_class(store, rows, class_)
    named = list(dict.fromkeys(channel)) or None
    best = strongest(store, rows.partition, channels=named, k=top, ids=ids)
    drawn = named is not None or best.sample_ids.size <= MOST_DRAWN
    shown = Rows(rows.partition, np.unique(best.sample_ids))
    about = _About.of(store, shown, best.channels.tolist() if drawn else ())
    return [
        {
            "channel": int(c),
            "rank": rank,
            "n": len(ids),
            **about.row(int(c), sample, value=value, place=place),
        }
        for c, *own in zip(best.channels, best.sample_ids, best.values, best.places, strict=True)
        for rank, (sample, value, place) in enumerate(
            zip(*(a.tolist() for a in own), strict=True), start=1
        )
    ]


def _of_class(store: "Store", rows: "Rows", name: str) -> NDArray[np.int64]:
    """Return those of some samples that show a class."""
    from fstore.store.topk import samples_by_class

    place = rows.partition
    ids = np.intersect1d(samples_by_class(store, place, [name]).get(name, ()), rows.ids)
    if not len(ids):
        raise DataError(
            f"none of the {len(rows.ids)} samples of {place} that are asked about shows class "
            f"'{name}'; leave out --part or --class, or ask for another"
        )
    return ids.astype(np.int64)


@dataclass(frozen=True)
class _About:
    """What is known of some samples of a partition, and their maps by channel."""

    ids: NDArray[np.int64]
    samples: list[dict[str, Any]]
    classes: list[list[str]]
    pictures: "list[Picture]"
    maps: dict[int, NDArray[np.float32]]  # (n_samples, height, width)
    network: str
    width: int  # of a map

    @classmethod
    def of(cls, store: "Store", rows: "Rows", channels: Sequence[int]) -> "_About":
        """Read it; the maps of some channels, perhaps none."""
        from fstore.queries.figures.pictures import pictures
        from fstore.queries.samples.blocks import ablated_blocks
        from fstore.queries.samples.shown import rows_of, shown_classes
        from fstore.store.features import layer_shape

        place, ids = rows.partition, rows.ids
        shape = layer_shape(store, place)
        blocks = ablated_blocks(store, [rows], channels=channels) if channels else ()
        maps = {
            int(c): X[:, i].reshape(len(ids), shape.height, shape.width)
            for block, X in blocks
            for i, c in enumerate(block)
        }
        table = store.samples(place.dataset, place.view, ["sample_id", "image_id", "uri"])
        samples = {row["sample_id"]: row for row in rows_of(table, ids)}
        told = [samples[int(sample)] for sample in ids]
        classes = shown_classes(store, place, ids)
        drawn = pictures(store, place, ids.tolist())
        return cls(ids, told, classes, drawn, maps, place.network, shape.width)

    def row(self, channel: int, sample: int, *, value: float, place: int) -> dict[str, Any]:
        """Return what a row says of one sample."""
        from fstore.queries.figures.overlay import places

        i = int(np.searchsorted(self.ids, sample))
        row, col = divmod(place, self.width)
        prepared, response = self.pictures[i].preparation, None
        if self.maps:
            response = self.maps[channel][i]
        size = prepared.size if prepared else 0
        return {
            **self.samples[i],
            "classes": self.classes[i],
            "act_max": value,
            "row": row,
            "col": col,
            "map": response,
            "laid": None if response is None else places(response, self.network, size),
            "picture": self.pictures[i],
        }
