"""torchvision's networks of other kinds than classification, and what their weights state."""

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.ops import FrozenBatchNorm2d

from fstore.errors import DataError
from fstore.extractor.networks import Network, build_network
from fstore.extractor.taps import Taps


def randomized(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights with which batch normalisation does something."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, tensor in model.state_dict().items():
        noise = torch.rand(tensor.shape, generator=generator)
        state[name] = noise + 0.5 if "running_var" in name else (noise - 0.5) * 0.1
    return state


def hooked(model: nn.Module, x: torch.Tensor, path: str) -> torch.Tensor:
    """Return what a plain hook on a module sees first."""
    seen: list[torch.Tensor] = []
    handle = model.get_submodule(path).register_forward_hook(lambda *a: seen.append(a[2].clone()))
    with torch.inference_mode():
        model(x)
    handle.remove()
    return seen[0]


def with_state(network: Network, state: dict[str, torch.Tensor]) -> Network:
    """Give a network weights; counters are left as they are."""
    lacking = network.model.load_state_dict(state, strict=False)
    assert not lacking.unexpected_keys
    return network


def test_a_detectors_backbone_computes_what_the_detector_does() -> None:
    """Body and pyramid of a detector equal torchvision's own, frozen, with its epsilon of 0."""
    network = build_network("torchvision:fasterrcnn_resnet50_fpn")
    bare = models.resnet50(norm_layer=lambda n: FrozenBatchNorm2d(n, eps=0.0))
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor

    backbone = _resnet_fpn_extractor(bare, 3).eval()
    state = randomized(backbone)
    backbone.load_state_dict(state)
    layers = ["body.relu", "body.layer4", "fpn.0", "fpn.pool"]
    assert set(layers) <= set(network.layers)
    assert not {"body.conv1", "body.bn1"} & set(network.layers)
    x = torch.rand(1, 3, 96, 96)
    values = Taps(with_state(network, state), layers).collect(x)
    with torch.inference_mode():
        levels = backbone(x)
    torch.testing.assert_close(values["fpn.0"], levels["0"], rtol=0, atol=0)
    torch.testing.assert_close(values["fpn.pool"], levels["pool"], rtol=0, atol=0)
    torch.testing.assert_close(values["body.layer4"], hooked(backbone, x, "body.layer4"))


def test_a_network_of_segmentation_is_whole() -> None:
    """Its stages and what the scores are read from are layers, and equal torchvision's own."""
    network = build_network("torchvision:lraspp_mobilenet_v3_large")
    model = models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)
    state = model.eval().state_dict()
    x = torch.rand(1, 3, 128, 128)
    values = Taps(with_state(network, state), ["backbone.16", "classifier.cbr"]).collect(x)
    for layer, value in values.items():
        torch.testing.assert_close(value, hooked(model, x, layer))
    with torch.inference_mode():
        assert set(network.model(x)) == {"out"}
    assert (network.preprocess.size, network.preprocess.resize_mode) == (520, "shorter")


def test_detectors_state_their_own_preprocessing() -> None:
    """Sizes, means and the resizing without antialiasing are those of the detector's transform."""
    ssd = build_network("torchvision:ssd300_vgg16").preprocess
    assert (ssd.size, ssd.resize_mode, ssd.antialias) == (300, "warp", False)
    assert ssd.mean == pytest.approx((0.48235, 0.45882, 0.40784))
    small = build_network("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn").preprocess
    assert (small.size, small.resize_mode, small.antialias) == (320, "shorter", False)


def test_a_backbone_has_no_classes() -> None:
    """Asking a detector's backbone for classes is refused."""
    with pytest.raises(DataError, match="has no classes"):
        build_network("torchvision:ssd300_vgg16", classes=4)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("quantized_resnet18", "is quantized.*use torchvision:resnet18"),
        ("s3d", "takes films"),
        ("raft_small", "takes pairs of images"),
    ],
)
def test_other_kinds_are_refused_with_a_reason(name: str, reason: str) -> None:
    """What cannot be extracted from says why, and does not seem to be a slip of the pen."""
    with pytest.raises(DataError, match=reason):
        build_network(f"torchvision:{name}")


def test_bicubic_networks_resize_so_and_older_checkpoints_as_they_did() -> None:
    """The interpolation of the weights' own transforms is used; the former one is remembered."""
    network = build_network("torchvision:swin_t")
    transforms = models.get_model_weights("swin_t")["DEFAULT"].transforms()
    assert network.preprocess.interpolation == transforms.interpolation.value == "bicubic"
    (former,) = network.formerly
    assert former.interpolation == "bilinear"
    # as version 1 wrote it
    assert "interpolation" not in former.to_json()
    assert build_network("torchvision:resnet18").formerly == ()
