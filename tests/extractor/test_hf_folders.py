"""Folders of Hugging Face: what their two files say, and what is refused of them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.extractor.images import whole_image
from fstore.extractor.networks import build_network

transformers = pytest.importorskip("transformers")

VIT: dict[str, Any] = {
    "model_type": "vit", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 16, "image_size": 32, "patch_size": 8,
}  # fmt: skip
CROPPED = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}


def folder(tmp_path: Path, kind: str = "ViTImageProcessor", **stated: object) -> str:
    """Write a folder whose images are prepared in a way; return the network's name."""
    (tmp_path / "config.json").write_text(json.dumps(VIT))
    getattr(transformers, kind)(**stated).save_pretrained(tmp_path)
    return f"hf:{tmp_path}"


@pytest.mark.parametrize(
    ("kind", "stated"),
    [
        ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "resample": 3}),
        ("CLIPImageProcessor", {**CROPPED, "do_center_crop": True}),
        ("CLIPImageProcessor", {**CROPPED, "do_center_crop": True, "do_normalize": False}),
        ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}, "crop_pct": 0.875}),
    ],
)
def test_images_are_prepared_as_the_processor_does(
    tmp_path: Path, kind: str, stated: dict[str, Any]
) -> None:
    """Resize, crop and normalisation give what transformers gives, up to a few grey levels."""
    preprocess = build_network(folder(tmp_path, kind, **stated)).preprocess
    pixels = np.random.default_rng(0).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    image = Image.fromarray(pixels).resize((90, 61), Image.Resampling.BICUBIC)
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    theirs = processor(images=image, return_tensors="np")["pixel_values"][0]
    std = np.asarray(preprocess.std).reshape(3, 1, 1) / preprocess.scale
    assert np.abs((whole_image(image, preprocess) - theirs) * std).max() < 6


@pytest.mark.parametrize(
    ("kind", "stated", "reason"),
    [
        ("ViTImageProcessor", {"size": {"height": 32, "width": 48}}, "size"),
        ("ViTImageProcessor", {"do_resize": False}, "do_resize"),
        ("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "do_center_crop": False}, "crop"),
        (
            "CLIPImageProcessor",
            {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 16}},
            "crop_size",
        ),
    ],
)
def test_what_cannot_be_said_is_refused(
    tmp_path: Path, kind: str, stated: dict[str, Any], reason: str
) -> None:
    """Inputs that are not square, or of many sizes, are refused with what the file states."""
    with pytest.raises(DataError, match=reason):
        build_network(folder(tmp_path, kind, **stated))


def test_a_classifier_of_so_many_classes(tmp_path: Path) -> None:
    """With classes the network has a classifier, whose scores are no declared layer."""
    network = build_network(folder(tmp_path, size={"height": 32, "width": 32}), classes=3)
    assert network.model.state_dict()["classifier.weight"].shape[0] == 3
    assert not any("classifier" in layer for layer in network.layers)


def test_of_images_and_texts_the_vision_part(tmp_path: Path) -> None:
    """A whole CLIP is its vision tower."""
    vision = {**VIT, "model_type": "clip_vision_model", "projection_dim": 8}
    text = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 16, "vocab_size": 99, "projection_dim": 8,
    }  # fmt: skip
    config = {"model_type": "clip", "vision_config": vision, "text_config": text}
    folder(tmp_path, size={"height": 32, "width": 32})
    (tmp_path / "config.json").write_text(json.dumps(config))
    network = build_network(f"hf:{tmp_path}")
    assert not any("text" in name for name, _ in network.model.named_modules())
    assert network.layers


def test_folders_that_lack_something(tmp_path: Path) -> None:
    """No folder, no file, a file of another kind, a network of texts: each is told."""
    with pytest.raises(UnknownNameError, match="fstore downloads nothing"):
        build_network(f"hf:{tmp_path / 'nowhere'}")
    (tmp_path / "config.json").write_text(json.dumps(VIT))
    with pytest.raises(DataError, match=r"has no preprocessor_config\.json"):
        build_network(f"hf:{tmp_path}")
    folder(tmp_path, size={"height": 32, "width": 32})
    for config in ({"model_type": "no such"}, {"model_type": "bert"}):
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(FstoreError, match=r"hf:"):
            build_network(f"hf:{tmp_path}")
