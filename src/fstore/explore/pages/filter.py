"""The page of a filter: what it responds to, where, how well it tells classes, and its kin."""

from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import DataError, FstoreError
from fstore.explore.choices import choices
from fstore.explore.filters import ALL, Looked, looked_at
from fstore.explore.page import Asked, page
from fstore.explore.pages.filter_pictures import channel_of
from fstore.explore.rendering import at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["classes_shown", "filter_address", "filter_page"]

SHOWN = 12
"""Images of a kind."""
PARTS = {
    "charts": "/filter-charts",
    "classes": "/filter-classes",
    "checkpoints": "/filter-checkpoints",
    "near": "/filter-near",
}
CARRIED = ("part", "class", "seed", "measure")
"""What links on the page keep of its address."""


@page("/filter", template="filter.html")
def filter_page(asked: Asked) -> dict[str, object]:
    """Show a filter: its strongest images and some at random; the rest is loaded by itself."""
    from fstore.explore.first_weights import has_weights

    looked, channel, p = looked_at(asked), channel_of(asked), asked.partition
    shape = asked.contents.shape(p)
    shown = {
        "p": p,
        "channel": channel,
        "shape": shape,
        "choices": choices(asked.contents, p),
        "looked": looked,
        "seed": asked.number("seed", 0),
        "weights": has_weights(asked.contents, p),
        "before": filter_address(asked, channel=channel - 1) if channel else "",
        "after": filter_address(asked, channel=channel + 1) if channel + 1 < shape.channels else "",
        "carried": {name: asked.given[name] for name in CARRIED if asked.given.get(name)},
        "again": filter_address(asked, seed=asked.number("seed", 0) + 1),
        "parts": {name: filter_address(asked, path) for name, path in PARTS.items()},
        "command": _command(looked, channel),
    }
    try:
        return shown | _images(asked, looked, channel) | {"message": ""}
    except FstoreError as error:
        return shown | {"message": str(error)}


def filter_address(asked: Asked, path: str = "/filter", **changed: object) -> str:
    """Return the address of the filter that is asked for, or of another of its layer."""
    kept = {name: asked.given.get(name) for name in CARRIED}
    given = {"channel": asked.given["channel"], **kept, **changed}
    return at(path, asked.partition, **given)


def _images(asked: Asked, looked: Looked, channel: int) -> dict[str, object]:
    """Return the strongest images and a random draw, with what is known of each."""
    from fstore.explore.seen import maps_of

    column, ids = looked.column(channel), looked.ids
    top = looked.strongest([channel])[channel].sample_ids[0, :SHOWN].tolist()
    seed = asked.number("seed", 0)
    drawn = np.random.default_rng(seed).choice(ids, size=min(SHOWN, len(ids)), replace=False)
    random = [int(sample) for sample in drawn]
    shape = asked.contents.shape(asked.partition)
    if shape.positions > 1:
        maps_of(looked, channel, [*top, *random])  # read once, for the pictures to come
    return {
        "n": len(ids),
        "largest": float(column.max()),
        "zeros": float((column <= 0).mean()),
        "constant": bool(column.max() == column.min()),
        "strongest": _told(looked, channel, top),
        "random": _told(looked, channel, random),
        "gone": _gone(looked, [*top, *random]),
        "laid": _laid(looked),
    }


def _told(looked: Looked, channel: int, samples: "Sequence[int]") -> "list[dict[str, Any]]":
    """Return what is known of samples: file, classes, response."""
    p, column = looked.partition, looked.column(channel)
    rows = looked.contents.samples(p.dataset, p.view)
    places = np.searchsorted(looked.ids, samples)
    return [
        {
            "sample": sample,
            "file": str(rows[sample]["uri"]).rpartition("/")[2],
            "value": float(column[place]),
            "classes": classes_shown(looked, int(place)),
        }
        for sample, place in zip(samples, places, strict=True)
    ]


def classes_shown(looked: Looked, row: int) -> str:
    """Return the classes of one of the samples that are looked at, with commas."""
    if not looked.classes:
        return ""
    return ", ".join(looked.classes[c] for c in np.flatnonzero(looked.Y[row] > 0))


def _gone(looked: Looked, samples: "Sequence[int]") -> int:
    """Return how many of some samples have no image file any more."""
    p = looked.partition
    rows: Mapping[int, Any] = looked.contents.samples(p.dataset, p.view)
    root = looked.contents.dataset(p.dataset).root
    return sum(not (root / rows[sample]["uri"]).is_file() for sample in set(samples))


def _laid(looked: Looked) -> str:
    """Say what is laid over the images."""
    shape = looked.contents.shape(looked.partition)
    if shape.positions == 1:
        return "The layer has one response an image, no map: images are as the network saw them."
    if min(shape.height, shape.width) == 1:
        return "Where the places of this layer lie in the image is known of some networks only."
    return (
        "The image is bright where the response is at least half of its maximum there; a line goes "
        "round, a cross is at the maximum."
    )


def _command(looked: Looked, channel: int) -> str:
    """Return the command that lists the same images."""
    from shlex import join

    p = looked.partition
    words = ["--layer", p.layer, "--ckpt", f"{p.network}/{p.ckpt}", "--dataset", p.dataset]
    words += ["--view", p.view, "--channel", str(channel)]
    if looked.part != ALL:
        from fstore.store.parts import Part

        words += Part.parse(looked.part).options()
    return join(["fstore", "analyze", "top-images", *words])


def need_classes(looked: Looked) -> None:
    """Refuse a data set without classes.

    Raises
    ------
    DataError
    """
    if not looked.classes:
        raise DataError(f"data set '{looked.partition.dataset}' has no classes")
