"""One sample: its picture with labels and boxes, what was detected, what networks make of it."""

from typing import TYPE_CHECKING, Any

from fstore.errors import FstoreError, UnknownNameError
from fstore.explore.boxes import detections, detectors, placed, truth
from fstore.explore.firing import HOW, firing, nearest_samples
from fstore.explore.outputs import predictions
from fstore.explore.page import Asked, page
from fstore.explore.views import (
    Chosen,
    by_image,
    chosen,
    corners,
    parts,
    sample_row,
    shown_classes,
    words,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fstore.explore.contents import Contents

__all__ = ["filters", "image", "nearest"]

FILTERS = 12
NEAREST = 12
TURNED = (
    "The file says by EXIF that it is to be turned. Here its pixels are as they lie in the file, "
    "for boxes count these."
)
MOST = ("5", "10", "25", "100")
"""Choices of how many detections are drawn."""


@page("/image", template="image.html")
def image(asked: Asked) -> dict[str, object]:
    """Show a sample: picture, labels, boxes, detections; filters and neighbours come after."""
    dataset, view, sample, row = _sample(asked)
    contents = asked.contents
    boxes = truth(contents, dataset, row["image_id"])
    pick, fault = chosen(asked, dataset, view), _fault(asked, dataset, row)
    return {
        "dataset": dataset,
        "view": view,
        "sample": sample,
        "row": row,
        "own": _own(row),
        "shown": shown_classes(contents, dataset, view).get(sample, ()),
        "parts": [name for name, ids in parts(contents, dataset, view).items() if sample in ids],
        "prev": sample - 1 if sample - 1 in contents.samples(dataset, view) else None,
        "next": sample + 1 if sample + 1 in contents.samples(dataset, view) else None,
        "fault": fault + (_seen(asked, pick, sample) if fault == TURNED else ""),
        "boxes": [{**b, "at": _at(b["box"], row)} for b in boxes],
        "others": _others(contents, dataset, view, row),
        "overlaps": _overlaps(contents, dataset, sample) if view == "proposal" else [],
        "chosen": pick,
        "keep": {name: asked.given.get(name) for name in ("detector", "most")},
        **_found(asked, dataset, row),
    }


def _sample(asked: Asked) -> tuple[str, str, int, dict[str, Any]]:
    dataset, view = asked.text("dataset"), asked.text("view", "image")
    sample = asked.number("sample", most=2**62)
    return dataset, view, sample, sample_row(asked.contents, dataset, view, sample=sample)


def _at(box: tuple[float, ...], row: "Mapping[str, Any]") -> dict[str, float] | None:
    """Return where a box lies; None if the image's size is not on record."""
    return placed(box, row["width"], row["height"]) if row["width"] and row["height"] else None


def _own(row: "Mapping[str, Any]") -> dict[str, Any] | None:
    box = corners(row)
    return None if box is None else {"box": box, "at": _at(box, row)}


def _fault(asked: Asked, dataset: str, row: "Mapping[str, Any]") -> str:
    """Say why the picture is not as one expects: unreadable, or to be turned by its EXIF."""
    from fstore.pixels.image_files import decode, read_bytes_checked, upright

    path = asked.contents.dataset(dataset).root / row["uri"]
    try:
        picture = decode(read_bytes_checked(path, row["digest"], uri=row["uri"]), uri=row["uri"])
    except FstoreError as error:
        return f"There is no picture: {error}"
    if upright(picture) is picture:
        return ""
    return TURNED


def _seen(asked: Asked, pick: Chosen, sample: int) -> str:
    """Say how the chosen checkpoint was given an image that is to be turned, if that is noted."""
    from fstore.explore.seen import picture_of

    if pick.partition is None:
        return ""
    prepared = picture_of(asked.contents, pick.partition, sample).preparation
    if prepared is None:
        return ""
    how = "turned" if prepared.exif == "apply" else "so, too"
    return f" Checkpoint {pick.partition.ckpt} was given it {how}."


def _others(
    contents: "Contents", dataset: str, view: str, row: "Mapping[str, Any]"
) -> list[dict[str, Any]]:
    """Return the other views in which the image has samples: how many, and the first."""
    told = []
    for other in contents.dataset(dataset).views:
        ids = by_image(contents, dataset, other).get(row["image_id"], [])
        if other != view and ids:
            told.append({"view": other, "n": len(ids), "first": min(ids)})
    return told


def _overlaps(contents: "Contents", dataset: str, sample: int) -> list[dict[str, Any]]:
    """Return the labelled boxes that a proposal meets, most first."""
    rows = contents.store.sql(
        'SELECT gt_sample_id, class, iou FROM "overlaps" WHERE dataset = ? AND sample_id = ? '
        "ORDER BY iou DESC, gt_sample_id LIMIT 10",
        [dataset, sample],
    )
    return list(rows.rows())


def _found(asked: Asked, dataset: str, row: "Mapping[str, Any]") -> dict[str, Any]:
    """Return what a detector found in the image, the strongest only."""
    names = detectors(asked.contents, dataset)
    detector = asked.given.get("detector") or (names[0] if names else "")
    if detector and detector not in names:
        raise UnknownNameError(
            f"no detections of '{detector}' in data set '{dataset}'; there are those of: "
            + (", ".join(names) or "none")
        )
    most = int(asked.one_of("most", ("10", *MOST)))
    rows = detections(asked.contents, dataset, row["image_id"], detector) if detector else []
    return {
        "detectors": names,
        "detector": detector,
        "most": most,
        "mosts": MOST,
        "n_found": len(rows),
        "found": [{**r, "at": _at(r["box"], row)} for r in rows[:most]],
    }


# Parts that come after the page


@page("/image/filters", template="image_filters.html")
def filters(asked: Asked) -> dict[str, object]:
    """Show the filters that a sample drives most, and what the network says of it."""
    *_, sample, _row = _sample(asked)
    partition = asked.partition
    shown: dict[str, object] = {
        "partition": partition,
        "sample": sample,
        "maps": asked.contents.shape(partition).positions > 1,
    }
    try:
        lists = {
            by: firing(asked.contents, partition, sample, by=by, most=FILTERS)
            for by in ("score", "value")
        }
        told = predictions(asked.contents, partition, sample)
    except FstoreError as error:
        return {**shown, "fault": str(error), "lists": {}, "told": []}
    return {**shown, "fault": "", "lists": lists, "told": told}


@page("/image/nearest", template="image_nearest.html")
def nearest(asked: Asked) -> dict[str, object]:
    """Show the samples that a layer answers most alike."""
    dataset, view, sample, _ = _sample(asked)
    partition, by = asked.partition, asked.one_of("by", HOW)
    shown = {
        "partition": partition,
        "sample": sample,
        "by": by,
        "maps": asked.contents.shape(partition).positions > 1,
        "classes": {
            i: words(pairs) for i, pairs in shown_classes(asked.contents, dataset, view).items()
        },
    }
    try:
        rows = nearest_samples(asked.contents, partition, sample, by=by, most=NEAREST)
    except FstoreError as error:
        return {**shown, "fault": str(error), "rows": []}
    return {**shown, "fault": "", "rows": rows}
