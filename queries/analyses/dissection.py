"""Which objects' boxes the responses of filters agree with, as Network Dissection asks."""

import io
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.fields import Field
from fstore.queries.analyses._api import analysis
from fstore.queries.analyses.top_images import AskedStored
from fstore.queries.figures.dissection import plot_dissection
from fstore.queries.methods.dissection import QUANTILE, Objects
from fstore.types import OnProgress

if TYPE_CHECKING:
    from fstore.queries.figures.pictures import Preparation
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store
    from fstore.store.files import Partition

__all__ = ["dissection"]

MOST_POINTS = 112
"""Of a side of the grid on which maps and boxes are compared, as in Network Dissection."""

Corners = tuple[float, float, float, float]


@analysis(
    "dissection",
    title="Classes whose boxes filters agree with",
    source="Bau et al. 2017, arXiv:1704.05796, with boxes in place of masks",
    columns=(
        "rank", "channel", "class", "iou", "chance", "threshold", "share", "n", "n_with_class",
    ),
    plot=plot_dissection,
    negative="a filter's threshold may be below 0",
)  # fmt: skip
def dissection(
    store: "Store",
    asked: AskedStored,
    *,
    top: int = 1,
    quantile: float = QUANTILE,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by how well the places where they respond most agree with a class's boxes.

    It is for whole images of a data set that has ground-truth boxes, and for layers with maps.

    Parameters
    ----------
    store : Store
        Where the activations are.
    asked : AskedStored
        Which responses of which images.
    top : int
        Classes of each filter, best first.
    quantile : float
        A filter's threshold is exceeded at this share of its places, over all images.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        Largest ``iou`` first (0 to 1). ``chance``: that of as much response anywhere.
        ``share``: of all points, those above ``threshold``. ``n`` images, of which
        ``n_with_class`` show the class. A filter that meets no box has ``iou`` 0 and no class.

    Raises
    ------
    UnknownNameError
        Activations or the part are not there.
    DataError
        The view is not of whole images; there are no boxes; the layer has no maps, or it is not
        known what its places see; an image is turned by its file.
    """
    if top < 1:
        raise DataError(f"top must be at least 1, got {top}")
    if not 0 < quantile < 1:
        raise DataError(f"quantile must be between 0 and 1, got {quantile}")
    rows = asked.rows(store)
    frame = _Frame.of(store, asked, rows.partition)
    classes = tuple(store.dataset(asked.dataset).classes)
    objects = _objects(store, asked, rows, frame=frame, classes=classes)
    found, T = _agreement(
        store,
        rows,
        frame,
        objects=objects,
        n_classes=len(classes),
        quantile=quantile,
        tell=on_progress,
    )
    shown = np.bincount(
        np.concatenate([o.classes[o.inside.any(axis=1)] for o in objects]), minlength=len(classes)
    )
    cells = _best(np.nan_to_num(found.iou), top)
    return [
        {
            "rank": rank, "channel": c, "class": None if k is None else classes[k],
            "iou": 0.0 if k is None else float(found.iou[c, k]),
            "chance": None if k is None else float(found.chance[c, k]),
            "threshold": float(T[c]), "share": float(found.share[c]), "n": len(rows.ids),
            "n_with_class": None if k is None else int(shown[k]),
        }
        for rank, (c, k) in enumerate(cells, 1)
    ]  # fmt: skip


def _best(iou: NDArray[np.float64], top: int) -> list[tuple[int, int | None]]:
    """Return filters and classes, best first; a filter that meets no class once, without one."""
    pairs: list[tuple[int, int | None]] = []
    for c, own in enumerate(iou):
        met = [int(k) for k in np.argsort(-own, kind="stable")[:top] if own[k] > 0]
        pairs += [(c, k) for k in met] or [(c, None)]
    return sorted(pairs, key=lambda pair: 0.0 if pair[1] is None else -iou[pair])


@dataclass(frozen=True)
class _Frame:
    """How images and maps come to lie over the network's input."""

    preparation: "Preparation"
    field: Field
    height: int
    width: int

    @property
    def grid(self) -> int:
        return min(MOST_POINTS, self.field.input)

    @classmethod
    def of(cls, store: "Store", asked: AskedStored, place: "Partition") -> "_Frame":
        """Read it; refuse what has no places in an image."""
        from fstore.commands import index
        from fstore.queries.figures.pictures import preparation_of
        from fstore.store.features import layer_shape
        from fstore.store.receptive import receptive_field

        if asked.view != "image":
            raise DataError(
                f"dissection lays boxes over whole images: take view image, not '{asked.view}'"
            )
        if "gt" not in store.dataset(asked.dataset).views:
            raise DataError(f"data set '{asked.dataset}' has no ground-truth boxes to compare with")
        shape = layer_shape(store, place)
        if min(shape.height, shape.width) < 2:
            raise DataError(
                f"layer '{place.layer}' has maps of {shape.height} x {shape.width}, without places "
                "in the image: take a layer with maps"
            )
        preparation = preparation_of(store, place.network, place.ckpt)
        if preparation is None:
            raise DataError(
                f"checkpoint '{place.ckpt}' has no record of its preprocessing, so it is not known "
                "which pixels it saw; import the weights under another name, and extract again"
            )
        field = receptive_field(store, place.network, place.layer)
        if field is None or field.whole or field.input != preparation.size:
            raise DataError(
                f"it is not known where the places of layer '{place.layer}' lie in the image, or "
                f"each sees all of it: try {index(store, {})}, or take another layer"
            )
        return cls(preparation, field, shape.height, shape.width)

    def rectangle(self, box: Corners, width: int, height: int) -> tuple[slice, slice]:
        """Return the points of the grid that lie in a box: rows, and columns."""
        from fstore.pixels.warps import crop_offset, resized

        p = self.preparation
        sides = resized(width, height, size=p.size, resize=p.resize, mode=p.mode)
        spans = []
        for i, (side, was) in enumerate(zip(sides, (width, height), strict=True)):
            start = crop_offset(side, size=p.size, mode=p.mode, start=p.crop)
            low, high = ((pixel * side / was - start) for pixel in (box[i] - 1, box[i + 2]))
            # points are at (j + 0.5) input / grid
            ends = [int(np.ceil(edge * self.grid / p.size - 0.5)) for edge in (low, high)]
            spans.append(slice(*np.clip(ends, 0, self.grid).tolist()))
        return spans[1], spans[0]


def _agreement(
    store: "Store",
    rows: "Rows",
    frame: _Frame,
    *,
    objects: list[Objects],
    n_classes: int,
    quantile: float,
    tell: OnProgress | None,
) -> tuple[Any, NDArray[np.float64]]:
    """Return the agreement of all filters with all classes, and their thresholds."""
    from fstore.queries.methods.dissection import agreement, stretch, thresholds
    from fstore.queries.methods.gram import watched
    from fstore.queries.samples.blocks import ablated_blocks
    from fstore.store.features import layer_shape

    seen: list[NDArray[np.float64]] = []
    channels = layer_shape(store, rows.partition).channels
    maps = watched(ablated_blocks(store, [rows]), channels, "maps and boxes", on_progress=tell)

    def blocks() -> Any:  # noqa: ANN401
        for X in maps:
            seen.append(thresholds(X, quantile))
            yield X.reshape(*X.shape[:2], frame.height, frame.width), seen[-1]

    weights = (
        stretch(frame.field, frame.height, frame.grid, down=True),
        stretch(frame.field, frame.width, frame.grid, down=False),
    )
    found = agreement(blocks(), objects, weights=weights, n_classes=n_classes)
    return found, np.concatenate(seen)


def _objects(
    store: "Store", asked: AskedStored, rows: "Rows", *, frame: _Frame, classes: tuple[str, ...]
) -> list[Objects]:
    """Return the objects of each image, in the order of rows."""
    table = store.samples(asked.dataset, "image", ["sample_id", "image_id", "width", "height"])
    images = {row["sample_id"]: row for row in table.to_pylist()}
    boxes = _boxes(store, asked, classes)
    if frame.preparation.exif != "ignore":
        _check_upright(store, rows, {images[int(i)]["image_id"] for i in rows.ids} & set(boxes))
    found = []
    for sample in rows.ids.tolist():
        image = images[sample]
        own = boxes.get(image["image_id"], ())
        shown = sorted({column for column, _, _ in own})
        sure, hard = (np.zeros((len(shown), frame.grid, frame.grid), np.float32) for _ in range(2))
        for column, box, difficult in own:
            area = frame.rectangle(box, image["width"], image["height"])
            (hard if difficult else sure)[(shown.index(column), *area)] = 1
        hard[sure > 0] = 0
        flat = [each.reshape(len(shown), frame.grid**2) for each in (sure, hard)]
        found.append(Objects(np.array(shown, dtype=np.int64), *flat))
    if not any(len(one.classes) for one in found):
        raise DataError(f"none of the {len(found)} images that are asked about has a box")
    return found


def _boxes(
    store: "Store", asked: AskedStored, classes: tuple[str, ...]
) -> dict[str, list[tuple[int, Corners, bool]]]:
    """Return column, box, and whether it is difficult, of the objects of each image."""
    columns = {name: at for at, name in enumerate(classes)}
    table = store.samples(asked.dataset, "gt", ["sample_id", "image_id", "box", "difficult"])
    samples = {row["sample_id"]: row for row in table.to_pylist()}
    found = defaultdict(list)
    for label in store.labels(asked.dataset, "gt").to_pylist():
        sample = samples[label["sample_id"]]
        corners = tuple(sample["box"][key] for key in ("xmin", "ymin", "xmax", "ymax"))
        difficult = bool(sample["difficult"]) and not asked.difficult
        found[sample["image_id"]].append((columns[label["class"]], corners, difficult))
    return found


def _check_upright(store: "Store", rows: "Rows", with_boxes: set[str]) -> None:
    """Refuse images that the network saw turned by their EXIF tag, for their boxes are not."""
    from PIL import Image

    from fstore.pixels.image_files import read_bytes_checked

    root = store.dataset(rows.partition.dataset).root
    table = store.samples(rows.partition.dataset, "image", ["image_id", "uri", "digest"])
    for row in table.to_pylist():
        if row["image_id"] not in with_boxes:
            continue
        data = read_bytes_checked(root / row["uri"], row["digest"], uri=row["uri"])
        if Image.open(io.BytesIO(data)).getexif().get(0x0112, 1) != 1:
            raise DataError(
                f"{row['uri']} is turned by its EXIF tag, and its boxes are not: where they lie in "
                "what the network saw is not known; leave it out with --part"
            )
