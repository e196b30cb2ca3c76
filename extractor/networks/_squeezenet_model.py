"""The modules of SqueezeNet; apart from its registration, because they need torch."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

__all__ = ["Fire", "squeezenet"]

SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""1x1 filters that squeeze, by fire module; each half of the expansion has 4 times as many."""


class Fire(nn.Module):
    """Squeeze by 1x1 filters, expand by 1x1 and 3x3 filters side by side."""

    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Conv2d(channels, squeeze, 1)
        self.relu_conv1x1_1 = nn.ReLU()
        self.conv1x1_2 = nn.Conv2d(squeeze, 4 * squeeze, 1)
        self.relu_conv1x1_2 = nn.ReLU()
        self.conv3x3_2 = nn.Conv2d(squeeze, 4 * squeeze, 3, padding=1)
        self.relu_conv3x3_2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Return the concatenated halves: (B, C, H, W) -> (B, 8 * squeeze, H, W)."""
        x = self.relu_conv1x1_1(self.conv1x1_1(x))
        left = self.relu_conv1x1_2(self.conv1x1_2(x))
        right = self.relu_conv3x3_2(self.conv3x3_2(x))
        return torch.cat([left, right], dim=1)


def squeezenet(classes: int) -> nn.Sequential:
    """Return the chain of the Caffe definition; parameters carry Caffe's names."""
    parts: OrderedDict[str, nn.Module] = OrderedDict()
    parts["conv1"] = nn.Conv2d(3, 96, 7, stride=2)
    parts["relu_conv1"] = nn.ReLU()
    parts["pool1"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    channels = 96
    for index, squeeze in SQUEEZE.items():
        parts[f"fire{index}"] = Fire(channels, squeeze)
        channels = 8 * squeeze
        if index in {4, 8}:
            parts[f"pool{index}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
    parts["drop9"] = nn.Dropout(0.5)
    parts["conv_final"] = nn.Conv2d(channels, classes, 1, padding=1)
    parts["relu_conv_final"] = nn.ReLU()
    parts["pool_final"] = nn.AdaptiveAvgPool2d(1)
    parts["flatten"] = nn.Flatten()  # (B, classes, 1, 1) -> (B, classes)
    model = nn.Sequential(parts)
    _init(model)
    return model


def _init(model: nn.Module) -> None:
    """Draw Caffe's ``xavier`` (uniform, variance 1 / fan-in); the last layer Gaussian 0.01."""
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name == "conv_final.weight":
            nn.init.normal_(parameter, std=0.01)
        else:
            bound = (3 / parameter[0].numel()) ** 0.5
            nn.init.uniform_(parameter, -bound, bound)
