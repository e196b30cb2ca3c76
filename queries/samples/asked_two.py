"""Two checkpoints that saw the same samples, and the layers of each that are compared."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.samples.same_images import check_same_images
from fstore.store.parts import Samples, sample_ids, without_difficult
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["AskedTwo", "Layer", "called", "each_layer", "layer_features"]


@dataclass(frozen=True, kw_only=True)
class AskedTwo:
    """The responses of two checkpoints to the same samples.

    Parameters
    ----------
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    other : str or None
        Checkpoint to compare with, also of another network. Default: the same, layer with layer.
    other_dataset : str or None
        Data set of the other, of the same images in the same order, as a blurred copy. Default:
        the same.
    view : str
        image (whole images), gt (ground-truth boxes) or proposal.
    part : str or None
        Samples that are compared: train, val or test. Default: all that are stored for both.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    samples : int
        At most as many samples, drawn at random; 0 for all.
    draw : int
        Seed of the draw.
    difficult : bool
        Keep boxes that are flagged difficult.
    ablation : str
        What is compared: sp_max (the largest response of each map), none (whole maps), ...
    """

    ckpt: str
    dataset: str
    other: str | None = None
    other_dataset: str | None = None
    view: str = "image"
    part: str | None = None
    split: str = "official"
    seed: int = 0
    samples: int = 0
    draw: int = 0
    difficult: bool = False
    ablation: str = "sp_max"

    def both(
        self, store: "Store", layers: Sequence[str] = ()
    ) -> "tuple[list[Partition], list[Partition]]":
        """Return the partitions of the checkpoint and of the other, in the order of layers.

        Parameters
        ----------
        store : Store
        layers : sequence of str
            Those that are meant, of each that has them; none: all that are stored.

        Raises
        ------
        UnknownNameError
            Nothing is stored of a checkpoint, or a layer is stored of neither.
        """
        sides = self._sides
        a, b = (self._stored(store, side, layers) for side in sides)
        names = {p.layer for p in (*a, *b)}
        for layer in layers:
            if layer not in names:
                self._find(store, layer, sides[0])
        wanted = set(layers) or names
        kept = [[p for p in own if p.layer in wanted] for own in (a, b)]
        for own, side in zip(kept, sides, strict=True):
            if not own:
                self._find(store, layers[0], side)
        return kept[0], kept[1]

    def one(self, store: "Store", layer: str, *, other: bool = False) -> "Partition":
        """Return the partition of one layer, of the checkpoint or of the other.

        Raises
        ------
        UnknownNameError
            It is not stored.
        """
        side = self._sides[other]
        own = [p for p in self._stored(store, side, [layer]) if p.layer == layer]
        return own[0] if own else self._find(store, layer, side)

    def called(self, partition: "Partition") -> str:
        """Return a partition's checkpoint with its network; of two data sets, also which."""
        over = "" if self.other_dataset is None else f" over {partition.dataset}"
        return called(partition) + over

    @property
    def _sides(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Checkpoint and data set, and those that they are compared with."""
        other = self.other or self.ckpt, self.other_dataset or self.dataset
        return (self.ckpt, self.dataset), other

    def _find(self, store: "Store", layer: str, side: tuple[str, str]) -> "Partition":
        """Return the partition of a layer; the error says what there is, and what to do."""
        from fstore.store.export.finding import find_partition

        ckpt, dataset = side
        return find_partition(store, layer=layer, ckpt=ckpt, dataset=dataset, view=self.view)

    def _stored(
        self, store: "Store", side: tuple[str, str], layers: Sequence[str]
    ) -> "list[Partition]":
        """Return a checkpoint's stored layers over a data set, in the network's order."""
        from fstore.store.files import Partition

        ckpt, dataset = side
        columns = ("network", "ckpt", "dataset", "view", "layer")
        rows = [
            Partition(**{c: row[c] for c in columns})
            for row in store.status()
            if (row["dataset"], row["view"]) == (dataset, self.view)
        ]
        fit = [p for p in rows if ckpt in (p.ckpt, called(p))]
        networks = {p.network for p in fit}
        if len(networks) != 1:  # none, or several that have a checkpoint of this name
            layer = [*layers, *(p.layer for p in (*fit, *rows)), "NAME"][0]
            networks = {self._find(store, layer, side).network}
        return [p for p in fit if p.network in networks]

    def ids(self, store: "Store", partitions: "Sequence[Partition]") -> NDArray[np.int64]:
        """Return the samples that are compared: those that all of the partitions hold, ascending.

        Raises
        ------
        UnknownNameError
            The part is not there.
        DataError
            They hold fewer than three in common; ``samples`` is below 0, or 1 or 2. They are of
            two data sets whose samples are not the same images in the same order.
        """
        from fstore.store.features import stored_samples

        if self.other_dataset is not None:
            check_same_images(store, self.view, (self.dataset, self.other_dataset))
        if self.samples < 0 or self.samples in (1, 2):
            raise DataError(f"samples must be 0 (all) or at least 3, got {self.samples}")
        ids = stored_samples(store, partitions[0])
        for partition in partitions[1:]:
            ids = np.intersect1d(ids, stored_samples(store, partition), assume_unique=True)
        if self.part is not None:
            part = Samples(self.dataset, self.view, self.split, self.seed, self.part)
            ids = np.intersect1d(ids, sample_ids(store, part, difficult=True))
        if not self.difficult:
            ids = without_difficult(store, ids, dataset=self.dataset, view=self.view)
        if len(ids) < 3:
            raise DataError(
                f"the {len(partitions)} layers hold {len(ids)} samples in common; comparing needs "
                "3. Extract both checkpoints over the same samples"
            )
        if 0 < self.samples < len(ids):
            drawn = np.random.default_rng(self.draw).choice(ids, self.samples, replace=False)
            ids = np.sort(drawn)
        return ids


def called(partition: "Partition") -> str:
    """Return a partition's checkpoint with its network."""
    return f"{partition.network}/{partition.ckpt}"


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer's responses to some samples, as they are read.

    Attributes
    ----------
    partition : Partition
    blocks : iterable of arrays of shape (n_samples, n_channels, positions), float32
        Some channels each.
    n_features : int
        Of all blocks.
    name : str
        For messages.
    """

    partition: "Partition"
    blocks: Iterable[NDArray[np.float32]]
    n_features: int
    name: str


def each_layer(
    store: "Store",
    rows: "Iterable[Rows]",
    *,
    ablation: str,
    what: str = "",
    on_progress: OnProgress | None = None,
) -> Iterator[Layer]:
    """Yield layers to be read, one after another; a bar goes on when the next one is asked for.

    Parameters
    ----------
    store : Store
    rows : iterable of Rows
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`.
    what : str
        Of the bar.
    on_progress : callable or None

    Raises
    ------
    DataError
        A response is NaN or infinite.
    """
    wanted = list(rows)
    for done, each in enumerate(wanted, start=1):
        place = each.partition
        blocks, n_features = layer_features(store, each, ablation=ablation)
        name = f"layer {place.layer} of {called(place)} over {place.dataset}.{place.view}"
        yield Layer(place, blocks, n_features, name)
        if on_progress is not None:
            on_progress(what, done, len(wanted), place.layer)


def layer_features(
    store: "Store", rows: "Rows", *, ablation: str
) -> tuple[Iterable[NDArray[np.float32]], int]:
    """Return a layer's responses in blocks of channels, and the features of all of them.

    Parameters
    ----------
    store : Store
    rows : Rows
    ablation : str
        See :func:`fstore.queries.samples.ablations.parse_ablation`.

    Raises
    ------
    DataError
        A response is NaN or infinite.
    """
    from fstore.queries.samples.blocks import ablated_blocks
    from fstore.store.features import layer_shape

    blocks = (X for _, X in ablated_blocks(store, [rows], ablation=ablation))
    first = next(blocks)
    n_features = layer_shape(store, rows.partition).channels * int(np.prod(first.shape[2:]))
    return chain([first], blocks), n_features
