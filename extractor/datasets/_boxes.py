"""Labelled boxes: what they say of their image, and how they become samples of view ``gt``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fstore.errors import DataError
from fstore.extractor.datasets._files import FileFacts, check_box
from fstore.extractor.datasets._splits import (
    Fractions,
    image_view,
    inherit_parts,
)
from fstore.types import Box, Part, SampleRecord, ViewManifest

__all__ = ["LabelledBox", "box_views", "check_size", "image_samples", "labels_of"]


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """An object: its class, its box (1-based, inclusive), whether it is difficult."""

    name: str
    box: Box
    difficult: bool = False


def check_size(image_id: str, stated: tuple[int, int], actual: tuple[int, int]) -> None:
    """Refuse boxes that were drawn on an image of another size; a size of 0 is not known.

    Raises
    ------
    DataError
        Says both sizes, and whether the image seems to be turned or scaled.
    """
    if not all(stated) or not all(actual) or stated == actual:
        return
    width, height = actual
    why = "correct the annotation, or bring the image back that was annotated"
    if stated == (height, width):
        why = (
            "the image lies on its side: it was annotated as its EXIF orientation shows it, and "
            "fstore reads raw pixels; turn the file's pixels, or annotate it anew"
        )
    elif stated[0] * height == stated[1] * width:
        why = "the image was scaled after it was annotated; scale the boxes, or bring it back"
    raise DataError(
        f"image {image_id} has {width} x {height} pixels, its annotation says "
        f"{stated[0]} x {stated[1]}; boxes would be misplaced: {why}"
    )


def labels_of(objects: Iterable[LabelledBox]) -> dict[str, int]:
    """Class -> 1 if any object of it is not difficult, else 0."""
    labels: dict[str, int] = {}
    for item in objects:
        labels[item.name] = max(labels.get(item.name, 0), int(not item.difficult))
    return labels


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
    view = image_view(images, parts, seeds=seeds, fractions=fractions)
    boxes = tuple(
        replace(image, labels={o.name: int(not o.difficult)}, box=o.box, difficult=o.difficult)
        for image in images
        for o in objects.get(image.image_id, ())
    )
    return view, ViewManifest("gt", boxes, inherit_parts(view, boxes))


def image_samples(
    ids: Sequence[str],
    uris: Sequence[str],
    *,
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
