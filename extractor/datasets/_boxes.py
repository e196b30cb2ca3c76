"""Labelled boxes: what they say of their image, and how they become samples of view ``gt``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fstore.extractor.datasets._files import (
    FileFacts,
    Fractions,
    check_box,
    inherit_parts,
    official_split,
    random_splits,
)
from fstore.types import Box, Part, SampleRecord, ViewManifest

__all__ = ["LabelledBox", "box_views", "image_samples", "labels_of"]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """An object: its class, its box (1-based, inclusive), whether it is difficult."""

    name: str
    box: Box
    difficult: bool = False


def labels_of(objects: Iterable[LabelledBox]) -> dict[str, int]:
    """Class -> 1 if any object of it is not difficult, else 0."""
    found: dict[str, int] = {}
    for item in objects:
        found[item.name] = max(found.get(item.name, 0), int(not item.difficult))
    return found


def box_views(
    images: Sequence[SampleRecord],
    objects: Mapping[str, Sequence[LabelledBox]],
    parts: Mapping[str, Part | None],
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
) -> tuple[ViewManifest, ViewManifest]:
    """Return the views ``image`` and ``gt``; boxes stand in the order of their images.

    Parameters
    ----------
    images : sequence of SampleRecord
        Whole images with their labels.
    objects : image id -> its boxes
    parts : image id -> part in the official split, if the data set states one
    seeds, fractions
        Of the random splits, dealt by image.
    """
    splits = official_split(images, parts) + random_splits(images, seeds, fractions)
    view = ViewManifest("image", tuple(images), splits)
    boxes = tuple(
        replace(image, labels={o.name: int(not o.difficult)}, box=o.box, difficult=o.difficult)
        for image in images
        for o in objects.get(image.image_id, ())
    )
    return view, ViewManifest("gt", boxes, inherit_parts(view, boxes))


def image_samples(
    ids: Sequence[str],
    uris: Sequence[str],
    facts: Sequence[FileFacts],
    objects: Mapping[str, Sequence[LabelledBox]],
) -> tuple[SampleRecord, ...]:
    """Return the whole images, labelled by their boxes, which must lie inside them."""
    for image_id, fact in zip(ids, facts, strict=True):
        for item in objects.get(image_id, ()):
            check_box(image_id, item.box, (fact.width, fact.height))
    return tuple(
        SampleRecord(i, uri, f.digest, f.width, f.height, labels_of(objects.get(i, ())))
        for i, uri, f in zip(ids, uris, facts, strict=True)
    )
