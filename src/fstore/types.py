"""The values that rooms hand to one another; plain, frozen, no library behind them but NumPy."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MEAN_IMAGE",
    "PARTS",
    "ActivationBatch",
    "Box",
    "CheckpointRecord",
    "DatasetManifest",
    "FloatArray",
    "ImageFile",
    "ImageFolder",
    "IntArray",
    "LayerResponses",
    "LayerSpec",
    "OnProgress",
    "Part",
    "Precision",
    "SampleRecord",
    "Split",
    "View",
    "ViewManifest",
]

MEAN_IMAGE = "fstore.mean_image"
"""Reserved name of a tensor: a checkpoint's mean image, (3, resize, resize) float32."""

FloatArray: TypeAlias = NDArray[np.floating[Any]]
IntArray: TypeAlias = NDArray[np.integer[Any]]

View: TypeAlias = Literal["image", "gt", "proposal"]
Part: TypeAlias = Literal["train", "val", "test"]
PARTS: tuple[Part, ...] = ("train", "val", "test")
Precision: TypeAlias = Literal["float32", "tf32", "bfloat16", "bit"]


class ImageFile(Protocol):
    """A file that can be read: a ``Path``, or one of a store that is no folder."""

    @property
    def name(self) -> str:
        """What stands after the last ``/``."""

    def read_bytes(self) -> bytes:
        """Return the content; ``OSError`` where there is none."""

    def is_file(self) -> bool:
        """Tell whether it is there."""


class ImageFolder(Protocol):
    """Where a data set's images are: ``folder / uri`` is a file; a ``Path``, or like one."""

    def __truediv__(self, uri: str, /) -> ImageFile:
        """Return the file of an image."""


Box: TypeAlias = tuple[float, float, float, float]
"""``(xmin, ymin, xmax, ymax)`` in pixels, 1-based and inclusive, as PASCAL VOC writes them."""

OnProgress: TypeAlias = Callable[[str, int, int, str], None]
"""Called during long work with: what is being done, steps done, steps in all, a note."""


@dataclass(frozen=True, slots=True)
class LayerSpec:
    """A tap of a network: its name and the shape of one sample's response there.

    ``height`` and ``width`` are 1 where a response is one number a channel (fully connected
    layers); ``kind`` is ``conv`` for maps and ``fc`` for vectors; ``order`` counts from 0, from
    the input upwards; ``definition`` is the hash of the computation from the input to here.
    """

    name: str
    channels: int
    height: int
    width: int
    kind: Literal["conv", "fc"]
    order: int
    definition: str

    @property
    def positions(self) -> int:
        """Places in one map: height times width."""
        return self.height * self.width

    @property
    def values(self) -> int:
        """Values of one sample: channels times positions."""
        return self.channels * self.positions

    @property
    def map_size(self) -> str:
        """Shape of one sample's response: ``96x27x27``; ``4096`` of one number a channel."""
        of_map = "" if self.kind == "fc" else f"x{self.height}x{self.width}"
        return f"{self.channels}{of_map}"


@dataclass(frozen=True, slots=True)
class LayerResponses:
    """One layer's responses to a batch, as they are stored (rounded), with their summaries.

    Attributes
    ----------
    act_max : array of shape (n_samples, n_channels), float32
        Largest response over the map; the response itself where the map is 1x1.
    act_sum : array of shape (n_samples, n_channels), float64, or None where the map is 1x1
    nnz, npos, argmax : arrays of shape (n_samples, n_channels), int32, or None likewise
        Responses that are not 0, that are above 0, and the first place of the largest
        (row-major, from 0).
    maps : array of shape (n_samples, n_channels, height * width), float32, or None likewise
    """

    act_max: NDArray[np.float32]
    act_sum: NDArray[np.float64] | None = None
    nnz: NDArray[np.int32] | None = None
    npos: NDArray[np.int32] | None = None
    argmax: NDArray[np.int32] | None = None
    maps: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class ActivationBatch:
    """What the extractor hands to a sink: several layers' responses to the same samples.

    Attributes
    ----------
    sample_ids : array of shape (n_samples,), int64, ascending
    layers : layer name -> LayerResponses, rows in the order of ``sample_ids``
    """

    sample_ids: NDArray[np.int64]
    layers: Mapping[str, LayerResponses]


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One network input of a data set, as its reader found it.

    Attributes
    ----------
    image_id : str
        The data set's own name of the image (VOC: ``000012``; folders: the relative path).
    uri : str
        Path of the file, relative to the data set's root, with ``/``.
    digest : str
        BLAKE2b-128 of the file's bytes, hex; empty if the file could not be read.
    width, height : int
        Pixels of the whole image; 0 if the header could not be read.
    box : Box or None
        Region that is the sample; None for the whole image.
    difficult : bool
        VOC's flag of the object; False for whole images.
    labels : class -> 1 (present) or 0 (present only as difficult objects); absent means -1
    """

    image_id: str
    uri: str
    digest: str
    width: int
    height: int
    labels: Mapping[str, int]
    box: Box | None = None
    difficult: bool = False


@dataclass(frozen=True, slots=True)
class Split:
    """The part that each sample of a view plays in one split.

    ``name`` is ``official`` (the data set's own, seed 0) or ``random``; ``parts`` has one entry a
    sample, in order; None for a sample that the split leaves out.
    """

    name: Literal["official", "random"]
    seed: int
    parts: tuple[Part | None, ...]


@dataclass(frozen=True, slots=True)
class ViewManifest:
    """The samples of one view in their fixed order; a sample's place is its ``sample_id``."""

    view: View
    samples: tuple[SampleRecord, ...]
    splits: tuple[Split, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetManifest:
    """Everything that registering a data set records.

    ``task`` says what a label means: ``single`` (exactly one class a whole image), ``multi``
    (any number), ``none`` (no labels). ``copied`` is where the images are that were copied into the
    store; None: in ``root`` alone.
    """

    name: str
    task: Literal["single", "multi", "none"]
    classes: tuple[str, ...]
    root: Path
    views: tuple[ViewManifest, ...]
    format: str = ""
    copied: "ImageFolder | None" = None


@dataclass(frozen=True, slots=True)
class CheckpointRecord:
    """A set of weights of a network; ``(network, name)`` is the key.

    Attributes
    ----------
    iteration, lr, seed, loss : numbers at the snapshot; None where unknown
    parent : str or None
        Name of the checkpoint of the same network that training started from.
    recipe : str
        JSON: how the weights came about.
    preprocessing : str
        JSON of the input preprocessing; its sha256 is ``preprocessing_hash``.
    sha256 : str
        Of the tensors (names, dtypes, shapes, bytes in name order), not of the file.
    uri : str
        Path of the safetensors file, relative to the store.
    """

    network: str
    name: str
    iteration: int | None = None
    lr: float | None = None
    seed: int | None = None
    loss: float | None = None
    parent: str | None = None
    recipe: str = "{}"
    preprocessing: str = "{}"
    preprocessing_hash: str = ""
    sha256: str = ""
    uri: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)
