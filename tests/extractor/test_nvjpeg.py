"""Images decoded on a GPU; without one TorchCodec's libjpeg stands in for nvJPEG."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fstore.errors import DataError, IdentityError
from fstore.extractor.images import decode
from fstore.extractor.nvjpeg import GpuDecoder, decoder_of
from fstore.pixels.image_files import plain_jpeg
from fstore.store import Store
from fstore.workflows.extract.plan import ExtractionOptions
from fstore.workflows.extract.recheck import recheck
from fstore.workflows.extract.run import extract
from test_extraction import make_store

CPU = torch.device("cpu")


def turned(orientation: int) -> Image.Exif:
    """Return EXIF that states an orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def photo(kind: str = "JPEG", mode: str = "RGB", **options: object) -> bytes:
    """Return a file of a smooth picture with some noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :90]
    pixels = np.stack([2 * x, 3 * y, x + y], axis=2) + rng.integers(0, 40, (60, 90, 3))
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def test_pixels_of_a_jpeg_come_from_the_device() -> None:
    """What TorchCodec decodes is handed on; libjpeg's pixels are Pillow's."""
    data = photo(quality=90, exif=turned(1))
    decoded = GpuDecoder(CPU)(data, uri="x.jpg")
    assert decoded.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(decoded), np.asarray(decode(data)))


@pytest.mark.parametrize(
    "data",
    [
        photo("PNG"),
        photo(mode="L"),
        photo(mode="CMYK"),
        photo(exif=turned(6)),
        photo(exif=b"Exif\0\0broken"),
        photo("MPO", save_all=True, append_images=[Image.new("RGB", (90, 60))]),
    ],
    ids=["png", "grey", "cmyk", "turned", "broken exif", "mpo"],
)
def test_other_images_are_pillows(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other formats and colours never reach the device."""
    monkeypatch.setattr("torchcodec.decoders.decode_jpeg", None)
    assert not plain_jpeg(data)
    np.testing.assert_array_equal(np.asarray(GpuDecoder(CPU)(data)), np.asarray(decode(data)))


def test_a_file_that_ends_early_is_refused() -> None:
    """A GPU would fill the rest with grey; Pillow says that the file is truncated."""
    with pytest.raises(DataError, match=r"half\.jpg: unreadable image: .*truncated"):
        GpuDecoder(CPU)(photo()[:1500], uri="half.jpg")


def test_too_many_pixels_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decompression bomb does not reach the device."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    with pytest.raises(DataError, match=r"bomb\.jpg: unreadable image: .*exceeds limit of 4000"):
        GpuDecoder(CPU)(photo(), uri="bomb.jpg")


@pytest.mark.parametrize(
    ("said", "error", "match"),
    [
        (
            "nvjpegDecode failed: 6",
            DataError,
            r"odd\.jpg: nvJPEG cannot decode it: .* failed: 6; ext",
        ),
        ("CUDA out of memory", RuntimeError, "out of memory"),
    ],
)
def test_what_the_device_cannot_read_is_refused(
    said: str, error: type[Exception], match: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other decoder takes its place; a full device is no fault of the image."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr("torchcodec.decoders.decode_jpeg", fail)
    with pytest.raises(error, match=match):
        GpuDecoder(CPU)(photo(progressive=True), uri="odd.jpg")


def test_it_needs_a_gpu() -> None:
    """Names are told, and on a CPU nvJPEG is refused."""
    assert decoder_of("exact", CPU) is None
    assert isinstance(decoder_of("nvjpeg", torch.device("cuda", 0)), GpuDecoder)
    with pytest.raises(DataError, match=r"decoder 'nvjpeg' needs a GPU, .* leave --decoder out"):
        decoder_of("nvjpeg", CPU)
    with pytest.raises(DataError, match="unknown decoder 'turbo'; use exact, nvjpeg"):
        decoder_of("turbo", CPU)


@pytest.fixture
def plain(tmp_path: Path) -> Store:
    """Return a store whose images, JPEG files, are not extracted yet."""
    for i in range(3):
        path = tmp_path / "images" / "ab"[i % 2] / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(quality=60 + 10 * i))
    return make_store(tmp_path / "store", tmp_path / "images")


def test_it_is_part_of_the_identity(plain: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values of another decoder are other values: they are not mixed, nor computed again."""

    def extract_with(decoder: str) -> None:
        extract(plain, layers=["fc7"], ckpts=["random"], options=ExtractionOptions(decoder=decoder))

    with pytest.raises(DataError, match="needs a GPU"):
        extract_with("nvjpeg")
    assert not plain.files()
    monkeypatch.setattr("fstore.extractor.nvjpeg.decoder_of", lambda *_: GpuDecoder(CPU))
    extract_with("nvjpeg")
    (file,) = plain.files()
    assert file.identity.parts["decoder"] == "nvjpeg"
    with pytest.raises(IdentityError, match="decoder"):
        extract_with("exact")
    ((_, problem, reason),) = recheck(plain)
    assert (problem, reason) == (
        "",
        "its images were decoded by nvjpeg, on a GPU, to pixels of its own",
    )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_nearly_the_same_pixels() -> None:
    """Without smaller colour planes only rounding differs."""
    data = photo(quality=90, subsampling=0)
    ours = np.asarray(GpuDecoder(torch.device("cuda", 0))(data)).astype(int)
    assert np.abs(ours - np.asarray(decode(data)).astype(int)).mean() < 1
