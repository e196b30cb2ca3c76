"""Small VOC devkits with known pixels and boxes, and the devkit's own evaluation as loops."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.queries.detection.voc_eval import Boxes, Scored

Object = tuple[str, tuple[float, float, float, float], int]
"""Class, box, difficult flag."""

SIZE = (100, 80)


def write_devkit(
    folder: Path,
    images: Mapping[str, Sequence[Object]],
    parts: Mapping[str, str],
    *,
    size: tuple[int, int] = SIZE,
    noise: bool = False,
) -> Path:
    """Write a devkit; return the folder ``VOC2007``.

    An object is a bright rectangle on a dark ground: its pixels are its box.

    Parameters
    ----------
    folder : Path
    images : image id -> objects
    parts : image id -> ``train``, ``val`` or ``test``
    size : width and height of the images
    noise : bool
        Random pixels instead: thousands of small regions, which take time to find.
    """
    root = folder / "VOC2007"
    for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for number, (image_id, objects) in enumerate(images.items()):
        pixels = _pixels(objects, size, seed=number if noise else None)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.png")
        (root / "Annotations" / f"{image_id}.xml").write_text(_annotation(objects, size))
    for part in ("train", "val", "test"):
        lines = "".join(f"{i}\n" for i in images if parts[i] == part)
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text(lines)
    return root


def _pixels(
    objects: Sequence[Object], size: tuple[int, int], *, seed: int | None
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    if seed is not None:
        random = np.random.default_rng(seed)
        return random.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels = np.full((size[1], size[0], 3), 20, dtype=np.uint8)
    for number, (_, (xmin, ymin, xmax, ymax), _difficult) in enumerate(objects):
        rows, columns = slice(int(ymin) - 1, int(ymax)), slice(int(xmin) - 1, int(xmax))
        pixels[rows, columns] = (220, 200 - 30 * number, 90)
    return pixels


def _annotation(objects: Sequence[Object], size: tuple[int, int]) -> str:
    text = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    for name, box, difficult in objects:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        corners = "".join(f"<{side}>{value:g}</{side}>" for side, value in sides)
        text += (
            f"<object><name>{name}</name><difficult>{difficult}</difficult>"
            f"<bndbox>{corners}</bndbox></object>"
        )
    return f"<annotation>{text}</annotation>"


@dataclass
class Devkit:
    """What the devkit's VOCevaldet does, written as its loops: rows in the order of the scores."""

    tp: list[int]
    fp: list[int]
    npos: int

    @classmethod
    def run(cls, detections: Scored, those: Boxes, order: NDArray[np.intp]) -> "Devkit":
        """Go through the detections in an order."""
        found = [False] * len(those.image)
        tp, fp = [0] * len(order), [0] * len(order)
        for d, row in enumerate(order):
            ovmax, jmax = -np.inf, -1
            for j in range(len(those.image)):
                if those.image[j] != detections.image[row]:
                    continue
                bb, bbgt = detections.boxes[row], those.boxes[j]
                iw = min(bb[2], bbgt[2]) - max(bb[0], bbgt[0]) + 1
                ih = min(bb[3], bbgt[3]) - max(bb[1], bbgt[1]) + 1
                if iw > 0 and ih > 0:
                    ua = (bb[2] - bb[0] + 1) * (bb[3] - bb[1] + 1)
                    ua += (bbgt[2] - bbgt[0] + 1) * (bbgt[3] - bbgt[1] + 1) - iw * ih
                    if iw * ih / ua > ovmax:
                        ovmax, jmax = iw * ih / ua, j
            if ovmax < 0.5:
                fp[d] = 1
            elif not those.difficult[jmax]:
                tp[d], fp[d] = (0, 1) if found[jmax] else (1, 0)
                found[jmax] = True
        return cls(tp, fp, int((~those.difficult).sum()))

    def aps(self) -> tuple[float, float]:
        """Return what VOCevaldet of 2007 and VOCap of 2010 compute."""
        tp, fp = np.cumsum(self.tp), np.cumsum(self.fp)
        rec, prec = tp / self.npos, tp / np.maximum(tp + fp, 1)
        at_11 = 0.0
        for t in range(11):
            reached = prec[rec >= t / 10 - 1e-12]  # a recall of 3 / 10 reaches 0.3
            at_11 += (max(reached) if len(reached) else 0) / 11
        mrec, mpre = [0.0, *rec, 1.0], [0.0, *prec, 0.0]
        for i in range(len(mpre) - 2, -1, -1):
            mpre[i] = max(mpre[i], mpre[i + 1])
        steps = [i for i in range(1, len(mrec)) if mrec[i] != mrec[i - 1]]
        return at_11, sum((mrec[i] - mrec[i - 1]) * mpre[i] for i in steps)
