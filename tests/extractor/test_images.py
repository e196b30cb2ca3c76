"""Decoding and preprocessing: right pixels, and errors that name the file."""

import io
import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.images import (
    ChangedFileError,
    decode,
    digest_bytes,
    load_group,
    load_sample,
    read_bytes_checked,
    warp_box,
    whole_image,
)
from fstore.extractor.preprocess import Preprocess
from fstore.pixels.image_files import image_size
from fstore.types import Box, FloatArray


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image of random pixels."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def palette_with_transparency() -> bytes:
    """Return a palette PNG, half transparent through a byte string."""
    image = Image.new("P", (5, 4), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    return encoded(image, transparency=bytes([0, 128]))


@pytest.mark.parametrize(
    ("data", "pixel"),
    [
        (encoded(Image.new("L", (5, 4), 77)), (77, 77, 77)),
        (encoded(Image.new("1", (5, 4), 1)), (255, 255, 255)),
        (encoded(Image.new("LA", (5, 4), (77, 0))), (77, 77, 77)),
        (encoded(Image.new("RGBA", (5, 4), (10, 200, 30, 128))), (10, 200, 30)),
        (palette_with_transparency(), (10, 200, 30)),
        (encoded(Image.new("CMYK", (5, 4), (0, 0, 0, 0)), "JPEG"), (255, 255, 255)),
        (encoded(Image.new("CMYK", (5, 4), (0, 0, 0, 255)), "TIFF"), (0, 0, 0)),
        (encoded(Image.fromarray(np.full((4, 5), 65535, np.uint16))), (255, 255, 255)),
        (encoded(Image.fromarray(np.full((4, 5), 257 * 100, np.uint16))), (100, 100, 100)),
        (encoded(Image.fromarray(np.full((4, 5), 257 * 9, np.int32)), "TIFF"), (9, 9, 9)),
    ],
    ids=["L", "1", "LA", "RGBA", "P", "CMYK-jpeg", "CMYK", "16-bit white", "16-bit grey", "I"],
)
def test_every_mode_becomes_rgb(data: bytes, pixel: tuple[int, int, int]) -> None:
    """Grey, palette, transparent, CMYK and 16-bit images decode to the colour they show."""
    image = decode(data)
    assert (image.mode, image.size) == ("RGB", (5, 4))
    assert image.getpixel((2, 2)) == pixel


def test_exif_does_not_rotate() -> None:
    """An EXIF orientation leaves pixels where they are, since boxes are in raw pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    assert decode(encoded(noise(30, 20), "JPEG", exif=exif)).size == (30, 20)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"not an image at all", "not an image of a known format"),
        (encoded(noise(64, 64), "JPEG")[:1500], "truncated"),
        (encoded(noise(64, 64))[:3000], "unreadable image"),
        (encoded(Image.new("F", (5, 4)), "TIFF"), "floating-point"),
    ],
    ids=["empty", "text", "jpeg", "png", "float"],
)
def test_unreadable_images_are_named(data: bytes, reason: str) -> None:
    """Truncated, empty and foreign files raise DataError with the uri and the reason."""
    with pytest.raises(DataError, match=rf"^a/b\.jpg: .*{reason}"):
        decode(data, uri="a/b.jpg")


@pytest.mark.parametrize("limit", [30, 60])
def test_decompression_bombs_are_refused(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    """More pixels than Pillow's limit are an error, below as above twice the limit."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(DataError, match=r"^a\.png: .*\d+ "):
        decode(encoded(Image.new("RGB", (10, 10))), uri="a.png")


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"]),
    cut=st.integers(0, 400),
    flips=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
)
def test_damaged_bytes_decode_or_raise_data_error(
    kind: str, cut: int, flips: list[tuple[int, int]]
) -> None:
    """Whatever is cut off or overwritten in a file, nothing but DataError comes out."""
    data = bytearray(encoded(noise(12, 9), kind))
    for place, value in flips:
        data[place % len(data)] = value
    try:
        image = decode(bytes(data[: max(0, len(data) - cut)]))
    except DataError:
        return
    assert image.mode == "RGB"


