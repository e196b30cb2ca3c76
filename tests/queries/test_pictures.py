"""Pictures are what the network saw, and responses lie where they come from."""

from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import pyplot as plt
from numpy.typing import NDArray
from PIL import Image

from _pictures import BOXES, PREPROCESS, make
from fstore.errors import DataError
from fstore.extractor.images import warp_box, whole_image
from fstore.extractor.networks import build_network
from fstore.extractor.preprocess import Preprocess
from fstore.queries.figures.pictures import (
    Picture,
    Preparation,
    draw_response,
    pictures,
    pixels,
    places,
    upsampled,
)
from fstore.store.files import Partition
from fstore.types import Box, FloatArray

mpl.use("agg")

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


def seen(x: FloatArray, p: Preprocess) -> NDArray[np.float64]:
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
    assert np.abs(found - seen(whole_image(image, p), p)).max() < 1e-3


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
        seen(warp_box(image, box, PREPROCESS), PREPROCESS),
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


@pytest.mark.parametrize(("row", "col"), [(0, 0), (1, 2), (2, 3), (0, 4)])
def test_upsampled(row: int, col: int) -> None:
    """A response at one place becomes a bump at its share of the input's sides."""
    response = np.zeros((3, 5), np.float32)
    response[row, col] = 2
    found = upsampled(response, 60)
    assert found.shape == (60, 60)
    # a place is 20 pixels high and 12 wide; half way to the next one the bump has fallen to half
    assert found[20 * row + 10, 12 * col + 6] > 0.9 * 2
    inside = found[20 * row : 20 * row + 20, 12 * col : 12 * col + 12]
    assert inside.min() >= 0.25 * 2 * 0.9  # a corner: half of half
    far = np.ones_like(found, bool)
    far[max(20 * row - 10, 0) : 20 * row + 30, max(12 * col - 6, 0) : 12 * col + 18] = False
    assert (found[far] == 0).all()


def test_draw_response(tmp_path: Path) -> None:
    """The image is clear where the response is, veiled elsewhere; the cross is at its maximum."""
    saved(tmp_path / "a.png", 40, 30)
    response = np.zeros((2, 4), np.float32)
    response[1, 1] = 5
    response[0, 0] = 1
    _, panel = plt.subplots()
    draw_response(panel, picture(tmp_path / "a.png", PREPROCESS), response)
    image, veil = (np.asarray(shown.get_array()) for shown in panel.images)
    assert (image == pixels(picture(tmp_path / "a.png", PREPROCESS))).all()
    alpha = veil[:, :, 3]
    assert alpha[18, 9] < 0.1  # middle of rows 12 to 23, columns 6 to 11
    assert alpha[2, 21] == pytest.approx(0.65)  # no response there, nor in the next place
    assert alpha[1, 1] == pytest.approx(0.65 * 0.8)  # a fifth of the maximum
    for line in panel.get_lines():
        assert (line.get_xdata(), line.get_ydata()) == ([8.5], [17.5])
    assert panel.collections
    plt.close("all")


@pytest.mark.parametrize("response", [np.zeros((2, 2)), -np.ones((2, 2)), np.ones((1, 1))])
def test_nothing_to_lay_over(tmp_path: Path, response: NDArray[np.float64]) -> None:
    """A map that is nowhere above 0, or has one place, leaves the image as it is."""
    saved(tmp_path / "a.png", 40, 30)
    _, panel = plt.subplots()
    drawn = picture(tmp_path / "a.png", PREPROCESS)
    draw_response(panel, drawn, response.astype(np.float32))
    assert len(panel.images) == 1
    assert not panel.get_lines()
    plt.close("all")


@pytest.mark.parametrize(
    ("name", "layer"),
    [("caffenet", "conv1"), ("caffenet", "conv5")]
    + [("squeezenet-v1.0", layer) for layer in ("pool1", "fire9", "conv_final")],
)
def test_places_see_what_they_are_drawn_over(name: str, layer: str) -> None:
    """The middle of what each place's response depends on is within a place of where it is drawn.

    What it depends on is measured for two places far from the edges, whose windows are whole: the
    rows of pixels whose gradient is not 0. The other places' windows follow, evenly spaced.
    """
    torch.manual_seed(0)
    network = build_network(name)
    caught: list[torch.Tensor] = []
    module = dict(network.model.named_modules())[network.layers[layer]]
    module.register_forward_hook(lambda _m, _x, y: caught.append(y))
    size = network.preprocess.size
    x = torch.rand(1, 3, size, size, requires_grad=True)
    network.model(x)
    (y,) = caught
    side = y.shape[-1]
    first = (side - 1) // 2
    middles = []
    for at in (first, first + 1):
        (gradient,) = torch.autograd.grad(y[0, :, at, at].sum(), x, retain_graph=True)
        used = np.flatnonzero(gradient.abs().sum(dim=(0, 1, 3)).numpy())
        middles.append((used[0] + used[-1]) / 2)
    places = np.arange(side)
    sees = middles[0] + (middles[1] - middles[0]) * (places - first)
    drawn = (places + 0.5) / side * size - 0.5
    assert np.abs(sees - drawn).max() < size / side


@pytest.mark.parametrize(
    ("network", "size", "shape", "expected"),
    [
        ("torchvision:vit_b_16", 64, (17, 1), (4, 4)),
        ("torchvision:vit_l_32", 64, (5, 1), (2, 2)),
        ("torchvision:vit_b_16", 64, (16, 1), None),
        ("mine:vit_b_16", 64, (17, 1), None),
        ("torchvision:swin_t", 64, (17, 1), None),
        ("mine:any", 64, (4, 3), (4, 3)),
        ("mine:any", 64, (1, 1), (1, 1)),
    ],
)
def test_tokens_lie_over_an_image_only_where_it_is_known_how(
    network: str, size: int, shape: tuple[int, int], expected: tuple[int, int] | None
) -> None:
    """Torchvision's class token is left out, the patches are a grid row by row; others are not."""
    response = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    found = places(response, network, size)
    assert (None if found is None else found.shape) == expected
    if expected == (4, 4):
        assert found is not None
        assert found[0].tolist() == [1, 2, 3, 4]
        assert found[3].tolist() == [13, 14, 15, 16]
