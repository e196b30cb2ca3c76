"""torchvision's networks of segmentation, whole, and the backbones of its detectors."""

from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.extractor.networks._api import Network
from fstore.extractor.networks._declared import declared_layers, output_shapes
from fstore.extractor.networks._libraries import unit_rgb
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import nn

__all__ = ["detection_backbone", "preset", "segmentation_network"]

FROZEN = (
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fcos_resnet50_fpn",
)
FROZEN_WITHOUT_EPSILON = (
    "fasterrcnn_resnet50_fpn",
    "keypointrcnn_resnet50_fpn",
    "maskrcnn_resnet50_fpn",
    "retinanet_resnet50_fpn",
)
"""Detectors that torchvision builds with frozen batch normalisation for its own weights, and those
in which it then takes 0 for its epsilon: so that fstore computes what it computes."""


def preset(transform: Any, size: int, resize: int) -> Preprocess:  # noqa: ANN401 - torchvision's
    """Say torchvision's transforms of an evaluation, for inputs of a side, in fstore's words."""
    return unit_rgb(
        size,
        resize,
        mode="shorter",
        mean=transform.mean,
        std=transform.std,
        interpolation=transform.interpolation.value,
        antialias=bool(transform.antialias),
    )


def segmentation_network(name: str, short: str, *, classes: int | None = None) -> Network:
    """Return a network of segmentation, which gives a dict of ``out`` and mostly ``aux``.

    Its weights were made for whole images whose shorter side is 520 pixels. Here the input is the
    centre square of these. Declared are the backbone's stages, and what the class scores of each
    place are read from; the scores before they are enlarged are layer ``classifier``.
    """
    from torchvision import models

    options: dict[str, Any] = {} if classes is None else {"num_classes": classes}
    if not short.startswith("lraspp"):
        options |= {"aux_loss": True}  # as its weights are
    model = models.get_model(short, weights=None, weights_backbone=None, **options).eval()
    transform = models.get_model_weights(short).DEFAULT.transforms()
    preprocess = preset(transform, transform.resize_size[0], transform.resize_size[0])
    stages = _of_part(model, "backbone", preprocess.size)
    head = [path for path in _heads(short) if path in output_shapes(model, preprocess.size)]
    return Network(name, model, preprocess, {layer: layer for layer in [*stages, *head]})


def detection_backbone(name: str, short: str, *, classes: int | None = None) -> Network:
    """Return the backbone of a detector: its body, and the levels of its feature pyramid.

    The detector's other parts, which work on boxes, are left out: weights of theirs are not taken.
    Whole images get the shorter side that the detector gives them, without its limit on the
    longer one, and the input is the centre square; SSD's are warped, as it does.
    """
    from torchvision import models

    if classes is not None:
        raise DataError(
            f"network {name!r} is the backbone of a detector and has no classes; extract its "
            "layers, or train a network of classification"
        )
    detector = models.get_model(short, weights=None, weights_backbone=None).eval()
    if short in (*FROZEN, *FROZEN_WITHOUT_EPSILON):
        _freeze(detector.backbone, epsilon=0.0 if short in FROZEN_WITHOUT_EPSILON else 1e-5)
    model, transform = detector.backbone, detector.transform
    fixed = transform.fixed_size
    size = fixed[0] if fixed else transform.min_size[-1]
    preprocess = unit_rgb(
        size,
        size,
        mode="warp" if fixed else "shorter",
        mean=transform.image_mean,
        std=transform.image_std,
        antialias=False,  # torch.nn.functional.interpolate
    )
    layers = [
        path
        for part in ("body", "features", "extra", "fpn")
        if hasattr(model, part)
        for path in _of_part(model, part, size)
    ]
    return Network(name, model, preprocess, {layer: layer for layer in layers})


def _heads(short: str) -> tuple[str, ...]:
    """Return what the class scores are read from."""
    heads = {"deeplabv3": ("classifier.0", "classifier.3"), "fcn": ("classifier.2",)}
    return heads.get(short.partition("_")[0], ("classifier.cbr",))


def _of_part(model: "nn.Module", part: str, size: int) -> list[str]:
    """Return the layers of one part; of a pyramid its levels."""
    if part == "fpn":
        levels = output_shapes(model, size)
        return [name for name in levels if name.startswith("fpn.") and name.count(".") == 1]
    if part == "extra":  # takes no images
        layers = declared_layers(model, size, scores=())
        return [path for path in layers if path.startswith("extra.")]
    inner = model.get_submodule(part)
    return [f"{part}.{path}" for path in declared_layers(inner, size, scores=())]


def _freeze(model: "nn.Module", *, epsilon: float) -> None:
    """Put frozen batch normalisation in place of torch's, which has the same numbers."""
    from torch import nn
    from torchvision.ops import FrozenBatchNorm2d

    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, FrozenBatchNorm2d(child.num_features, eps=epsilon))