def test_changed_file_is_told_from_unreadable_one(tmp_path: Path) -> None:
    """A file with other bytes, or gone, raises ChangedFileError; without digest none does."""
    path = tmp_path / "a.png"
    path.write_bytes(b"one")
    digest = digest_bytes(b"one")
    assert read_bytes_checked(path, digest) == b"one"
    path.write_bytes(b"two")
    assert read_bytes_checked(path, "") == b"two"
    with pytest.raises(ChangedFileError, match=r"a\.png: the file changed since"):
        read_bytes_checked(path, digest)
    path.unlink()
    with pytest.raises(ChangedFileError, match="no such file any more"):
        read_bytes_checked(path, digest)
    with pytest.raises(DataError, match="cannot be read") as caught:
        read_bytes_checked(path, "")
    assert not isinstance(caught.value, ChangedFileError)


def test_digest_is_blake2b_128() -> None:
    """The digest equals the one that `b2sum -l 128` prints for an empty file."""
    assert digest_bytes(b"") == "cae66941d9efbd404e4d88758ea67670"


@pytest.mark.parametrize("size", [(75, 50), (50, 75), (64, 64), (33, 200)])
def test_shorter_equals_torchvision(size: tuple[int, int]) -> None:
    """Mode `shorter` gives what torchvision's own transforms give, to float rounding."""
    transforms = pytest.importorskip("torchvision.transforms")
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = noise(*size)
    steps = [
        transforms.Resize(40),
        transforms.CenterCrop(33),
        transforms.ToTensor(),
        transforms.Normalize(mean, std),
    ]
    expected = transforms.Compose(steps)(image).numpy()
    p = Preprocess(33, 40, "shorter", "RGB", 1 / 255, mean, std)
    result = whole_image(image, p)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=2e-6)  # x / 255 and x * (1 / 255) differ


def test_warp_mode_is_resize_crop_bgr_minus_mean() -> None:
    """Mode `warp` is Pillow's anisotropic resize, the centre crop, BGR, minus the mean."""
    image = noise(70, 50)
    pixels = np.asarray(image.resize((32, 32), Image.Resampling.BILINEAR))
    crop = pixels[2:29, 2:29, ::-1].astype(np.float64)  # (32 - 27) // 2 = 2, as Caffe
    expected = (crop - (104, 117, 123)).transpose(2, 0, 1)
    np.testing.assert_array_equal(whole_image(image, Preprocess(27, 32)), expected)


def test_mean_image_is_subtracted_in_place() -> None:
    """The mean image loses its margins like the pixels do."""
    mean = np.arange(3 * 8 * 8, dtype=np.float32).reshape(3, 8, 8)
    p = Preprocess(5, 8, mean_image=mean, std=(2.0, 2.0, 2.0))
    result = whole_image(Image.new("RGB", (8, 8), (1, 2, 3)), p)
    expected = (np.array([3, 2, 1])[:, None, None] - mean[:, 1:6, 1:6]) / 2
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("size", "mean", "message"),
    [
        (9, None, "input size 9 exceeds"),
        (5, np.zeros((8, 8, 3)), "mean image has shape"),
    ],
)
def test_impossible_preprocessing_is_an_error(
    size: int, mean: FloatArray | None, message: str
) -> None:
    """A crop larger than the image, or a mean image of another shape, is refused."""
    with pytest.raises(DataError, match=message):
        Preprocess(size, 8, mean_image=mean)


def away(x: float) -> int:
    """Round to the nearest integer, halves away from zero."""
    return math.floor(x + 0.5) if x >= 0 else math.ceil(x - 0.5)


def imresize_at(line: FloatArray, target: int, i: int) -> FloatArray:
    """Value ``i`` (from 1) of MATLAB's bilinear imresize of the first axis, no antialiasing."""
    n = len(line)
    scale = target / n
    u = i / scale + 0.5 * (1 - 1 / scale)
    total, weights = np.zeros_like(line[0]), 0.0
    for k in range(math.floor(u) - 1, math.floor(u) + 3):
        weight = max(0.0, 1 - abs(u - k))
        mirrored = (k - 1) % (2 * n)  # ..., 2, 1, 1, 2, ..., n, n, n - 1, ...
        source = mirrored if mirrored < n else 2 * n - 1 - mirrored
        total = total + weight * line[source]
        weights += weight
    value: FloatArray = total / weights
    return value


