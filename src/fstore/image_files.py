"""Read an image file, check that it is the registered one, and decode it; Pillow and NumPy only."""

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from fstore.errors import DataError

__all__ = ["ChangedFileError", "decode", "digest_bytes", "read_bytes_checked"]

_WIDE_GREY = ("I;16", "I;16L", "I;16B", "I;16N", "I")


class ChangedFileError(DataError):
    """A file is gone or differs from the one that was registered."""


def digest_bytes(data: bytes) -> str:
    """Return the BLAKE2b-128 digest of ``data``, 32 hex digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def read_bytes_checked(path: Path, digest: str, *, uri: str = "") -> bytes:
    """Read a file and compare it with the digest that was registered.

    Parameters
    ----------
    path : Path
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
    try:
        data = path.read_bytes()
    except OSError as exc:
        if digest and isinstance(exc, (FileNotFoundError, NotADirectoryError)):
            raise ChangedFileError(
                f"{name}: no such file any more ({path}); put it back where it was when the data "
                "set was registered, or register the folder under a new name"
            ) from exc
        raise DataError(f"{name}: cannot be read: {exc.strerror or exc}") from exc
    if digest and (found := digest_bytes(data)) != digest:
        raise ChangedFileError(
            f"{name}: the file changed since the data set was registered (digest {found}, "
            f"registered {digest}); restore it, or register the folder under a new name"
        )
    return data


def decode(data: bytes, *, uri: str = "") -> Image.Image:
    """Decode an image to 8-bit RGB.

    Greyscale, palette, CMYK and other modes are converted, 16-bit greyscale is divided by 257,
    transparency is dropped, of an animation the first frame is taken. EXIF orientation is left
    alone, since boxes are in raw pixels.

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
            image.load()
            return _to_rgb(image)
    except MemoryError:
        raise
    except DataError as exc:
        raise DataError(f"{name}: {exc}") from exc
    except Exception as exc:  # Pillow's readers raise all sorts on broken files
        raise DataError(f"{name}: unreadable image: {_reason(exc, data)}") from exc


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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image.copy() if image.readonly else image
    if image.mode in _WIDE_GREY:
        grey = np.clip(np.asarray(image, dtype=np.int64), 0, 65535)
        return Image.fromarray(((grey + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise DataError("floating-point pixels have no agreed range; convert to 8 or 16 bits")
    if "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns of byte transparency
    return image.convert("RGB")
