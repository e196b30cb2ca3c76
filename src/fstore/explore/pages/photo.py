"""The whole image that a sample is of, as its pixels lie in the file."""

from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.explore.page import Asked, page
from fstore.explore.views import sample_row

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["photo"]

SIZES = ("1024", "512")


@page("/photo")
def photo(asked: Asked) -> "Response":
    """Return a sample's image, nothing cut out, as a JPEG whose longer side is ``size``."""
    from fstore.explore.pictures import jpeg, shrunk

    dataset, view = asked.text("dataset"), asked.text("view", "image")
    row = sample_row(asked.contents, dataset, view, sample=asked.number("sample", most=2**62))
    root, size = asked.contents.dataset(dataset).root, int(asked.one_of("size", SIZES))
    data = shrunk(root, {**row, "box": None}, size=size)
    if not data:
        raise DataError(f"{row['uri']} cannot be read")
    return jpeg(data)
