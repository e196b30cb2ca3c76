"""What an image processor of transformers does to images, in fstore's words."""

from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from fstore.extractor.networks._libraries import unsayable
from fstore.extractor.networks._measured import as_its_library
from fstore.extractor.preprocess import Interpolation, Preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["hf_preprocess"]

INTERPOLATIONS: "Mapping[int, Interpolation]" = {
    Image.Resampling.NEAREST: "nearest",
    Image.Resampling.LANCZOS: "lanczos",
    Image.Resampling.BILINEAR: "bilinear",
    Image.Resampling.BICUBIC: "bicubic",
}


def hf_preprocess(name: str, processor: Any) -> Preprocess:  # noqa: ANN401 - untyped
    """Return the preprocessing that an image processor states.

    Raises
    ------
    DataError
        It cannot be said by :class:`Preprocess`.
    """
    stated = {key: value for key, value in processor.to_dict().items() if value is not None}
    size, resize, mode = _sides(name, stated)
    interpolation = INTERPOLATIONS.get(int(stated.get("resample", -1)))
    if interpolation is None:
        raise unsayable(name, f"resizes by {stated.get('resample')} (resample)")
    mean, std = _normalisation(stated)
    preprocess = Preprocess(
        size=size,
        resize=resize,
        resize_mode=mode,
        order="BGR" if stated.get("do_flip_channel_order") else "RGB",
        scale=float(stated.get("rescale_factor", 1 / 255)) if stated.get("do_rescale") else 1.0,
        mean=mean,
        std=std,
        interpolation=interpolation,
        crop="down",
    )

    def transform(image: Image.Image) -> Any:  # noqa: ANN401 - untyped
        return processor(images=image, return_tensors="np")["pixel_values"][0]

    return as_its_library(name, preprocess, transform)


def _sides(name: str, stated: "Mapping[str, Any]") -> tuple[int, int, Any]:
    """Return the input's side, the side that images are resized to, and which side that is."""
    size = dict(stated.get("size") or {})
    if not stated.get("do_resize", False):
        raise unsayable(name, "takes images as large as they are (do_resize is false)")
    if {"height", "width"} <= set(size) and size["height"] == size["width"]:
        resize, mode = size["height"], "warp"
    elif set(size) == {"shortest_edge"}:
        resize, mode = size["shortest_edge"], "shorter"
    else:
        raise unsayable(name, f"makes inputs of {size} (size)")
    if "crop_pct" in stated and mode == "shorter":
        return _cropped_by_part(stated, resize)
    if not stated.get("do_center_crop"):
        if mode == "shorter":
            raise unsayable(name, "makes inputs of many sizes (shortest_edge without a crop)")
        return resize, resize, mode
    crop = stated["crop_size"]
    if crop["height"] != crop["width"] or crop["height"] > resize:
        raise unsayable(name, f"cuts {crop} out of images of {resize} pixels (crop_size)")
    return crop["height"], resize, mode


def _cropped_by_part(stated: "Mapping[str, Any]", side: int) -> tuple[int, int, Any]:
    """Return the sides where a part of the image is cut out, as ConvNeXt and PoolFormer do."""
    resize = int(side / stated["crop_pct"])
    if "crop_size" in stated:
        return stated["crop_size"]["height"], resize, "shorter"
    return (side, side, "warp") if side >= 384 else (side, resize, "shorter")


def _normalisation(
    stated: "Mapping[str, Any]",
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and standard deviation; EfficientNet's processor divides twice."""
    if not stated.get("do_normalize"):
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    r, g, b = (float(value) for value in np.broadcast_to(stated["image_mean"], 3))
    std = np.broadcast_to(np.asarray(stated["image_std"], dtype=np.float64), 3)
    red, green, blue = (float(value) for value in (std**2 if stated.get("include_top") else std))
    return (r, g, b), (red, green, blue)
