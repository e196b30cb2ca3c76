"""Whole images are resized, cropped and turned as the libraries of the networks' training do it."""

import io
import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torchvision.transforms import InterpolationMode, v2

from fstore.errors import DataError
from fstore.extractor.images import decode, warp_box, whole_image
from fstore.extractor.loading import InputSample, load_batches
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training.region_examples import FixedRegions
from fstore.extractor.warping import crop_regions
from fstore.pixels.image_files import upright
from fstore.pixels.warps import Interpolation

PLAIN = Preprocess(32, 32, order="RGB", mean=(0.0, 0.0, 0.0))
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
MODES = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "lanczos": InterpolationMode.LANCZOS,
    "nearest": InterpolationMode.NEAREST,
}
SIDES = [(500, 375), (375, 500), (64, 64), (63, 65), (31, 200), (1, 1), (2, 1), (1, 90), (3000, 33)]


def noise(width: int, height: int) -> Image.Image:
    """Return an image of random pixels, the hardest to resize."""
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def seen(image: Image.Image, p: Preprocess) -> NDArray[np.int64]:
    """Return the grey levels that a network sees, (h, w, 3)."""
    return whole_image(image, p).transpose(1, 2, 0).astype(np.int64)


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """Return twenty real photos."""
    folder = os.environ.get("FSTORE_REAL_DATA")
    if not folder:
        pytest.skip("FSTORE_REAL_DATA is not set: no real photos to try")
    files = sorted(Path(folder, "voc/VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"))[::50]
    return [decode(file.read_bytes()) for file in files]


@pytest.mark.parametrize("side", [32, 227, 256])
@pytest.mark.parametrize(("width", "height"), SIDES)
def test_bilinear_without_antialias_is_that_of_opencv(width: int, height: int, side: int) -> None:
    """What Caffe does: OpenCV's INTER_LINEAR gives the same bytes."""
    image = noise(width, height)
    p = replace(PLAIN, size=side, resize=side, antialias=False)
    wanted = cv2.resize(np.asarray(image), (side, side), interpolation=cv2.INTER_LINEAR)
    assert np.array_equal(seen(image, p), wanted)


def test_real_photos_are_resized_as_by_opencv(photos: list[Image.Image]) -> None:
    """On photos, too, every byte is that of OpenCV: resized to 256 and cut to 227 as by Caffe."""
    p = replace(PLAIN, size=227, resize=256, antialias=False)
    for image in photos:
        wanted = cv2.resize(np.asarray(image), (256, 256), interpolation=cv2.INTER_LINEAR)
        assert np.array_equal(seen(image, p), wanted[14:241, 14:241])


@pytest.mark.parametrize(("width", "height"), SIDES)
def test_bicubic_without_antialias_is_that_of_torch(width: int, height: int) -> None:
    """Values are torch's, rounded; OpenCV's differ by a grey level at most, and seldom."""
    image, p = noise(width, height), replace(PLAIN, interpolation="bicubic", antialias=False)
    actual = seen(image, p)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()
    exact = torch.nn.functional.interpolate(x, (32, 32), mode="bicubic", antialias=False)
    # half a level of rounding, and float32's 1e-3 of a sum of values up to 255
    assert np.abs(actual - exact.clamp(0, 255)[0].permute(1, 2, 0).numpy()).max() <= 0.501
    wanted = cv2.resize(np.asarray(image), (32, 32), interpolation=cv2.INTER_CUBIC)
    differ = np.abs(actual - wanted)
    assert differ.max() <= 1
    assert np.mean(differ > 0) < 0.05  # of an image of two pixels many values lie on a half


@pytest.mark.parametrize("interpolation", MODES)
@pytest.mark.parametrize(("width", "height"), [(50, 37), (37, 50), (41, 64), (33, 33), (20, 31)])
def test_antialiased_is_that_of_torchvision(
    interpolation: Interpolation, width: int, height: int
) -> None:
    """Resize, CenterCrop, ToImage and Normalize of torchvision give the same numbers."""
    image = noise(width, height)
    p = Preprocess(28, 33, "shorter", "RGB", 1 / 255, MEAN, STD, interpolation=interpolation)
    transform = v2.Compose(
        [
            v2.Resize(33, interpolation=MODES[interpolation], antialias=True),
            v2.CenterCrop(28),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(MEAN, STD),
        ]
    )
    # the same bytes; float32 arithmetic in another order: values to 3, so 1e-6
    np.testing.assert_allclose(whole_image(image, p), transform(image).numpy(), atol=1e-6)


