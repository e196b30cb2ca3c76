"""Read an image file, check that it is the registered one, and decode it; Pillow and NumPy only."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

from fstore.errors import DataError
from fstore.reading import is_endless
from fstore.types import ImageFile

__all__ = [
    "ChangedFileError",
    "decode",
    "digest_bytes",
    "image_size",
    "read_bytes_checked",
    "upright",
]

_WIDE_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")
_ORIENTATION = 0x0112
_TURN = Image.Transpose
_BACK = {
    2: _TURN.FLIP_LEFT_RIGHT,
    3: _TURN.ROTATE_180,
    4: _TURN.FLIP_TOP_BOTTOM,
    5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_90,
    7: _TURN.TRANSVERSE,
    8: _TURN.ROTATE_270,
}
"""EXIF orientation -> what undoes the turn that shows an image upright."""
_UPRIGHT = _BACK | {6: _TURN.ROTATE_270, 8: _TURN.ROTATE_90}
"""EXIF orientation -> the turn that shows an image upright; the others undo themselves."""
_STATED = "fstore orientation"
"""Under this key of ``info`` a decoded image keeps its orientation, whatever its format."""


class ChangedFileError(DataError):
    """A file is gone or differs from the one that was registered."""


def digest_bytes(data: bytes) -> str:
    """Return the BLAKE2b-128 digest of ``data``, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_bytes_checked(path: ImageFile, digest: str, *, uri: str = "") -> bytes:
    """Read a file and compare it with the digest that was registered.

    Parameters
    ----------
    path : ImageFile
    digest : str
        BLAKE2b-128 of the bytes, hex; empty skips the comparison (the file could not be read
        when the data set was registered).
    uri : str
        Name of the file in messages; the path if empty.

    Raises
    ------
    ChangedFileError
        A registered file is gone, or has other bytes now.
    DataError
        The file cannot be read.
    """
    name = uri or str(path)
    if isinstance(path, Path) and is_endless(path):
        raise DataError(f"{name}: is no regular file, but a pipe or a device")
    try:
        data = path.read_bytes()
    except OSError as exc:
        if digest and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
            raise ChangedFileError(
                f"{name}: no such file any more ({path}); put it back where it was when the data "
                "set was registered, or register the folder under a new name"
            ) from exc
        raise DataError(f"{name}: cannot be read: {exc.strerror or exc}") from exc
    if digest and (content := digest_bytes(data)) != digest:
        raise ChangedFileError(
            f"{name}: the file changed since the data set was registered (digest {content}, "
            f"registered {digest}); restore it, or register the folder under a new name"
        )
    return data


def decode(data: bytes, *, uri: str = "", at_least: tuple[int, int] | None = None) -> Image.Image:
    """Decode an image to 8-bit RGB.

    Greyscale, palette, CMYK and other modes are converted, 16-bit greyscale is divided by 257,
    transparency is dropped, of an animation the first frame is taken. Pixels are left where they
    are in every format, whatever the EXIF orientation, since boxes are in raw pixels;
    :func:`upright` turns the image. Greyscale of 32 bits counts as 16 bits, and is refused where
    it goes beyond.

    Parameters
    ----------
    data : bytes
    uri : str
        Name of the file in messages.
    at_least : tuple of int or None
        Width and height that are enough: a JPEG is decoded to a half, a quarter or an eighth of its
        sides where that is as much, which is quicker. Other formats come whole.

    Raises
    ------
    DataError
        Truncated, unreadable, without pixels, or too many of them (a decompression bomb); the
        message names ``uri`` and the reason.
    """
    name = uri or "image"
    try:
        with Image.open(io.BytesIO(data)) as image:
            _check_pixels(image)
            _check_meaning(image)
            turned = _turned(image)
            if at_least is not None:
                image.draft(None, at_least)
            image.load()
            stated = turned if turned != 1 else _orientation(image)
            back = _BACK.get(turned)
            decoded = _to_rgb(image if back is None else image.transpose(back))
            decoded.info[_STATED] = stated
            return decoded
    except MemoryError:
        raise
    except DataError as exc:
        raise DataError(f"{name}: {exc}") from exc
    except Exception as exc:  # Pillow's readers raise all sorts on broken files
        raise DataError(f"{name}: unreadable image: {_reason(exc, data)}") from exc


def upright(image: Image.Image) -> Image.Image:
    """Return an image as its EXIF orientation says that it is to be seen.

    Parameters
    ----------
    image : Image
        From :func:`decode`, or opened with Pillow and not turned yet. Left as it is; returned
        where nothing is to be done, as where the orientation cannot be read.
    """
    stated = image.info[_STATED] if _STATED in image.info else _orientation(image)
    turn = _UPRIGHT.get(stated)
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info[_STATED] = 1
    return turned


def image_size(data: bytes) -> tuple[int, int]:
    """Return width and height of the raw pixels from the header, (0, 0) if it cannot be read."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            return (height, width) if _turned(image) >= 5 else (width, height)
    except Exception:  # noqa: BLE001 - Pillow's readers raise all sorts on broken files
        return 0, 0


def _turned(image: Image.Image) -> int:
    """Return the orientation by which Pillow turns an image when it loads it; 1 if it does not.

    It turns TIFF and no other format.
    """
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format == "TIFF" else 1


def _orientation(image: Image.Image) -> int:
    """Return the orientation that is stated; 1, as it is, where there is none to be read."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow's reader of EXIF raises all sorts on broken bytes
        return 1


def _reason(exc: Exception, data: bytes) -> str:
    if not data:
        return "the file is empty"
    if isinstance(exc, UnidentifiedImageError):
        return "not an image of a known format"
    return str(exc) or type(exc).__name__


def _check_pixels(image: Image.Image) -> None:
    if not image.width or not image.height:
        raise DataError(f"no pixels ({image.width} x {image.height})")
    limit = Image.MAX_IMAGE_PIXELS
    if limit and image.width * image.height > limit:
        raise DataError(
            f"{image.width} x {image.height} pixels, at most {limit} are decoded; shrink the image"
        )


def _check_meaning(image: Image.Image) -> None:
    """Refuse what Pillow would read as other values, or hand to another program."""
    if image.format == "EPS":  # Pillow would run Ghostscript on it
        raise DataError("a PostScript program, not an image; convert it to PNG")
    if isinstance(image, TiffImageFile) and image.mode in _WIDE_GREY:
        if image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
            raise DataError("wide grey whose 0 is white; convert it so that 0 is black")
        bits = image.tag_v2.get(BITSPERSAMPLE, (1,))[0]
        if bits not in (16, 32):
            raise DataError(f"grey of {bits} bits would be read as 16; convert to 8 or 16 bits")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode in _WIDE_GREY:
        grey = np.asarray(image, dtype=np.int64)
        if grey.min() < 0 or grey.max() > 65535:
            raise DataError(
                f"pixels from {grey.min()} to {grey.max()}: grey has from 0 to 65535 here; convert "
                "to 8 or 16 bits"
            )
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError("floating-point pixels have no agreed range; convert to 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of byte transparency
    return image.convert("RGB")
