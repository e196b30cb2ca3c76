"""Pictures of one handwritten digit each on coloured, textured grounds, generated."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._files import Progress
from fstore.extractor.datasets._generated import write_generated
from fstore.extractor.datasets._scenes import draw_picture
from fstore.extractor.datasets._splits import PARTS_OF_TEN, Fractions
from fstore.extractor.datasets.digits import load_digit_images
from fstore.extractor.datasets.imagefolder import imagefolder
from fstore.types import DatasetManifest

__all__ = ["digit_pictures"]

_FEWEST = 100
"""Pictures go round the ten digits and the ten parts: with fewer, a part may lack a digit."""


@dataset_format("digit-pictures", generated=True)
def digit_pictures(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    images: int = 3000,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Write pictures of one handwritten digit each, on textured grounds, and read them.

    Pictures are 64 x 64 pixels. The digit is 28 to 57 pixels long, anywhere in the picture.
    Digits of the train part of ``digits`` appear in the train part only, and so on. The official
    split is 50/10/40.

    Parameters
    ----------
    name : str
    root : Path
        Gets a folder for each part if this is the first time; see ``docs/datasets.md``.
    seeds, fractions
        Stratified random splits beside the official one.
    images : int
        Pictures, at least 100; as many of each digit.
    seed : int
        Of the drawing. A picture depends on it and on its number only, not on ``images``.
    """
    if images < _FEWEST:
        raise DataError(
            f"{images} images are too few for ten classes in three parts; ask for {_FEWEST} or more"
        )
    recipe = {"format": "digit-pictures", "version": 1, "images": images, "seed": seed}
    write_generated(root, recipe, _files(images, seed))
    manifest = imagefolder(name, root, seeds=seeds, fractions=fractions, on_progress=on_progress)
    return replace(manifest, format="digit-pictures")


def _files(images: int, seed: int) -> Iterator[tuple[str, bytes]]:
    uris, pixels, parts = load_digit_images()
    names, part_of = np.array([uri.split("/")[0] for uri in uris]), np.array(parts)
    for i in range(images):
        part, name = PARTS_OF_TEN[i % 10], str(i // 10 % 10)
        rng = np.random.default_rng([seed, i])
        drawn_from = np.flatnonzero((part_of == part) & (names == name))
        picture = draw_picture(rng, name, pixels[rng.choice(drawn_from)])
        buffer = io.BytesIO()
        # stored, not deflated: the same bytes whatever zlib Pillow was built with
        Image.fromarray(picture).save(buffer, format="PNG", compress_level=0)
        yield f"{part}/{name}/{i:05d}.png", buffer.getvalue()
