"""A scikit-learn transformer: images in, stored responses out."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin

from fstore.api.features import Features
from fstore.api.images import Places, Wanted, image_files, stored_places
from fstore.api.reading import Pool, Taken, check_taken
from fstore.api.store import Store
from fstore.errors import DataError
from fstore.store.features import LayerShape, layer_shape
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.types import CheckpointRecord, Precision

__all__ = ["FstoreFeatures"]


class FstoreFeatures(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # they are untyped
    """A step of a scikit-learn pipeline that turns images into a layer's responses.

    Responses that are stored are read, others extracted and stored. Images are told by the content
    of their files, not by their paths. There is nothing to fit.

    Parameters
    ----------
    store : Store, str or Path
        An open store, or its folder.
    layer : str
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str or None
        A registered data set: then an image may also be given by its id, and no other data set is
        looked at. None for all of them.
    network : str or None
        Where several have a checkpoint of this name.
    ablation : str or None
        What is taken of responses first, as for :meth:`fstore.Store.features`; none that needs
        the other samples, or permutations.
    pool : {"mean", "max"} or None
        One value of a map: its mean or its largest.
    precision : {"tf32", "float32", "bfloat16"} or None
        What stored values are rounded to; None for what the stored ones are, else tf32.

    Notes
    -----
    Files whose responses are not stored become a data set of their own (``images-...``) whose
    images lie where they are; ``fstore status`` lists it and ``fstore drop`` removes it.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.svm import LinearSVC
    >>> probe = make_pipeline(fstore.FstoreFeatures("store", "fc7", "305k"), LinearSVC())
    ... # doctest: +SKIP
    >>> probe.fit(["cat.jpg", "dog.jpg"], ["cat", "dog"])  # doctest: +SKIP
    """

    def __init__(
        self,
        store: "Store | str | Path",
        layer: str,
        ckpt: str,
        *,
        dataset: str | None = None,
        network: str | None = None,
        ablation: str | None = None,
        pool: Pool | None = None,
        precision: "Precision | None" = None,
    ) -> None:
        self.store = store
        self.layer = layer
        self.ckpt = ckpt
        self.dataset = dataset
        self.network = network
        self.ablation = ablation
        self.pool = pool
        self.precision = precision

    def fit(self, X: Iterable[object], y: object = None) -> "FstoreFeatures":  # noqa: ARG002
        """Check the parameters; nothing is learned.

        Raises
        ------
        UnknownNameError
            No such checkpoint, data set or ablation.
        DataError
            No such pool.
        """
        store, _ = self._opened()
        check_taken(self._taken())
        if self.dataset is not None:
            store.dataset(self.dataset)
        return self

    def transform(self, X: Iterable[object]) -> NDArray[np.float32]:
        """Return the responses to images, extracting and storing those that are missing.

        Parameters
        ----------
        X : sequence of str or Path, or array of shape (n_images,) or (n_images, 1)
            Paths of image files, or ids of the data set's images.

        Returns
        -------
        array of shape (n_images, n_channels * n_places), float32
            As ``store.features(...).X``.

        Raises
        ------
        UnknownNameError
            No such checkpoint, layer or data set.
        DataError
            An image cannot be read; stored responses were computed in different ways.
        """
        store, record = self._opened()
        taken = self._taken()
        check_taken(taken)
        files = image_files(store, _flat(X), self.dataset)
        if not files:
            raise DataError("no image is given; transform takes at least one path")
        wanted = Wanted(record.network, record.name, self.layer, self.dataset, self.precision)
        places = stored_places(store, wanted, files)
        return _gathered(store, [f.digest for f in files], places, taken=taken)

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:  # noqa: ARG002
        """Return names of the columns: ``conv5_12_3_4`` is channel 12 at row 3, column 4.

        Raises
        ------
        UnknownNameError
            The layer is not on record yet: transform images first.
        """
        from fstore.api.reading import places_left

        store, record = self._opened()
        shape = layer_shape(store, Partition(record.network, record.name, "", "", self.layer))
        names = [f"{self.layer}_{c}" for c in range(shape.channels)]
        if places_left(shape, self._taken()) > 1:
            places = [f"{y}_{x}" for y in range(shape.height) for x in range(shape.width)]
            names = [f"{name}_{place}" for name in names for place in places]
        return np.asarray(names, dtype=object)

    def _opened(self) -> "tuple[Store, CheckpointRecord]":
        store = self.store if isinstance(self.store, Store) else Store.open(self.store)
        return store, store.find_checkpoint(self.ckpt, self.network)

    def _taken(self) -> Taken:
        from fstore.queries.samples.ablations import parse_ablation

        if self.ablation in (None, "none"):
            return Taken(None, self.pool)
        change = parse_ablation(str(self.ablation))
        if change.all_samples or change.shuffles:
            raise DataError(
                f"ablation={self.ablation!r} depends on the data set or on the other samples, so "
                "an image alone has no such features; use store.features(...)"
            )
        return Taken(self.ablation, self.pool)

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:  # noqa: ANN401 - scikit-learn's own
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.no_validation = True
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        return tags


def _flat(X: Any) -> list[object]:  # noqa: ANN401 - lists, arrays, frames and series
    """Return images as a list; a column of a table is one, too."""
    if isinstance(X, (str, os.PathLike)):
        raise DataError(f"transform takes a list of images; write [{str(X)!r}]")
    if hasattr(X, "to_numpy"):
        X = X.to_numpy()
    if isinstance(X, np.ndarray):
        if X.ndim == 2 and X.shape[1] == 1:
            X = X[:, 0]
        if X.ndim != 1:
            raise DataError(f"images come in one dimension, got an array of shape {X.shape}")
    return [str(item) if isinstance(item, np.str_) else item for item in X]


def _gathered(
    store: Store, digests: Sequence[str], places: Places, *, taken: Taken
) -> NDArray[np.float32]:
    """Return the rows of images, each read from the partition that holds it."""
    wanted: dict[Partition, list[tuple[int, int]]] = {}
    for row, digest in enumerate(digests):
        partition, sample = places[digest]
        wanted.setdefault(partition, []).append((row, sample))
    shapes: dict[Partition, LayerShape] = {p: layer_shape(store, p) for p in wanted}
    X: NDArray[np.float32] | None = None
    for partition, pairs in wanted.items():
        rows, ids = np.array(pairs, dtype=np.int64).T
        part = Features(store, partition, ids, layer_shape=shapes[partition], taken=taken).X
        if X is None:
            X = np.empty((len(digests), part.shape[1]), dtype=np.float32)
        X[rows] = part
    assert X is not None  # noqa: S101 - there is at least one image
    return X
