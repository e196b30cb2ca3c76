"""timm's own maps of its stages against what is stored of the modules that make them."""

import pytest
import torch
from torch import Tensor, nn

from fstore.extractor.dry_runs import DryRuns, Tap
from fstore.extractor.layouts import find_layout, not_a_response
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.taps import Taps
from fstore.extractor.wiring import Wiring

SAME = (nn.Dropout, nn.Identity)
TOKENS = {
    "vit_tiny_patch16_224": 1,
    "deit_tiny_distilled_patch16_224": 2,
    "vit_small_patch14_reg4_dinov2": 5,
    "hiera_tiny_224": 0,
}
MAPS = (
    *("swin_tiny_patch4_window7_224", "swinv2_tiny_window8_256", "gcvit_xxtiny", "nest_tiny"),
    *("pvt_v2_b0", "volo_d1_224", "levit_128s", "mobilevitv2_050", "hrnet_w18_small"),
    *("convnext_atto", "regnety_002", "davit_tiny", "mvitv2_tiny", "twins_svt_small"),
)


def built(name: str) -> tuple[Network, int]:
    """Build a network with random weights, none of them so small that it hides a layer."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    more = {"img_size": 224} if "dinov2" in name else {}
    model = timm.create_model(name, pretrained=False, **more).eval()
    for parameter in model.parameters():
        if parameter.ndim == 1:
            nn.init.normal_(parameter)
    size = 224 if more else timm.data.resolve_model_data_config(model)["input_size"][-1]
    return Network(name, model, Preprocess(size=size, resize=size), {}), size


def module_layers(network: Network) -> list[str]:
    """Return the modules that are layers and change something, and their class tokens."""
    wiring = Wiring(network.model)
    runs = DryRuns(network, wiring)
    taps = {p: Tap(p) for p, m in wiring.modules.items() if not isinstance(m, SAME)}
    sightings = runs.sightings(taps)
    layers = []
    for name, told in runs.evidence({n: taps[n] for n in sightings}, sightings).items():
        layout = None if not_a_response(told) else find_layout(told)
        if layout is not None:
            layers.append(name)
            has_classes = layout.tokens is not None and layout.tokens.prefix > 0
            layers += [f"{name}/cls"] * has_classes
    return layers


def timm_maps(network: Network, x: Tensor) -> list[tuple[Tensor, Tensor | None]]:
    """Return timm's intermediate maps (N, C, H, W), and the tokens beside them."""
    more = {"return_prefix_tokens": True} if TOKENS.get(network.name) else {}
    with torch.inference_mode():
        maps = network.model.forward_intermediates(  # type: ignore[operator]
            x, intermediates_only=True, norm=False, output_fmt="NCHW", **more
        )
    return [m if isinstance(m, tuple) else (m, None) for m in maps]


def alike(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two tensors hold the same but for rounding."""
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TOKENS, *MAPS])
def test_every_stage_is_stored_as_timm_maps_it(name: str) -> None:
    """Each map that timm gives of a stage is a layer; no layer is the same values turned about."""
    network, size = built(name)
    layers = module_layers(network)
    x = torch.randn(1, 3, size, size)
    found = Taps(network, layers).collect(x)
    for expected, prefix in timm_maps(network, x):
        equal = {layer for layer, response in found.items() if alike(response, expected)}
        assert equal
        energy, values = expected.double().square().sum(), expected.flatten().sort().values
        for layer, response in found.items():
            if layer in equal or response.numel() != expected.numel():
                continue
            near = torch.isclose(response.double().square().sum(), energy, rtol=1e-5)
            assert not (near and alike(response.flatten().sort().values, values)), layer
        if TOKENS.get(name):
            assert prefix is not None
            assert prefix.shape[1] == TOKENS[name]
            assert any(
                alike(found[layer + "/cls"], prefix.flatten(1))
                for layer in equal
                if layer + "/cls" in found
            )
