"""First-layer filters of a layer as pictures, where a layer's filters are them."""

from typing import TYPE_CHECKING

from fstore.errors import FstoreError
from fstore.store.files import Partition

if TYPE_CHECKING:
    from PIL.Image import Image

    from fstore.explore.contents import Contents

__all__ = ["has_weights", "weights_picture"]


def has_weights(contents: "Contents", partition: Partition) -> bool:
    """Whether a layer's filters look at the image itself, so that their weights are pictures.

    A checkpoint whose file is gone has none.
    """
    p = partition

    def look() -> bool:
        from fstore.explore.seen import field_of
        from fstore.queries.figures.first_layer import are_first_filters

        field = field_of(contents, p)
        sees = None if field is None else (field.size_h, field.size_w)
        try:
            return are_first_filters(contents.store, p.network, p.ckpt, layer=p.layer, sees=sees)
        except (FstoreError, OSError):
            return False

    return contents.kept(
        ("has weights", p.network, p.ckpt, p.layer), ("checkpoints", "layers"), look
    )


def weights_picture(
    contents: "Contents", partition: Partition, channel: int, *, side: int
) -> "Image | None":
    """Return a filter's weights as a picture; None where the layer is not the first.

    Parameters
    ----------
    contents : Contents
    partition : Partition
    channel : int
    side : int
        Pixels, at least.

    Raises
    ------
    DataError
        The checkpoint's file is gone or damaged.
    """
    from fstore.queries.figures.first_layer import filter_picture

    if not has_weights(contents, partition):
        return None
    p = partition
    return filter_picture(contents.store, p.network, p.ckpt, channel=channel, side=side)
