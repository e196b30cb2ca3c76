"""Pictures of what filters respond to: fields cut out, responses laid over, first weights."""

import io
from typing import TYPE_CHECKING, Literal

from fstore.errors import UnknownNameError
from fstore.explore.filters import TABLES, looked_at
from fstore.explore.page import Asked, page

if TYPE_CHECKING:
    from PIL.Image import Image
    from starlette.responses import Response

__all__ = ["crop", "filter_weights", "overlay"]

TILES = ("72", "48", "96", "128")
SIDES = ("224", "160", "320", "480")
WEIGHTS = ("128", "64", "96", "192")


@page("/crop")
def crop(asked: Asked) -> "Response":
    """Return what the strongest place of a filter sees of a sample; without one, of the best nine.

    ``size`` is the side of one picture.
    """
    from fstore.explore.seen import fitted, nine, seen_field

    looked, channel = looked_at(asked), channel_of(asked)
    tile = int(asked.one_of("size", TILES))
    p, contents = looked.partition, looked.contents
    if "sample" in asked.given:
        sample = asked.number("sample", most=2**62)
        place = _place(asked, channel, sample)

        def draw() -> bytes:
            return _encoded(fitted(seen_field(contents, p, sample, place=place), tile), "JPEG")

        what = ("crop", p, sample, place, tile)
        return _picture(contents.kept(what, TABLES, draw), "image/jpeg")
    best = ("nine", p, looked.part, channel, tile)
    sheet = contents.kept(best, TABLES, lambda: _encoded(nine(looked, channel, tile=tile), "WEBP"))
    return _picture(sheet, "image/webp")


@page("/overlay")
def overlay(asked: Asked) -> "Response":
    """Return a sample as the network saw it with a filter's response over it, as a JPEG."""
    looked, channel = looked_at(asked), channel_of(asked)
    sample, side = asked.number("sample", most=2**62), int(asked.one_of("size", SIDES))
    p = looked.partition

    def draw() -> bytes:
        from fstore.explore.seen import maps_of, picture_of, seen_image
        from fstore.queries.figures.overlay import overlay as laid_over
        from fstore.queries.figures.overlay import places

        image = seen_image(looked.contents, picture_of(looked.contents, p, sample))
        response = maps_of(looked, channel, [sample])[sample]
        laid = places(response, p.network, image.width)
        return _encoded(laid_over(image, laid, side=side), "JPEG")

    what = ("overlay", p, channel, sample, side)
    return _picture(looked.contents.kept(what, TABLES, draw), "image/jpeg")


@page("/filter-weights")
def filter_weights(asked: Asked) -> "Response":
    """Return the weights of a first layer's filter as a PNG: grey is 0."""
    from fstore.explore.first_weights import weights_picture

    p, channel, side = asked.partition, channel_of(asked), int(asked.one_of("size", WEIGHTS))
    image = weights_picture(asked.contents, p, channel, side=side)
    if image is None:
        raise UnknownNameError(f"{p.layer} is not the first layer of {p.network}: no picture of it")
    return _picture(_encoded(image, "PNG"), "image/png")


def channel_of(asked: Asked) -> int:
    """Return the filter that an address asks for.

    Raises
    ------
    UnknownNameError
        The layer has no such filter.
    """
    channel, shape = asked.number("channel"), asked.contents.shape(asked.partition)
    if channel >= shape.channels:
        raise UnknownNameError(
            f"{asked.partition.layer} has no filter {channel}; it has 0 to {shape.channels - 1}"
        )
    return channel


def _place(asked: Asked, channel: int, sample: int) -> int:
    """Return where a filter responds most to a sample; the address may tell it."""
    from fstore.explore.seen import maps_of

    shape = asked.contents.shape(asked.partition)
    if "place" in asked.given:
        return asked.number("place", most=shape.positions - 1)
    if shape.positions == 1:
        return 0
    return int(maps_of(looked_at(asked), channel, [sample])[sample].argmax())


def _encoded(image: "Image", kind: Literal["JPEG", "PNG", "WEBP"]) -> bytes:
    out = io.BytesIO()
    how = {"PNG": {}, "JPEG": {"quality": 85}, "WEBP": {"quality": 82, "method": 2}}[kind]
    image.save(out, kind, **how)
    return out.getvalue()


def _picture(data: bytes, media_type: str) -> "Response":
    from starlette.responses import Response

    from fstore.explore.pictures import MINUTES

    kept = {"cache-control": f"private, max-age={60 * MINUTES}"}
    return Response(data, media_type=media_type, headers=kept)