def reference_warp(image: Image.Image, box: Box, p: Preprocess) -> FloatArray:
    """R-CNN's crop, written out pixel by pixel with MATLAB's conventions; slow."""
    pixels = np.asarray(image, dtype=np.float64)[:, :, :: -1 if p.order == "BGR" else 1]
    x1, y1, x2, y2 = box
    scale = p.size / (p.size - p.context * 2)
    half_h, half_w = (y2 - y1 + 1) / 2, (x2 - x1 + 1) / 2
    cx, cy = x1 + half_w, y1 + half_h
    bx1, by1 = away(cx - half_w * scale), away(cy - half_h * scale)
    bx2, by2 = away(cx + half_w * scale), away(cy + half_h * scale)
    scale_x, scale_y = p.size / (bx2 - bx1 + 1), p.size / (by2 - by1 + 1)
    pad_x, pad_y = away(max(0, 1 - bx1) * scale_x), away(max(0, 1 - by1) * scale_y)
    bx1, by1 = max(1, bx1), max(1, by1)
    bx2, by2 = min(image.width, bx2), min(image.height, by2)
    width = min(away((bx2 - bx1 + 1) * scale_x), p.size - pad_x)
    height = min(away((by2 - by1 + 1) * scale_y), p.size - pad_y)
    window = pixels[by1 - 1 : by2, bx1 - 1 : bx2]
    mean = np.broadcast_to(np.array(p.mean), (p.size, p.size, 3))
    if p.mean_image is not None:
        cut = (p.resize - p.size) // 2
        mean = p.mean_image[:, cut : cut + p.size, cut : cut + p.size].transpose(1, 2, 0)
    out = np.zeros((p.size, p.size, 3))
    for i in range(height):
        row = imresize_at(window, height, i + 1)
        for j in range(width):
            value = imresize_at(row, width, j + 1) * p.scale
            place = (pad_y + i, pad_x + j)
            out[place] = (value - mean[place]) / np.array(p.std)
    return out.transpose(2, 0, 1)


BOXES = {
    "inside": (20, 10, 60, 40),
    "all of it": (1, 1, 80, 60),
    "top left": (1, 1, 9, 30),
    "bottom right": (70, 50, 80, 60),
    "left edge, tall": (1, 5, 3, 58),
    "one pixel": (40, 30, 40, 30),
    "one pixel in the corner": (80, 60, 80, 60),
    "larger than the image": (-30, -20, 200, 90),
    "fractions": (10.25, 3.5, 33.75, 20.1),
    "same size as the window": (20, 20, 38, 38),
}


@pytest.mark.parametrize("box", BOXES.values(), ids=BOXES.keys())
def test_warp_equals_the_published_code(box: Box) -> None:
    """The region warp equals R-CNN's crop, written out pixel by pixel."""
    p = Preprocess(27, 32, context=4)
    image = noise(80, 60)
    result = warp_box(image, box, p)
    assert result.shape == (3, 27, 27)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, reference_warp(image, box, p), atol=2e-4)  # float32 of 255


@settings(max_examples=25, deadline=None)
@given(
    x=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    y=st.tuples(st.integers(1, 37), st.integers(1, 37)),
    context=st.integers(1, 6),
)
def test_any_box_warps_like_the_published_code(
    x: tuple[int, int], y: tuple[int, int], context: int
) -> None:
    """For any box inside the image, and any context, the warp equals the reference."""
    rng = np.random.default_rng(1)
    mean = rng.uniform(0, 255, (3, 20, 20)).astype(np.float32)
    p = Preprocess(17, 20, order="RGB", scale=0.5, std=(1, 2, 4), mean_image=mean, context=context)
    box = (min(x), min(y), max(x), max(y))
    image = noise(50, 37, seed=2)
    np.testing.assert_allclose(warp_box(image, box, p), reference_warp(image, box, p), atol=2e-4)


