"""Pictures of filters for the front page: first-layer weights, and what a few filters fire at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fstore.errors import FstoreError
from fstore.queries.publish.exhibits import Exhibit
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from PIL import Image

    from fstore.store import Store

__all__ = ["Gallery", "Shown", "Strip", "gallery"]

FILTERS = 4
"""Filters whose images are shown."""
IMAGES = 6
"""Images of each."""
SIDE = 160
"""Pixels of an image."""
WEIGHTS = 340
"""Pixels of the picture of first-layer filters, about."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture among the site's files; ``caption`` and ``alt`` are text."""

    file: str
    alt: str
    caption: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Strip:
    """A filter, and the samples that it responds to most."""

    heading: str
    pictures: tuple[Shown, ...]


@dataclass(slots=True)
class Gallery:
    """What of the filters is shown; ``chosen`` says which and why, ``unseen`` what cannot be."""

    weights: Shown | None = None
    chosen: str = ""
    filters: list[Strip] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Filters of one layer and what is said of each; samples of which view of which data set."""

    layer: str
    ckpt: str
    dataset: str
    view: str
    channels: Mapping[int, str]
    why: str


def gallery(store: "Store", study: Study, exhibits: Sequence[Exhibit], *, folder: Path) -> Gallery:
    """Draw filters of a study's network and write the pictures.

    First-layer weights are those of the pre-trained checkpoint, else of the last along
    pre-training. The filters with images are the best of Figure 3, each for a class; without it
    four of the middle layer, evenly spaced, chosen by nothing else.

    Parameters
    ----------
    store : Store
    study : Study
    exhibits : sequence of Exhibit
    folder : Path
        Of the site; the pictures are in ``files/gallery``.

    Returns
    -------
    Gallery
        What cannot be drawn is left out, and said.
    """
    place = folder / "files" / "gallery"
    place.mkdir(parents=True)
    drawn = Gallery()
    ckpt = study.pretrained or (study.sweep[-1] if study.sweep else None)
    if ckpt is not None:
        try:
            drawn.weights = _weights(store, study, ckpt, place=place)
            _strips(store, study, exhibits, ckpt=ckpt, place=place, drawn=drawn)
        except FstoreError as error:
            drawn.unseen.append(str(error))
    if not any(place.iterdir()):
        place.rmdir()
    return drawn


def _weights(store: "Store", study: Study, ckpt: str, *, place: Path) -> Shown | None:
    """Draw the first-layer filters of a checkpoint; None where they do not look at colours."""
    from PIL import Image

    from fstore.queries.methods.first_layer import first_filters, mosaic

    try:
        filters = first_filters(store, ckpt, study.network)
    except FstoreError:  # no such tensor, or several: a network of another kind
        return None
    sheet = np.rint(255 * np.clip(mosaic(filters), 0, 1)).astype(np.uint8)
    times = max(1, round(WEIGHTS / sheet.shape[1]))
    image = Image.fromarray(np.kron(sheet, np.ones((times, times, 1), dtype=np.uint8)))
    n, _, height, width = filters.shape
    caption = (
        f"The {n} first-layer filters of {study.network} {ckpt}: the weights of {height} x {width} "
        "pixels as colours. Grey is 0; each filter has its own scale."
    )
    alt = f"A sheet of {n} small coloured squares, each a filter's weights."
    return _kept(image, place / "weights.png", alt=alt, caption=caption)


def _strips(
    store: "Store", study: Study, exhibits: Sequence[Exhibit], *, ckpt: str, place: Path,
    drawn: Gallery,
) -> None:  # fmt: skip
    """Draw the samples that some filters respond to most, with their responses laid over."""
    from fstore.queries.analyses.top_images import AskedStored, top_images
    from fstore.queries.figures.overlay import overlay

    choice = _choice(store, study, exhibits, ckpt=ckpt)
    if choice is None:
        return
    asked = AskedStored(
        layer=choice.layer, ckpt=choice.ckpt, dataset=choice.dataset, view=choice.view,
        network=study.network,
    )  # fmt: skip
    rows = top_images(store, asked, channel=tuple(choice.channels), top=IMAGES)
    for channel, said in choice.channels.items():
        own = [row for row in rows if row["channel"] == channel and row["act_max"] > 0]
        pictures = []
        for row in own:
            image = overlay(row["picture"], row["laid"], side=SIDE)
            file = place / f"filter-{channel}-{row['rank']}.jpg"
            pictures.append(_kept(image, file, alt=_alt(row), caption=_caption(row)))
        if pictures:
            drawn.filters.append(Strip(f"Filter {channel}{said}", tuple(pictures)))
    n = rows[0]["n"] if rows else 0
    sample = {"image": "images", "gt": "ground-truth boxes"}[choice.view]
    lined = any(row["laid"] is not None and row["laid"].size > 1 for row in rows)
    drawn.chosen = (
        f"{choice.why} in {choice.layer} of {choice.ckpt}, and the {IMAGES} of {n:,} {sample} of "
        f"{choice.dataset} that each responds to most."
    ) + (
        " A line goes round where it responds at least half as much as at its most, at the cross."
        * lined
    )


def _choice(
    store: "Store", study: Study, exhibits: Sequence[Exhibit], *, ckpt: str
) -> _Choice | None:
    """Return which filters to show; None where no responses are stored."""
    stored = {
        (r["dataset"], r["view"], r["layer"])
        for r in store.status()
        if r["network"] == study.network and r["ckpt"] == ckpt
    }
    layer = study.mid_layer or study.layers[-1]
    boxes = [(b.dataset, "gt") for b in (*study.detection, *study.detection_more)]
    whole = [(b.dataset, "image") for b in (*study.classification, *study.scenes, *study.pretrain)]
    at = next((place for place in (*boxes, *whole) if (*place, layer) in stored), None)
    if at is None:
        return None
    best = _best(next((e for e in exhibits if e.name == "figure3"), None))
    if best and at[1] == "gt":
        why = "The filters that tell a class best by themselves (highest AP, different classes)"
        return _Choice(layer, ckpt, *at, best, why)
    rows = store.rows("layers", network=study.network).to_pylist()
    n = next((r["channels"] for r in rows if r["layer"] == layer), 0)
    spaced = {n * i // FILTERS: "" for i in range(FILTERS) if n}
    return _Choice(layer, ckpt, *at, spaced, "Filters by their number alone, evenly spaced,")


def _best(figure3: Exhibit | None) -> dict[int, str]:
    """Return the best filter of each class of the pre-trained checkpoint, best AP first."""
    if figure3 is None:
        return {}
    at = {(row["row"], row["col"]): row["value"] for row in figure3.rows}
    first = " pretrained 1"
    classes = [row.removesuffix(first) for row, col in at if col == "ap" and row.endswith(first)]
    ranked = sorted(classes, key=lambda name: -at[name + first, "ap"])
    best: dict[int, str] = {}
    for name in ranked:
        channel = int(at[name + first, "channel"])
        ap, prior = at[name + first, "ap"], at.get((name + first, "prior"))
        beside = "" if prior is None else f", prior {100 * prior:.1f}"
        best.setdefault(channel, f": class {name}, AP {ap:.1f} percent{beside}")
    return dict(list(best.items())[:FILTERS])


def _caption(row: Mapping[str, Any]) -> str:
    """Return what classes a sample shows."""
    return f"shows {', '.join(row['classes']) or 'no class'}"


def _alt(row: Mapping[str, Any]) -> str:
    return f"Sample {row['sample_id']} ({_caption(row)}), response {row['act_max']:.3g}"


def _kept(image: "Image.Image", file: Path, *, alt: str, caption: str) -> Shown:
    from fstore.queries.figures.pictures import as_bytes

    file.write_bytes(as_bytes(image, "png" if file.suffix == ".png" else "jpeg"))
    name = f"files/{file.parent.name}/{file.name}"
    return Shown(name, alt, caption, image.width, image.height)
