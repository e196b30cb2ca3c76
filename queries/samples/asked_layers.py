"""Several layers of several checkpoints, asked the same question about one data set."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fstore.queries.samples.asked import AskedWithDifficult
from fstore.queries.samples.asked_two import AskedTwo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.queries.samples.problem import Problem
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["AskedLayers", "AskedOne", "AskedSplit", "image_numbers"]


@dataclass(frozen=True, kw_only=True)
class AskedLayers:
    """The responses of layers of checkpoints to the samples of a data set.

    Parameters
    ----------
    ckpt : tuple of str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    layer : tuple of str
        Layer; default all that are stored of a checkpoint.
    view : str
        image (whole images), gt (ground-truth boxes) or proposal.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    difficult : bool
        Keep boxes that are flagged difficult.
    ablation : str
        What is taken from the responses first: sp_max (the largest of each map), none (whole
        maps), ...
    """

    ckpt: tuple[str, ...]
    dataset: str
    layer: tuple[str, ...] = ()
    view: str = "image"
    split: str = "official"
    seed: int = 0
    difficult: bool = False
    ablation: str = "sp_max"

    def places(self, store: "Store") -> "list[Partition]":
        """Return the layers of each checkpoint, in the order of checkpoints and of layers.

        Raises
        ------
        UnknownNameError
            Nothing is stored of a checkpoint, or one of the layers is not.
        """
        found: list[Partition] = []
        for ckpt in dict.fromkeys(self.ckpt):
            asked = AskedTwo(ckpt=ckpt, dataset=self.dataset, view=self.view)
            found += asked.both(store, self.layer)[0]
        return found


@dataclass(frozen=True, kw_only=True)
class AskedSplit(AskedLayers):
    """The same, of what a classifier learns from and is tested on."""

    def problem(self, store: "Store", place: "Partition") -> "Problem":
        """Return samples, labels and parts of one of the layers."""
        asked = AskedWithDifficult(
            layer=place.layer,
            ckpt=place.ckpt,
            network=place.network,
            dataset=self.dataset,
            view=self.view,
            split=self.split,
            seed=self.seed,
        )
        return asked.problem(store, difficult=self.difficult)


@dataclass(frozen=True, kw_only=True)
class AskedOne(AskedSplit):
    """The same, of one layer of one checkpoint.

    Parameters
    ----------
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    layer : str
        Layer whose responses are looked at.
    """

    ckpt: str  # type: ignore[assignment]
    layer: str = field()  # type: ignore[assignment]

    def places(self, store: "Store") -> "list[Partition]":
        """Return the one layer."""
        return AskedTwo(ckpt=self.ckpt, dataset=self.dataset, view=self.view).both(
            store, (self.layer,)
        )[0]


def image_numbers(
    store: "Store", place: "Partition", ids: "NDArray[np.int64]"
) -> "NDArray[np.int64]":
    """Return a number for each sample that is the same for samples of one image.

    Parameters
    ----------
    store : Store
    place : Partition
    ids : array of shape (n_samples,), int64

    Returns
    -------
    array of shape (n_samples,), int64
        From 0.
    """
    import numpy as np

    table = store.samples(place.dataset, place.view, ["sample_id", "image_id"])
    order = np.argsort(table["sample_id"].to_numpy())
    at = order[np.searchsorted(table["sample_id"].to_numpy()[order], ids)]
    names = np.asarray(table["image_id"].to_pylist())[at]
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
