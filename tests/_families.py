"""Which of torchvision's networks stand for their family: the others are tested exhaustively."""

import pytest
from _pytest.mark import ParameterSet

__all__ = ["by_family"]

REPRESENTATIVES = frozenset(
    {
        "alexnet",
        "convnext_tiny",
        "densenet121",
        "efficientnet_b0",
        "efficientnet_v2_s",
        "googlenet",
        "inception_v3",
        "lraspp_mobilenet_v3_large",
        "maxvit_t",
        "mnasnet0_5",
        "mobilenet_v2",
        "mobilenet_v3_small",
        "regnet_x_400mf",
        "regnet_y_400mf",
        "resnet18",
        "resnext50_32x4d",
        "shufflenet_v2_x0_5",
        "squeezenet1_1",
        "ssdlite320_mobilenet_v3_large",
        "swin_t",
        "swin_v2_t",
        "vgg11",
        "vgg11_bn",
        "vit_b_32",
        "wide_resnet50_2",
    }
)
"""The smallest of each family."""


def by_family(names: list[str]) -> list[ParameterSet]:
    """Return parameters: a family's smallest network is slow, every other one exhaustive."""
    return [
        pytest.param(
            name,
            marks=pytest.mark.slow
            if name.removeprefix("torchvision:") in REPRESENTATIVES
            else pytest.mark.exhaustive,
        )
        for name in names
    ]
