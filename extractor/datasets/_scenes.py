"""Drawing of digit scenes: textured backgrounds, digits pasted on them, their boxes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from fstore.types import Box

__all__ = ["Scene", "SceneObject", "draw_picture", "draw_scene"]

Rgb = NDArray[np.float64]

_SIDES = (28, 64)  # pixels of a digit's longer side
_SMALL_SIDES = (13, 18)
_COUNTS = (0.15, 0.25, 0.25, 0.2, 0.15)  # of scenes with 1 ... 5 digits
_LARGE_SIDES, _LARGE_COUNTS = (44, 84), (1 / 3, 1 / 3, 1 / 3)  # where digits are large
_PICTURE, _PICTURE_SIDES = 64, (28, 58)  # side of a picture of one digit, and of its digit
_SMALL_SHARE, _FAINT_SHARE, _CROWDED_SHARE = 0.06, 0.05, 0.15
_COVER, _CROWDED_COVER = 0.25, 0.8  # of the smaller box, by one other
_HIDDEN = 0.5  # an object of which less than this shows is difficult
_CONTRAST = (90.0, 150.0)  # of luminance, between ink and the background there
_FAINT_CONTRAST = (28.0, 36.0)
_LUMA = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True, slots=True)
class SceneObject:
    """A digit in a scene."""

    name: str
    box: Box
    difficult: bool


@dataclass(frozen=True, slots=True)
class Scene:
    """Pixels, array of shape (height, width, 3), uint8, and the digits in them."""

    pixels: NDArray[np.uint8]
    objects: tuple[SceneObject, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A digit in its place: strokes of shape (height, width), 0 to 1, and their first pixel."""

    name: str
    stroke: Rgb
    top: int
    left: int
    small: bool
    faint: bool

    @property
    def box(self) -> Box:
        """The smallest box around the ink, 1-based and inclusive."""
        solid = self.stroke > 0.5
        rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
        x, y = self.left + 1, self.top + 1
        return (
            float(x + columns[0]),
            float(y + rows[0]),
            float(x + columns[-1]),
            float(y + rows[-1]),
        )

    def ink(self, shape: tuple[int, int]) -> Rgb:
        """Return the strokes on an otherwise empty canvas."""
        canvas = np.zeros(shape)
        height, width = self.stroke.shape
        canvas[self.top : self.top + height, self.left : self.left + width] = self.stroke
        return canvas


def draw_scene(
    rng: np.random.Generator,
    names: Sequence[str],
    digits: NDArray[np.uint8],
    *,
    large: bool = False,
) -> Scene:
    """Draw one scene of one to five digits, or of one to three large ones.

    Some digits are drawn small or faint, and marked difficult; so is one of which later ones
    hide more than half.

    Parameters
    ----------
    rng : Generator
    names : sequence of str
        Class of each digit.
    digits : array of shape (n, 8, 8), uint8
        Digits to draw from, ink bright.
    large : bool
        Draw fewer digits, of 44 to 83 pixels.
    """
    counts = _LARGE_COUNTS if large else _COUNTS
    shape = (int(rng.integers(120, 161)), int(rng.integers(160, 201)))
    canvas = _background(rng, *shape)
    placed: list[_Placed] = []
    for _ in range(int(rng.choice(len(counts), p=counts)) + 1):
        pick = int(rng.integers(len(names)))
        item = _place(rng, names[pick], digit=digits[pick], placed=placed, shape=shape, large=large)
        if item is not None:
            _paint(rng, canvas, item)
            placed.append(item)
    canvas += rng.normal(0, 2.5, (*shape, 1))
    return Scene(np.clip(np.rint(canvas), 0, 255).astype(np.uint8), _objects(placed, shape))


def draw_picture(
    rng: np.random.Generator, name: str, digit: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Draw one digit on a textured ground; return pixels of shape (64, 64, 3).

    Parameters
    ----------
    rng : Generator
    name : str
        Its class.
    digit : array of shape (8, 8), uint8
        Ink bright.
    """
    canvas = _background(rng, _PICTURE, _PICTURE)
    stroke = _stroke(rng, digit, int(rng.integers(*_PICTURE_SIDES)))
    top, left = (int(rng.integers(0, _PICTURE - side + 1)) for side in stroke.shape)
    _paint(rng, canvas, _Placed(name, stroke, top, left, small=False, faint=False))
    canvas += rng.normal(0, 2.5, (_PICTURE, _PICTURE, 1))
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _objects(placed: Sequence[_Placed], shape: tuple[int, int]) -> tuple[SceneObject, ...]:
    objects: list[SceneObject] = []
    above = np.zeros(shape, dtype=bool)
    for item in reversed(placed):
        solid = item.ink(shape) > 0.5
        hidden = float((solid & above).sum() / solid.sum()) > _HIDDEN
        above |= solid
        objects.append(SceneObject(item.name, item.box, item.small or item.faint or hidden))
    return tuple(reversed(objects))


def _place(
    rng: np.random.Generator,
    name: str,
    *,
    digit: NDArray[np.uint8],
    placed: Sequence[_Placed],
    shape: tuple[int, int],
    large: bool,
) -> _Placed | None:
    """Find a place where the digit covers little of the others; None after 20 tries."""
    small, faint = rng.random(2) < (_SMALL_SHARE, _FAINT_SHARE)
    sides = _SMALL_SIDES if small else _LARGE_SIDES if large else _SIDES
    stroke = _stroke(rng, digit, int(rng.integers(*sides)))
    limit = _CROWDED_COVER if rng.random() < _CROWDED_SHARE else _COVER
    for _ in range(20):
        top = int(rng.integers(2, shape[0] - stroke.shape[0] - 1))
        left = int(rng.integers(2, shape[1] - stroke.shape[1] - 1))
        item = _Placed(name, stroke, top, left, small=bool(small), faint=bool(faint))
        if all(_cover(item.box, other.box) <= limit for other in placed):
            return item
    return None


def _cover(a: Box, b: Box) -> float:
    """Overlap of two boxes, as a share of the smaller one."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + 1
    height = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return width * height / min(areas)


def _stroke(rng: np.random.Generator, digit: NDArray[np.uint8], side: int) -> Rgb:
    """Enlarge a digit to smooth strokes, slightly turned; cropped to its ink, 0 to 1."""
    framed = Image.fromarray(np.pad(digit, 2))
    big = framed.resize((144, 144), Image.Resampling.BICUBIC)
    big = big.rotate(float(rng.uniform(-12, 12)), Image.Resampling.BILINEAR)
    edge: Rgb = np.clip((np.asarray(big, dtype=np.float64) - 105) / 30, 0, 1)
    rows, columns = np.flatnonzero((edge > 0.5).any(1)), np.flatnonzero((edge > 0.5).any(0))
    cut = edge[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = side / max(cut.shape)
    size = (max(4, round(cut.shape[1] * factor)), max(4, round(cut.shape[0] * factor)))
    image = Image.fromarray(np.rint(cut * 255).astype(np.uint8))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR), dtype=np.float64) / 255


