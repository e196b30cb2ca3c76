"""Hand-made data sets: images as small as they can be, and VOC devkits."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image

Object = tuple[str, tuple[float, float, float, float], int]


def write_image(path: Path, size: tuple[int, int] = (20, 10)) -> None:
    """Write an image, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (len(path.name), 7, 9)).save(path)


@pytest.fixture
def make_images(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes images at paths below a folder, and returns the folder."""

    def make(*uris: str) -> Path:
        for uri in uris:
            write_image(tmp_path / uri)
        return tmp_path

    return make


def annotation(objects: Sequence[Object], size: tuple[int, int]) -> str:
    """Return the XML of one image, as PASCAL VOC writes it."""
    text = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>"
    for name, box, difficult in objects:
        sides = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        corners = "".join(f"<{side}>{value:g}</{side}>" for side, value in sides)
        text += (
            f"<object><name>{name}</name><difficult>{difficult}</difficult>"
            f"<part><name>head</name><bndbox>{corners}</bndbox></part>"
            f"<bndbox>{corners}</bndbox></object>"
        )
    return f"<annotation>{text}</annotation>"


@pytest.fixture
def make_devkit(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a VOC devkit and returns the folder ``VOCdevkit``."""

    def make(
        images: Mapping[str, Sequence[Object]],
        lists: Mapping[str, str],
        *,
        year: str = "VOC2007",
        size: tuple[int, int] = (20, 10),
    ) -> Path:
        folder = tmp_path / "VOCdevkit" / year
        for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for image_id, objects in images.items():
            write_image(folder / "JPEGImages" / f"{image_id}.jpg", size)
            (folder / "Annotations" / f"{image_id}.xml").write_text(annotation(objects, size))
        for name, text in lists.items():
            lines = "".join(f"{line.strip()}\n" for line in text.split(","))
            (folder / "ImageSets" / "Main" / f"{name}.txt").write_text(lines)
        return folder.parent

    return make


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real images that ``FSTORE_REAL_DATA`` names; skip without it."""
    folder = os.environ.get("FSTORE_REAL_DATA")
    if not folder:
        pytest.skip("FSTORE_REAL_DATA names no folder of real images")
    return Path(folder)
