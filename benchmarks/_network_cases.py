"""Networks to compare fstore with: built by their libraries, their outputs read by hand.

Nothing here uses fstore. How an output is read is written down from the library's documentation:

- timm: convolutional stages give (N, C, H, W); Swin and SwinV2 (N, H, W, C); ViT, DeiT, BEiT and
  DINOv2 (N, prefix + H * W, C), row by row; Hiera's blocks (N, tokens, C), which its own ``reroll``
  puts into (N, H, W, C).
- transformers: ViT, CLIP, BEiT and DINOv2 give (N, prefix + H * W, C); Swin and SwinV2
  (N, H * W, C), their stages beside it the same as (N, C, H, W).
- open_clip: ViT gives (N, prefix + H * W, C).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

from torch import Tensor, nn

__all__ = ["CASES", "Case", "Parts", "reading"]

Parts: TypeAlias = Mapping[str, Tensor]
"""What a layer is stored as: under the empty name (N, C, H, W) or (N, C), under ``/cls`` the class
and register tokens, (N, prefix * C)."""
Reading: TypeAlias = Callable[[nn.Module, str, Tensor], Parts]


def nchw(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
    """Channels first, as convolutions give them; (N, C) of pooled ones."""
    return {"": x}


def pooled(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
    """One place for all: (N, C, 1)."""
    return {"": x[:, :, 0]}


def nhwc(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
    """Channels last."""
    return {"": x.permute(0, 3, 1, 2)}


def tokens(prefix: int, side: int) -> Reading:
    """Class and register tokens, then the patches row by row."""

    def read(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
        n, _, c = x.shape
        grid = x[:, prefix:].reshape(n, side, side, c).permute(0, 3, 1, 2)
        return {"": grid, "/cls": x[:, :prefix].reshape(n, prefix * c)} if prefix else {"": grid}

    return read


def square(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
    """Patches row by row, as many as their stage has."""
    return tokens(0, round(x.shape[1] ** 0.5))(_model, _layer, x)


def queries(_model: nn.Module, _layer: str, x: Tensor) -> Parts:
    """Tokens that are no places: (N, T, C) as T x 1."""
    return {"": x.transpose(1, 2).unsqueeze(-1)}


def hiera(model: Any, layer: str, x: Tensor) -> Parts:  # noqa: ANN401 - untyped
    """Tokens in Hiera's order of windows, which its ``reroll`` undoes."""
    return {"": model.reroll(x, int(layer.partition(".")[2])).permute(0, 3, 1, 2)}


Built: TypeAlias = tuple[nn.Module, Callable[[Any], Any] | None]
"""A library's model, and its transform of an image to (3, S, S)."""


@dataclass(frozen=True)
class Case:
    """A network of a library.

    Attributes
    ----------
    family : str
    name : str
        As fstore knows it; ``{folder}`` stands for that of :attr:`make`.
    build : function of the folder
        Gives the library's model and its transform of an image.
    readings : sequence of (pattern of layers, reading)
        The first that fits is taken; channels first without one.
    make : function of an empty folder, or None
        Writes the files that the name is about.
    """

    family: str
    name: str
    build: Callable[[Path], Built]
    readings: Sequence[tuple[str, Reading]] = ()
    make: Callable[[Path], None] | None = None


def reading(case: Case, layer: str) -> Reading:
    """Return how a layer's output is read."""
    return next((read for pattern, read in case.readings if fnmatchcase(layer, pattern)), nchw)


def _timm(family: str, name: str, *readings: tuple[str, Reading]) -> Case:
    def build(_folder: Path) -> Built:
        import timm

        model = timm.create_model(name, pretrained=False)
        config = timm.data.resolve_data_config({}, model=model)
        return model, timm.data.create_transform(**config, is_training=False)

    return Case(family, f"timm:{name}", build, readings)


def _open_clip(family: str, name: str, tag: str, *readings: tuple[str, Reading]) -> Case:
    def build(_folder: Path) -> Built:
        import open_clip

        model, _, transform = open_clip.create_model_and_transforms(name, load_weights=False)
        stated = open_clip.get_pretrained_cfg(name, tag)
        keys = ("mean", "std", "interpolation", "resize_mode")
        config = open_clip.get_model_preprocess_cfg(model) | {key: stated[key] for key in keys}
        transform = open_clip.transform.image_transform_v2(
            open_clip.transform.PreprocessCfg(**config), is_train=False
        )
        return model.visual, transform

    return Case(family, f"open_clip:{name}.{tag}", build, readings)


