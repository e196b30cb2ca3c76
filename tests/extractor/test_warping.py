"""Regions warped on the network's device: the bits of the warp on the host, in less memory."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.images import warp_box
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.warping import TOGETHER, crop_regions, joined, warp
from fstore.types import Box

CPU = torch.device("cpu")
CAFFE = Preprocess(27, 32, context=4)
TORCHVISION = Preprocess(
    28, 32, "shorter", "RGB", 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), context=3
)
WITH_MEAN_IMAGE = Preprocess(
    27,
    32,
    mean_image=np.random.default_rng(0).uniform(0, 255, (3, 32, 32)).astype(np.float32),
    context=4,
)
BOXES: list[Box] = [
    (20, 10, 60, 40),  # inside
    (1, 1, 80, 60),  # all of it
    (1, 1, 9, 30),
    (70, 50, 80, 60),
    (40, 30, 40, 30),  # one pixel
    (80, 60, 80, 60),  # one pixel in the corner
    (-30, -20, 200, 90),  # larger than the image
    (10.25, 3.5, 33.75, 20.1),
    (20, 20, 38, 38),  # as large as the window
]


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image of random pixels."""
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))


def on_host(image: Image.Image, boxes: list[Box], p: Preprocess) -> NDArray[np.float32]:
    """Return the regions as the warp of one box gives them."""
    return np.stack([warp_box(image, box, p) for box in boxes])


def bits(x: NDArray[np.float32] | torch.Tensor) -> NDArray[np.uint32]:
    """Return the bits of float32 values, in which 0 and -0 differ."""
    return np.ascontiguousarray(x).view(np.uint32)


@pytest.mark.parametrize("p", [CAFFE, TORCHVISION, WITH_MEAN_IMAGE], ids=["caffe", "tv", "image"])
def test_regions_have_the_bits_of_the_warp_on_the_host(p: Preprocess) -> None:
    """Whatever box, order of channels, scale, deviation and mean: equal to ``warp_box``."""
    image = noise(80, 60)
    found = warp(crop_regions(image, BOXES, p, uri="a"), p, CPU)
    assert found.shape == (len(BOXES), 3, p.size, p.size)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(bits(found), bits(on_host(image, BOXES, p)))


@settings(max_examples=50, deadline=None)
@given(
    x=st.tuples(st.integers(-20, 70), st.integers(1, 50)),
    y=st.tuples(st.integers(-20, 60), st.integers(1, 37)),
    context=st.integers(0, 6),
)
def test_any_box_has_the_bits_of_the_warp_on_the_host(
    x: tuple[int, int], y: tuple[int, int], context: int
) -> None:
    """For any box that meets the image, and any context."""
    p = Preprocess(17, 20, order="RGB", scale=0.5, std=(1, 2, 3), context=context)
    box = (min(x), min(y), max(x), max(y))
    image = noise(50, 37, seed=2)
    found = warp(crop_regions(image, [box], p, uri="a"), p, CPU)
    np.testing.assert_array_equal(bits(found), bits(on_host(image, [box], p)))


def test_a_crop_takes_no_more_memory_than_its_input() -> None:
    """Of a large image only the pixels that are looked at are kept; the result is the same."""
    image = noise(900, 30, seed=3)
    boxes: list[Box] = [(1, 1, 900, 30), (100, 1, 870, 12)]
    crops = crop_regions(image, boxes, CAFFE, uri="a")
    found = warp(crops, CAFFE, CPU)
    assert crops.pixels.nbytes <= found.nbytes / 2  # 4 * 27^2 pixels of 3 bytes were allowed
    np.testing.assert_array_equal(bits(found), bits(on_host(image, boxes, CAFFE)))
    large = crop_regions(noise(400, 300), [(1, 1, 400, 300)], CAFFE, uri="a")
    assert large.pixels.shape == (38 * 38, 3)  # two of each for the 27 - 2 * 4 that show the image


def test_many_regions_of_several_images() -> None:
    """More regions than are stretched at a time, of two images, stay in order."""
    images = [noise(80, 60, seed=1), noise(33, 44, seed=2)]
    rng = np.random.default_rng(4)
    parts, expected = [], []
    for image in images:
        boxes: list[Box] = []
        for left, top, width, height in rng.integers(1, 30, (TOGETHER, 4)).tolist():
            boxes.append((left, top, left + width, top + height))
        parts.append(crop_regions(image, boxes, CAFFE, uri="a"))
        expected.append(on_host(image, boxes, CAFFE))
    crops = joined(parts)
    assert len(crops) == 2 * TOGETHER
    np.testing.assert_array_equal(warp(crops, CAFFE, CPU), np.concatenate(expected))


@pytest.mark.parametrize("p", [CAFFE, WITH_MEAN_IMAGE], ids=["mean", "mean image"])
def test_regions_are_taken_and_mirrored(p: Preprocess) -> None:
    """Any order; left and right of the finished input change places in the chosen ones alone."""
    image = noise(80, 60)
    crops = crop_regions(image, BOXES, p, uri="a")
    plain = warp(crops, p, CPU).numpy()
    order = np.array([3, 0, 3, 8])
    chosen = np.array([True, False, False, True])
    taken = crops.take(order).mirrored(chosen)
    found = warp(taken, p, CPU).numpy()
    expected = plain[order]
    expected[chosen] = expected[chosen, :, :, ::-1]
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(warp(taken.mirrored(chosen), p, CPU), plain[order])
    np.testing.assert_array_equal(warp(crops, p, CPU), plain)  # the first ones are as before


@pytest.mark.parametrize("box", [(31, 1, 40, 5), (1, 31, 5, 40), (5, 5, 4, 9)])
def test_boxes_without_pixels_are_refused(box: Box) -> None:
    """A box beside the image is an error that names the file."""
    with pytest.raises(DataError, match=r"^b\.png: box .* has no pixel in an image of 30 x 30"):
        crop_regions(noise(30, 30), [(1, 1, 9, 9), box], CAFFE, uri="b.png")


@pytest.mark.parametrize("p", [CAFFE, TORCHVISION, WITH_MEAN_IMAGE], ids=["caffe", "tv", "image"])
def test_all_of_it_happens_on_the_device(p: Preprocess, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a device that cannot see the host's memory all tables are there; channels come last."""
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)  # needs a GPU
    crops = crop_regions(noise(80, 60), BOXES, p, uri="a").mirrored(np.ones(len(BOXES), bool))
    found = warp(crops, p, torch.device("meta"))
    assert found.device.type == "meta"
    assert found.shape == (len(BOXES), 3, p.size, p.size)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("p", [CAFFE, TORCHVISION, WITH_MEAN_IMAGE], ids=["caffe", "tv", "image"])
def test_a_gpu_gives_the_same_bits(p: Preprocess) -> None:
    """On a GPU too, every operation is rounded as on the host."""
    image = noise(80, 60)
    found = warp(crop_regions(image, BOXES, p, uri="a"), p, torch.device("cuda"))
    np.testing.assert_array_equal(bits(found.cpu()), bits(on_host(image, BOXES, p)))
