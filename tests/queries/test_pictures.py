"""Pictures are what the network saw; thumbnails, what lies in the file; crops, where they say."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from _pictures import BOXES, PREPROCESS, make
from fstore.errors import DataError
from fstore.extractor.images import warp_box, whole_image
from fstore.extractor.preprocess import Preprocess
from fstore.pixels.image_files import decode
from fstore.queries.figures.pictures import (
    Picture,
    Preparation,
    as_bytes,
    crop,
    pictures,
    pixels,
    seen,
    thumbnail,
)
from fstore.store.files import Partition
from fstore.types import Box, FloatArray

RGB = Preprocess(
    24, 29, "shorter", "RGB", scale=1 / 255, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def saved(path: Path, width: int, height: int) -> Image.Image:
    """Save an image of smooth random colours; return it."""
    small = np.random.default_rng(width).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.save(path)
    return image


def picture(path: Path, p: Preprocess, box: Box | None = None) -> Picture:
    """Return the picture of an image file."""
    outside = (123, 117, 104)
    prepared = Preparation(p.size, p.resize, p.resize_mode, p.context, outside)
    return Picture(path, path.name, "", box, prepared)


def unnormalised(x: FloatArray, p: Preprocess) -> NDArray[np.float64]:
    """Undo the normalisation of a network's input: (3, h, w) -> (h, w, 3), RGB, 0 to 255."""
    mean, std = (np.reshape(v, (3, 1, 1)) for v in (p.mean, p.std))
    plain = (np.asarray(x, np.float64) * std + mean) / p.scale
    rgb: NDArray[np.float64] = (plain[::-1] if p.order == "BGR" else plain).transpose(1, 2, 0)
    return rgb


@pytest.mark.parametrize("p", [PREPROCESS, RGB, Preprocess(24, 24)], ids=["warp", "shorter", "all"])
@pytest.mark.parametrize(("width", "height"), [(40, 30), (31, 57), (24, 24), (9, 20)])
def test_whole_images(tmp_path: Path, p: Preprocess, width: int, height: int) -> None:
    """Of a whole image the picture is the network's input, pixel by pixel."""
    image = saved(tmp_path / "a.png", width, height)
    found = pixels(picture(tmp_path / "a.png", p))
    # the input is float32: 0 to 255 are exact to 2e-5, after scaling and back to 1e-4
    assert np.abs(found - unnormalised(whole_image(image, p), p)).max() < 1e-3


@settings(max_examples=40, deadline=None)
@given(x=st.integers(1, 34), y=st.integers(1, 24), wide=st.integers(1, 14), high=st.integers(1, 14))
def test_boxes(
    tmp_path_factory: pytest.TempPathFactory, x: int, y: int, wide: int, high: int
) -> None:
    """Of a box the picture is the warp that the network got, its place in the window included."""
    box = (x, y, min(x + wide, 40), min(y + high, 30))
    path = tmp_path_factory.getbasetemp() / "boxes.png"
    image = saved(path, 40, 30)
    found, wanted = (
        pixels(picture(path, PREPROCESS, box)),
        unnormalised(warp_box(image, box, PREPROCESS), PREPROCESS),
    )
    # boxes of at most 15 pixels with their context are enlarged, so nothing is smoothed; Pillow
    # rounds to whole grey levels after each of two passes
    assert np.abs(found - wanted).max() <= 1.5


def test_outside_is_the_mean(tmp_path: Path) -> None:
    """What lies outside of the image has the colour that the network sees as 0."""
    image = saved(tmp_path / "a.png", 40, 30)
    box = (1, 1, 10, 10)
    empty = (warp_box(image, box, PREPROCESS) == 0).all(axis=0)
    found = pixels(picture(tmp_path / "a.png", PREPROCESS, box))
    assert empty.sum() > 24
    assert (found[empty] == (123, 117, 104)).all()


def test_records(tmp_path: Path) -> None:
    """A picture has its geometry from the checkpoint, its box and file from the data set."""
    gallery = make(tmp_path)
    place = Partition("net", "5", "d", "gt", "conv")
    first, second = pictures(gallery.store, place, [2, 0])
    assert (first.path, first.uri, first.box) == (gallery.root / "2.png", "2.png", BOXES[2])
    assert second.box == BOXES[0]
    # the mean 104, 117, 123 is BGR
    assert first.preparation == Preparation(24, 32, "warp", 3, outside=(123, 117, 104))
    (whole,) = pictures(gallery.store, Partition("net", "5", "d", "image", "conv"), [1])
    assert whole.box is None


