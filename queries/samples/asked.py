"""Which responses of which samples are meant: what the analyses ask a store about, in one object.

A dataclass here is an argument of an analysis. ``fstore analyze`` makes an option of each of its
fields. An analysis that takes more, or has another default, asks with a class of its own that is
derived from one of these.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore.queries.samples.labels import readable
from fstore.store.parts import Samples, sample_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.queries.samples.problem import Problem
    from fstore.queries.samples.single import Responses
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["Asked", "AskedBoxes", "AskedWithDifficult"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """The responses of a layer to the samples of a split.

    Parameters
    ----------
    layer : str
        Layer whose responses are looked at.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        image (whole images), gt (ground-truth boxes) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    """

    layer: str
    ckpt: str
    dataset: str
    view: str = "image"
    network: str | None = None
    split: str = "official"
    seed: int = 0

    def partition(self, store: "Store") -> "Partition":
        """Find the one stored partition that fits: :func:`fstore.store.export.find_partition`."""
        from fstore.store.export import find_partition

        return find_partition(
            store,
            layer=self.layer,
            ckpt=self.ckpt,
            dataset=self.dataset,
            view=self.view,
            network=self.network,
        )

    def samples(self, store: "Store") -> list[Samples]:
        """Return the parts of the split."""
        from fstore.queries.samples.problem import split_samples

        return split_samples(store, self.dataset, self.view, split=self.split, seed=self.seed)

    def problem(self, store: "Store", *, difficult: bool = False) -> "Problem":
        """Return what a classifier learns from and is tested on."""
        from fstore.queries.samples.problem import problem

        place = self.partition(store)
        return problem(
            store,
            self.samples(store),
            network=place.network,
            ckpt=place.ckpt,
            layer=self.layer,
            difficult=difficult,
        )


@dataclass(frozen=True, kw_only=True)
class AskedWithDifficult(Asked):
    """The same, with or without the boxes that are flagged difficult.

    Parameters
    ----------
    difficult : bool
        Keep boxes that are flagged difficult.
    """

    difficult: bool = False

    def readable_ids(
        self, store: "Store", partition: "Partition", part: str
    ) -> "NDArray[np.int64]":
        """Return the samples of one part of the split whose images can be read, ascending."""
        samples = Samples(self.dataset, self.view, self.split, self.seed, part)
        return readable(store, partition, sample_ids(store, samples, difficult=self.difficult))


@dataclass(frozen=True, kw_only=True)
class AskedBoxes(AskedWithDifficult):
    """The same, of ground-truth boxes where no other view is named.

    Parameters
    ----------
    view : str
        gt (ground-truth boxes), image (whole images) or proposal.
    """

    view: str = "gt"

    def responses(self, store: "Store") -> "Responses":
        """Read one response a filter and sample, of all parts of the split."""
        from fstore.queries.samples.single import responses

        return responses(store, self.problem(store, difficult=self.difficult))
