"""Handwritten digits that scikit-learn ships: 1,797 real images of 8 x 8 pixels, no download."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fstore.extractor.datasets._api import dataset_format
from fstore.extractor.datasets._files import Progress
from fstore.extractor.datasets._generated import write_generated
from fstore.extractor.datasets._splits import Fractions, official_split, stratified_parts
from fstore.extractor.datasets.imagefolder import imagefolder
from fstore.types import DatasetManifest, Part

__all__ = ["digits", "load_digit_images"]


def load_digit_images() -> tuple[list[str], NDArray[np.uint8], tuple[Part, ...]]:
    """Return the digits' uris, pixels and official parts.

    Returns
    -------
    uris : list of str
        ``<digit>/<number>.png``, the number counting scikit-learn's rows from 0.
    images : array of shape (1797, 8, 8), uint8
        Ink from 0 (none) to 255.
    parts : tuple of str
        Stratified 50/10/40 deal with seed 0; scikit-learn's own data state no split.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    uris = [f"{label}/{i:04d}.png" for i, label in enumerate(data.target)]
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)
    labels = [{str(label): 1} for label in data.target]
    return uris, images, stratified_parts(uris, labels, seed=0)


@dataset_format("digits", generated=True)
def digits(
    name: str,
    root: Path,
    *,
    seeds: Sequence[int] = (),
    fractions: Fractions | None = None,
    on_progress: Progress | None = None,
) -> DatasetManifest:
    """Write scikit-learn's handwritten digits as PNG class folders, and read them.

    Parameters
    ----------
    name : str
    root : Path
        Written if this is the first time; see ``docs/datasets.md``.
    seeds, fractions
        Stratified random splits beside the official one (50/10/40, seed 0).
    """
    uris, images, parts = load_digit_images()
    write_generated(root, {"format": "digits", "version": 1}, _files(uris, images))
    manifest = imagefolder(name, root, seeds=seeds, fractions=fractions, on_progress=on_progress)
    view = manifest.views[0]
    official = official_split(view.samples, dict(zip(uris, parts, strict=True)))
    view = replace(view, splits=official + view.splits)
    return replace(manifest, views=(view,), format="digits")


def _files(uris: Sequence[str], images: NDArray[np.uint8]) -> Iterator[tuple[str, bytes]]:
    for uri, pixels in zip(uris, images, strict=True):
        buffer = io.BytesIO()
        # stored, not deflated: the same bytes whatever zlib Pillow was built with
        Image.fromarray(pixels).save(buffer, format="PNG", compress_level=0)
        yield uri, buffer.getvalue()
