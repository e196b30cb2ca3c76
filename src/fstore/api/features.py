"""Features of a layer: a matrix with what its rows are, read when it is asked for."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fstore.api.reading import Taken, matrix, places_left
from fstore.errors import DataError, UnknownNameError
from fstore.showing import definitions_html, heading_html
from fstore.store.catalog import DatasetInfo
from fstore.store.features import LayerShape
from fstore.store.files import Partition, StoredFile
from fstore.store.parts import Part

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

    from fstore.store import Store

__all__ = ["Features"]

FIRST = 5  # samples that a repr names


class Features:
    """A layer's responses to some samples: a matrix, its labels, and what its rows are.

    ``store.features(...)`` returns it. Nothing is read until an attribute is asked for; what was
    read is kept. ``features[:100]`` and ``features[mask]`` are those of some samples, not read
    either.

    Attributes
    ----------
    X : array of shape (n_samples, n_channels * n_places), float32
    y : array of shape (n_samples,), int64
    Y : array of shape (n_samples, n_classes), int8
    ids : array of shape (n_samples,), int64
    images, paths : what the images are called, and where they are
    classes : tuple of str
    """

    def __init__(
        self,
        store: "Store",
        partition: Partition,
        ids: NDArray[np.int64],
        *,
        layer_shape: LayerShape,
        taken: Taken,
        difficult: bool = False,
        part: Part | None = None,
        files: Sequence[StoredFile] = (),
    ) -> None:
        self._store = store
        self._files = files
        self._ids = ids
        self._difficult = difficult
        self.partition = partition
        self.layer_shape = layer_shape
        self.taken = taken
        self.part = part

    # The matrix

    @property
    def shape(self) -> tuple[int, int]:
        """Samples, and values of each: channels times places."""
        return len(self._ids), self.layer_shape.channels * self._places

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def X(self) -> NDArray[np.float32]:  # noqa: N802 - the field's name for a matrix
        """The matrix, one row a sample in the order of :attr:`ids`; C-contiguous.

        Returns
        -------
        array of shape (n_samples, n_channels * n_places), float32
            Channel by channel: the value of channel ``c`` at row ``h``, column ``w`` of a map of
            ``H`` x ``W`` places is in column ``c*H*W + h*W + w``.

        Raises
        ------
        UnknownNameError
            The responses were removed since.
        DataError
            With an ablation: a response is NaN or infinite.
        """
        return matrix(
            self._store,
            self.partition,
            self._ids,
            self.layer_shape,
            taken=self.taken,
            files=self._files,
        )

    @property
    def maps(self) -> NDArray[np.float32]:
        """The same values as maps, shape (n_samples, n_channels, height, width); no copy."""
        height, width = self._map_shape
        return self.X.reshape(len(self), self.layer_shape.channels, height, width)

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> NDArray[np.float32]:
        return np.array(self.X, dtype=dtype, copy=copy)

    @property
    def _map_shape(self) -> tuple[int, int]:
        if self._places != self.layer_shape.positions:
            return 1, 1
        return self.layer_shape.height, self.layer_shape.width

    @property
    def _places(self) -> int:
        return places_left(self.layer_shape, self.taken)

    # Its rows

    @property
    def ids(self) -> NDArray[np.int64]:
        """The ``sample_id`` of each row, shape (n_samples,), int64."""
        return self._ids.copy()

    @cached_property
    def images(self) -> list[str]:
        """The ``image_id`` of each row: the data set's own name of the image."""
        return self._column("image_id")

    @cached_property
    def paths(self) -> list[Path]:
        """The image file of each row; those of a store that is no folder are copied first."""
        from fstore.store.images import local_path

        return [local_path(self._dataset.root / uri) for uri in self._column("uri")]

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of :attr:`Y`'s columns and of :attr:`y`'s numbers."""
        return self._dataset.classes

    @cached_property
    def Y(self) -> NDArray[np.int8]:  # noqa: N802 - the field's name for a matrix
        """What samples show, shape (n_samples, n_classes), int8.

        1 where a class is present, -1 where it is absent, 0 where it is present only as difficult
        objects, which neither count for nor against it.
        """
        from fstore.queries.samples.labels import label_matrix

        unique, back = np.unique(self._ids, return_inverse=True)
        place = self.partition
        labels = label_matrix(
            self._store,
            place.dataset,
            place.view,
            ids=unique,
            classes=self.classes,
            difficult=self._difficult,
        )
        return labels[back]

    @property
    def y(self) -> NDArray[np.int64]:
        """The class of each row as a number, shape (n_samples,), int64: ``classes[y[i]]``.

        Raises
        ------
        DataError
            Samples have no label, or may have several: use :attr:`Y`.
        """
        where = f"data set '{self.partition.dataset}'"
        if not self.classes:
            raise DataError(f"{where} has no labels, so there is no y")
        if self._dataset.task == "multi" and self.partition.view == "image":
            raise DataError(
                f"an image of {where} may show several classes, so there is no y; use .Y, of 1 "
                "(shown), -1 (not shown) and 0 (difficult objects only), a column a class"
            )
        shown = self.Y > 0
        counts = shown.sum(axis=1)
        if (odd := np.flatnonzero(counts != 1)).size:
            raise DataError(
                f"sample {self._ids[odd[0]]} of {where} shows {counts[odd[0]]} classes, so there "
                f"is no y ({odd.size} such); use .Y, or leave it out"
            )
        numbers: NDArray[np.int64] = shown.argmax(axis=1).astype(np.int64)
        return numbers

    @cached_property
    def _dataset(self) -> DatasetInfo:
        return self._store.dataset(self.partition.dataset)

    def _column(self, name: str) -> list[Any]:
        table = self._store.samples(
            self.partition.dataset, self.partition.view, ["sample_id", name]
        )
        at = np.searchsorted(table["sample_id"].to_numpy(), self._ids)
        values: list[Any] = table[name].take(at).to_pylist()
        return values

    # Some of them

    def __getitem__(self, which: "int | slice | Sequence[int] | NDArray[Any]") -> "Features":
        """Return the features of some samples: a number, a slice, numbers, or a mask."""
        if self.whole_only:
            raise DataError(
                f"with ablation={self.taken.ablation!r} a sample's values depend on the others, "
                "so those of some samples are not those of these rows; slice .X"
            )
        if isinstance(which, (int, np.integer)):
            which = [int(which)]
        if not isinstance(which, (slice, tuple)):
            which = np.asarray(which) if len(which) > 0 else np.empty(0, dtype=np.int64)
        # A tuple is rows and columns to an array: X and the ids would be cut in different ways.
        if isinstance(which, tuple) or (ids := self._ids[which]).ndim != 1:
            raise UnknownNameError("features are cut by sample only; columns are those of .X")
        part = Features(
            self._store,
            self.partition,
            ids,
            layer_shape=self.layer_shape,
            taken=self.taken,
            difficult=self._difficult,
            files=self._files,
        )
        if "X" in self.__dict__:
            part.__dict__["X"] = np.ascontiguousarray(self.X[which])
        return part

    @property
    def whole_only(self) -> bool:
        """Whether a sample's values depend on the other samples (ablation ``l2_columns``)."""
        from fstore.queries.samples.ablations import parse_ablation

        return self.taken.ablation is not None and parse_ablation(self.taken.ablation).all_samples

    # For other libraries

    def polars(self) -> "pl.DataFrame":
        """Return a frame of a row a sample: its id, image, classes, and features as an array."""
        import polars as pl

        classes = np.asarray(self.classes, dtype=object)
        return pl.DataFrame(
            {
                "sample_id": self._ids,
                "image_id": pl.Series(self.images, dtype=pl.String),
                "classes": pl.Series(
                    [classes[row > 0].tolist() for row in self.Y], dtype=pl.List(pl.String)
                ),
                "features": pl.Series(self.X, dtype=pl.Array(pl.Float32, self.shape[1])),
            }
        )

    def torch(self) -> "Tensor":
        """Return :attr:`X` as a torch tensor that shares its memory, on the CPU."""
        import torch

        return torch.from_numpy(self.X)

    def export(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the features to a file, as ``fstore export`` does; return its path.

        Whole maps are not held in memory for that.

        Parameters
        ----------
        path : str or Path
            Its ending says in which format: ``.npy``, ``.npz``, ``.parquet``, ``.h5``,
            ``.safetensors`` or ``.lance``.
        overwrite : bool
            Replace a file that is there.

        Raises
        ------
        DataError
            The name has another ending, the file exists, or there is no sample.
        MissingExtraError
            The format needs a library that is not installed.
        StorageError
            The file would lie among the store's own, or cannot be written.
        """
        from fstore.api.export import export

        return export(self._store, self, Path(path), overwrite=overwrite)

    # For people

    def _told(self) -> dict[str, object]:
        samples, values = self.shape
        height, width = self._map_shape
        what = [self.taken.ablation, self.taken.pool and f"pool {self.taken.pool}"]
        told: dict[str, object] = {
            "layer": self.partition.layer,
            "checkpoint": f"{self.partition.network}/{self.partition.ckpt}",
            "data set": f"{self.partition.dataset}, view {self.partition.view}",
            "X": f"{samples} samples x {values} values ({self.layer_shape.channels} channels of "
            f"{height} x {width}), float32, {4 * samples * values / 1e6:.1f} MB",
            "classes": _listed(self.classes) or "none",
        }
        if any(what):
            told["taken"] = ", ".join(filter(None, what))
        return told

    def __repr__(self) -> str:
        told = "; ".join(f"{name}: {value}" for name, value in self._told().items())
        return f"<Features {told}>"

    def _repr_html_(self) -> str:
        return heading_html("Features") + definitions_html(self._told())


def _listed(names: Sequence[str]) -> str:
    """Return how many names there are, and the first of them."""
    if not names:
        return ""
    more = ", ..." if len(names) > FIRST else ""
    return f"{len(names)}: {', '.join(names[:FIRST])}{more}"