def test_scaled_mean(tmp_path: Path) -> None:
    """The mean of scaled pixels is a colour of 0 to 255 as well."""
    gallery = make(tmp_path, preprocessing=RGB.to_json())
    (found,) = pictures(gallery.store, Partition("net", "5", "d", "gt", "conv"), [0])
    assert found.preparation == Preparation(24, 29, "shorter", 16, outside=(124, 116, 104))


def test_no_preprocessing_on_record(tmp_path: Path) -> None:
    """A checkpoint whose record says nothing of its input cannot be drawn."""
    gallery = make(tmp_path, preprocessing="{}")
    for ckpt in ("5", "not registered any more"):
        (found,) = pictures(gallery.store, Partition("net", ckpt, "d", "gt", "conv"), [0])
        with pytest.raises(DataError, match="no record of its preprocessing"):
            pixels(found)


def test_files_that_are_gone(tmp_path: Path) -> None:
    """A file that is gone, changed or no image is named, with the reason."""
    gallery = make(tmp_path)
    (found,) = pictures(gallery.store, Partition("net", "5", "d", "image", "conv"), [1])
    assert isinstance(found.path, Path)
    found.path.write_bytes(b"x")
    with pytest.raises(DataError, match=r"1\.png: the file changed since"):
        pixels(found)
    with pytest.raises(DataError, match=r"1\.png: unreadable image"):
        pixels(replace(found, digest=""))
    found.path.unlink()
    with pytest.raises(DataError, match=r"1\.png: no such file any more"):
        pixels(found)
    where = gallery.root / "0.png"
    outside = replace(found, path=where, uri="0.png", digest="", box=(50, 50, 60, 60))
    with pytest.raises(DataError, match=r"0\.png: box .* has no pixel"):
        pixels(outside)


def bands(path: Path, *, exif: int = 1) -> None:
    """Save a JPEG of 400 x 200 whose left half is red and right half blue."""
    image = Image.new("RGB", (400, 200), (200, 20, 20))
    image.paste((20, 20, 200), (200, 0, 400, 200))
    tags = Image.Exif()
    tags[0x0112] = exif
    image.save(path, quality=95, exif=tags)


def test_thumbnails(tmp_path: Path) -> None:
    """The longer side is as asked, what is smaller stays, and colours are where they were."""
    bands(tmp_path / "a.jpg")
    small = thumbnail(tmp_path / "a.jpg", 50)
    assert small.size == (50, 25)
    # flat colours survive JPEG to a few levels
    assert np.abs(np.asarray(small, int)[:, :22] - (200, 20, 20)).max() < 8
    assert np.abs(np.asarray(small, int)[:, 28:] - (20, 20, 200)).max() < 8
    assert thumbnail(tmp_path / "a.jpg", 4000).size == (400, 200)
    whole = thumbnail(tmp_path / "a.jpg", 400)
    with Image.open(tmp_path / "a.jpg") as image:
        assert (np.asarray(whole) == np.asarray(image)).all()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("size", [32, 64, 100])
