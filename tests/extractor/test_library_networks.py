"""Networks of libraries by name: timm's, Hugging Face's, open_clip's."""

import json
import sys
from pathlib import Path

import pytest
import torch

from fstore.errors import DataError, MissingExtraError, UnknownNameError
from fstore.extractor.networks import Tokens, build_network, library_tensors
from fstore.extractor.taps import layer_specs
from fstore.store import Store
from fstore.workflows.checkpoints import import_checkpoint, load_network


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


def test_weights_of_open_clip_need_the_tag_where_activations_differ() -> None:
    """OpenAI's weights are of QuickGELU, which no file tells: without a tag it is asked for."""
    pytest.importorskip("open_clip")
    network = build_network("open_clip:ViT-B-32")
    weights = {f"visual.{name}": value for name, value in network.model.state_dict().items()}
    with pytest.raises(DataError, match=r"openai.*open_clip:ViT-B-32-quickgelu\.TAG"):
        library_tensors(network, weights)
    taken = library_tensors(network, weights, training="laion2b_s34b_b79k")
    assert taken.keys() == network.model.state_dict().keys()


def test_open_clip_gives_the_image_tower_alone() -> None:
    """Its tokens are 7 x 7 patches behind a class token, its input that of OpenAI's training."""
    pytest.importorskip("open_clip")
    network = build_network("open_clip:ViT-B-32-quickgelu.openai")
    assert network.tokens == Tokens(prefix=1, height=7, width=7)
    assert network.preprocess.interpolation == "bicubic"
    assert network.preprocess.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    with pytest.raises(DataError, match="was trained with QuickGELU"):
        build_network("open_clip:ViT-B-32.openai")


def test_folder_of_transformers_is_a_network(tmp_path: Path) -> None:
    """config.json and preprocessor_config.json make a network; its weights load from the folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=32, patch_size=8, num_labels=5, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    model = transformers.ViTForImageClassification(config)
    model.save_pretrained(tmp_path / "vit")
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size).save_pretrained(tmp_path / "vit")
    network = build_network(f"hf:{tmp_path / 'vit'}")
    assert network.tokens == Tokens(prefix=1, height=4, width=4)
    assert (network.preprocess.size, network.preprocess.resize_mode) == (32, "warp")
    assert network.preprocess.mean == (0.5, 0.5, 0.5)
    store = Store.create(tmp_path / "store")
    record = import_checkpoint(
        store, tmp_path / "vit", network=f"hf:{tmp_path / 'vit'}", name="own"
    )
    again = import_checkpoint(store, None, weights="default", network=record.network, name="own2")
    assert again.sha256 == record.sha256  # what a folder publishes lies beside its configuration
    loaded = load_network(store, record)
    x = torch.rand(2, 3, 32, 32)
    with torch.inference_mode():
        expected, actual = model.eval()(x).logits, loaded.model(x).logits
    torch.testing.assert_close(actual, expected)


def test_queries_of_a_detector_are_no_grid(tmp_path: Path) -> None:
    """What DETR's decoder gives, a token a query, is stored as that many tokens in a row."""
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        depths=[1, 1], hidden_sizes=[8, 16], embedding_size=8, out_features=["stage2"]
    )
    config = transformers.DetrConfig(
        backbone_config=backbone, use_timm_backbone=False, backbone=None, d_model=16, num_queries=7,
        encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2,
        architectures=["DetrForObjectDetection"],
    )  # fmt: skip
    config.save_pretrained(tmp_path)
    size = {"height": 64, "width": 64}
    transformers.DetrImageProcessor(size=size).save_pretrained(tmp_path)
    (decoder,) = layer_specs(build_network(f"hf:{tmp_path}"), ["model.decoder"])
    assert decoder.map_size == "16x7x1"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("open_clip:ViT-B-33", "near it: .*ViT-B-32"),
        ("open_clip:ViT-B-32.nobody", "has no training 'nobody'; it has: .*laion2b"),
        ("open_clip:ViT-L-14", "differ in their preprocessing; say whose weights"),
        ("timm:vit_base_patch16_rope_reg1_gap_256.a9", "it has: "),
    ],
)
def test_names_of_trainings_are_asked_for(name: str, said: str) -> None:
    """What a name leaves open is asked for; what there is not is answered by what there is."""
    pytest.importorskip("open_clip")
    with pytest.raises((UnknownNameError, DataError), match=said):
        build_network(name)


def test_an_image_tower_has_no_classes() -> None:
    """open_clip's towers give an embedding."""
    pytest.importorskip("open_clip")
    with pytest.raises(DataError, match="an embedding, no classes"):
        build_network("open_clip:RN50", classes=3)


def test_towers_of_timm_and_of_convolutions() -> None:
    """A tower that timm builds has timm's grid; a ResNet has maps."""
    pytest.importorskip("open_clip")
    siglip = build_network("open_clip:ViT-B-32-SigLIP2-256")
    assert siglip.tokens == Tokens(prefix=0, height=8, width=8)
    assert siglip.preprocess.resize_mode == "warp"
    resnet = build_network("open_clip:RN50")
    assert resnet.tokens is None
    assert [s.map_size for s in layer_specs(resnet, ["layer1"])] == ["256x56x56"]


def test_weights_that_timm_publishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--weights takes what timm's own loader gives, by the tag; another tag is another network."""
    timm = pytest.importorskip("timm")
    asked: list[str] = []
    create = timm.create_model

    def published(name: str, *, pretrained: bool = False, **options: object) -> torch.nn.Module:
        asked.extend([name] * pretrained)
        torch.manual_seed(7)
        return create(name, pretrained=False, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(timm, "create_model", published)
    store = Store.create(tmp_path / "store")
    network = "timm:mobilenetv3_small_050"
    record = import_checkpoint(store, None, weights="default", network=network, name="timm")
    assert asked == ["mobilenetv3_small_050.lamb_in1k"]
    assert json.loads(record.recipe)["published"] == "lamb_in1k"
    torch.manual_seed(7)
    expected = create("mobilenetv3_small_050").state_dict()
    loaded = load_network(store, record).model.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    with pytest.raises(UnknownNameError, match="import the weights a2_in1k for"):
        import_checkpoint(
            store, None, weights="a2_in1k", network="timm:resnet18.a1_in1k", name="no"
        )
