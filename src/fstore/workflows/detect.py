"""Find objects in a picture: proposals, the network, a detector's SVMs, and boxes drawn on it."""

import colorsys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

    from fstore.extractor.devices import Runner
    from fstore.queries.detection.detector import Detector
    from fstore.queries.detection.scoring import Keep
    from fstore.store import Store
    from fstore.types import Box

__all__ = ["DETECTION_COLUMNS", "Search", "detect_image", "draw_detections", "searched_how"]

DETECTION_COLUMNS = ("class", "score", "xmin", "ymin", "xmax", "ymax")

BATCH = 32


SEARCH = "selective-search"


@dataclass(frozen=True, slots=True)
class Search:
    """How regions are found in a picture; None for all of them."""

    method: str = SEARCH
    max_proposals: int | None = None


def searched_how(store: "Store", dataset: str) -> Search:
    """Return how the proposals of a data set were found, as far as it was noted.

    Published boxes give selective search: the pictures that they are for are all there is of them.
    """
    noted = store.dataset(dataset).proposals
    if not noted:
        return Search()
    method = str(noted["identity"]["method"])
    return Search(SEARCH if method == "import" else method, noted["identity"]["max_proposals"])


def detect_image(
    store: "Store",
    detector: "Detector",
    path: Path,
    *,
    search: Search | None = None,
    keep: "Keep | None" = None,
    device: str = "auto",
) -> list[dict[str, Any]]:
    """Find objects in a picture with a trained detector.

    Parameters
    ----------
    store : Store
        Has the detector's checkpoint.
    detector : Detector
    path : Path
        JPEG, PNG or what else Pillow decodes.
    search : Search or None
        None: as the images were searched that the detector learned from.
    keep : Keep or None
    device : str
        ``auto``, ``cpu`` or ``cuda``.

    Returns
    -------
    list of dict
        Keys :data:`DETECTION_COLUMNS`, by decreasing score; pixels from 1, last one included.

    Raises
    ------
    DataError
        The file is no image, or the detector's features cannot be computed for a single picture.
    UnknownNameError
        No such proposal method, or the checkpoint is gone.
    MissingExtraError
        The method needs a library that is not installed.
    """
    from fstore.extractor.proposals import METHODS, tidy
    from fstore.queries.detection.scoring import Keep, best_boxes

    search = search or searched_how(store, detector.record["trained_on"][0]["dataset"])
    image = open_image(path)
    boxes = tidy(METHODS[search.method].function(image), image.width, image.height)
    boxes = boxes[: search.max_proposals]
    scores = detector.scores(_features(store, detector, path, boxes=boxes, device=device))
    rows: list[dict[str, Any]] = []
    for name, of_class in zip(detector.classes, scores.T, strict=True):
        for i in best_boxes(boxes, of_class, keep or Keep()):
            values = (name, float(of_class[i]), *boxes[i].tolist())
            rows.append(dict(zip(DETECTION_COLUMNS, values, strict=True)))
    return sorted(rows, key=lambda row: -row["score"])


def open_image(path: Path) -> "Image.Image":
    """Decode a picture, mode RGB; as it is in the file, whatever its EXIF orientation.

    Raises
    ------
    DataError
        There is no such file, or it is no image.
    """
    from fstore.extractor.images import decode

    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return decode(data, uri=str(path))


def _features(
    store: "Store", detector: "Detector", path: Path, *, boxes: NDArray[np.float64], device: str
) -> NDArray[np.float32]:
    """Return the ablated features of boxes, rounded as those that were learned from."""
    from fstore.extractor.extract import extract
    from fstore.extractor.loading import InputSample, load_batches
    from fstore.queries.samples.ablations import parse_ablation

    change = parse_ablation(detector.ablation)
    if change.shuffles:
        raise DataError(
            f"detector '{detector.name}' works on {detector.ablation}, whose permutations belong "
            "to samples of the store; a picture has none: use a detector of another ablation"
        )
    runner = _runner(store, detector, device)
    samples = [InputSample(i, path.name, "", _box(box)) for i, box in enumerate(boxes)]
    batches = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    parts = []
    preprocess, later = runner.network.preprocess, runner.device.type != "cpu"
    with closing(
        load_batches(path.parent, batches, preprocess, workers=2, warp_later=later)
    ) as loaded:
        for batch, bad in extract(loaded, [runner]):
            if batch is None or bad:
                raise DataError(f"cannot cut a region out of {path}: {bad[0].reason}")
            responses = batch.layers[detector.layer]
            whole = responses.maps if responses.maps is not None and change.what == "map" else None
            X = responses.act_max[:, :, None] if whole is None else whole
            parts.append(change.apply(np.array(X), None).reshape(len(X), -1))
    return np.concatenate(parts)


