"""How many dimensions the responses of layers fill."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fstore.queries.analyses._api import analysis
from fstore.queries.analyses.cka import centred_layer
from fstore.queries.figures.dimension import plot_dimension
from fstore.queries.samples.asked_layers import AskedLayers
from fstore.queries.samples.asked_two import AskedTwo, called
from fstore.queries.samples.blocks import Rows
from fstore.types import OnProgress

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["AskedDimension", "dimensions"]


@dataclass(frozen=True, kw_only=True)
class AskedDimension(AskedLayers):
    """The same, of at most two thousand samples where no other number is named.

    Parameters
    ----------
    part : str or None
        Samples: train, val or test. Default: all that are stored for all layers.
    samples : int
        At most as many samples, drawn at random; 0 for all. They take 24 n^2 bytes.
    draw : int
        Seed of the draw.
    """

    part: str | None = None
    samples: int = 2000
    draw: int = 0

    def ids(self, store: "Store", places: "Sequence[Partition]") -> "NDArray[np.int64]":
        """Return the samples that all of the layers hold; see :meth:`AskedTwo.ids`."""
        names = ("dataset", "view", "split", "seed", "difficult", "part", "samples", "draw")
        same: dict[str, Any] = {name: getattr(self, name) for name in names}
        return AskedTwo(ckpt=self.ckpt[0], **same).ids(store, places)


@analysis(
    "dimension",
    title="Intrinsic dimension of layers",
    source="Gao et al. 2017, doi:10.1101/214262; Facco et al. 2017, doi:10.1038/s41598-017-11873-y",
    columns=("ckpt", "layer", "participation_ratio", "two_nn", "features", "n", "distinct"),
    plot=plot_dimension,
)
def dimensions(
    store: "Store",
    asked: AskedDimension,
    *,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Give the dimensions that a layer's responses fill: the linear ones, and the intrinsic ones.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedDimension
        Which layers of which checkpoints, and which samples.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a layer. ``participation_ratio``: the number of principal components, weighted by
        their variances. ``two_nn``: the dimension by the distances to the two nearest samples;
        None where these are always equal. ``distinct`` of the ``n`` samples differ from each
        other; ``two_nn`` is of these.

    Raises
    ------
    UnknownNameError
        Activations or the part are not there.
    DataError
        No feature of a layer differs between samples; fewer than four samples differ; a response
        is NaN or infinite.
    """
    from fstore.queries.methods.dimension import participation_ratio, two_nn

    rows, places = [], asked.places(store)
    ids = asked.ids(store, places)
    for at, place in enumerate(places):
        layer, n_features = centred_layer(store, Rows(place, ids), ablation=asked.ablation)
        dimension, distinct = two_nn(layer)
        rows.append(
            {
                "ckpt": called(place), "layer": place.layer,
                "participation_ratio": participation_ratio(layer), "two_nn": dimension,
                "features": n_features, "n": len(ids), "distinct": distinct,
            }
        )  # fmt: skip
        if on_progress is not None:
            on_progress("dimensions", at + 1, len(places), f"{called(place)} {place.layer}")
    return rows