def test_outside_of_the_image_is_zero_after_the_mean() -> None:
    """Of a box in the corner, the context beyond the image is exactly 0, what is inside not."""
    p = Preprocess(27, 32, context=4)
    result = warp_box(Image.new("RGB", (80, 60), (0, 0, 0)), (1, 1, 19, 19), p)
    assert not result[:, :3].any()
    assert not result[:, :, :3].any()
    assert (result[:, 4:, 4:] == -np.array([104, 117, 123])[:, None, None]).all()


def test_no_context_takes_the_box_as_it_is() -> None:
    """With context 0, a box as large as the window is cut out unchanged."""
    p = Preprocess(10, 12, order="RGB", mean=(0, 0, 0), context=0)
    image = noise(30, 30)
    expected = np.asarray(image)[4:14, 2:12].transpose(2, 0, 1)
    np.testing.assert_array_equal(warp_box(image, (3, 5, 12, 14), p), expected)


@pytest.mark.parametrize(
    "box",
    [(31, 1, 40, 5), (1, 31, 5, 40), (-9, 1, 0, 5), (5, 5, 4, 9), (1, 1, math.nan, 5)],
)
def test_boxes_without_pixels_are_refused(box: Box) -> None:
    """A box beside the image, turned around or not a number is a DataError."""
    with pytest.raises(DataError, match="no pixel in an image of 30 x 30"):
        warp_box(noise(30, 30), box, Preprocess(27, 32, context=4))


@pytest.mark.parametrize("size", [30, 32])
def test_context_must_leave_room_for_the_box(size: int) -> None:
    """The usual 16 pixels of context are too many for small inputs; the message says so."""
    with pytest.raises(
        DataError, match=f"16 pixels of context .* in an input of {size}; .* smaller"
    ):
        warp_box(noise(30, 30), (1, 1, 9, 9), Preprocess(size, size))
    assert warp_box(noise(30, 30), (1, 1, 9, 9), Preprocess(33, 33)).shape == (3, 33, 33)


def test_group_equals_single_samples(tmp_path: Path) -> None:
    """Decoding once for all boxes gives what decoding for each gives, from any thread."""
    data = encoded(noise(60, 40), "JPEG")
    (tmp_path / "a.jpg").write_bytes(data)
    p = Preprocess(27, 32, context=4)
    boxes: list[Box | None] = [None, (1, 1, 20, 20), (30, 5, 60, 40)]
    group = load_group(tmp_path, "a.jpg", boxes, preprocess=p, digest=digest_bytes(data))
    assert group.shape == (3, 3, 27, 27)
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(load_sample, tmp_path, "a.jpg", b, preprocess=p) for b in boxes * 5]
        for i, job in enumerate(jobs):
            np.testing.assert_array_equal(job.result(), group[i % 3])


def test_errors_of_a_sample_name_its_file(tmp_path: Path) -> None:
    """A bad box and a broken file are both reported with the uri."""
    (tmp_path / "a.png").write_bytes(encoded(noise(10, 10)))
    (tmp_path / "b.png").write_bytes(b"broken")
    p = Preprocess(27, 32, context=4)
    with pytest.raises(DataError, match=r"^a\.png: box"):
        load_sample(tmp_path, "a.png", (11, 1, 20, 5), preprocess=p)
    with pytest.raises(DataError, match=r"^b\.png: unreadable"):
        load_sample(tmp_path, "b.png", None, preprocess=p)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["tif", "png", "jpg", "webp"])
