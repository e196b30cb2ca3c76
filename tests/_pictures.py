"""A store whose images are there: what was registered, what they look like, and responses."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from _build import add_layers, put
from fstore.extractor.images import digest_bytes
from fstore.extractor.preprocess import Preprocess
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import (
    Box,
    CheckpointRecord,
    DatasetManifest,
    Part,
    SampleRecord,
    Split,
    ViewManifest,
)

PREPROCESS = Preprocess(size=24, resize=32, context=3)
BOXES: tuple[Box, ...] = ((1, 1, 20, 15), (10, 8, 40, 30), (5, 20, 12, 30), (3, 3, 30, 28))
PARTS: tuple[Part, ...] = ("train", "test", "test", "val")
CLASSES = ("cat", "dog")


@dataclass(frozen=True)
class Gallery:
    """A store, the folder of its images, and its responses by (view, layer)."""

    store: Store
    root: Path
    values: dict[tuple[str, str], NDArray[np.float32]]


def make(path: Path, *, preprocessing: str | None = None) -> Gallery:
    """Make a store of four images of 40 x 30, each with one box; the last box is difficult.

    Layers ``conv`` (3 channels of 2 x 3) and ``fc`` (2 channels); responses are small whole
    numbers, so that many are equal. Images 0 and 2 show a cat, 1 and 3 a dog; image 3 both, and
    image 0 a difficult dog.
    """
    store, root = Store.create(path / "s"), path / "images"
    root.mkdir()
    records = [_image(root, i) for i in range(4)]
    views = [_view("image", records), _view("gt", [_with_box(r, i) for i, r in enumerate(records)])]
    store.register_dataset(DatasetManifest("d", "multi", CLASSES, root, tuple(views), format="voc"))
    add_layers(store, "net", {"conv": (3, 2, 3), "fc": (2, 1, 1)})
    weights = path / "w.safetensors"
    weights.write_text("not read here")
    text = PREPROCESS.to_json() if preprocessing is None else preprocessing
    store.register_checkpoint(
        CheckpointRecord("net", "5", preprocessing=text, sha256="0" * 64), weights
    )
    rng = np.random.default_rng(3)
    values = {}
    for view in ("image", "gt"):
        for layer, shape in (("conv", (4, 3, 6)), ("fc", (4, 2, 1))):
            x = rng.integers(0, 5, size=shape).astype(np.float32)
            put(store, Partition("net", "5", "d", view, layer), x)
            values[view, layer] = x
    return Gallery(store, root, values)


def _image(root: Path, i: int) -> SampleRecord:
    pixels = np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(root / f"{i}.png")
    digest = digest_bytes((root / f"{i}.png").read_bytes())
    labels = [{"cat": 1, "dog": 0}, {"dog": 1}, {"cat": 1}, {"cat": 1, "dog": 1}][i]
    return SampleRecord(f"i{i}", f"{i}.png", digest, 40, 30, labels)


def _with_box(r: SampleRecord, i: int) -> SampleRecord:
    return SampleRecord(
        r.image_id,
        r.uri,
        r.digest,
        r.width,
        r.height,
        {CLASSES[i % 2]: int(i != 3)},
        BOXES[i],
        i == 3,
    )


def _view(name: str, records: list[SampleRecord]) -> ViewManifest:
    return ViewManifest(name, tuple(records), (Split("official", 0, PARTS),))  # type: ignore[arg-type]