def _torchvision(family: str, name: str) -> Case:
    def build(_folder: Path) -> Built:
        from torchvision import models

        options = {"init_weights": True, "transform_input": True} if name == "googlenet" else {}
        if family == "segmentation":
            options = {"weights_backbone": None, "aux_loss": True}
        model = models.get_model(name, weights=None, **options)
        transform = models.get_model_weights(name).DEFAULT.transforms()
        return model, lambda image: _centre(transform(image))

    return Case(family, f"torchvision:{name}", build)


def _detector(name: str) -> Case:
    """Take the backbone of a detector; its preprocessing, of many sizes, is not compared."""

    def build(_folder: Path) -> Built:
        from torchvision import models
        from torchvision.ops import FrozenBatchNorm2d

        model = models.get_model(name, weights=None, weights_backbone=None).backbone
        for module in list(model.modules()):
            for path, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, path, FrozenBatchNorm2d(child.num_features))
        return model, None

    return Case("detection", f"torchvision:{name}", build)


def _centre(x: Tensor) -> Tensor:
    """Cut the centre square of (3, H, W), as fstore does where a library takes all sizes."""
    from torchvision.transforms.functional import center_crop

    return center_crop(x, [min(x.shape[1:])] * 2)


def _hf(
    family: str,
    title: str,
    config: str,
    processor: tuple[str, Mapping[str, Any]],
    *readings: tuple[str, Reading],
    **options: Any,  # noqa: ANN401 - of the configuration
) -> Case:
    """Make a folder of transformers, of a small configuration."""

    def make(folder: Path) -> None:
        import transformers

        made = {key: _configuration(value) for key, value in options.items()}
        config_ = getattr(transformers, config)(**made, architectures=[title])
        config_.save_pretrained(folder)
        kind, sizes = processor
        getattr(transformers, kind)(**sizes).save_pretrained(folder)

    def build(folder: Path) -> Built:
        import transformers

        images = transformers.AutoImageProcessor.from_pretrained(folder)
        model = getattr(transformers, title)(transformers.AutoConfig.from_pretrained(folder))
        return model, lambda image: images(images=image, return_tensors="pt")["pixel_values"][0]

    return Case(family, f"hf:{{folder}}/{title}", build, readings, make)


def _configuration(value: Any) -> Any:  # noqa: ANN401 - of the configuration
    """Return an option of a configuration; of a mapping with a type the configuration it is."""
    import transformers

    if not isinstance(value, Mapping):
        return value
    options = {key: item for key, item in value.items() if key != "type"}
    return getattr(transformers, value["type"])(**options)


def _warp(side: int) -> Mapping[str, Any]:
    return {"size": {"height": side, "width": side}}


def _crop(resize: int, side: int) -> Mapping[str, Any]:
    return {
        "size": {"shortest_edge": resize},
        "crop_size": {"height": side, "width": side},
        "do_center_crop": True,
    }


SMALL = {
    "hidden_size": 96,
    "num_hidden_layers": 12,
    "num_attention_heads": 3,
    "intermediate_size": 192,
}
STAGES = {"embed_dim": 32, "depths": [2, 2, 2], "num_heads": [1, 2, 4]}
RESNET = {
    "type": "ResNetConfig",
    "depths": [2, 2, 2, 2],
    "hidden_sizes": [32, 64, 96, 128],
    "embedding_size": 32,
    "out_features": ["stage4"],
}

