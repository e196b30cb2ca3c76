"""A store with images that can be trained on in seconds, made once for all tests."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from fstore.store import Store
from fstore.types import Box, DatasetManifest, Part, SampleRecord, Split, ViewManifest
from fstore.workflows import add_dataset, init_checkpoint

__all__ = ["PARENT", "Thing", "add_boxes", "copy_store", "make_scenes"]

PARENT = "start"
"""A checkpoint of caffenet-mini with random weights."""


def make_scenes(path: Path) -> Store:
    """Make a store: 60 digit scenes, 24 images of two classes, one of one, and a checkpoint.

    ``scenes`` has several classes an image and boxes; ``rooms`` has one class an image and random
    splits 0 and 1; ``alone`` has a single class; ``unlabelled`` has none.
    """
    store = Store.create(path)
    add_dataset(store, "scenes", "digit-scenes", images=60)
    folders = path / "images"
    for name, classes in (("rooms", "ab"), ("alone", "a"), ("unlabelled", "")):
        _write_images(folders / name, classes)
        add_dataset(store, name, "imagefolder", root=folders / name, seeds=[0, 1])
    init_checkpoint(store, network="caffenet-mini", name=PARENT, seed=1)
    init_checkpoint(store, network="squeezenet-v1.0", name="squeezed", classes=4)
    return store


def copy_store(store: Store, path: Path) -> Store:
    """Return a copy that a test may change."""
    shutil.copytree(store.path, path)
    return Store.open(path)


def _write_images(folder: Path, classes: str) -> None:
    """Write images of noise whose brightness tells their class, a folder each."""
    rng = np.random.default_rng(7)
    for i in range(24):
        place = i % max(1, len(classes))
        pixels = rng.integers(0, 60, (6, 6, 3), dtype=np.uint8) + np.uint8(60 + 80 * place)
        path = folder / classes[place : place + 1] / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((70, 60), Image.Resampling.BICUBIC).save(path)


@dataclass(frozen=True)
class Thing:
    """A ground-truth box of an image."""

    image: int
    box: Box
    name: str
    difficult: bool = False


def add_boxes(
    store: Store,
    name: str,
    parts: Sequence[Part],
    things: Sequence[Thing],
    *,
    proposals: Sequence[tuple[int, Box]] = (),
    overlaps: Sequence[tuple[int, int, float]] = (),
) -> None:
    """Register images of 100 x 80 pixels that have no files, with boxes, proposals, overlaps.

    ``things`` and ``proposals`` stand in the order of their images; an overlap is a proposal's
    number, a ground-truth box's, and their IoU.
    """
    plain = [
        {t.name for t in things if t.image == i and not t.difficult} for i in range(len(parts))
    ]
    shown = [{t.name for t in things if t.image == i} for i in range(len(parts))]
    images = tuple(
        _record(i, {c: int(c in plain[i]) for c in sorted(shown[i])}) for i in range(len(parts))
    )
    truth = tuple(
        _record(t.image, {t.name: int(not t.difficult)}, t.box, difficult=t.difficult)
        for t in things
    )
    proposed = tuple(_record(i, {}, box) for i, box in proposals)
    views = [ViewManifest("image", images, (Split("official", 0, tuple(parts)),)),
             ViewManifest("gt", truth)]  # fmt: skip
    views += [ViewManifest("proposal", proposed)] if proposals else []
    store.register_dataset(DatasetManifest(name, "multi", ("cat", "dog"), store.path, tuple(views)))
    store.append(
        "overlaps",
        [
            {
                "dataset": name,
                "sample_id": p,
                "gt_sample_id": t,
                "class": things[t].name,
                "iou": iou,
            }
            for p, t, iou in overlaps
        ],
    )


def _record(
    place: int, labels: dict[str, int], box: Box | None = None, *, difficult: bool = False
) -> SampleRecord:
    return SampleRecord(
        f"i{place}", f"{place}.png", "", 100, 80, labels, box=box, difficult=difficult
    )
