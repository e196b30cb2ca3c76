"""Small VOC devkits with known pixels and boxes, for tests of regions."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

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
