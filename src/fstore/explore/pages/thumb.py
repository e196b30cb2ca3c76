"""Pictures of samples, small, as they lie in their files."""

from typing import TYPE_CHECKING

from fstore.errors import DataError
from fstore.explore.page import Asked, page
from fstore.explore.views import sample_row

if TYPE_CHECKING:
    from starlette.responses import Response

__all__ = ["thumb"]

SIZES = ("128", "96", "64", "192", "256", "384", "640")


@page("/thumb")
def thumb(asked: Asked) -> "Response":
    """Return a sample's picture (its box cut out), as a JPEG whose longer side is ``size``."""
    from fstore.explore.pictures import jpeg, shrunk

    dataset, view = asked.text("dataset"), asked.text("view", "image")
    size, sample = int(asked.one_of("size", SIZES)), asked.number("sample", most=2**62)
    row = sample_row(asked.contents, dataset, view, sample=sample)
    what = ("thumb", dataset, view, sample, size)
    root = asked.contents.dataset(dataset).root
    data = asked.contents.kept(what, ("samples",), lambda: shrunk(root, row, size=size))
    if not data:
        raise DataError(f"{row['uri']} cannot be read")
    return jpeg(data)