def _runner(store: "Store", detector: "Detector", device: str) -> "Runner":
    """Return what computes a detector's layer as it was stored."""
    from fstore.extractor.devices import find_devices, make_runners
    from fstore.store.files import RECTIFIED
    from fstore.workflows.checkpoints import load_network

    record = store.find_checkpoint(f"{detector.network}/{detector.ckpt}", detector.network)
    (runner,) = make_runners(
        load_network(store, record),
        [detector.layer],
        devices=find_devices(device)[:1],
        precision=detector.record["stored precision"],
        compute=_compute(detector.record["compute precision"], device),
        rectify=RECTIFIED.items() <= detector.record.items(),
    )
    return runner


def _compute(stored: str, device: str) -> str:
    """Return the arithmetic of the stored features, or float32 where this device lacks it."""
    from fstore.extractor.devices import find_devices

    on_cpu = find_devices(device)[0].type == "cpu"
    return "float32" if on_cpu and stored in {"tf32", "float16"} else stored


def _box(box: NDArray[np.float64]) -> "Box":
    xmin, ymin, xmax, ymax = box.tolist()
    return xmin, ymin, xmax, ymax


def draw_detections(
    image: "Image.Image", rows: Sequence[Mapping[str, Any]], classes: Sequence[str]
) -> "Image.Image":
    """Return a copy of a picture with boxes on it, each with its class and score.

    Parameters
    ----------
    image : Image of mode RGB
    rows : sequence of mapping
        As from :func:`detect_image`.
    classes : sequence of str
        Each gets a colour of its own, the same in every picture.
    """
    from PIL import ImageDraw, ImageFont

    drawn = image.copy()
    pen = ImageDraw.Draw(drawn)
    font = ImageFont.load_default(max(11, min(image.size) // 30))
    for row in reversed(rows):  # the best on top
        box = tuple(round(row[side]) - 1 for side in DETECTION_COLUMNS[2:])
        pen.rectangle(box, outline=_colour(row, classes), width=max(2, min(image.size) // 180))
    taken: list[tuple[float, ...]] = []
    for row in rows:
        text = f"{row['class']}: {row['score']:.2f}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        place = _free_place(row, (right - left + 4, bottom - top + 4), image.size, taken=taken)
        taken.append(place)
        pen.rectangle(place, fill=_colour(row, classes))
        corner = (place[0] + 2 - left, place[1] + 2 - top)
        pen.text(corner, text, fill=_ink(_colour(row, classes)), font=font)
    return drawn


def _free_place(
    row: Mapping[str, Any],
    label: tuple[float, float],
    image: tuple[int, int],
    *,
    taken: Sequence[tuple[float, ...]],
) -> tuple[float, float, float, float]:
    """Return where a label goes: above its box, or as far below as no better label is."""
    width, height = label
    x = min(max(0, row["xmin"] - 1), max(0, image[0] - width))
    y = max(0, row["ymin"] - 1 - height)
    for _ in taken:  # each step leaves at least one other label behind
        under = [
            o for o in taken if x < o[2] and o[0] < x + width and y < o[3] and o[1] < y + height
        ]
        if not under:
            break
        y = max(o[3] for o in under) + 1
    return x, y, x + width, y + height


def _ink(colour: tuple[int, int, int]) -> str:
    """Return black or white, whichever can be read on a colour."""
    return "white" if 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140 else "black"


def _colour(row: Mapping[str, Any], classes: Sequence[str]) -> tuple[int, int, int]:
    """Return a bright colour; neighbours in the list of classes look different."""
    place, n = classes.index(row["class"]), len(classes)
    hue = place * 0.618 % 1 if n > 6 else place / n
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
