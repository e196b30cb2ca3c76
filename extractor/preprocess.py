"""What happens to pixels between the file and the network: stated by each network, hashed."""

import hashlib
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from fstore.errors import DataError
from fstore.pixels.warps import CropStart, Exif, Interpolation, ResizeMode

if TYPE_CHECKING:
    from fstore.types import FloatArray

__all__ = ["OPTIONS", "Interpolation", "Preprocess"]

ADDED: dict[str, object] = {
    "interpolation": "bilinear",
    "antialias": True,
    "exif": "ignore",
    "crop": "nearest",
}
"""Fields that were added later, and what preprocessings without them did: there they are not
written, so that these keep their hash."""


SMALLEST = 1.2e-38  # of float32, in which pixels are normalised


@dataclass(frozen=True)
class Preprocess:
    """How a network wants its input; what cannot be meant is refused when it is made.

    Attributes
    ----------
    size : int
        Side of the square input, pixels.
    resize : int
        Whole images are resized to this first, then the centre ``size`` x ``size`` is cut.
    resize_mode : {"warp", "shorter"}
        ``warp``: both sides become ``resize`` (aspect lost, as Caffe and the paper do);
        ``shorter``: the shorter side does (as torchvision does).
    order : {"BGR", "RGB"}
        Order of the colour channels.
    scale : float
        Factor on the 0-255 pixels, before mean and std.
    mean, std : tuple of 3 floats
        Subtracted from, then divided into, the scaled pixels; in ``order``.
    mean_image : array of shape (3, resize, resize), float32, or None
        In place of ``mean``: subtracted at the pixel's own place (centre-cropped for crops).
    context : int
        Pixels of image around a box in a warped region, at the input's scale (R-CNN: 16).
    interpolation : {"bilinear", "bicubic", "lanczos", "nearest"}
        How whole images are resized. Warped regions are always bilinear, as R-CNN's are.
    antialias : bool
        Whether whole images are smoothed as they get smaller. True: as Pillow does it, and with
        it torchvision and timm. False: as OpenCV does it, and with it Caffe. The nearest pixel is
        the same either way, Pillow's; lanczos is always antialiased.
    exif : {"ignore", "apply"}
        ``apply``: whole images are turned upright first, as their EXIF orientation says. Regions
        are refused then, since boxes count the pixels as they are in the file.
    crop : {"nearest", "down"}
        Where the centre crop of ``shorter`` begins if the margins are half pixels: at the even
        neighbour, as torchvision's and timm's, or at the one before, as Hugging Face's.

    Raises
    ------
    DataError
        A field is not of these; it is named.
    """

    size: int
    resize: int
    resize_mode: ResizeMode = "warp"
    order: Literal["BGR", "RGB"] = "BGR"
    scale: float = 1.0
    mean: tuple[float, float, float] = (104.0, 117.0, 123.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mean_image: "FloatArray | None" = field(default=None, compare=False, repr=False)
    context: int = 16
    interpolation: Interpolation = "bilinear"
    antialias: bool = True
    exif: Exif = "ignore"
    crop: CropStart = "nearest"

    def __post_init__(self) -> None:
        """Refuse what is not understood: taken as something else, it gives wrong responses."""
        _check_sides(self)
        _check_choice("resize_mode", self.resize_mode, get_args(ResizeMode))
        _check_choice("order", self.order, ("BGR", "RGB"))
        _check_choice("interpolation", self.interpolation, get_args(Interpolation))
        _check_choice("exif", self.exif, get_args(Exif))
        _check_choice("crop", self.crop, get_args(CropStart))
        if not isinstance(self.antialias, bool):
            raise DataError(f"Preprocess: antialias={self.antialias!r}; expected True or False")
        if self.interpolation == "lanczos" and not self.antialias:
            raise DataError(
                "Preprocess: interpolation='lanczos' with antialias=False; no library here resizes "
                "so: Pillow's lanczos is antialiased, and without there are bicubic and bilinear"
            )
        _check_number("scale", self.scale, zero=False)
        _check_colours("mean", self.mean, zero=True)
        _check_colours("std", self.std, zero=False)
        if self.mean_image is not None:
            _check_mean_image(self.mean_image, self.resize)

    def options(self) -> dict[str, Any]:
        """Return every field but the mean image, as JSON writes and reads it: tuples are lists."""
        state: dict[str, Any] = json.loads(json.dumps(asdict(replace(self, mean_image=None))))
        del state["mean_image"]
        return state

    def with_options(self, options: Mapping[str, object]) -> "Preprocess":
        """Return a preprocessing in which some fields are others.

        Parameters
        ----------
        options : mapping of field to value
            Any but ``mean_image``; tuples may be lists. A ``mean`` replaces the mean image, too.

        Raises
        ------
        DataError
            An unknown field, or a value that is none; ``order`` or ``scale`` alone, where the
            mean and the standard deviation are those of the order and the scale before.
        """
        if unknown := sorted(set(options) - set(OPTIONS)):
            image = "; a mean image has an option of its own" if "mean_image" in unknown else ""
            raise DataError(
                f"Preprocess: there is no {', '.join(map(repr, unknown))}; there are: "
                f"{', '.join(OPTIONS)}{image}"
            )
        _check_means_given(self, options)
        values = {name: _as_stated(name, value) for name, value in options.items()}
        if "mean" in options:
            values["mean_image"] = None
        return replace(self, **values)

    def to_json(self) -> str:
        """Return a canonical JSON text; the mean image appears as the sha256 of its bytes."""
        state: dict[str, Any] = asdict(self)
        image = state.pop("mean_image")
        for name, before in ADDED.items():
            if state[name] == before:
                del state[name]
        if image is not None:
            import numpy as np

            bytes_ = np.ascontiguousarray(image, dtype=np.float32).tobytes()
            state["mean_image"] = hashlib.sha256(bytes_).hexdigest()
        return json.dumps(state, sort_keys=True)

    @property
    def hash(self) -> str:
        """Sha256 of :meth:`to_json`."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


OPTIONS = tuple(part.name for part in fields(Preprocess) if part.name != "mean_image")
"""Fields that :meth:`Preprocess.with_options` takes."""


def _as_stated(name: str, value: Any) -> Any:  # noqa: ANN401 - each field has its own type
    """Return a value as the networks of this package write it, so that it has their hash."""
    if name in {"mean", "std"} and isinstance(value, tuple | list):
        return tuple(float(v) if _is_finite(v) else v for v in value)
    return float(value) if name == "scale" and _is_finite(value) else value


def _check_means_given(before: Preprocess, options: Mapping[str, object]) -> None:
    """Refuse colours or a scale without the numbers that are in them."""
    turned = options.get("order", before.order) != before.order
    scaled = options.get("scale", before.scale) != before.scale
    needed = {
        "mean": (turned and len(set(before.mean)) > 1) or (scaled and any(before.mean)),
        "std": turned and len(set(before.std)) > 1,
    }
    if before.mean_image is not None:
        needed["mean"] = turned or scaled
    if missing := [name for name, needs in needed.items() if needs and name not in options]:
        change = " and ".join(n for n, c in (("order", turned), ("scale", scaled)) if c)
        raise DataError(
            f"Preprocess: another {change} needs another {' and '.join(missing)}: the network's "
            f"are in {before.order} and of pixels times {before.scale:g}; give them, too"
        )


def _check_sides(preprocess: Preprocess) -> None:
    for name in ("size", "resize", "context"):
        value, least = getattr(preprocess, name), 0 if name == "context" else 1
        if not _is_whole(value) or value < least:
            raise DataError(
                f"Preprocess: {name}={value!r}; expected a whole number of pixels from {least}"
            )
    if preprocess.size > preprocess.resize:
        raise DataError(
            f"Preprocess: input size {preprocess.size} exceeds resize={preprocess.resize}, "
            "which it is cut from; give a resize as large or larger"
        )


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise DataError(
            f"Preprocess: {name}={value!r}; expected {' or '.join(map(repr, choices))}, "
            "written like this"
        )


def _check_number(name: str, value: object, *, zero: bool) -> None:
    tiny = isinstance(value, int | float) and abs(value) < SMALLEST
    if not _is_finite(value) or (tiny and not zero):
        wanted = "a finite int or float" + ("" if zero else " that is not 0 in float32")
        raise DataError(f"Preprocess: {name}={value!r}; expected {wanted}")


def _check_colours(name: str, value: object, *, zero: bool) -> None:
    if not isinstance(value, tuple | list) or len(value) != 3:
        raise DataError(
            f"Preprocess: {name}={value!r}; expected 3 numbers, one a colour channel, as in "
            f"{name}=(0.5, 0.5, 0.5)"
        )
    for number in value:
        _check_number(f"a number of {name}: {name}", number, zero=zero)


def _check_mean_image(image: object, resize: int) -> None:
    import numpy as np

    expected = (3, resize, resize)
    if (
        not isinstance(image, np.ndarray)
        or image.shape != expected
        or image.dtype.kind not in "fiu"
    ):
        shape = getattr(image, "shape", type(image).__name__)
        raise DataError(
            f"Preprocess: the mean image has shape {shape}; expected numbers, {expected}"
        )
    if not np.isfinite(image).all():
        raise DataError("Preprocess: the mean image holds values that are not finite")


def _is_whole(value: object) -> bool:
    """Tell Python's whole numbers, the ones that JSON can hold; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_finite(value: object) -> bool:
    """Tell finite numbers that JSON can hold: int, float and what derives from them."""
    if isinstance(value, int) and not isinstance(value, bool):
        return abs(value) <= sys.float_info.max
    return isinstance(value, float) and math.isfinite(value)
