"""Images by what is in their files: where their responses are stored, and how missing ones come in.

An image is told by the digest of its file. Files whose responses are not stored become a data set
of their own, named by the digests, so that the same files are never registered twice.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore import types
from fstore.errors import DataError
from fstore.pixels.image_files import digest_bytes, image_size
from fstore.store.features import stored_samples
from fstore.store.files import Partition
from fstore.store.images import local_path
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

if TYPE_CHECKING:
    from fstore.api.store import Store
    from fstore.types import Precision

__all__ = ["PREFIX", "ImageFile", "Places", "Wanted", "image_file", "image_files", "stored_places"]

PREFIX = "images-"
"""What data sets of files that came alone are called, before their digests' hash."""

RECIPE = ("weights", "definition", "preprocessing", "stored precision", "compute precision")
"""Parts of a partition's identity that must be the same for its rows to be put beside others."""

Places = dict[str, tuple[Partition, int]]
"""Where responses are, by an image's digest: the partition, and the sample in it."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image's file and the digest of its bytes."""

    path: types.ImageFile
    digest: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose responses are wanted: of a layer and a checkpoint, perhaps of one data set first."""

    network: str
    ckpt: str
    layer: str
    dataset: str | None = None
    precision: "Precision | None" = None


def image_files(store: "Store", images: Sequence[object], dataset: str | None) -> list[ImageFile]:
    """Return the files that are meant: ids of a data set's images, or paths.

    Raises
    ------
    DataError
        One is neither; a file cannot be read.
    """
    by_id: dict[str, ImageFile] = {}
    if dataset is not None:
        rows = store.samples(dataset, "image", ["image_id", "uri", "digest"])
        root = store.dataset(dataset).root
        columns = (rows[name].to_pylist() for name in ("image_id", "uri", "digest"))
        by_id = {
            name: ImageFile(root / uri, digest) for name, uri, digest in zip(*columns, strict=True)
        }
    read: dict[Path, ImageFile] = {}
    files = []
    for image in images:
        if isinstance(image, str) and image in by_id:
            files.append(by_id[image])
            continue
        if not isinstance(image, (str, os.PathLike)):
            ids = " or an id of the data set's images" if dataset else ""
            raise DataError(f"{image!r} is no image; expected the path of a file{ids}")
        path = Path(image)
        if path not in read:
            read[path] = image_file(path, dataset)
        files.append(read[path])
    return files


def image_file(path: Path, dataset: str | None = None) -> ImageFile:
    """Return a file with its digest.

    Raises
    ------
    DataError
        It cannot be read.
    """
    try:
        return ImageFile(path, digest_bytes(path.read_bytes()))
    except OSError as error:
        other = f", and data set '{dataset}' has no image of that id" if dataset else ""
        raise DataError(f"cannot read the image file {path}: {error.strerror}{other}") from error


def stored_places(store: "Store", wanted: Wanted, files: Sequence[ImageFile]) -> Places:
    """Return where the images' responses are; what is not stored is extracted first.

    Raises
    ------
    DataError
        Responses that are stored were computed in different ways; an image cannot be read.
    """
    recipe, places = _stored(store, wanted)
    missing = {f.digest: local_path(f.path) for f in files if f.digest not in places}
    if not missing:
        return places
    name = _register(store, missing)
    whole = f"{wanted.network}/{wanted.ckpt}"
    precision = wanted.precision or _precision(recipe)
    store.extract(wanted.layer, whole, name, precision=precision, quiet=True)
    own = Partition(wanted.network, wanted.ckpt, name, "image", wanted.layer)
    for partition, own_recipe in _partitions(store, wanted):
        if partition == own:
            _check_same(recipe, own_recipe, own)
            places |= _digests(store, own)
    if unread := [path for digest, path in missing.items() if digest not in places]:
        raise DataError(f"{unread[0]} cannot be read as an image ({len(unread)} such)")
    return places


Recipe = tuple[str | None, ...]


def _stored(store: "Store", wanted: Wanted) -> tuple[Recipe | None, Places]:
    """Return how the usable partitions were computed, and where the images in them are."""
    usable = [
        (partition, recipe)
        for partition, recipe in _partitions(store, wanted)
        if _fits(recipe, wanted.precision)
    ]
    usable.sort(key=lambda item: (item[0].dataset != wanted.dataset, item[0]))
    first: Recipe | None = None
    places: Places = {}
    for partition, recipe in usable:
        if first is not None and wanted.dataset is not None and recipe != first:
            continue  # a named data set says what the others must be like
        _check_same(first, recipe, partition)
        first = recipe
        places = _digests(store, partition) | places
    return first, places


def _partitions(store: "Store", wanted: Wanted) -> Iterator[tuple[Partition, Recipe]]:
    """Yield the partitions of the layer over whole images, and how they were computed."""
    names = {"network": wanted.network, "ckpt": wanted.ckpt, "layer": wanted.layer}
    seen = {}
    for file in store.files(**names, view="image"):
        own = wanted.dataset in (None, file.partition.dataset)
        if (own or file.partition.dataset.startswith(PREFIX)) and not file.is_foreign:
            seen[file.partition] = file
    for partition, file in seen.items():
        parts = file.identity.parts
        yield partition, tuple(parts.get(name) for name in RECIPE)


def _fits(recipe: Recipe, precision: str | None) -> bool:
    stored = recipe[RECIPE.index("stored precision")]
    return stored == precision if precision else stored != "bit"


def _precision(recipe: Recipe | None) -> "Precision":
    stored = recipe[RECIPE.index("stored precision")] if recipe else None
    return stored or "tf32"  # type: ignore[return-value]  # what was extracted has one of them


def _check_same(first: Recipe | None, other: Recipe, partition: Partition) -> None:
    if first is None or first == other:
        return
    differs = next(n for n, a, b in zip(RECIPE, first, other, strict=True) if a != b)
    raise DataError(
        f"{partition} was extracted with other {differs} than other data sets of this layer, so "
        "its rows cannot stand beside theirs; name the data set that is meant with dataset=, or "
        "precision="
    )


def _digests(store: "Store", partition: Partition) -> Places:
    """Return the images whose responses a partition holds."""
    ids = stored_samples(store, partition)
    rows = store.samples(partition.dataset, "image", ["sample_id", "digest"])
    at: NDArray[np.intp] = np.searchsorted(rows["sample_id"].to_numpy(), ids)
    digests = rows["digest"].take(at).to_pylist()
    return {d: (partition, int(i)) for d, i in zip(digests, ids.tolist(), strict=True) if d}


def _register(store: "Store", missing: dict[str, Path]) -> str:
    """Register files as a data set of their own; return its name."""
    paths = {digest: path.resolve() for digest, path in sorted(missing.items())}
    root = Path(os.path.commonpath([path.parent for path in paths.values()]))
    samples = tuple(_sample(root, path, digest) for digest, path in paths.items())
    text = " ".join(f"{digest} {sample.uri}" for digest, sample in zip(paths, samples, strict=True))
    name = PREFIX + hashlib.sha256(f"{root} {text}".encode()).hexdigest()[:16]
    view = ViewManifest("image", samples)
    store.register_dataset(DatasetManifest(name, "none", (), root, (view,), format="files"))
    return name


def _sample(root: Path, path: Path, digest: str) -> SampleRecord:
    uri = path.relative_to(root).as_posix()
    width, height = image_size(path.read_bytes())
    return SampleRecord(uri, uri, digest, width, height, {})