CASES: Sequence[Case] = (
    _timm("ResNet", "resnet18.tv_in1k"),
    _timm("ResNet", "resnet50.a1_in1k"),
    _timm("DenseNet", "densenet121.ra_in1k"),
    _timm("Inception", "inception_v3.tv_in1k"),
    _torchvision("GoogLeNet", "googlenet"),
    _timm("MobileNet", "mobilenetv3_small_100.lamb_in1k"),
    _timm("EfficientNet", "efficientnet_b0.ra_in1k"),
    _timm("RegNet", "regnety_002.pycls_in1k"),
    _timm("ConvNeXt", "convnext_atto.d2_in1k"),
    _timm(
        "ViT",
        "vit_tiny_patch16_224.augreg_in21k_ft_in1k",
        ("patch_embed", tokens(0, 14)),
        ("*", tokens(1, 14)),
    ),
    _timm(
        "DeiT",
        "deit_tiny_distilled_patch16_224.fb_in1k",
        ("patch_embed", tokens(0, 14)),
        ("*", tokens(2, 14)),
    ),
    _timm(
        "DINOv2",
        "vit_small_patch14_reg4_dinov2.lvd142m",
        ("patch_embed", tokens(0, 37)),
        ("*", tokens(5, 37)),
    ),
    _timm(
        "BEiT",
        "beit_base_patch16_224.in22k_ft_in22k_in1k",
        ("patch_embed", tokens(0, 14)),
        ("fc_norm", nchw),
        ("*", tokens(1, 14)),
    ),
    _timm("Swin", "swin_tiny_patch4_window7_224.ms_in1k", ("*", nhwc)),
    _timm("SwinV2", "swinv2_tiny_window8_256.ms_in1k", ("*", nhwc)),
    _timm("MaxViT", "maxvit_tiny_tf_224.in1k"),
    _timm("GCViT", "gcvit_xxtiny.in1k"),
    _timm("Hiera", "hiera_tiny_224.mae_in1k_ft_in1k", ("blocks.*", hiera), ("*", square)),
    _timm("HRNet", "hrnet_w18_small.gluon_in1k"),
    _open_clip("CLIP", "ViT-B-32-quickgelu", "openai", ("conv1", nchw), ("*", tokens(1, 7))),
    _open_clip(
        "SigLIP", "ViT-B-16-SigLIP", "webli", ("trunk.attn_pool", nchw), ("*", tokens(0, 14))
    ),
    _hf(
        "ViT",
        "ViTForImageClassification",
        "ViTConfig",
        ("ViTImageProcessor", _warp(224)),
        ("*", tokens(1, 14)),
        **SMALL,
    ),
    _hf(
        "DeiT",
        "DeiTForImageClassification",
        "DeiTConfig",
        ("DeiTImageProcessor", _warp(256)),
        ("*", tokens(2, 14)),
        **SMALL,
    ),
    _hf(
        "DINOv2",
        "Dinov2WithRegistersModel",
        "Dinov2WithRegistersConfig",
        ("BitImageProcessor", _crop(256, 224)),
        ("*", tokens(5, 16)),
        hidden_size=96,
        num_hidden_layers=12,
        num_attention_heads=3,
        image_size=518,
        patch_size=14,
        num_register_tokens=4,
    ),
    _hf(
        "BEiT",
        "BeitForImageClassification",
        "BeitConfig",
        ("BeitImageProcessor", _warp(224)),
        ("*pooler", nchw),
        ("*", tokens(1, 14)),
        **SMALL,
    ),
    _hf(
        "CLIP",
        "CLIPVisionModel",
        "CLIPVisionConfig",
        ("CLIPImageProcessor", _crop(224, 224)),
        ("post_layernorm", nchw),
        ("*", tokens(1, 14)),
        patch_size=16,
        **SMALL,
    ),
    _hf(
        "Swin",
        "SwinForImageClassification",
        "SwinConfig",
        ("ViTImageProcessor", _warp(224)),
        ("*pooler", pooled),
        ("*.layers.?.1", nchw),
        ("*", square),
        **STAGES,
    ),
    _hf(
        "SwinV2",
        "Swinv2ForImageClassification",
        "Swinv2Config",
        ("ViTImageProcessor", _warp(256)),
        ("*pooler", pooled),
        ("*", square),
        image_size=256,
        window_size=8,
        **STAGES,
    ),
    _hf(
        "ConvNeXt",
        "ConvNextForImageClassification",
        "ConvNextConfig",
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
        depths=[2, 2, 2, 2],
        hidden_sizes=[32, 64, 96, 128],
    ),
    _hf(
        "segmentation",
        "SegformerForSemanticSegmentation",
        "SegformerConfig",
        ("SegformerImageProcessor", _warp(256)),
    ),
    _hf(
        "detection",
        "ResNetBackbone",
        "ResNetConfig",
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 224}}),
        **{key: value for key, value in RESNET.items() if key != "type"},
    ),
    _hf(
        "detection",
        "DetrForObjectDetection",
        "DetrConfig",
        ("DetrImageProcessor", _warp(256)),
        ("model.decoder*", queries),
        ("model.encoder*", square),
        backbone_config=RESNET,
        use_timm_backbone=False,
        backbone=None,
        d_model=64,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=128,
        decoder_ffn_dim=128,
    ),
    _torchvision("segmentation", "deeplabv3_mobilenet_v3_large"),
    _detector("fasterrcnn_mobilenet_v3_large_320_fpn"),
)
