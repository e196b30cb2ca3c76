"""A response map lies where it comes from, and the photo under it stays readable."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from fstore.errors import DataError
from fstore.extractor.networks import build_network
from fstore.queries.figures.overlay import fitting_side, overlay, places, upsampled
from fstore.queries.figures.pictures import Picture, Preparation

Pixels = NDArray[np.uint8]


def photo(brightness: float, *, size: int = 224) -> Image.Image:
    """Return an image of smooth random colours with fine grain, dark or bright."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
    smooth = Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)
    grain = rng.normal(0, 12, (size, size, 1))
    spread = 0.35 * (np.asarray(smooth, float) - 128) + grain + 255 * brightness
    return Image.fromarray(np.clip(spread, 0, 255).astype(np.uint8))


def luminance(image: Image.Image) -> NDArray[np.float64]:
    """Return grey levels."""
    return np.asarray(image.convert("L"), np.float64)


def bump(row: int, col: int, *, shape: tuple[int, int] = (7, 7)) -> NDArray[np.float32]:
    """Return a map with one response."""
    response = np.zeros(shape, np.float32)
    response[row, col] = 3
    return response


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


def test_own_pixels_where_it_responds(tmp_path: Path) -> None:
    """The image is its own where the response is at least half, and darker where there is none."""
    photo(0.5, size=200).save(tmp_path / "a.png")
    drawn = Picture(
        tmp_path / "a.png", "a.png", "", None, Preparation(200, 200, "warp", 0, (0,) * 3)
    )
    response = np.zeros((4, 4), np.float32)
    response[0, :2] = 8
    response[:, 3] = 2
    image, plain = overlay(drawn, response), np.asarray(photo(0.5, size=200), float)
    x = np.asarray(image, float)
    # places are 50 pixels wide; rows 0 to 49 of columns 25 to 74 are near places of 8
    assert (x[5:30, 5:18] == plain[5:30, 5:18]).all()
    assert (x[5:20, 40:90] == plain[5:20, 40:90]).all()
    assert np.abs(x[160:190, 10:90] - 0.65 * plain[160:190, 10:90]).max() <= 0.5
    # a quarter of the maximum: half way from darkest to the image's own
    assert np.abs(x[160:190, 180:] - 0.825 * plain[160:190, 180:]).max() <= 0.5


@pytest.mark.parametrize("brightness", [0.1, 0.5, 0.9])
def test_the_photo_stays_readable(brightness: float) -> None:
    """Dark or bright, the photo keeps its contrast everywhere, also where nothing responds."""
    image = photo(brightness)
    before, after = luminance(image), luminance(overlay(image, bump(3, 4)))
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.55  # 0.61 and more was measured
    quiet = np.s_[130:, :100]  # far from the response: all is darkened alike
    assert np.corrcoef(before[quiet].ravel(), after[quiet].ravel())[0, 1] > 0.99
    assert after[quiet].std() > 0.6 * before[quiet].std()


@pytest.mark.parametrize("brightness", [0.03, 0.97])
def test_line_and_cross_are_seen_on_any_ground(brightness: float) -> None:
    """The cross is white with a black rim at the middle of the largest response's place."""
    image = Image.new("RGB", (224, 224), (round(255 * brightness),) * 3)
    x = luminance(overlay(image, bump(2, 5)))
    # places are 32 pixels: the middle of place (2, 5) is at row 80, column 176
    assert x[80, 176] == 255
    assert (x[80, 172:181] > 200).all()
    assert (x[76:85, 176] > 200).all()
    assert x[74:87, 170:183].min() < 80  # the rim
    # the line runs where the bump has fallen to half: half a place above, at row 64
    column = x[55:74, 176]
    assert column.max() > 240
    assert column.min() < 20
    assert abs(int(column.argmax()) + 55 - 64) <= 1


@pytest.mark.parametrize(("row", "col"), [(0, 0), (6, 6), (3, 0)])
def test_maximum_at_an_edge(row: int, col: int) -> None:
    """The cross lies in its place at the edges, too."""
    x = luminance(overlay(Image.new("RGB", (224, 224), (90, 90, 90)), bump(row, col)))
    assert x[32 * row + 16, 32 * col + 16] == 255


def test_negative_responses() -> None:
    """What is below 0 counts as no response: the picture is that of the map without it."""
    image, response = photo(0.5), bump(3, 4)
    below = np.where(response > 0, response, -50).astype(np.float32)
    x, y = (np.asarray(overlay(image, r), int) for r in (response, below))
    assert (x[130:, :100] == y[130:, :100]).all()
    # nowhere is it darker than where there is no response
    assert (y[130:, :100] >= np.floor(0.65 * np.asarray(image)[130:, :100])).all()
    assert (x[112, 144] == y[112, 144]).all()  # the cross


@pytest.mark.parametrize(
    "response",
    [
        np.zeros((2, 2)),
        -np.ones((2, 2)),
        np.array([[-3.0, -1.0], [-2.0, -9.0]]),
        np.ones((1, 1)),
        np.full((3, 3), 2.0),
        np.arange(197.0).reshape(197, 1),
        np.arange(197.0).reshape(1, 197),
        None,
    ],
    ids=["zeros", "below 0", "some below 0", "one place", "all alike", "column", "row", "none"],
)
def test_nothing_to_lay_over(response: NDArray[np.float64] | None) -> None:
    """A map that is nowhere above 0, has one place, or is a list, leaves the image as it is."""
    image = photo(0.5)
    drawn = overlay(image, None if response is None else response.astype(np.float32))
    assert (np.asarray(drawn) == np.asarray(image)).all()
    assert drawn is not image


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_no_numbers(wrong: float) -> None:
    """A map with NaN or infinite values is refused."""
    response = bump(1, 1)
    response[0, 0] = wrong
    with pytest.raises(DataError, match="NaN or infinite"):
        overlay(photo(0.5), response)


def test_sizes() -> None:
    """Small inputs become whole multiples, their pixels even squares; large ones are reduced."""
    assert [fitting_side(n) for n in (24, 32, 160, 227, 256, 384)] == [168, 160, 160, 227, 256, 256]
    small = photo(0.5, size=32)
    x = np.asarray(overlay(small, None))
    assert (x == np.asarray(small).repeat(5, axis=0).repeat(5, axis=1)).all()
    assert overlay(photo(0.5, size=300), None).size == (256, 256)
    assert overlay(photo(0.5), bump(3, 3), side=100).size == (100, 100)


def test_fine_maps() -> None:
    """Of a map whose places are smaller than 3 pixels no line is drawn: it would hide them."""
    rng = np.random.default_rng(0)
    ground = Image.new("RGB", (224, 224), (100, 100, 100))
    response = rng.random((112, 112)).astype(np.float32)
    response[50, 60] = 2
    x = luminance(overlay(ground, response))
    far = np.ones(x.shape, bool)
    far[85:118, 105:138] = False  # the cross, and a response above all others
    assert x[far].max() <= 100
    assert x[far].min() >= 64
    assert x[101, 121] == 255


def test_deterministic() -> None:
    """The same picture and response give the same pixels."""
    a, b = (overlay(photo(0.5), bump(3, 4)).tobytes() for _ in range(2))
    assert a == b


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
        ("mine:any", 64, (1, 17), None),
        ("torchvision:vit_b_16", 64, (1, 17), None),
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