def test_thumbnails_are_those_of_the_whole_image(tmp_path: Path, suffix: str, size: int) -> None:
    """A quick thumbnail is that of the decoded image, to what JPEG's own shrinking leaves."""
    saved(tmp_path / f"a.{suffix}", 500, 375)
    with Image.open(tmp_path / f"a.{suffix}") as image:
        slow = image.convert("RGB").resize((size, size * 3 // 4), Image.Resampling.LANCZOS)
    quick = thumbnail(tmp_path / f"a.{suffix}", size)
    assert quick.size == slow.size
    # of smooth colours; a shift by one pixel of the thumbnail of 32 pixels gives 20 and more
    assert np.abs(np.asarray(quick, int) - np.asarray(slow, int)).max() <= 4


def test_thumbnails_of_turned_files(tmp_path: Path) -> None:
    """EXIF is left alone unless the network's record, or the caller, says that it counts."""
    bands(tmp_path / "a.jpg", exif=6)  # to be turned clockwise: red comes on top
    assert thumbnail(tmp_path / "a.jpg", 40).size == (40, 20)
    turned = thumbnail(tmp_path / "a.jpg", 40, exif="apply")
    assert turned.size == (20, 40)
    top, bottom = np.asarray(turned, int)[5, 10], np.asarray(turned, int)[35, 10]
    assert np.abs(top - (200, 20, 20)).max() < 8
    assert np.abs(bottom - (20, 20, 200)).max() < 8
    drawn = picture(tmp_path / "a.jpg", RGB)
    assert thumbnail(drawn, 40).size == (40, 20)
    assert drawn.preparation is not None
    applied = replace(drawn, preparation=replace(drawn.preparation, exif="apply"))
    assert thumbnail(applied, 40).size == (20, 40)
    boxed = replace(applied, box=(1, 1, 100, 50))  # boxes count the file's own pixels
    assert thumbnail(boxed, 40).size == (40, 20)


def test_thumbnails_of_boxes(tmp_path: Path) -> None:
    """Of a box it is what the box holds, first and last pixels included, from 1."""
    pixel = np.zeros((6, 8, 3), np.uint8)
    pixel[2:4, 3:7] = 255
    Image.fromarray(pixel).save(tmp_path / "a.png")
    cut = thumbnail(picture(tmp_path / "a.png", PREPROCESS, (4, 3, 7, 4)), 100)
    assert cut.size == (4, 2)
    assert (np.asarray(cut) == 255).all()
    wider = thumbnail(picture(tmp_path / "a.png", PREPROCESS, (3, 2, 100, 100)), 100)
    assert wider.size == (6, 5)  # columns 3 to 8, rows 2 to 6
    assert (np.asarray(wider) == pixel[1:, 2:]).all()
    with pytest.raises(DataError, match=r"a\.png: box .* has no pixel in an image of 8 x 6"):
        thumbnail(picture(tmp_path / "a.png", PREPROCESS, (9, 1, 12, 3)), 100)


def test_thumbnails_of_files_that_are_gone(tmp_path: Path) -> None:
    """A file that is no image, or another than the registered one, is named."""
    (tmp_path / "a.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"a\.jpg: unreadable image: not an image"):
        thumbnail(tmp_path / "a.jpg", 50, uri="a.jpg")
    changed = replace(picture(tmp_path / "a.jpg", PREPROCESS), digest="0" * 32)
    with pytest.raises(DataError, match=r"a\.jpg: the file changed"):
        thumbnail(changed, 50)
    with pytest.raises(DataError, match="cannot be read"):
        thumbnail(tmp_path / "none.jpg", 50)


def test_decoding_to_less(tmp_path: Path) -> None:
    """A JPEG is decoded to the eighth, quarter or half that is enough; other formats whole."""
    saved(tmp_path / "a.jpg", 500, 375)
    saved(tmp_path / "a.png", 500, 375)
    data = (tmp_path / "a.jpg").read_bytes()
    sizes = [decode(data, at_least=(n, n)).size for n in (1, 47, 94, 188, 376)]
    assert sizes == [(63, 47), (125, 94), (250, 188), (500, 375), (500, 375)]
    assert decode((tmp_path / "a.png").read_bytes(), at_least=(1, 1)).size == (500, 375)


def test_crops(tmp_path: Path) -> None:
    """A crop has the network's own pixels; beyond its edges, the colour that it sees as 0."""
    saved(tmp_path / "a.png", 40, 30)
    drawn = picture(tmp_path / "a.png", PREPROCESS)
    whole = pixels(drawn)
    inside = crop(drawn, (3, 5, 10, 24))
    assert inside.size == (7, 19)
    assert (np.asarray(inside) == whole[5:24, 3:10]).all()
    beyond = np.asarray(crop(drawn, (-4, -2, 6, 30)))
    assert beyond.shape == (32, 10, 3)
    assert (beyond[2:26, 4:] == whole[:, :6]).all()
    assert (beyond[:2] == (123, 117, 104)).all()
    assert (beyond[26:] == (123, 117, 104)).all()
    assert (beyond[:, :4] == (123, 117, 104)).all()
    parts = crop(drawn, (3.5, 5.0, 9.2, 24.0), image=seen(drawn))
    assert (np.asarray(parts) == np.asarray(inside)).all()
    with pytest.raises(DataError, match=r"a\.png: no pixel lies in a box"):
        crop(drawn, (5, 5, 5, 9))


def test_bytes(tmp_path: Path) -> None:
    """PNG keeps every value, JPEG and WebP are files of their format; all are the same again."""
    image = saved(tmp_path / "a.png", 40, 30)
    starts = {"png": b"\x89PNG", "jpeg": b"\xff\xd8\xff", "webp": b"RIFF"}
    for form, start in starts.items():
        data = as_bytes(image, form)  # type: ignore[arg-type]
        assert data.startswith(start)
        assert data == as_bytes(image.copy(), form)  # type: ignore[arg-type]
        assert decode(data).size == (40, 30)
    assert (np.asarray(decode(as_bytes(image, "png"))) == np.asarray(image)).all()
