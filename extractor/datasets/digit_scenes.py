"""Scenes of several handwritten digits, generated as a real PASCAL VOC devkit folder."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._files import Progress
from fstore.extractor.datasets._generated import write_generated
from fstore.extractor.datasets._scenes import Scene, draw_scene
from fstore.extractor.datasets._splits import EVEN_PARTS_OF_TEN, PARTS_OF_TEN, Fractions
from fstore.extractor.datasets.digits import load_digit_images
from fstore.extractor.datasets.voc import voc
from fstore.types import DatasetManifest, Part

__all__ = ["digit_scenes"]

_FEWEST, _FEWEST_LARGE = 60, 200
"""With fewer scenes, a part may well lack a digit; with 200 large ones none of 25 seeds does."""


@dataset_format("digit-scenes", generated=True)
def digit_scenes(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    images: int = 300,
    seed: int = 0,
    large: bool = False,
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Write scenes of one to five handwritten digits as a VOC devkit, and read it.

    Scenes are 160 to 200 pixels wide and 120 to 160 high; digits of the train part of
    ``digits`` appear in train scenes only, and so on. Small, faint and mostly hidden digits are
    marked difficult. The official split is 50/10/40.

    Parameters
    ----------
    name : str
    root : Path
        Gets a ``VOC2007`` folder if this is the first time; see ``docs/datasets.md``.
    seeds, fractions
        Stratified random splits beside the official one.
    images : int
        Scenes, at least 60; with ``large`` at least 200.
    seed : int
        Of the drawing. A scene depends on it and on its number only, not on ``images``.
    large : bool
        One to three digits a scene, of 44 to 83 pixels, in place of one to five of 28 to 63. The
        official split is then 20/20/60: a study can learn from train alone, or from twice as many
        scenes, and differences show on the many that it is tested on.
    """
    fewest = _FEWEST_LARGE if large else _FEWEST
    if images < fewest:
        raise DataError(f"{images} images are too few for ten classes; ask for {fewest} or more")
    recipe = {"format": "digit-scenes", "version": 1, "images": images, "seed": seed}
    if large:  # a folder of before this option has a recipe without it
        recipe["large"], recipe["parts"] = True, "20/20/60"
    write_generated(root, recipe, _devkit(images, seed, large=large))
    manifest = voc(name, root, seeds=seeds, fractions=fractions, on_progress=on_progress)
    return replace(manifest, format="digit-scenes")


def _devkit(images: int, seed: int, *, large: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield the devkit's files: images and annotations first, the lists last."""
    uris, pixels, parts = load_digit_images()
    names = np.array([uri.split("/")[0] for uri in uris])
    labels: dict[str, dict[str, int]] = {}
    dealt = EVEN_PARTS_OF_TEN if large else PARTS_OF_TEN
    part_of: dict[str, Part] = {}
    for i in range(images):
        image_id, part = f"{i + 1:06d}", dealt[i % 10]
        drawn_from = np.array(parts) == part
        rng = np.random.default_rng([seed, i])
        scene = draw_scene(rng, names[drawn_from].tolist(), pixels[drawn_from], large=large)
        labels[image_id], part_of[image_id] = _labels(scene), part
        yield f"VOC2007/JPEGImages/{image_id}.jpg", _jpeg(scene)
        yield f"VOC2007/Annotations/{image_id}.xml", _annotation(image_id, scene).encode()
    for file, text in _lists(labels, part_of, sorted(set(names.tolist()))).items():
        yield f"VOC2007/ImageSets/Main/{file}", text.encode()


def _labels(scene: Scene) -> dict[str, int]:
    """Class -> 1, or 0 where all its objects are difficult, as the devkit's lists have it."""
    plain = {o.name for o in scene.objects if not o.difficult}
    return {o.name: int(o.name in plain) for o in scene.objects}


def _jpeg(scene: Scene) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(scene.pixels).save(buffer, format="JPEG", quality=90)
    return buffer.getvalue()


def _lists(
    labels: Mapping[str, Mapping[str, int]], part: Mapping[str, Part], classes: Sequence[str]
) -> dict[str, str]:
    """Text of every list in ImageSets/Main, plain and per class."""
    texts: dict[str, str] = {}
    for which in ("train", "val", "trainval", "test"):
        ids = [i for i in labels if part[i] == which or (which == "trainval" and part[i] != "test")]
        texts[f"{which}.txt"] = "".join(f"{i}\n" for i in ids)
        for name in classes:
            lines = (f"{i} {labels[i].get(name, -1):2d}\n" for i in ids)
            texts[f"{name}_{which}.txt"] = "".join(lines)
    return texts


_OBJECT = """\t<object>
\t\t<name>{name}</name>
\t\t<pose>Unspecified</pose>
\t\t<truncated>0</truncated>
\t\t<difficult>{difficult}</difficult>
\t\t<bndbox>
\t\t\t<xmin>{xmin}</xmin>
\t\t\t<ymin>{ymin}</ymin>
\t\t\t<xmax>{xmax}</xmax>
\t\t\t<ymax>{ymax}</ymax>
\t\t</bndbox>
\t</object>
"""

_ANNOTATION = """<annotation>
\t<folder>VOC2007</folder>
\t<filename>{image_id}.jpg</filename>
\t<source>
\t\t<database>fstore digit-scenes</database>
\t</source>
\t<size>
\t\t<width>{width}</width>
\t\t<height>{height}</height>
\t\t<depth>3</depth>
\t</size>
\t<segmented>0</segmented>
{objects}</annotation>
"""


def _annotation(image_id: str, scene: Scene) -> str:
    objects = ""
    for item in scene.objects:
        xmin, ymin, xmax, ymax = (int(side) for side in item.box)
        objects += _OBJECT.format(
            name=item.name,
            difficult=int(item.difficult),
            xmin=xmin,
            ymin=ymin,
            xmax=xmax,
            ymax=ymax,
        )
    height, width = scene.pixels.shape[:2]
    return _ANNOTATION.format(image_id=image_id, width=width, height=height, objects=objects)