def test_orientation_is_left_alone_in_every_format(orientation: int, ending: str) -> None:
    """Pixels and size are those of the file, whatever its EXIF orientation, TIFF included."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:20, :30] = 255
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    more = {"tiffinfo": {0x0112: orientation}} if ending == "tif" else {"exif": exif}
    kind = {"tif": "TIFF", "jpg": "JPEG"}.get(ending, ending.upper())
    Image.fromarray(pixels).save(file, kind, **more)
    assert image_size(file.getvalue()) == (60, 40)
    found = np.asarray(decode(file.getvalue()))
    assert found.shape == (40, 60, 3)
    assert np.abs(found[4:16, 4:26].astype(int) - 255).max() < 8  # JPEG and WebP round
    assert found[24:, :].max() < 8


@pytest.mark.parametrize("value", [-5, 65_536, 2**31 - 1])
def test_grey_beyond_16_bits_is_refused(value: int) -> None:
    """Grey that 16 bits do not hold is not cut off without a word: it is refused."""
    file = io.BytesIO()
    Image.fromarray(np.full((4, 4), value, np.int32)).save(file, "TIFF")
    with pytest.raises(DataError, match="from 0 to 65535"):
        decode(file.getvalue(), uri="x.tif")


@pytest.mark.parametrize(("tag", "value", "reason"), [(262, 0, "0 is white"), (258, 12, "12 bits")])
def test_wide_grey_of_another_meaning_is_refused(tag: int, value: int, reason: str) -> None:
    """A TIFF whose 0 is white, or of 12 bits, is not read as 16 bits whose 0 is black."""
    file = io.BytesIO()
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(file, "TIFF")
    data = bytearray(file.getvalue())
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    places = [start + 2 + 12 * i for i in range(entries)]
    at = next(p for p in places if struct.unpack_from("<H", data, p)[0] == tag)
    struct.pack_into("<H", data, at + 8, value)
    with pytest.raises(DataError, match=reason):
        decode(bytes(data), uri="x.tif")


def test_postscript_is_not_run() -> None:
    """A PostScript program under an image's name is refused; no interpreter is called."""
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, "EPS")
    with pytest.raises(DataError, match="a PostScript program"):
        decode(file.getvalue(), uri="x.jpg")


def test_grey_of_16_bits_is_scaled_alike() -> None:
    """PNG, TIFF and PGM of 16 bits give the same grey: the value divided by 257."""
    values = np.arange(0, 65536, 257 * 16, dtype=np.uint16).reshape(1, -1)
    made = {}
    for kind in ("PNG", "TIFF"):
        file = io.BytesIO()
        Image.fromarray(values).save(file, kind)
        made[kind] = file.getvalue()
    head = f"P5 {values.size} 1 65535\n".encode()
    made["PGM"] = head + values.astype(">u2").tobytes()
    for kind, data in made.items():
        found = np.asarray(decode(data))[0, :, 0]
        assert found.tolist() == (values[0] // 257).tolist(), kind


@pytest.mark.parametrize("size", [(60_000, 1), (1, 60_000), (60_000, 2)])
def test_a_long_strip_is_refused_before_it_needs_memory(size: tuple[int, int]) -> None:
    """An image that would become gigabytes before it is cropped is a DataError with its sizes."""
    file = io.BytesIO()
    Image.new("RGB", size).save(file, "PNG")
    prepared = Preprocess(size=224, resize=256, resize_mode="shorter")
    with pytest.raises(DataError, match=f"{size[0]} x {size[1]} pixels becomes"):
        whole_image(decode(file.getvalue()), prepared)
    assert whole_image(decode(file.getvalue()), Preprocess(size=224, resize=256)).shape[1] == 224


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Reading a pipe would wait for ever: it is refused at once."""
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(DataError, match="no regular file"):
        read_bytes_checked(tmp_path / "a.png", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "TGA"])
def test_mutated_pictures(kind: str) -> None:
    """Of 500 damaged files each is refused in words, or gives the same pixels twice."""
    draw = np.random.default_rng(0)
    file = io.BytesIO()
    Image.fromarray(draw.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(file, kind)
    sound = np.frombuffer(file.getvalue(), np.uint8)
    for _ in range(500):
        data = sound.copy()
        at = draw.integers(0, min(len(data), 200), size=draw.integers(1, 5))
        data[at] = draw.integers(0, 256, size=len(at), dtype=np.uint8)
        cut = int(draw.integers(1, len(data) + 1)) if draw.random() < 0.2 else len(data)
        found = []
        for _time in range(2):
            try:
                found.append(np.asarray(decode(data[:cut].tobytes())).tobytes())
            except DataError as error:
                found.append(str(error).encode())
        assert found[0] == found[1]
        assert len(image_size(data[:cut].tobytes())) == 2