@pytest.mark.parametrize("antialias", [True, False])
def test_the_nearest_pixel_is_the_one_below_the_middle(antialias: bool) -> None:
    """``nearest`` is torchvision's NEAREST_EXACT, antialiased or not, and not OpenCV's."""
    image = noise(50, 37)
    p = replace(PLAIN, interpolation="nearest", antialias=antialias)
    x = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    exact = v2.functional.resize(x, [32, 32], interpolation=InterpolationMode.NEAREST_EXACT)
    assert np.array_equal(seen(image, p), exact.permute(1, 2, 0).numpy())


def test_lanczos_without_antialias_is_refused() -> None:
    """No library here does it, so it is not taken for something else."""
    with pytest.raises(DataError, match="bicubic and bilinear"):
        Preprocess(8, 8, interpolation="lanczos", antialias=False)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("width", range(32, 44))
def test_crops_begin_where_the_library_cuts(width: int, antialias: bool) -> None:
    """Half pixels of margin go to the even neighbour with torchvision, down where it is stated.

    int() of half the margin is how the processors of transformers 5 cut.
    """
    image = noise(width, 32)
    p = replace(PLAIN, size=31, resize=32, resize_mode="shorter", antialias=antialias)
    assert np.array_equal(seen(image, p), np.asarray(v2.CenterCrop(31)(image)))
    left, top = int((width - 31) / 2.0), int((32 - 31) / 2.0)
    wanted = np.asarray(image)[top : top + 31, left : left + 31]
    assert np.array_equal(seen(image, replace(p, crop="down")), wanted)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_of_a_long_strip_only_the_centre_is_made(interpolation: Interpolation) -> None:
    """Cut out while it is resized, the centre is that of the whole strip resized."""
    image = noise(700, 20)
    p = replace(PLAIN, size=24, resize=26, resize_mode="shorter", antialias=False)
    p = replace(p, interpolation=interpolation)
    whole = cv2.resize(
        np.asarray(image), (910, 26),
        interpolation={"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}[interpolation],
    )  # fmt: skip
    assert np.abs(seen(image, p) - whole[1:25, 443:467]).max() <= (interpolation == "bicubic")


def turned(kind: str, orientation: int) -> bytes:
    """Return a file of 40 x 30 raw pixels with an orientation."""
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    more = {"tiffinfo": {0x0112: orientation}} if kind == "TIFF" else {"exif": exif}
    noise(40, 30).save(buffer, kind, **({"lossless": True} if kind == "WEBP" else {}), **more)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_upright_where_asked(kind: str, orientation: int) -> None:
    """``apply`` gives what Pillow's own ``exif_transpose`` gives; ``ignore`` the raw pixels."""
    data = turned(kind, orientation)
    with Image.open(io.BytesIO(data)) as image:
        wanted = ImageOps.exif_transpose(image).convert("RGB")
    applied = replace(PLAIN, size=24, exif="apply", resize=30, resize_mode="shorter")
    assert np.array_equal(np.asarray(upright(decode(data))), np.asarray(wanted))
    assert np.array_equal(seen(decode(data), applied), np.asarray(v2.CenterCrop(24)(wanted)))
    assert decode(data).size == (40, 30)
    if kind != "JPEG":
        raw = replace(applied, exif="ignore")
        assert np.array_equal(seen(decode(data), raw), np.asarray(v2.CenterCrop(24)(noise(40, 30))))


def test_pixels_that_were_turned_are_not_turned_again() -> None:
    """Turning an upright image changes nothing, and so does an orientation that is none."""
    image = upright(decode(turned("PNG", 6)))
    assert upright(image) is image
    for orientation in (0, 9, 77):
        odd = decode(turned("PNG", orientation))
        assert np.array_equal(np.asarray(upright(odd)), np.asarray(noise(40, 30)))


def test_broken_exif_turns_nothing() -> None:
    """Bytes that are no EXIF cost neither the image nor its pixels."""
    buffer = io.BytesIO()
    noise(40, 30).save(buffer, "PNG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff")
    image = decode(buffer.getvalue())
    assert np.array_equal(np.asarray(upright(image)), np.asarray(noise(40, 30)))


def test_boxes_of_turned_images_are_refused(tmp_path: Path) -> None:
    """A box counts raw pixels, so no region is cut where images are turned, upright or not."""
    p, image, box = replace(PLAIN, size=24, context=2, exif="apply"), noise(40, 30), (1, 1, 9, 9)
    image.save(tmp_path / "a.png")
    sample = InputSample(0, "a.png", "", box)
    refused = "boxes count the pixels as they are in the file"
    with pytest.raises(DataError, match=refused):
        warp_box(image, box, p)
    with pytest.raises(DataError, match=refused):
        crop_regions(image, [box], p, uri="a.png")
    with pytest.raises(DataError, match=refused):
        next(load_batches(tmp_path, [[sample]], p, workers=1))
    with pytest.raises(DataError, match=refused):
        FixedRegions([], None, p)  # type: ignore[arg-type]