def _background(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """Blend two related colours by one of several textures."""
    base = rng.uniform(60, 195, 3)
    other = np.clip(base + rng.uniform(-45, 45, 3), 30, 225)
    texture = (_clouds, _stripes, _checks, _grain)[int(rng.integers(4))]
    blend = texture(rng, height, width)[:, :, None]
    light = 1 + 0.15 * (_clouds(rng, height, width, octaves=1) - 0.5)
    shaded: Rgb = (base * (1 - blend) + other * blend) * light[:, :, None]
    return shaded


def _clouds(rng: np.random.Generator, height: int, width: int, *, octaves: int = 4) -> Rgb:
    """Sum smooth noise of finer and finer grain; 0 to 1."""
    total = np.zeros((height, width))
    for octave in range(octaves):
        cells = 3 * 2**octave
        noise = rng.random((cells, cells)).astype(np.float32)
        smooth = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        total += np.asarray(smooth) / 2**octave
    scaled: Rgb = (total - total.min()) / np.ptp(total)
    return scaled


def _stripes(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """Draw wavy stripes in a random direction; 0 to 1."""
    y, x = np.mgrid[:height, :width]
    angle, period = rng.uniform(0, np.pi), rng.uniform(10, 30)
    wave = 2.5 * _clouds(rng, height, width, octaves=2)
    along = (x * np.cos(angle) + y * np.sin(angle)) / period
    stripes: Rgb = 0.5 + 0.5 * np.sin(2 * np.pi * (along + wave))
    return stripes


def _checks(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """Draw tiles of slightly different shades; 0 to 1."""
    cell = int(rng.integers(12, 28))
    shades = rng.random((height // cell + 1, width // cell + 1))
    tiles = np.kron(shades, np.ones((cell, cell)))[:height, :width]
    return 0.8 * tiles + 0.2 * _clouds(rng, height, width)


def _grain(rng: np.random.Generator, height: int, width: int) -> Rgb:
    """Draw brushed fibres; 0 to 1."""
    noise = rng.random((height, width // 12 + 1)).astype(np.float32)
    fibres = np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(0.6 * fibres + 0.4 * _clouds(rng, height, width), 0, 1)


def _paint(rng: np.random.Generator, canvas: Rgb, item: _Placed) -> None:
    """Paint a digit in a colour that stands out from its place, or, faint, nearly sinks in."""
    height, width = item.stroke.shape
    place = canvas[item.top : item.top + height, item.left : item.left + width]
    local = np.average(place.reshape(-1, 3), axis=0, weights=item.stroke.ravel())
    luma = float(local @ _LUMA)
    step = rng.uniform(*(_FAINT_CONTRAST if item.faint else _CONTRAST))
    lighter = bool(rng.random() < 0.5) if item.faint else luma < 128
    tint = rng.uniform(-50, 50, 3) * (0.2 if item.faint else 1.0)
    tint -= tint @ _LUMA
    start = local if item.faint else luma
    colour = np.clip(start + (step if lighter else -step) + tint, 0, 255)
    if not item.faint:
        _shade(canvas, item)
    alpha = item.stroke[:, :, None]
    place *= 1 - alpha
    place += colour * alpha


def _shade(canvas: Rgb, item: _Placed) -> None:
    """Darken what lies just below and right of the digit."""
    margin = 5
    framed = Image.fromarray(np.rint(np.pad(item.stroke, margin) * 255).astype(np.uint8))
    soft = np.asarray(framed.filter(ImageFilter.GaussianBlur(1.5)), dtype=np.float64) / 255
    top, left = item.top + 2 - margin, item.left + 2 - margin
    shadow = soft[max(0, -top) :, max(0, -left) :]
    place = canvas[max(0, top) :, max(0, left) :][: shadow.shape[0], : shadow.shape[1]]
    place *= 1 - 0.3 * shadow[: place.shape[0], : place.shape[1], None]
