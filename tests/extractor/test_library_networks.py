"""Networks of libraries by name: timm's, Hugging Face's, open_clip's."""

import sys

import pytest

from fstore.errors import MissingExtraError, UnknownNameError
from fstore.extractor.networks import Tokens, build_network
from fstore.extractor.taps import layer_specs


def test_timm_network_brings_its_own_preprocessing() -> None:
    """A tag chooses the preprocessing: a3 was trained at 160 pixels, tv_in1k by torchvision."""
    a3 = build_network("timm:resnet18.a3_in1k").preprocess
    assert (a3.size, a3.resize, a3.interpolation) == (160, 168, "bicubic")  # 160 / 0.95 = 168.4
    tv = build_network("timm:resnet18.tv_in1k").preprocess
    assert (tv.size, tv.resize, tv.interpolation) == (224, 256, "bilinear")  # 224 / 0.875


def test_timm_states_tokens_and_layouts() -> None:
    """A ViT's tokens and a Swin's channels-last stages are what timm states of them."""
    vit = build_network("timm:deit_tiny_distilled_patch16_224")
    assert vit.tokens == Tokens(prefix=2, height=14, width=14)
    assert "head" not in vit.layers
    assert "head_dist" not in vit.layers
    swin = build_network("timm:swin_tiny_patch4_window7_224", classes=3)
    assert swin.layouts["layers.1"] == "channels_last"
    shapes = {s.name: (s.channels, s.height, s.width) for s in layer_specs(swin)}
    assert shapes["layers.1"] == (192, 28, 28)


def test_hrnet_declares_every_branch_of_a_stage() -> None:
    """A stage that gives several resolutions gives a layer for each."""
    network = build_network("timm:hrnet_w18_small")
    shapes = {s.name: (s.channels, s.height, s.width) for s in layer_specs(network)}
    branches = [shapes[f"stage4.0.{branch}"] for branch in range(4)]
    assert branches == [(16, 56, 56), (32, 28, 28), (64, 14, 14), (128, 7, 7)]


def test_names_that_timm_lacks() -> None:
    """An unknown network, or an unknown tag, is answered by those that there are."""
    with pytest.raises(UnknownNameError, match="near it: resnet50,"):
        build_network("timm:resnet5O")
    with pytest.raises(UnknownNameError, match=r"no tag 'a9'.*it has: a1_in1k"):
        build_network("timm:resnet50.a9")


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without timm the error says what to install."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r'pip install "fstore\[timm\]"'):
        build_network("timm:resnet18")
