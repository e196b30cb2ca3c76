"""Samples as small JPEGs, and how a browser may keep them."""

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fstore.errors import FstoreError

if TYPE_CHECKING:
    from PIL.Image import Image
    from starlette.responses import Response

    from fstore.types import ImageFolder

__all__ = ["encoded", "jpeg", "shrunk"]

QUALITY = 82
MINUTES = 10


def jpeg(data: bytes) -> "Response":
    """Return a JPEG as a response that the browser keeps for some minutes."""
    from starlette.responses import Response

    headers = {"cache-control": f"private, max-age={60 * MINUTES}"}
    return Response(data, media_type="image/jpeg", headers=headers)


def encoded(image: "Image") -> bytes:
    """Return an image as a JPEG's bytes."""
    out = io.BytesIO()
    image.convert("RGB").save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def shrunk(root: "ImageFolder", row: Mapping[str, Any], *, size: int) -> bytes:
    """Return a sample's picture as a JPEG; its longer side is at most ``size``.

    Parameters
    ----------
    root : ImageFolder
        Folder of the data set's images.
    row : mapping
        Of table ``samples``, with ``uri``, ``digest`` and ``box``; a box is cut out.
    size : int
        Pixels.

    Returns
    -------
    bytes
        Empty if the file cannot be read, or is another than the registered one.
    """
    from fstore.queries.figures.pictures import picture_of, thumbnail

    try:
        return encoded(thumbnail(picture_of(root, row, None), size))
    except FstoreError:
        return b""
