"""A store for detection: boxes whose features tell how much of an object they hold."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from _build import add_checkpoint, add_layers, put
from fstore.pixels.boxes import iou_matrix
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.parts import Samples
from fstore.store.proposals import Overlaps, Proposals
from fstore.types import DatasetManifest, Part, SampleRecord, Split, ViewManifest

CLASSES = ("a", "b", "c", "unseen")
WIDTH, HEIGHT = 120, 90
PARTS: tuple[Part, ...] = ("train", "test", "train", "val", "test", "test")
EMPTY = (3, 4)  # images of every dozen without an object

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Scenes:
    """A store, and what is in it as arrays.

    ``image`` of gt and proposals is the number of the image, ``label`` the place of the class.
    """

    store: Store
    part: list[Part]
    gt_image: NDArray[np.intp]
    gt_boxes: Boxes
    gt_label: NDArray[np.intp]
    gt_difficult: NDArray[np.bool_]
    image: NDArray[np.intp]
    boxes: Boxes
    gt_values: NDArray[np.float32]
    values: NDArray[np.float32]

    def where(self, view: str) -> Partition:
        """Return the partition of layer ``conv``."""
        return Partition("net", "5", "d", view, "conv")

    def samples(self, *parts: str) -> list[Samples]:
        """Return parts of the official split."""
        return [Samples("d", "image", "official", 0, part) for part in parts]

    def images_of(self, *parts: str) -> NDArray[np.intp]:
        """Return the numbers of the images of some parts."""
        return np.array([i for i, p in enumerate(self.part) if p in parts], dtype=np.intp)


def make_scenes(path: Path, *, n_images: int = 36, seed: int = 0, files: int = 3) -> Scenes:
    """Make a store: layers ``conv`` (8 x 3 x 3) and ``fc`` (8) of data set ``d``.

    Classes ``a``, ``b`` and ``c`` have objects, some of them difficult, ``unseen`` has none; some
    images have no object. Proposals are moved objects, boxes at the border, of one pixel, and
    others.
    """
    rng = np.random.default_rng(seed)
    part = [PARTS[i % len(PARTS)] for i in range(n_images)]
    gt_image, gt_boxes, gt_label, gt_difficult = _objects(rng, n_images)
    image, boxes = _proposals(rng, n_images, gt_image, gt_boxes)
    store = Store.create(path)
    objects = list(zip(gt_image, gt_boxes, gt_label, gt_difficult, strict=True))
    store.register_dataset(_manifest(path, part, objects))
    _register(store, gt_image, gt_boxes, image, boxes)
    add_layers(store, "net", {"conv": (8, 3, 3), "fc": (8, 1, 1)})
    add_checkpoint(store, "net", "5")
    signal = rng.normal(size=(3, 8, 9))
    gt_values = _features(rng, signal, _holds(gt_image, gt_boxes, gt_image, gt_boxes, gt_label))
    values = _features(rng, signal, _holds(image, boxes, gt_image, gt_boxes, gt_label))
    scenes = Scenes(
        store, part, gt_image, gt_boxes, gt_label, gt_difficult, image, boxes, gt_values, values
    )
    put(store, scenes.where("gt"), gt_values)
    for ids in np.array_split(np.arange(len(boxes)), files):
        put(store, scenes.where("proposal"), values[ids], sample_ids=ids.tolist())
    return scenes


def _objects(
    rng: np.random.Generator, n_images: int
) -> tuple[NDArray[np.intp], Boxes, NDArray[np.intp], NDArray[np.bool_]]:
    """Draw one to three objects an image; the first touches the border of the image."""
    image = [i for i in range(n_images) if i % 12 not in EMPTY for _ in range(rng.integers(1, 4))]
    n = len(image)
    corner = np.stack([rng.integers(1, 81, n), rng.integers(1, 61, n)], axis=1)
    boxes = np.concatenate([corner, corner + rng.integers(15, 30, (n, 2))], axis=1)
    boxes[0] = [91, 61, WIDTH, HEIGHT]
    difficult = rng.random(n) < 0.15
    return np.array(image, dtype=np.intp), boxes * 1.0, rng.integers(0, 3, n), difficult


def _proposals(
    rng: np.random.Generator, n_images: int, gt_image: NDArray[np.intp], gt_boxes: Boxes
) -> tuple[NDArray[np.intp], Boxes]:
    """Draw proposals, image after image."""
    images, found = [], []
    for i in range(n_images):
        near = np.repeat(gt_boxes[gt_image == i], 5, axis=0)
        near = near + rng.integers(-6, 7, near.shape)
        corner = np.stack([rng.integers(1, 101, 25), rng.integers(1, 71, 25)], axis=1)
        others = np.concatenate([corner, corner + rng.integers(8, 50, (25, 2))], axis=1)
        fixed = np.array([[1, 1, 1, 1], [WIDTH, HEIGHT, WIDTH, HEIGHT], [1, 1, WIDTH, HEIGHT]])
        boxes = np.concatenate([near, others, fixed])
        boxes = np.clip(boxes, 1, [WIDTH, HEIGHT, WIDTH, HEIGHT])
        boxes = np.unique(boxes[(boxes[:, 2:] >= boxes[:, :2]).all(axis=1)], axis=0)
        rng.shuffle(boxes)
        images.append(np.full(len(boxes), i, dtype=np.intp))
        found.append(boxes * 1.0)
    return np.concatenate(images), np.concatenate(found)


def _holds(
    image: NDArray[np.intp],
    boxes: Boxes,
    gt_image: NDArray[np.intp],
    gt_boxes: Boxes,
    gt_label: NDArray[np.intp],
) -> NDArray[np.float64]:
    """Return each box's largest overlap with an object of each class, (n, 3)."""
    iou = iou_matrix(boxes, gt_boxes) * (image[:, None] == gt_image)
    return np.stack([(iou * (gt_label == c)).max(axis=1) for c in range(3)], axis=1)


def _features(
    rng: np.random.Generator, signal: NDArray[np.float64], holds: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return responses (n, 8, 9): sums of the classes' patterns and noise, cut off at 0."""
    x = np.tensordot(holds, signal, axes=1) * 1.5 + 0.5 * rng.normal(size=(len(holds), 8, 9))
    return np.maximum(x, 0).astype(np.float32)


def _manifest(
    path: Path,
    part: Sequence[Part],
    objects: Sequence[tuple[np.intp, Boxes, np.intp, np.bool_]],
    *,
    name: str = "d",
    names: Sequence[int] = (),
    seeds: Sequence[int] = (),
) -> DatasetManifest:
    """``objects`` have the places of their images, which are numbered by ``names``."""

    def record(place: int, **more: object) -> SampleRecord:
        i = names[place] if names else place
        same = {"image_id": f"i{i:03d}", "uri": f"{i}.png", "digest": f"{i:032x}"}
        return SampleRecord(width=WIDTH, height=HEIGHT, **{"labels": {}, **same, **more})  # type: ignore[arg-type]

    images = tuple(record(i) for i in range(len(part)))
    boxes = tuple(
        record(
            int(i),
            labels={CLASSES[c]: int(not hard)},
            box=tuple(box.tolist()),
            difficult=bool(hard),
        )
        for i, box, c, hard in objects
    )
    splits = [Split("official", 0, tuple(part))]
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(len(part))
        splits.append(Split("random", seed, tuple(part[i] for i in order)))
    of_boxes = [Split(s.name, s.seed, tuple(s.parts[int(i)] for i, *_ in objects)) for s in splits]
    views = (
        ViewManifest("image", images, tuple(splits)),
        ViewManifest("gt", boxes, tuple(of_boxes)),
    )
    return DatasetManifest(name, "multi", CLASSES, path / "x", views)


def _register(
    store: Store,
    gt_image: NDArray[np.intp],
    gt_boxes: Boxes,
    image: NDArray[np.intp],
    boxes: Boxes,
    *,
    dataset: str = "d",
) -> None:
    """Add the proposals and their overlaps as ``fstore proposals`` does."""
    iou = iou_matrix(boxes, gt_boxes) * (image[:, None] == gt_image)
    proposal, gt = np.nonzero(iou)
    names, counts = np.unique(image, return_counts=True)
    store.add_proposals(
        dataset,
        Proposals(names.astype(np.int64), counts.astype(np.int64), boxes),
        Overlaps(proposal, gt, iou[proposal, gt]),
    )


def add_images(
    scenes: Scenes,
    name: str,
    images: NDArray[np.intp],
    *,
    seeds: Sequence[int] = (),
    parts: Sequence[Part] = (),
) -> None:
    """Register some of the images as a data set of their own, with random splits if asked for.

    It has their boxes, proposals and features of layer ``conv``, and their parts if none are given.
    """
    place = np.full(len(scenes.part), -1)
    place[images] = np.arange(len(images))
    gt, own = (np.flatnonzero(place[image] >= 0) for image in (scenes.gt_image, scenes.image))
    gt_place, gt_boxes = place[scenes.gt_image[gt]], scenes.gt_boxes[gt]
    parts = parts or [scenes.part[i] for i in images]
    labels, difficult = scenes.gt_label[gt], scenes.gt_difficult[gt]
    objects = list(zip(gt_place, gt_boxes, labels, difficult, strict=True))
    numbers = images.tolist()
    scenes.store.register_dataset(
        _manifest(scenes.store.path, parts, objects, name=name, names=numbers, seeds=seeds)
    )
    put(scenes.store, Partition("net", "5", name, "gt", "conv"), scenes.gt_values[gt])
    add_proposals_of(scenes, name, images, own)


def add_proposals_of(
    scenes: Scenes, name: str, images: NDArray[np.intp], own: NDArray[np.intp]
) -> None:
    """Register proposals ``own`` of the images of a data set, and their features."""
    place = np.full(len(scenes.part), -1)
    place[images] = np.arange(len(images))
    gt = np.flatnonzero(place[scenes.gt_image] >= 0)
    objects = place[scenes.gt_image[gt]], scenes.gt_boxes[gt]
    found = place[scenes.image[own]], scenes.boxes[own]
    _register(scenes.store, *objects, *found, dataset=name)
    where = Partition("net", "5", name, "proposal", "conv")
    identity = {"weights": "5", "samples": f"{len(own)} proposals"}
    put(scenes.store, where, scenes.values[own], identity=identity)


def relabel(scenes: Scenes, gt_label: NDArray[np.intp]) -> Scenes:
    """Register data set ``d`` anew with other labels; files, boxes and features stay the same."""
    store = scenes.store
    store.drop(dataset="d")
    objects = zip(scenes.gt_image, scenes.gt_boxes, gt_label, scenes.gt_difficult, strict=True)
    store.register_dataset(_manifest(store.path, scenes.part, list(objects)))
    _register(store, scenes.gt_image, scenes.gt_boxes, scenes.image, scenes.boxes)
    put(store, scenes.where("gt"), scenes.gt_values)
    put(store, scenes.where("proposal"), scenes.values)
    return replace(scenes, gt_label=gt_label)
